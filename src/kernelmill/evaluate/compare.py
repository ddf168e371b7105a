"""Comparing a candidate's answer with the reference's. Runs in the judge's own process, on bytes
that the candidate can no longer reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from kernelmill.evaluate.contents import leaves, structure
from kernelmill.evaluate.evaluation import Errors, Reason
from kernelmill.tasks import Tolerance

TINY = 4 * torch.finfo(torch.float32).tiny  # flushed denormals are no error


@dataclass
class Tally:
    """Largest errors seen so far."""

    max_abs: float = 0.0
    max_rel: float = 0.0
    reference_abs: float = 0.0
    reference_rel: float = 0.0
    cases: int = 0

    def errors(self) -> Errors:
        return Errors(**vars(self))


def same_structure(wanted: Any, given: Any) -> bool:
    """Equal up to list for tuple."""
    if isinstance(wanted, list) and isinstance(given, list):
        if "dict" in (wanted[0], given[0]):
            return wanted[0] == given[0] and wanted[1].keys() == given[1].keys()
        return len(wanted[1]) == len(given[1]) and all(
            same_structure(a, b) for a, b in zip(wanted[1], given[1], strict=True)
        )
    return wanted == given


def _parts(entry: dict, expected: torch.Tensor, tolerance: Tolerance) -> tuple[float, float]:
    """The bound's constant and its factor of ``|expected|``; the scale is looked up once."""
    if "scale" not in entry:
        magnitude = expected.abs()
        finite = torch.isfinite(magnitude)
        if not bool(finite.all()):
            magnitude = magnitude[finite]
        entry["scale"] = float(magnitude.max()) if magnitude.numel() else 0.0
    floor = entry["floor"] if tolerance.floor is None else tolerance.floor
    wide = entry.get("dtype") in ("float64", "complex128")
    rtol = tolerance.rtol
    if rtol is None:
        rtol = 1e-12 if wide else max(1e-4, entry["floor"])
    return max(floor, tolerance.factor * entry["relative"]) * entry["scale"] + TINY, rtol


def allowed_error(entry: dict, expected: torch.Tensor, tolerance: Tolerance) -> torch.Tensor:
    """The elementwise bound of `Tolerance`."""
    constant, rtol = _parts(entry, expected, tolerance)
    return constant + rtol * expected.abs()


def _worst(excess: torch.Tensor, value: torch.Tensor, expected: torch.Tensor) -> dict[str, Any]:
    flat = int(torch.nan_to_num(excess.reshape(-1), nan=float("inf")).argmax())
    index = [int(i) for i in torch.unravel_index(torch.tensor(flat), excess.shape)]
    return {
        "index": index,
        "candidate": str(value.reshape(-1)[flat].item()),
        "reference": str(expected.reshape(-1)[flat].item()),
        "wrong_elements": int((excess > 0).sum()),
        "elements": excess.numel(),
    }


def _count(tally: Tally | None, entry: dict, worst: float) -> None:
    if tally is None:
        return
    tally.max_abs = max(tally.max_abs, worst)
    if entry["scale"] > 0:
        tally.max_rel = max(tally.max_rel, worst / entry["scale"])
    tally.reference_abs = max(tally.reference_abs, entry["error"])
    tally.reference_rel = max(tally.reference_rel, entry["relative"])


def compare_close(
    name: str, entry: dict, expected: torch.Tensor, other: Any, value: torch.Tensor,
    tolerance: Tolerance, tally: Tally | None, advisory: bool,
) -> Reason | None:  # fmt: skip
    """One floating-point leaf against its float64 value."""
    wide = torch.complex128 if expected.is_complex() else torch.float64
    given = value.to(wide)
    if not given.numel():
        return None
    if entry["finite"] and entry["same_finite"]:
        constant, rtol = _parts(entry, expected, tolerance)
        difference = torch.sub(given, expected).abs_()
        worst = float(difference.max())
        over = float(difference.sub_(expected.abs().mul_(rtol)).max())
        if over <= constant:  # false where anything is NaN
            _count(tally, entry, worst)
            return None
    finite_here, finite_there = torch.isfinite(given), torch.isfinite(expected)
    if isinstance(other, torch.Tensor):  # float32 overflows where float64 does not
        finite_there = finite_there & torch.isfinite(other)
    both = finite_here & finite_there
    bound = allowed_error(entry, expected, tolerance)
    difference = (given - expected).abs()
    excess = torch.where(both, difference - bound, torch.zeros_like(difference))
    if bool(both.any()):
        _count(tally, entry, float(difference[both].max()))
    wrong = excess > 0
    if bool(wrong.any()):
        found = _worst(excess, value, expected)
        found["allowed"] = float(bound.reshape(-1)[excess.reshape(-1).argmax()])
        message = (
            f"{name}: {found['wrong_elements']} of {found['elements']} elements are wrong; the "
            f"worst, at {found['index']}, is {found['candidate']} where the float64 reference is "
            f"{found['reference']} (allowed difference {found['allowed']:.3g})"
        )
        return Reason("wrong_values", message, found)
    if advisory:
        return None
    # non-finite values must be the same ones in the same places
    bad = finite_there & ~finite_here
    reference = other if isinstance(other, torch.Tensor) else expected
    if not wide.is_complex:
        should, is_ = reference.to(wide), given
        same = (torch.isnan(should) & torch.isnan(is_)) | (should == is_)
        bad = bad | (~torch.isfinite(should) & ~same)
    if bool(bad.any()):
        found = _worst(bad.double(), value, reference)
        message = (
            f"{name}: {found['wrong_elements']} elements differ in being finite; at "
            f"{found['index']} it is {found['candidate']} where the reference is "
            f"{found['reference']}"
        )
        return Reason("nonfinite", message, found)
    return None


