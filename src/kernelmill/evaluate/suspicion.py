"""What a worker's reports and traces say against a candidate."""

from __future__ import annotations

from typing import Any

from kernelmill.evaluate.evaluation import Reason


def of_report(
    report: dict[str, Any], *, loading: bool, compiled: bool, native: bool
) -> tuple[list[Reason], list[Reason]]:
    """(refusals, warnings) from a report of the process's state.

    ``loading``: it was taken right after the candidate was loaded, when a caught exception may be
    a guarded import; ``compiled``: torch.compile ran; ``native``: a library that the candidate
    built is loaded, whose start-up code switches on flush-to-zero under ``-ffast-math``.
    """
    refusals, warnings = [], []
    if report["patched"]:
        names = ", ".join(report["patched"][:5])
        text = f"the candidate replaced {names}"
        refusals.append(Reason("patched", text, {"names": report["patched"]}))
    state = {k: v for k, v in report["global_state"].items() if not (compiled and k == "recursion")}
    if state:
        text = ", ".join(f"{k} from {a} to {b}" for k, (a, b) in state.items())
        text = f"the candidate changed process-wide state: {text}"
        refusals.append(Reason("global_state", text, state))
    if report["swallowed"] and not loading:
        text = f"an exception was raised and caught in the candidate: {report['swallowed'][0]}"
        evidence = {"exceptions": report["swallowed"]}
        refusals.append(Reason("swallowed_exception", text, evidence))
    if report["flushes_denormals"]:
        text = "the candidate switched on flush-to-zero for the whole process"
        if native:
            warnings.append(Reason("flushes_denormals", text))
        else:
            refusals.append(Reason("global_state", text))
    if report["threads"] > 0:
        text = f"{report['threads']} Python threads were still running after a call"
        refusals.append(Reason("threads_left", text))
    return refusals, warnings


def of_operators(mine: list[list[Any]], theirs: list[list[Any]], strict: bool) -> Reason | None:
    """Who did the computing, by the framework operators (name, bytes) that ran: the candidate's
    kernel or the framework? A reason with code ``framework_share`` is a warning."""
    left = [name for name, _ in mine]
    evidence = {"operators": left[:50]}
    covered = 0
    for name, _ in theirs:
        if name in left:
            left.remove(name)
            covered += 1
    if theirs and covered == len(theirs):
        names = ", ".join(name for name, _ in theirs[:6])
        return Reason(
            "decoy_kernel" if left else "no_kernel",
            "the candidate claims a kernel of its own, but every operator of the reference "
            f"({names}) still runs in the framework",
            evidence,
        )
    share = sum(b for _, b in mine) / max(1, sum(b for _, b in theirs))
    if theirs and share > 0.9:
        return Reason(
            "decoy_kernel" if strict else "framework_share",
            f"framework operators move {share:.0%} of the bytes that the reference's do",
            evidence,
        )
    return None
