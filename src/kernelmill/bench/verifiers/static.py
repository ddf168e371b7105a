"""Static verifiers: rules that read a candidate without running it, the cheapest screen.

Three subjects as in robust-kbench's workflow (compile, memory, numerics). A fault that cannot be
right scores 0; a suspicion, which honest kernels may raise, scores 0.6, so that only a threshold
above that holds a candidate back for it.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kernelmill.backends.c_text import unbalanced
from kernelmill.bench.verifiers.base import Review
from kernelmill.bench.verifiers.text import Text, block_after, called, method

SUSPICION = 0.6


@dataclass(frozen=True)
class Finding:
    """``sure``: no right candidate has it."""

    line: int
    sentence: str
    sure: bool = True


Rule = Callable[[Text], Iterator[Finding]]


@dataclass(frozen=True)
class StaticVerifier:
    """The rules of a subject: ``compile``, ``memory`` or ``numerics``.

    Example:
        >>> found = StaticVerifier("numerics").review("", '''extern "C" void f(float* x, long n) {
        ...   float sum;
        ...   for (long i = 0; i < n; ++i) sum += x[i];
        ... }''', {})
        >>> found.score, found.reasons
        (0.0, ('line 2: sum is added to before it has a value',))
    """

    subject: str

    def __post_init__(self) -> None:
        if self.subject not in RULES:
            raise ValueError(f"subject: want one of {', '.join(RULES)}, got {self.subject!r}")

    @property
    def name(self) -> str:
        return f"static {self.subject}"

    def review(self, reference: str, candidate: str, context: Mapping[str, Any]) -> Review:
        text = Text(candidate, reference)
        found = [finding for rule in RULES[self.subject] for finding in rule(text)]
        found.sort(key=lambda finding: finding.line)
        score = 1.0 if not found else 0.0 if any(f.sure for f in found) else SUSPICION
        reasons = tuple(f"line {f.line}: {f.sentence}" for f in found)
        return Review(score, reasons, tuple(sorted({f.line for f in found})))


def static_verifiers() -> list[StaticVerifier]:
    """One for each subject, in order."""
    return [StaticVerifier(subject) for subject in RULES]


# -- compile --------------------------------------------------------------------------------


def parses(text: Text) -> Iterator[Finding]:
    if text.is_python and text.tree is None:
        error = text.parsed
        line = getattr(error, "lineno", None) or 1
        yield Finding(line, f"no Python: {getattr(error, 'msg', None) or error}")


def has_entry(text: Text) -> Iterator[Finding]:
    if text.tree is None:
        return
    names = {node.id for node in ast.walk(text.tree) if isinstance(node, ast.Name)}
    for node in text.tree.body:
        if isinstance(node, ast.ClassDef):
            names.add(node.name)
            plain = all(getattr(b, "attr", getattr(b, "id", "")) == "Module" for b in node.bases)
            if node.name == "ModelNew" and plain and "forward" not in _bound(node):
                yield Finding(node.lineno, "ModelNew has no forward")
        if isinstance(node, (ast.ImportFrom, ast.Import)):
            names |= {a.asname or a.name for a in node.names}
    if "ModelNew" not in names:
        yield Finding(1, "defines no ModelNew")


def _bound(node: ast.ClassDef) -> set[str]:
    """Names that the body of a class binds."""
    found = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return found | {n.name for n in node.body if isinstance(n, ast.FunctionDef)}


def takes_what_the_reference_takes(text: Text) -> Iterator[Finding]:
    mine = method(text.tree, ("ModelNew",), "forward")
    wanted = method(text.reference_tree, ("Model",), "forward")
    if not mine or not wanted or wanted.args.vararg:
        return
    count = len(wanted.args.args) - 1 - len(wanted.args.defaults)
    most = len(mine.args.args) - 1
    least = most - len(mine.args.defaults)
    if least > count or (count > most and not mine.args.vararg):
        yield Finding(mine.lineno, f"forward takes {most} inputs, the reference {count}")


def names_are_defined(text: Text) -> Iterator[Finding]:
    """Names that nothing in the whole file binds, in whatever scope."""
    if text.tree is None:
        return
    known = {*dir(builtins), "__file__", "__class__"}
    for node in ast.walk(text.tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            known.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
            known.add(node.name)
        elif isinstance(node, ast.arg):
            known.add(node.arg)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            if any(alias.name == "*" for alias in node.names):
                return
            known |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ExceptHandler) and node.name:
            known.add(node.name)
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            known |= set(node.names)
        elif isinstance(node, (ast.MatchAs, ast.MatchStar)) and node.name:
            known.add(node.name)
        elif called_dynamic(node):
            return
    told = set()
    for node in ast.walk(text.tree):
        if isinstance(node, ast.Name) and node.id not in known and node.id not in told:
            told.add(node.id)
            yield Finding(node.lineno, f"{node.id} is not defined")


def called_dynamic(node: ast.AST) -> bool:
    """Something that may bind names unseen."""
    return isinstance(node, ast.Call) and called(node) in ("exec", "globals", "setattr", "vars")


def brackets_close(text: Text) -> Iterator[Finding]:
    for native in text.natives:
        for told in unbalanced(native.text, ("()", "{}", "[]")):
            yield Finding(native.line, told)


_C_FUNCTION = re.compile(r'extern\s+"C"\s+[\w:*&<> ]*?[*& ](\w+)\s*\(([^)]*)\)\s*\{')
_IN_BLOCK = re.compile(r'extern\s+"C"\s*\{')


def ctypes_agree(text: Text) -> Iterator[Finding]:
    """``library.f.argtypes`` against the ``extern "C"`` functions of the text."""
    if text.tree is None or not text.natives:
        return
    if any(_IN_BLOCK.search(native.text) or "##" in native.text for native in text.natives):
        return  # functions are declared in other ways, too
    functions = {
        m[1]: len([a for a in m[2].split(",") if a.strip() not in ("", "void")])
        for native in text.natives
        for m in _C_FUNCTION.finditer(native.text)
    }
    for node in ast.walk(text.tree):
        if not (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute)):
            continue
        target = node.targets[0]
        if target.attr != "argtypes" or not isinstance(target.value, ast.Attribute):
            continue
        name, count = target.value.attr, _length(node.value)
        if functions and name not in functions:
            yield Finding(node.lineno, f'no extern "C" function is named {name}')
        elif name in functions and count is not None and count != functions[name]:
            takes = functions[name]
            yield Finding(node.lineno, f"{name} takes {takes} arguments, argtypes has {count}")


def _length(node: ast.expr) -> int | None:
    """Of a list display, also repeated and added up."""
    if isinstance(node, (ast.List, ast.Tuple)):
        starred = any(isinstance(item, ast.Starred) for item in node.elts)
        return None if starred else len(node.elts)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _length(node.left), _length(node.right)
        return None if left is None or right is None else left + right
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        for items, times in ((node.left, node.right), (node.right, node.left)):
            count = _length(items)
            if count is not None and isinstance(times, ast.Constant) and type(times.value) is int:
                return count * times.value
    return None


def inline_functions_exist(text: Text) -> Iterator[Finding]:
    everything = "\n".join(native.text for native in text.natives)
    for call in text.calls("load_inline"):
        for keyword in call.keywords:
            if keyword.arg == "functions" and isinstance(keyword.value, ast.List):
                for item in keyword.value.elts:
                    name = getattr(item, "value", None)
                    if everything and isinstance(name, str):
                        if not re.search(rf"\b{re.escape(name)}\s*\(", everything):
                            yield Finding(item.lineno, f"load_inline: no function {name}")


# -- memory ---------------------------------------------------------------------------------


def triton_masks(text: Text) -> Iterator[Finding]:
    for function in _jitted(text):
        ranges = _from_ranges(function)
        reduces = any(
            isinstance(n, ast.Call)
            and called(n) in ("sum", "max", "min", "dot", "argmax", "reduce")
            for n in ast.walk(function)
        )
        for node in ast.walk(function):
            if not isinstance(node, ast.Call) or called(node) not in ("load", "store"):
                continue
            given = {keyword.arg for keyword in node.keywords}
            pointer = list(ast.walk(node.args[0])) if node.args else []
            spans = any(
                (isinstance(n, ast.Name) and n.id in ranges)
                or (isinstance(n, ast.Call) and called(n) == "arange")
                for n in pointer
            )
            place = 1 if called(node) == "load" else 2
            masked = "mask" in given or "boundary_check" in given or len(node.args) > place
            if spans and not masked:
                yield Finding(node.lineno, f"tl.{called(node)} over a range without a mask", False)
            elif called(node) == "load" and "mask" in given and "other" not in given and reduces:
                told = "tl.load leaves what is masked undefined (no other=), and it is reduced"
                yield Finding(node.lineno, told, False)


def _jitted(text: Text) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(text.tree) if text.tree else ():
        if isinstance(node, ast.FunctionDef):
            marks = {getattr(m, "attr", getattr(m, "id", "")) for d in node.decorator_list
                     for m in ast.walk(d)}  # fmt: skip
            if "jit" in marks and "triton" in text.source:
                yield node


def _from_ranges(function: ast.FunctionDef) -> set[str]:
    """Names that a ``tl.arange`` goes into, through any number of assignments."""
    found: set[str] = set()
    for _ in range(8):
        before = len(found)
        for node in ast.walk(function):
            if isinstance(node, (ast.Assign, ast.AugAssign)):
                parts = list(ast.walk(node.value))
                calls = {called(n) for n in parts if isinstance(n, ast.Call)}
                names = {n.id for n in parts if isinstance(n, ast.Name)}
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if ("arange" in calls or names & found) and "load" not in calls:
                    found |= {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
        if len(found) == before:
            break
    return found


def pointers_are_contiguous(text: Text) -> Iterator[Finding]:
    taken = next(text.calls("data_ptr"), None)
    if taken is None:
        return
    if not re.search(r"contiguous|\.stride\(|is_contiguous", text.source):
        yield Finding(taken.lineno, "data_ptr() of a tensor that may have strides", False)


_GLOBAL = re.compile(r"__global__[\w\s]*?\b(\w+)\s*\(")


def cuda_guards(text: Text) -> Iterator[Finding]:
    for native in text.natives:
        for match in _GLOBAL.finditer(native.text):
            body = block_after(native.text, match.end())
            if "threadIdx" in body and not re.search(r"\b(if|for|while)\b|\?", body):
                told = f"{match[1]} guards no access against the end of the data"
                yield Finding(native.line_of(match.start()), told, False)


# -- numerics -------------------------------------------------------------------------------

_SCALAR = r"(?:const\s+)?(?:float|double|int|long|half|size_t|int64_t|auto)"


def loops_do_not_race(text: Text) -> Iterator[Finding]:
    """A scalar from outside a parallel loop that its body adds to."""
    for native in text.natives:
        for match in re.finditer(
            r"#pragma\s+omp\s+parallel\s+for([^\n]*(?:\\\n[^\n]*)*)", native.text
        ):
            clauses = match[1]
            body = block_after(native.text, match.end())
            own = set(re.findall(rf"\b{_SCALAR}[\s*&]+(\w+)", body))
            own |= {n for names in re.findall(rf"\b{_SCALAR}\s+([^;()]*);", body)
                    for n in re.findall(r"(\w+)\s*(?:=|,|$)", names)}  # fmt: skip
            for added in re.finditer(r"(?<![\w.\]>])(\w+)\s*(?:\+=|-=|\*=)", body):
                name = added[1]
                listed = re.search(rf"\b{name}\b", clauses)
                atomic = re.search(r"#pragma\s+omp\s+(atomic|critical)", body)
                if name not in own and not listed and not atomic and not name.isdigit():
                    if re.search(rf"\b(?:float|double|int|long)\s+[^;()]*\b{name}\b",
                                 native.text[: match.start()]):  # fmt: skip
                        line = native.line_of(match.end() + added.start())
                        yield Finding(line, f"{name} is added to by several threads at once")


def sums_begin_somewhere(text: Text) -> Iterator[Finding]:
    for native in text.natives:
        for match in re.finditer(r"\b(?:float|double|int|long)\s+(\w+)\s*;", native.text):
            name, rest = match[1], native.text[match.end() :]
            use = re.search(rf"(?<![\w.])&?{name}\b\s*(\+=|-=|\*=|=(?!=)|[^\w\s])?", rest)
            if use and use[1] in ("+=", "-=", "*="):
                yield Finding(
                    native.line_of(match.start()), f"{name} is added to before it has a value"
                )


def shared_memory_is_fenced(text: Text) -> Iterator[Finding]:
    for native in text.natives:
        for match in _GLOBAL.finditer(native.text):
            body = block_after(native.text, match.end())
            if re.search(r"__shared__", body) and not re.search(r"__sync|\.sync\(|barrier", body):
                told = f"{match[1]} has shared memory and no barrier"
                yield Finding(native.line_of(match.start()), told, False)


def exponentials_are_bounded(text: Text) -> Iterator[Finding]:
    reference = text.reference.lower()
    if "softmax" not in reference and "logsumexp" not in reference:
        return
    if re.search(r"max|softmax|logsumexp", re.sub(r"#[^\n]*|//[^\n]*", "", text.source.lower())):
        return
    match = re.search(r"\bexp[f2]?\s*\(", text.source)
    if match:
        line = 1 + text.source.count("\n", 0, match.start())
        yield Finding(line, "exponentials of values from which no maximum is taken off", False)


def sums_are_wide(text: Text) -> Iterator[Finding]:
    for function in _jitted(text):
        added = {n.target.id for n in ast.walk(function)
                 if isinstance(n, ast.AugAssign) and isinstance(n.target, ast.Name)}  # fmt: skip
        for node in ast.walk(function):
            if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
                continue
            names = {t.id for t in node.targets if isinstance(t, ast.Name)}
            words = {n.attr for n in ast.walk(node.value) if isinstance(n, ast.Attribute)}
            if called(node.value) in ("zeros", "full") and names & added:
                if words & {"float16", "bfloat16"}:
                    yield Finding(node.lineno, "a sum is kept in 16 bits", False)


def products_are_not_rounded(text: Text) -> Iterator[Finding]:
    for function in _jitted(text):
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and called(node) == "dot":
                if not {"input_precision", "allow_tf32"} & {k.arg for k in node.keywords}:
                    told = "tl.dot rounds float32 to TF32 on a GPU (no input_precision)"
                    yield Finding(node.lineno, told, False)


RULES: dict[str, tuple[Rule, ...]] = {
    "compile": (
        parses, has_entry, takes_what_the_reference_takes, names_are_defined, brackets_close,
        ctypes_agree, inline_functions_exist,
    ),
    "memory": (triton_masks, pointers_are_contiguous, cuda_guards),
    "numerics": (
        loops_do_not_race, sums_begin_somewhere, shared_memory_is_fenced,
        exponentials_are_bounded, sums_are_wide, products_are_not_rounded,
    ),
}  # fmt: skip