def compare_outputs(
    case: dict[str, Any],
    outputs: Any,
    grads: dict[str, Any] | None,
    tolerance: Tolerance,
    tally: Tally | None,
    advisory: bool = False,
) -> Reason | None:
    """Structure, shape, dtype and value of every leaf; ``None`` where all is right."""
    wanted, given = case["structure"], structure(outputs)
    if not same_structure(wanted, given):
        return Reason(
            "wrong_structure",
            f"the output's structure is {given}, the reference's is {wanted}",
            {"wanted": wanted, "given": given},
        )
    values = leaves(outputs)
    if grads is not None:
        wanted_names = [n[len("gradient of ") :] for n in case["names"] if n.startswith("gradient")]
        missing = [n for n in wanted_names if n not in grads]
        if missing:
            # names may differ where state was matched by order
            values += list(grads.values())
        else:
            values += [grads[n] for n in wanted_names]
    if len(values) != len(case["expected"]):
        return Reason(
            "wrong_structure", f"{len(values)} values came, {len(case['expected'])} are wanted"
        )
    rows = zip(case["names"], case["entries"], case["expected"], case["other"], values, strict=True)
    for name, entry, expected, other, value in rows:
        code = "wrong_gradient" if name.startswith("gradient") else "wrong_values"
        if not isinstance(expected, torch.Tensor):
            if isinstance(expected, float) and isinstance(value, float):
                good = abs(value - expected) <= 1e-4 * abs(expected) + 1e-8 or value == expected
            else:
                good = value == expected or (expected is None and value is None)
            if not good and not (name.startswith("gradient") and expected is None):
                return Reason(code, f"{name} is {value!r}, the reference's is {expected!r}")
            continue
        if not isinstance(value, torch.Tensor):
            return Reason(code, f"{name} is {value!r}, a tensor is wanted")
        if tuple(value.shape) != tuple(expected.shape):
            return Reason(
                "wrong_shape",
                f"{name} has shape {tuple(value.shape)}, the reference's is "
                f"{tuple(expected.shape)}",
            )
        dtype = str(value.dtype).removeprefix("torch.")
        if dtype != entry["dtype"]:
            return Reason("wrong_dtype", f"{name} is {dtype}, the reference's is {entry['dtype']}")
        if entry["kind"] == "exact":
            wrong = value != expected
            if isinstance(other, torch.Tensor) and other.shape == value.shape:
                wrong = wrong & (value != other)
            if bool(wrong.any()):
                found = _worst(wrong.double(), value, expected)
                return Reason(
                    code,
                    f"{name}: {found['wrong_elements']} of {found['elements']} elements are "
                    f"wrong; at {found['index']} it is {found['candidate']}, the reference's is "
                    f"{found['reference']}",
                    found,
                )
            continue
        reason = compare_close(name, entry, expected, other, value, tolerance, tally, advisory)
        if reason is not None:
            if code == "wrong_gradient":
                reason = Reason(code, reason.message, reason.evidence)
            return reason
    if tally is not None:
        tally.cases += 1
    return None


def _near(a: torch.Tensor, b: torch.Tensor) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if not (a.is_floating_point() or a.is_complex()):
        return bool((a == b).all())
    scale = float(b.abs().max()) if b.numel() else 0.0
    return bool(torch.allclose(a, b, rtol=1e-3, atol=1e-4 * scale, equal_nan=True))


def compare_effects(
    case: dict[str, Any], reply: dict[str, Any], names: dict[str, str]
) -> list[Reason]:
    """What the call left behind: inputs, state and shared storage. ``names`` maps the
    candidate's state names to the reference's."""
    reasons = []
    wanted, given = case["inputs_after"], reply["inputs_after"]
    for key in sorted(set(wanted) | set(given)):
        if key not in wanted:
            reasons.append(Reason("input_modified", f"input {key} was changed by the call"))
        elif key not in given or not _near(given[key], wanted[key]):
            reasons.append(
                Reason("input_modified", f"input {key} is not left as the reference leaves it")
            )
    wanted = case["state_after"]
    given = {names.get(k, k): v for k, v in reply["state_after"].items()}
    for key in sorted(set(wanted) | set(given)):
        if key not in wanted:
            reasons.append(
                Reason("state_modified", f"{key} was changed by the call, the reference keeps it")
            )
        elif key not in given or not _near(given[key], wanted[key]):
            reasons.append(
                Reason("state_modified", f"{key} is not updated as the reference updates it")
            )
    allowed = {tuple(a[:2]) for a in case["aliases"]}
    for leaf, kind, other in reply["aliases"]:
        if (leaf, kind) not in allowed:
            reasons.append(
                Reason(
                    "alias_mismatch",
                    f"output {leaf} shares its storage with {kind} {other}, the reference's does "
                    "not",
                )
            )
            break
    return reasons


def trivial_answers(case: dict[str, Any], tolerance: Tolerance) -> set[str]:
    """Which do-nothing answers (``zeros``, ``mean``) pass on this case."""
    passing = {"zeros", "mean"}
    for entry, expected in zip(case["entries"], case["expected"], strict=True):
        if not isinstance(expected, torch.Tensor) or not expected.numel():
            continue
        if entry["kind"] == "exact":
            if bool((expected != 0).any()):
                passing.discard("zeros")
            if bool((expected != expected.reshape(-1)[0]).any()):
                passing.discard("mean")
            continue
        bound = allowed_error(entry, expected, tolerance)
        finite = torch.isfinite(expected)
        if not bool(finite.all()):
            return set()
        if bool((expected.abs() > bound).any()):
            passing.discard("zeros")
        if expected.numel() == 1 or bool(((expected - expected.mean()).abs() > bound).any()):
            passing.discard("mean")
    return passing
