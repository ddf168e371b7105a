"""Reading tasks: problem files, folders of the known benchmarks, and Python objects by name."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kernelmill.tasks import robustkbench
from kernelmill.tasks.errors import TaskError
from kernelmill.tasks.robustkbench import Config, list_configs
from kernelmill.tasks.source import guarded, parse
from kernelmill.tasks.task import Task

__all__ = ["Config", "list_configs", "load_folder", "load_task", "problem_id"]

NUMBERED = re.compile(r"^(\d+)_.*\.py$")
MULTIKERNELBENCH = frozenset(
    "activation arch attention broadcast convolution fuse index loss math matmul normalization "
    "optimizer pooling reduce resize".split()
)
GENERATORS = {"get_inputs", "get_input_groups"}


def problem_id(task: Task) -> int | None:
    """The number of a KernelBench problem, from its name.

    Example:
        >>> problem_id(Task("12_Matmul_with_diagonal_matrices_.py", "")), problem_id(Task("a", ""))
        (12, None)
    """
    match = re.match(r"(\d+)_", task.name)
    return int(match[1]) if match else None


def load_task(
    path: str | Path,
    overrides: Mapping[str, Any] | None = None,
    *,
    direction: str | None = None,
    multi_input: bool = False,
    multi_init: bool = False,
    config: str | int | None = None,
    **fields: Any,
) -> Task:
    """Read one task; nothing of it is executed, apart from the form ``module:attr``.

    - a KernelBench file, or a MultiKernelBench reference (``get_input_groups``, a JSON file beside
      it). The name of a numbered file (``12_Name_.py``) is the whole file name, as upstream has it,
      of another its stem.
    - a robust-kbench task folder, for one ``direction`` and one set of constructor values; input
      configurations become input groups. ``multi_input``, ``multi_init``: the wide lists;
      ``config``: the id of a configuration of `list_configs` (default: all that share the first
      one's constructor values).
    - ``package.module:attr`` or ``file.py:attr``: a module, a class without constructor arguments
      (or with ``get_init_inputs`` beside it), a function, or a pair (module, inputs). Without a
      pair, ``get_inputs`` beside it makes the inputs.

    Args:
        path: as above.
        overrides: values of module-level constants.
        fields: further fields of `Task` (``axes``, ``tolerance``, ``backward``...).

    Raises:
        TaskError: missing, binary or malformed file, no ``Model``, no generator of inputs.
    """
    if overrides:
        fields["overrides"] = dict(overrides)
    text = str(path)
    file = Path(path)
    if not file.exists() and ":" in text and not text.endswith(".py"):
        return _load_object(text, fields)
    if file.is_dir():
        if robustkbench.is_task_folder(file):
            direction = direction or robustkbench.directions(file)[0]
            configs = list_configs(file, direction, multi_input, multi_init)
            return robustkbench.load_configs(
                file, direction, _choose(file, configs, config), **fields
            )
        raise TaskError(f"{text}: is a folder, not a task; want a .py file or a robust-kbench task")
    if direction is not None or config is not None:
        raise TaskError(f"{text}: direction and config belong to robust-kbench task folders")
    return _load_file(file, fields)


def _choose(path: Path, configs: list[Config], wanted: str | int | None) -> list[Config]:
    if wanted is None:
        return robustkbench.group_by_init(configs)[0]
    found = [config for config in configs if str(wanted) in (config.id, config.key)]
    if not found:
        raise TaskError(f"{path}: no configuration {wanted!r}; ids are 0 to {len(configs) - 1}")
    return found[:1]


def read_text(path: Path) -> str:
    """The file's text, or a `TaskError` that says why there is none."""
    try:
        source = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise TaskError(f"{path}: no such file") from error
    except OSError as error:
        raise TaskError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise TaskError(f"{path}: is no text file (not valid UTF-8)") from error
    if "\0" in source:
        raise TaskError(f"{path}: is no text file (it holds null bytes)")
    return source


def _defined(tree: ast.Module) -> set[str] | None:
    """Names bound at module level; ``None`` where a star import hides some."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            return None
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update((alias.asname or alias.name).split(".")[0] for alias in node.names)
        elif isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Store):
                names.add(node.id)
        else:
            pending.extend(ast.iter_child_nodes(node))
    return names


def _load_file(path: Path, fields: dict[str, Any]) -> Task:
    source = read_text(path)
    names = _defined(parse(source, str(path)))
    if names is not None:
        if "Model" not in names:
            raise TaskError(f"{path}: defines no class Model")
        if not names & GENERATORS:
            raise TaskError(f"{path}: defines no get_inputs() (or get_input_groups())")
    fields.setdefault("name", path.name if NUMBERED.match(path.name) else path.stem)
    folders = path.resolve().parts[-3:-1]
    if len(folders) == 2 and folders[0] == "reference" and folders[1] in MULTIKERNELBENCH:
        fields.setdefault("category", folders[1])
    companion = path.with_suffix(".json")
    if "payload" not in fields and "__file__" in source and companion.is_file():
        fields["payload"] = companion.read_bytes()  # it decides the inputs: part of the hash
    return Task(source=source, path=str(path), **fields)


def load_folder(path: str | Path, **fields: Any) -> list[Task]:
    """Every task below a folder, in order, without executing any.

    KernelBench: a level folder, or one with ``level1``, ``level2``... in it; sorted by number.
    MultiKernelBench: a category folder or ``reference``. robust-kbench: a folder of task folders;
    a task per direction and set of constructor values (keywords ``multi_input``, ``multi_init``).
    Otherwise every ``.py`` file that defines ``Model`` or a generator of inputs; files whose names
    begin with an underscore or with ``test_`` are left out.

    Raises:
        TaskError: no such folder, no task in it, a broken file, or two files with one number.
    """
    path = Path(path)
    if not path.exists():
        raise TaskError(f"{path}: no such folder")
    if not path.is_dir():
        raise TaskError(f"{path}: is a file; want a folder of tasks")
    switches = {k: fields.pop(k) for k in ("multi_input", "multi_init") if k in fields}
    folders = [path, *sorted(folder for folder in path.rglob("*") if folder.is_dir())]
    folders = [f for f in folders if not _hidden(f.relative_to(path))]
    roots = [folder for folder in folders if robustkbench.is_task_folder(folder)]
    if roots:
        tasks = []
        for root in roots:
            inner = root.relative_to(path).as_posix()
            name = path.resolve().name if inner == "." else inner
            tasks += robustkbench.load_all(root, name, **switches, **fields)
        return tasks
    tasks = []
    for folder in sorted(folders, key=lambda f: _natural(f.relative_to(path).as_posix())):
        tasks += _load_files(folder, fields)
    if not tasks:
        raise TaskError(f"{path}: holds no task (no .py file with Model and get_inputs)")
    return tasks


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def _natural(text: str) -> list[Any]:
    """Sort key in which level10 comes after level9."""
    parts = re.split(r"(\d+)", text)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _load_files(folder: Path, fields: dict[str, Any]) -> list[Task]:
    files = sorted(folder.glob("*.py"), key=lambda file: _natural(file.name))
    tasks: list[Task] = []
    numbers: dict[int, Path] = {}
    for file in files:
        match = NUMBERED.match(file.name)
        if match:
            number = int(match[1])
            if number in numbers:
                raise TaskError(f"{file}: number {number} is taken by {numbers[number].name}")
            numbers[number] = file
        elif file.name.startswith(("_", "test_")):
            continue
        else:
            names = _defined(parse(read_text(file), str(file)))
            if names is not None and not names & {"Model", *GENERATORS}:
                continue
        tasks.append(_load_file(file, dict(fields)))
    return tasks


def _load_object(spec: str, fields: dict[str, Any]) -> Task:
    """``package.module:attr`` or ``file.py:attr`` as a task."""
    import torch

    from kernelmill.tasks.export import task_from_module

    place, _, attribute = spec.rpartition(":")
    module = _import(place, spec)
    owner: Any = module
    for part in attribute.split("."):
        if not hasattr(owner, part):
            raise TaskError(f"{spec}: {place} has no attribute {attribute!r}")
        owner = getattr(owner, part)
    found, inputs = owner, None
    if isinstance(owner, tuple) and len(owner) == 2:
        found, inputs = owner
    location = Task(spec, "", getattr(module, "__file__", None))
    if isinstance(found, type):
        if not issubclass(found, torch.nn.Module):
            raise TaskError(f"{spec}: is a class, but no torch.nn.Module")
        init = getattr(module, "get_init_inputs", list)
        with guarded(location, f"{attribute}(*get_init_inputs())"):
            values = init()
            found = found(**values) if isinstance(values, dict) else found(*values)
    elif not callable(found):
        kind = type(found).__name__
        raise TaskError(f"{spec}: is a {kind}; want a module, a class, a function, or a pair")
    if inputs is None:
        generator = getattr(module, "get_inputs", None)
        if generator is None:
            raise TaskError(
                f"{spec}: no inputs; define get_inputs() in {place}, or a pair (module, inputs)"
            )
        with guarded(location, "get_inputs()"):
            inputs = generator()
    fields.setdefault("name", attribute)
    return task_from_module(found, inputs, **fields)


def _import(place: str, spec: str) -> Any:
    file = Path(place)
    location = Task(spec, "", str(file) if place.endswith(".py") else None)
    if place.endswith(".py"):
        read_text(file)
        name = f"kernelmill_object_{abs(hash(str(file.resolve()))):x}"
        loader = importlib.util.spec_from_file_location(name, file)
        module = importlib.util.module_from_spec(loader)
        sys.modules[name] = module
        with guarded(location, "the file"):
            loader.loader.exec_module(module)
        return module
    if not re.fullmatch(r"[A-Za-z_][\w.]*", place):
        raise TaskError(f"{spec}: no such file, and {place!r} is no module name")
    added = "" not in sys.path and str(Path.cwd()) not in sys.path
    if added:
        sys.path.insert(0, str(Path.cwd()))
    try:
        with guarded(location, f"import {place}"):
            return importlib.import_module(place)
    finally:
        if added:
            sys.path.remove(str(Path.cwd()))
