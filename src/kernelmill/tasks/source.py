"""Executing a task's text: overrides, siblings, and errors that name file and line."""

from __future__ import annotations

import ast
import difflib
import hashlib
import linecache
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kernelmill.tasks.errors import TaskError
from kernelmill.tasks.task import Task

HOOK = "__kernelmill_set__"
PLAIN = (bool, int, float, str, type(None))


def parse_overrides(settings: Iterable[str]) -> dict[str, Any]:
    """``["N=4", "shape=(2, 3)", "mode=fast"]`` as a dictionary of Python values.

    Raises:
        TaskError: a setting is not of the form NAME=VALUE.

    Example:
        >>> parse_overrides(["N=4", "shape=(2, 3)", "mode=fast"])
        {'N': 4, 'shape': (2, 3), 'mode': 'fast'}
    """
    values: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        name = name.strip()
        if not equals or not name.isidentifier():
            raise TaskError(f"--set {setting!r}: want NAME=VALUE, as in batch_size=16")
        try:
            values[name] = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError):
            values[name] = text.strip()
    return values


def filename_of(task: Task) -> str:
    return task.path or f"<task {task.name}>"


def label_of(task: Task) -> str:
    """How messages name the task: its file, or its name."""
    return task.path or f"task {task.name}"


def parse(source: str, filename: str) -> ast.Module:
    """The syntax tree, or a `TaskError` that names file and line."""
    try:
        return ast.parse(source, filename=filename)
    except SyntaxError as error:
        raise TaskError(f"{filename}: line {error.lineno}: syntax error: {error.msg}") from error
    except ValueError as error:  # null bytes
        raise TaskError(f"{filename}: is no Python text: {error}") from error


def _is_main_guard(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Compare)
        and isinstance(node.test.left, ast.Name)
        and node.test.left.id == "__name__"
    )


def _blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """The statement lists that run at module level, nested ones (if, try, with, for) included."""
    for field in ("body", "orelse", "finalbody"):
        block = getattr(node, field, None)
        if isinstance(block, list):
            yield block
            for statement in block:
                if isinstance(statement, ast.If | ast.Try | ast.With | ast.For | ast.While):
                    if not _is_main_guard(statement):
                        yield from _blocks(statement)
    for handler in getattr(node, "handlers", []):
        yield from _blocks(handler)


def _bound(node: ast.stmt) -> list[tuple[str, ast.expr | None]]:
    """(name, expression) for each name that an assignment binds; ``None``: not one to one."""
    if isinstance(node, ast.AnnAssign):
        pairs = [(node.target, node.value)] if node.value is not None else []
    elif isinstance(node, ast.AugAssign):
        pairs = [(node.target, None)]
    elif isinstance(node, ast.Assign):
        pairs = [(target, node.value) for target in node.targets]
    else:
        return []
    found = []
    while pairs:
        target, value = pairs.pop(0)
        if isinstance(target, ast.Name):
            found.append((target.id, value))
        elif isinstance(target, ast.Tuple | ast.List):
            parts: list[Any] = [None] * len(target.elts)
            if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(parts):
                parts = value.elts
            pairs = list(zip(target.elts, parts, strict=True)) + pairs
    return found


