"""robust-kbench task folders: functional form plus JSON configurations.

A folder holds ``func_forward.py`` and/or ``func_backward.py`` with ``forward_fn``,
``Model(**init)`` and ``get_inputs(**config)``, and ``config_forward.json`` or
``config_backward.json`` with six lists, ``{single,multi}_{input,init,shared}_configs``. It becomes
the original text plus generated glue that satisfies the KernelBench contract.
"""

from __future__ import annotations

import ast
import itertools
import json
import keyword
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelmill.tasks.errors import TaskError
from kernelmill.tasks.source import assigned_names, parse
from kernelmill.tasks.task import Task

DIRECTIONS = ("forward", "backward")


@dataclass(frozen=True)
class Config:
    """One configuration of a robust-kbench task.

    Attributes:
        id: position in the expanded list without duplicates, as text.
        init: keyword arguments of ``Model``.
        inputs: keyword arguments of ``get_inputs``.
        key: upstream's key text (two configurations may share one).
    """

    id: str
    init: dict[str, Any]
    inputs: dict[str, Any]

    @property
    def key(self) -> str:
        words = [f"{k}_{v}" for part in (self.init, self.inputs) for k, v in part.items()]
        return re.sub(r"[ .\-=]", "_", "_".join(words))


def is_task_folder(path: Path) -> bool:
    return any((path / f"func_{direction}.py").is_file() for direction in DIRECTIONS)


def directions(path: str | Path) -> list[str]:
    """Which of ``forward`` and ``backward`` a task folder has."""
    return [d for d in DIRECTIONS if (Path(path) / f"func_{d}.py").is_file()]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TaskError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise TaskError(f"{path}: is no text file") from error
    except json.JSONDecodeError as error:
        raise TaskError(f"{path}: line {error.lineno}: not valid JSON: {error.msg}") from error
    if not isinstance(data, dict):
        raise TaskError(f"{path}: want a JSON object, got a {type(data).__name__}")
    return data


def _check_direction(path: Path, direction: str) -> None:
    available = directions(path)
    if direction not in available:
        names = ", ".join(available) or "none"
        raise TaskError(
            f"{path}: no direction {direction!r} (there is no func_{direction}.py); available: "
            f"{names}"
        )


def list_configs(
    path: str | Path,
    direction: str = "forward",
    multi_input: bool = False,
    multi_init: bool = False,
) -> list[Config]:
    """The configurations of a task folder: init x input x shared, shared values winning.

    The multi shared list is used only where both switches are on. Duplicates are removed.

    Raises:
        TaskError: the direction or its config file is missing or malformed.
    """
    path = Path(path)
    _check_direction(path, direction)
    file = path / f"config_{direction}.json"
    data = _read_json(file)

    def entries(kind: str, multi: bool) -> list[dict[str, Any]]:
        name = f"{'multi' if multi else 'single'}_{kind}_configs"
        found = data.get(name) or [{}]
        if not isinstance(found, list) or not all(isinstance(c, dict) for c in found):
            raise TaskError(f"{file}: {name} is no list of objects")
        return found

    return expand(
        entries("init", multi_init),
        entries("input", multi_input),
        entries("shared", multi_init and multi_input),
    )


def expand(
    init: list[dict[str, Any]], inputs: list[dict[str, Any]], shared: list[dict[str, Any]]
) -> list[Config]:
    """The product init x input x shared, shared values last and winning, without duplicates.

    Example:
        >>> found = expand([{"bias": True}], [{"batch": 1}, {"batch": 2}], [{"features": 3}])
        >>> found[1].init, found[1].inputs
        ({'bias': True, 'features': 3}, {'batch': 2, 'features': 3})
    """
    configs: list[Config] = []
    seen = set()
    for of_init, of_inputs, both in itertools.product(init, inputs, shared):
        config = Config(str(len(configs)), {**of_init, **both}, {**of_inputs, **both})
        identity = json.dumps([config.init, config.inputs], sort_keys=True)
        if identity not in seen:
            seen.add(identity)
            configs.append(config)
    return configs


def group_by_init(configs: list[Config]) -> list[list[Config]]:
    """Configurations with the same constructor arguments: one task each, with input groups."""
    groups: dict[str, list[Config]] = {}
    for config in configs:
        groups.setdefault(json.dumps(config.init, sort_keys=True), []).append(config)
    return list(groups.values())


