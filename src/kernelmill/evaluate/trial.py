"""One candidate before the judge: build, correctness, probes, timing."""

from __future__ import annotations

import pickle
import random
from typing import Any

from kernelmill import backends
from kernelmill.evaluate import compare, wire
from kernelmill.evaluate.evaluation import Errors, Reason, Timing
from kernelmill.evaluate.process import Refused, WorkerDied, WorkerProcess
from kernelmill.evaluate.screen import screen
from kernelmill.evaluate.session import TaskSession
from kernelmill.evaluate.timing import Racer, TimingFault, race, summarise
from kernelmill.tasks import Candidate

EXCESSIVE = 10.0
FLOOR_SLACK = 6.0
_ERROR_CODES = {
    "syntax_error", "no_model_new", "no_forward", "build_failed", "build_timeout", "import_failed",
    "init_failed", "runtime_error", "timeout", "memory_limit", "cpu_limit", "process_limit",
    "output_limit", "file_limit", "crashed", "backend_unavailable",
}  # fmt: skip


class Rejected(Exception):
    """The candidate is refused; carries the stage's reasons."""

    def __init__(self, *reasons: Reason):
        super().__init__(reasons[0].message)
        self.reasons = reasons

    @property
    def status(self) -> str:
        return "error" if self.reasons[0].code in _ERROR_CODES else "reject"