def _is_literal(node: ast.expr | None) -> bool:
    """A literal, or arithmetic on literals such as ``1024 * 2``."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, PLAIN)
    if isinstance(node, ast.UnaryOp):
        return _is_literal(node.operand)
    if isinstance(node, ast.BinOp):
        return _is_literal(node.left) and _is_literal(node.right)
    if isinstance(node, ast.Tuple | ast.List):
        return all(_is_literal(part) for part in node.elts)
    return False


def assigned_names(tree: ast.Module) -> dict[str, bool]:
    """Names that module-level assignments bind, in order; true where only literals are bound."""
    names: dict[str, bool] = {}
    for block in _blocks(tree):
        for statement in block:
            for name, value in _bound(statement):
                names[name] = names.get(name, True) and _is_literal(value)
    return names


def is_plain(value: Any) -> bool:
    """Is it a value that ``--set`` can replace: a scalar, a string, or lists of such?"""
    if isinstance(value, tuple | list):
        return all(is_plain(part) for part in value)
    return type(value) in PLAIN


def _coerce(name: str, old: Any, new: Any, label: str) -> Any:
    def fail(want: str) -> TaskError:
        return TaskError(f"{label}: {name}={new!r} does not fit: {name} is {want} (now {old!r})")

    if not is_plain(old):
        kind = type(old).__name__
        raise TaskError(f"{label}: {name} is not a constant but a {kind}, it cannot be set")
    if old is None:
        return new
    if isinstance(old, bool):
        if not isinstance(new, bool):
            raise fail("True or False")
        return new
    if isinstance(old, int):
        if isinstance(new, bool) or not isinstance(new, int):
            raise fail("an integer")
        return new
    if isinstance(old, float):
        if isinstance(new, bool) or not isinstance(new, int | float):
            raise fail("a number")
        return float(new)
    if isinstance(old, str):
        if not isinstance(new, str):
            raise fail("a string")
        return new
    if not isinstance(new, tuple | list) or not is_plain(new):
        raise fail(f"a {type(old).__name__}")
    if old and len({type(part) for part in old}) == 1:
        new = [_coerce(name, old[0], part, label) for part in new]
    return type(old)(new)


class _Setter(ast.NodeTransformer):
    """Adds ``NAME = hook("NAME", NAME)`` behind every module-level binding of NAME.

    Behind rather than in place of the value: one rule for annotated, tuple, chained and augmented
    assignments, and the hook sees the old value and can check the type.
    """

    def __init__(self, names: set[str]):
        self.names = names

    def apply(self, tree: ast.Module) -> None:
        for block in list(_blocks(tree)):
            position = 0
            while position < len(block):
                statement = block[position]
                position += 1
                for name, _ in _bound(statement):
                    if name in self.names:
                        call = ast.Call(
                            ast.Name(HOOK, ast.Load()),
                            [ast.Constant(name), ast.Name(name, ast.Load())],
                            [],
                        )
                        added = ast.Assign([ast.Name(name, ast.Store())], call)
                        ast.copy_location(added, statement)
                        block.insert(position, ast.fix_missing_locations(added))
                        position += 1


@contextmanager
def guarded(task: Task, what: str) -> Iterator[None]:
    """Turns whatever the task's code raises into one sentence with file and line."""
    try:
        with siblings(task):
            yield
    except TaskError:
        raise
    except (Exception, SystemExit) as error:
        raise TaskError(describe(task, what, error)) from error


def describe(task: Task, what: str, error: BaseException) -> str:
    """``file: line n: what raised Error: first line of its message``."""
    lines = []
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == filename_of(task):
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    message = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    if len(message) > 300:
        message = message[:297] + "..."
    place = f"{label_of(task)}: line {lines[-1]}" if lines else label_of(task)
    return f"{place}: {what} raised {type(error).__name__}" + (f": {message}" if message else "")


@contextmanager
def siblings(task: Task) -> Iterator[None]:
    """Modules beside the task's file can be imported, behind everything that is installed, and
    are forgotten afterwards: another task may have a sibling of the same name."""
    folder = str(Path(task.path).resolve().parent) if task.path else None
    if folder is None or folder in sys.path:
        yield
        return
    before = set(sys.modules)
    sys.path.append(folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
        for name in set(sys.modules) - before:
            file = getattr(sys.modules.get(name), "__file__", None)
            if file and Path(file).parent == Path(folder):
                del sys.modules[name]


def execute(task: Task, values: Mapping[str, Any], register: bool = True) -> types.ModuleType:
    """Run the text as a module whose constants are replaced by ``values``.

    Raises:
        TaskError: syntax error, unknown name or wrong type among ``values``, or the text raises.
    """
    filename, label = filename_of(task), label_of(task)
    tree = parse(task.source, filename)
    names = assigned_names(tree)
    for name in values:
        if name not in names:
            known = ", ".join(name for name in names if not name.startswith("_")) or "none"
            close = difflib.get_close_matches(name, names, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise TaskError(f"{label}: no constant {name!r} to set; it has: {known}{hint}")
    _Setter(set(values)).apply(tree)

    facts = task.hash + repr(sorted(values.items()))
    module = types.ModuleType(f"kernelmill_task_{hashlib.sha256(facts.encode()).hexdigest()[:16]}")
    module.__file__ = filename
    module.__dict__["__payload__"] = task.payload
    module.__dict__[HOOK] = lambda name, old: _coerce(name, old, values[name], label)
    if not Path(filename).is_file():  # inspect.getsource and tracebacks find generated text
        lines = task.source.splitlines(keepends=True)
        linecache.cache[filename] = (len(task.source), None, lines, filename)
    previous = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = module  # dataclasses and pickle look the module up
    try:
        with guarded(task, "the file"):
            exec(compile(tree, filename, "exec"), module.__dict__)
    except BaseException:
        register = False
        raise
    finally:
        module.__dict__.pop(HOOK, None)
        if not register:
            if previous is None:
                del sys.modules[module.__name__]
            else:
                sys.modules[module.__name__] = previous
    return module