def _free_name(key: str, taken: set[str]) -> bool:
    return key.isidentifier() and not keyword.iskeyword(key) and key not in taken


def _top_level(tree: ast.Module) -> set[str]:
    names = set(assigned_names(tree))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update((alias.asname or alias.name).split(".")[0] for alias in node.names)
    return names


def _glue(configs: list[Config], taken: set[str], backward: bool) -> str:
    """Constants for what all configurations share, so that ``--set`` reaches them, then the
    generators of the KernelBench contract."""
    init, groups = configs[0].init, [config.inputs for config in configs]
    constants: dict[str, Any] = {
        key: value for key, value in init.items() if _free_name(key, taken)
    }
    for key, value in groups[0].items():
        same = all(key in group and group[key] == value for group in groups)
        if same and _free_name(key, taken) and constants.get(key, value) == value:
            constants[key] = value

    def call(config: dict[str, Any]) -> str:
        items = (
            f"{key!r}: {key if key in constants and constants[key] == value else repr(value)}"
            for key, value in config.items()
        )
        return "{" + ", ".join(items) + "}"

    lines = ["", "", "# kernelmill: the configurations as a KernelBench problem"]
    lines += [f"{key} = {value!r}" for key, value in constants.items()]
    lines += ["_make_inputs = get_inputs", "", ""]
    if backward:
        lines += [
            "if 'backward_fn' in globals() and 'AutogradFunction' in globals():",
            "    if getattr(AutogradFunction, 'backward_fn', None) is None:",
            "        AutogradFunction.backward_fn = staticmethod(backward_fn)",
            "",
            "",
        ]
    lines += ["def get_init_inputs():", f"    return {call(init)}", "", ""]
    if len(groups) == 1:
        lines += ["def get_inputs():", f"    return list(_make_inputs(**{call(groups[0])}))"]
    else:
        lines += ["def get_input_groups():", "    return ["]
        lines += [f"        list(_make_inputs(**{call(group)}))," for group in groups]
        lines += ["    ]"]
    return "\n".join(lines) + "\n"


def load_configs(
    path: str | Path,
    direction: str = "forward",
    configs: list[Config] | None = None,
    **fields: Any,
) -> Task:
    """The task of a folder for some configurations, which must share their ``init``.

    ``configs=None``: the first group of the single configurations.

    Raises:
        TaskError: a file is missing or malformed, or the configurations' ``init`` differ.
    """
    path = Path(path)
    _check_direction(path, direction)
    file = path / f"func_{direction}.py"
    if configs is None:
        configs = group_by_init(list_configs(path, direction))[0]
    if not configs or any(config.init != configs[0].init for config in configs):
        raise TaskError(f"{path}: want at least one configuration, all with the same init values")
    try:
        source = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise TaskError(f"{file}: is no text file") from error
    fields.setdefault(
        "name", path.resolve().name + ("_backward" if direction == "backward" else "")
    )
    return task_from_text(source, configs, direction, label=str(file), path=str(file), **fields)


def task_from_text(
    source: str, configs: list[Config], direction: str, *, label: str, **fields: Any
) -> Task:
    """The task of a text in functional form for configurations that share their ``init``.

    Raises:
        TaskError: the text, called ``label``, lacks ``Model`` or ``get_inputs``.
    """
    taken = _top_level(parse(source, label))
    for name in ("Model", "get_inputs"):
        if name not in taken:
            raise TaskError(f"{label}: defines no {name}")
    backward = direction == "backward"
    fields.setdefault("backward", backward)
    source = source.rstrip("\n") + "\n" + _glue(configs, taken, backward)
    return Task(source=source, **fields)


def load_all(
    path: str | Path,
    name: str,
    multi_input: bool = False,
    multi_init: bool = False,
    **fields: Any,
) -> list[Task]:
    """Every direction and constructor configuration of a folder, one task each."""
    tasks = []
    for direction in directions(path):
        groups = group_by_init(list_configs(path, direction, multi_input, multi_init))
        for number, configs in enumerate(groups):
            label = name + ("_backward" if direction == "backward" else "")
            label += f"_{number}" if len(groups) > 1 else ""
            tasks.append(load_configs(path, direction, configs, name=label, **fields))
    return tasks