class Trial:
    """Runs the stages in order; each raises `Rejected`. ``stage`` is where it stands."""

    def __init__(self, judge: Any, session: TaskSession, candidate: Candidate):
        self.judge, self.session, self.candidate = judge, session, candidate
        self.settings = judge.settings
        self.backend = backends.get(candidate.backend)
        self.compiled = candidate.backend == "inductor" or "torch.compile" in candidate.source
        self.worker: WorkerProcess | None = None
        self.tally = compare.Tally()
        self.warnings: list[Reason] = []
        self.stage = "screen"
        self.names: dict[str, str] = {}
        self.copied = True
        self.claims_kernel = False
        self.rng = random.Random(session.seed)
        self.called: set[str] = set()

    # -- talking to the worker --------------------------------------------------------------

    def ask(self, op: str, seconds: float | None = None, **args: Any) -> Any:
        try:
            return self.worker.request(
                op, seconds=seconds or self.settings.wall_s, **args
            )
        except Refused as refused:
            raise Rejected(Reason(refused.code, refused.message, refused.evidence)) from None
        except WorkerDied as died:
            code, message = died.code, died.message
            if code == "timeout" and self.stage == "build":
                code = "build_timeout"
            evidence = {"output": died.output[-2000:]} if died.output else {}
            raise Rejected(Reason(code, message, evidence)) from None

    def call(self, slot: str, case: dict[str, Any], **options: Any) -> dict[str, Any]:
        """A call of the candidate; the first on an instance may compile."""
        compiles = slot not in self.called and (self.compiled or self.backend.brings_kernel)
        seconds = self.settings.build_s if compiles or self.compiled else self.settings.wall_s
        self.called.add(slot)
        sizes = [
            int(x.numel()) * 4 for x in case["expected"] if hasattr(x, "numel")
        ][:4]  # fmt: skip
        return self.ask(
            "call", seconds, slot=slot, inputs=case["inputs"], seed=case["call_seed"],
            poison=[s for s in sizes if s < 64 << 20], cotangents=case["cotangents"], **options,
        )  # fmt: skip

    def load(self, slot: str, case: dict[str, Any]) -> None:
        if self.copied:
            self.ask("load_state", slot=slot, state=case["state"])

    # -- stages -----------------------------------------------------------------------------

    def screen(self) -> None:
        is_python = not _is_native(self.candidate)
        reasons, hints, claims = screen(self.candidate.source, is_python)
        self.warnings += hints
        self.claims_kernel = claims or self.backend.brings_kernel
        if reasons:
            raise Rejected(*reasons)
        usable = self.backend.available()
        if not usable.usable:
            raise Rejected(
                Reason(
                    "backend_unavailable",
                    f"backend {self.candidate.backend} cannot be used here: {usable.reason}",
                )
            )

    def build(self) -> None:
        self.stage = "build"
        options = {
            "threads": self.judge.threads,
            "seed": self.rng.randrange(1 << 31),
            "trace": not self.compiled and self.candidate.backend != "triton",
        }
        self.worker = self.judge.spawn(
            "worker", options, gpu=self.backend.device != "cpu"
        )
        spec = wire.Pickled(pickle.dumps(pickle.dumps(self.session.spec)))
        report = self.ask(
            "build", self.settings.build_s, source=self.candidate.source,
            backend=self.candidate.backend, spec=spec,
        )  # fmt: skip
        self.check_report(report)
        self.instance("a", {})

    def instance(self, slot: str, overrides: dict[str, Any]) -> None:
        """A ``ModelNew``; its state is matched with the reference's by name or order."""
        reply = self.ask(
            "instance", self.settings.build_s, slot=slot,
            args=self.session.init_inputs(overrides), kwargs={}, seed=self.session.seed,
        )  # fmt: skip
        own = [k for k in reply["state"]]
        wanted = [row[0] for row in self.session.facts["state"]]
        if set(own) == set(wanted):
            self.names = {}
        elif len(own) == len(wanted):
            self.names = dict(zip(own, wanted, strict=True))

    def correctness(self) -> None:
        self.stage = "correctness"
        session = self.session
        cases = session.cases()
        first = next(cases)
        self.match_state(first)
        self.judge_case(first, "a", trace=True)
        # the same inputs again, by the other entry: the answer must be right again
        again = self.judge_case(first, "a", entry="forward", rename={
            "wrong_values": "not_repeatable"})  # fmt: skip
        del again
        self.recheck()
        entries = ["call", "forward"]
        for number, case in enumerate(cases):
            if case["state"] == "random" and not self.copied:
                continue
            if case["overrides"]:
                if self.compiled and case is not first and number % 2:
                    continue
                self.other_shape(case)
                continue
            entry = entries[self.rng.randrange(2)]
            rename = {}
            if entry == "forward":
                rename["wrong_values"] = "wrong_values"
            self.judge_case(case, "a", entry=entry, reuse=case["variant"] != "strided")
            if number in (2, 7):
                self.recheck()
        self.recheck()
        if not self.compiled and not session.backward:
            self.judge_case(first, "a", grad=True)
        self.instance("b", {})
        self.judge_case(first, "b", rename={"wrong_values": "instance_mismatch"})
        self.ask("drop", slot="b")
        if session.settings.policy == "strict" and self.warnings:
            refused = [w for w in self.warnings if w.code.startswith("advisory")]
            if refused:
                raise Rejected(*refused)

    def match_state(self, case: dict[str, Any]) -> None:
        """Copy the reference's weights; where they do not fit, both sides were constructed from
        the same seed (KernelBench's own rule), and only the initial weights are judged."""
        if not case["state"]:
            return
        try:
            self.ask("load_state", slot="a", state=case["state"])
        except Rejected as rejected:
            if rejected.reasons[0].code != "state_mismatch" or self.session.random:
                raise
            self.copied = False
            self.mismatch = rejected
            self.warnings.append(
                Reason(
                    "state_not_copied",
                    "parameters could not be matched by name, order and shape; judged with the "
                    "weights that both constructors draw from the same seed",
                )
            )

    def judge_case(
        self, case: dict[str, Any], slot: str, rename: dict[str, str] | None = None, **options: Any
    ) -> dict[str, Any]:
        self.load(slot, case)
        where = {"case": case["name"], "seed": case["seed"]}
        try:
            reply = self.call(slot, case, **options)
        except Rejected as rejected:
            reason = rejected.reasons[0]
            if reason.code == "runtime_error" and case["variant"] == "strided":
                self.warnings.append(
                    Reason("contiguous_only", f"refuses non-contiguous inputs: {reason.message}")
                )
                return {}
            text = f"{reason.message} [case: {case['name']}]"
            raise Rejected(Reason(reason.code, text, {**reason.evidence, **where})) from None
        advisory = case["advisory"]
        reason = compare.compare_outputs(
            case, reply["outputs"], reply["grads"], self.session.task.tolerance,
            None if advisory else self.tally, advisory,
        )  # fmt: skip
        if reason is None and not advisory:
            effects = compare.compare_effects(case, reply, self.names)
            reason = effects[0] if effects else None
            if reason is not None and reason.message.startswith("num_batches_tracked"):
                self.warnings.append(reason)
                reason = None
        if reason is not None:
            code = (rename or {}).get(reason.code, reason.code)
            if not self.copied and code == "wrong_values":
                raise self.mismatch
            text = f"{reason.message} [case: {case['name']}]"
            reason = Reason(code, text, {**reason.evidence, **where})
            if advisory:
                self.warnings.append(Reason(f"advisory_{code}", text, reason.evidence))
            else:
                raise Rejected(reason)
        if options.get("trace"):
            self.check_policy(case, reply["ops"])
        self.kept_now = compare.leaves(reply["outputs"])
        self.history = (getattr(self, "history", []) + [self.kept_now])[-3:]
        self.check_alarms()
        return reply

    def recheck(self) -> None:
        """Earlier outputs must still be what they were when they were returned."""
        kept = self.ask("recheck")["kept"]
        history = getattr(self, "history", [])
        for was, now in zip(history[::-1], kept[::-1], strict=False):
            tensors = [t for t in was if hasattr(t, "numel")]
            for i, (a, b) in enumerate(zip(tensors, now, strict=False)):
                if any(alias[0] == i for alias in self.session.case(0)["aliases"]):
                    continue
                if a.shape != b.shape or wire.tensor_bytes(a) != wire.tensor_bytes(b):
                    raise Rejected(
                        Reason(
                            "output_overwritten",
                            f"output {i} changed after it had been returned: it is written late or "
                            "its memory is used again",
                        )
                    )
        self.ask("forget")
        self.history = []

    def other_shape(self, case: dict[str, Any]) -> None:
        self.ask("forget")
        self.history = []
        self.instance("s", case["overrides"])
        self.judge_case(case, "s")
        self.ask("drop", slot="s")
        self.called.discard("s")
        self.history = []

    def check_policy(self, case: dict[str, Any], ops: list[list[Any]]) -> None:
        """Who did the computing: the candidate's kernel, or the framework?"""
        if not self.claims_kernel or self.compiled or self.candidate.backend == "triton":
            return
        theirs = self.session.reference_ops()
        if not theirs:
            return
        mine = [name for name, _ in ops]
        left = list(mine)
        covered = 0
        for name, _ in theirs:
            if name in left:
                left.remove(name)
                covered += 1
        share = sum(b for _, b in ops) / max(1, sum(b for _, b in theirs))
        if covered == len(theirs):
            raise Rejected(
                Reason(
                    "no_kernel" if len(left) == 0 else "decoy_kernel",
                    "the candidate claims a kernel of its own, but every operator of the "
                    f"reference ({', '.join(n for n, _ in theirs[:6])}) still runs in the framework",
                    {"operators": mine[:50]},
                )
            )
        if share > 0.9 and self.settings.policy == "strict":
            raise Rejected(
                Reason("decoy_kernel", f"the framework moves {share:.0%} of the reference's bytes")
            )
        if share > 0.9:
            self.warnings.append(
                Reason(
                    "framework_share",
                    f"framework operators move {share:.0%} of the bytes that the reference's do",
                    {"operators": mine[:50]},
                )
            )

    def check_alarms(self) -> None:
        if self.worker.alarms:
            code, text = self.worker.alarms[0]
            raise Rejected(Reason(code, f"the candidate's code did this: {text}"))
        if self.worker.alarm_closed:
            raise Rejected(
                Reason("sandbox_violation", "the candidate closed descriptors of the judge")
            )

    def check_report(self, report: dict[str, Any]) -> None:
        self.check_alarms()
        if report["patched"]:
            names = ", ".join(report["patched"][:5])
            raise Rejected(
                Reason("patched", f"the candidate replaced {names}", {"names": report["patched"]})
            )
        state = dict(report["global_state"])
        if self.compiled:
            state.pop("recursion", None)
        if state:
            text = ", ".join(f"{k} from {a} to {b}" for k, (a, b) in state.items())
            raise Rejected(
                Reason("global_state", f"the candidate changed process-wide state: {text}", state)
            )
        if report["swallowed"]:
            raise Rejected(
                Reason(
                    "swallowed_exception",
                    f"an exception was raised and caught in the candidate: {report['swallowed'][0]}",
                    {"exceptions": report["swallowed"]},
                )
            )
        if report["flushes_denormals"]:
            self.warnings.append(
                Reason("flushes_denormals", "the candidate switched on flush-to-zero")
            )
        if report["threads"] > 0 and not self.compiled:
            raise Rejected(
                Reason("threads_left", f"{report['threads']} Python threads are still running")
            )

    def probes(self) -> None:
        self.stage = "probes"
        self.check_report(self.ask("report"))
        left = self.worker.processes()
        if left and not self.compiled:
            raise Rejected(Reason("processes_left", f"{left} processes are still running"))

    def timing(self) -> Timing | None:
        self.stage = "timing"
        if not self.backend.available().can_time:
            self.warnings.append(
                Reason("not_timed", f"backend {self.candidate.backend} cannot be timed here: "
                       f"{self.backend.available().reason}")
            )  # fmt: skip
            return None
        timing = self.judge.time([self])[0]
        if timing.ratio > EXCESSIVE:
            for case in self.session.extra(4):
                if self.copied or case["state"] == "initial":
                    self.judge_case(case, "a")
            self.warnings.append(
                Reason("excessive", f"{timing.ratio:.1f}x: judged again with new seeds")
            )
        self.stage = "verdict"
        self.check_report(self.ask("report"))
        return timing

    def prepare_race(self) -> Racer:
        self.ask("forget")
        case = self.session.for_timing()[0]
        self.load("a", case)
        self.ask(
            "warm", self.settings.build_s, slot="a", inputs=case["inputs"], budget_s=0.05
        )
        self.load("a", case)
        return Racer(self.worker, "a")

    def check_timed(self, case: dict[str, Any], reply: dict[str, Any]) -> tuple[str, str] | None:
        reason = compare.compare_outputs(
            case, reply["outputs"], reply.get("grads"), self.session.task.tolerance, None
        )
        if reason is None:
            return None
        return "timing_wrong_values", f"a timed call was wrong: {reason.message}"

    def check_floor(self, timing: Timing) -> None:
        facts = self.session.facts
        moved = facts["output_bytes"] + (facts["input_bytes"] if facts["dense"] else 0)
        least = moved / self.judge.bandwidth / FLOOR_SLACK * 1e3
        if timing.candidate_ms < least:
            raise Rejected(
                Reason(
                    "below_floor",
                    f"{timing.candidate_ms:.4f} ms a call is less than the {least:.4f} ms that "
                    f"{moved} bytes need at {FLOOR_SLACK:.0f} times this machine's bandwidth",
                )
            )

    def errors(self) -> Errors:
        return self.tally.errors()

    def close(self) -> None:
        if self.worker is not None:
            self.worker.kill()


def _is_native(candidate: Candidate) -> bool:
    """Plain C++ or CUDA text rather than Python."""
    if candidate.backend not in ("cpp", "cuda"):
        return False
    text = candidate.source
    python = "class ModelNew" in text and "import" in text
    return not python and ("#include" in text or 'extern "C"' in text or "__global__" in text)


def race_trials(trials: list[Trial], session: TaskSession, settings: Any) -> list[Timing]:
    """Time the reference and all trials in turn."""
    reference = session.reference_racer()
    cases = session.for_timing()
    reference.request("load_state", seconds=settings.wall_s, slot="a", state=cases[0]["state"])
    reference.request(
        "warm", seconds=settings.build_s, slot="a", inputs=cases[0]["inputs"], budget_s=0.05
    )
    racers = [Racer(reference, "a"), *(t.prepare_race() for t in trials)]

    def check(index: int, case: dict[str, Any], reply: dict[str, Any]) -> Any:
        return None if index == 0 else trials[index - 1].check_timed(case, reply)

    try:
        race(
            racers, cases, check, runs=settings.runs, seconds=settings.min_time_s,
            wall_s=settings.wall_s, rng=random.Random(session.seed),
        )  # fmt: skip
    except TimingFault as fault:
        raise Rejected(Reason(fault.code, fault.message, {"racer": fault.index})) from None
    except Refused as refused:
        raise Rejected(Reason(refused.code, refused.message, refused.evidence)) from None
    except WorkerDied as died:
        raise Rejected(Reason(died.code, died.message)) from None
    return [summarise(racers[0], r, 0.0) for r in racers[1:]]
