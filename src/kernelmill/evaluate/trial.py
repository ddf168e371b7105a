"""One candidate before the judge: build, correctness, probes, timing."""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kernelmill import backends
from kernelmill.evaluate import compare, suspicion, wire
from kernelmill.evaluate.evaluation import Errors, Reason, Timing
from kernelmill.evaluate.process import Refused, WorkerDied, WorkerProcess
from kernelmill.evaluate.screen import calls_compiler, screen
from kernelmill.evaluate.session import TaskSession
from kernelmill.evaluate.timing import Racer
from kernelmill.tasks import Candidate

EXCESSIVE = 10.0
FLOOR_SLACK = 6.0
KEPT_BYTES = 64 << 20
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
        self.compiled = candidate.backend == "inductor" or calls_compiler(candidate.source)
        self.worker: WorkerProcess | None = None
        self.tally = compare.Tally()
        self.warnings: list[Reason] = []
        self.stage = "screen"
        self.names: dict[str, str] = {}
        self.copied = True
        self.claims_kernel = False
        self.rng = random.Random(session.derive("order"))
        self.called: set[str] = set()
        self.kept: dict[str, list[Any]] = {}
        self.calls = 0

    # -- talking to the worker --------------------------------------------------------------

    def ask(self, op: str, seconds: float | None = None, **args: Any) -> Any:
        try:
            return self.worker.request(op, seconds=seconds or self.settings.wall_s, **args)
        except Refused as refused:
            raise Rejected(Reason(refused.code, refused.message, refused.evidence)) from None
        except WorkerDied as died:
            code, message = died.code, died.message
            if code == "timeout" and self.stage == "build":
                code = "build_timeout"
            evidence = {"output": died.output[-2000:]} if died.output else {}
            raise Rejected(Reason(code, message, evidence)) from None

    @contextmanager
    def distrust(self) -> Iterator[None]:
        """What a worker answers may have any form: what cannot be used is a breach."""
        try:
            yield
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
            text = f"an answer of the candidate's process cannot be read: {error!r}"
            raise Rejected(Reason("protocol_error", text)) from error

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
        text, faults = self.candidate.source, []
        if hasattr(self.backend, "screened"):
            text, faults = self.backend.screened(text)
        if faults:
            raise Rejected(*(Reason("build_failed", fault) for fault in faults))
        reasons, hints, claims = screen(text, is_python)
        self.warnings += hints
        self.claims_kernel = claims or self.backend.brings_kernel
        if self.backend.brings_kernel and is_python and self.compiled and not claims:
            text = f"backend {self.candidate.backend}: the text only calls torch.compile"
            reasons = [Reason("no_kernel", text)]
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
            "worker", options, devices=tuple(getattr(self.backend, "devices", ()))
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
            args=self.session.init_inputs(overrides), seed=self.session.init_seed,
        )  # fmt: skip
        with self.distrust():
            own = list(reply["state"])
        wanted = [row[0] for row in self.session.facts["state"]]
        if set(own) == set(wanted):
            self.names = {}
        elif len(own) == len(wanted):
            self.names = dict(zip(own, wanted, strict=True))

    def correctness(self) -> None:
        self.stage = "correctness"
        cases = self.session.cases()
        first = next(cases)
        self.match_state(first)
        self.judge_case(first, "a", trace=not self.compiled)
        self.judge_case(first, "a", rename={"wrong_values": "not_repeatable"})
        self.judge_case(first, "a", entry="forward", rename={"wrong_values": "entry_mismatch"})
        self.recheck()
        rest = [c for c in cases if self.copied or c["state"] != "random"]
        usual = [  # an unusual layout or mode may be left to the framework: no trace is taken there
            i
            for i, c in enumerate(rest)
            if not c["overrides"] and c["variant"] != "strided" and c["training"]
        ]
        traced, profiled = (self.rng.choice(usual) if usual else -1 for _ in range(2))
        if profiled == traced:
            traced = -1
        shapes = 0
        for number, case in enumerate(rest):
            if case["overrides"]:
                shapes += 1
                if not (self.compiled and shapes > 1):
                    self.other_shape(case)
                continue
            if self.compiled and (case["variant"] == "strided" or not case["training"]):
                continue  # each would cost a compilation; torch.compile guards both itself
            self.judge_case(
                case, "a", entry=self.rng.choice(("call", "forward")),
                reuse=case["variant"] != "strided",
                trace=number == traced and not self.compiled,
                profile=number == profiled and self.claims_kernel,
            )  # fmt: skip
        self.recheck()
        if not self.compiled and not self.session.backward:
            self.judge_case(first, "a", grad=True)
        self.instance("b", {})
        other = next((c for c in rest if c["variant"] is None and not c["overrides"]), first)
        self.judge_case(other, "b", rename={"wrong_values": "instance_mismatch"})
        self.ask("drop", slot="b")
        refused = [w for w in self.warnings if w.code.startswith("advisory")]
        if refused and self.settings.policy == "strict":
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
    ) -> None:
        self.load(slot, case)
        where = {"case": case["name"], "seed": case["seed"]}
        if not case["training"]:
            options["training"] = False
        key = self._place_to_keep(case) if not case["overrides"] else None
        try:
            reply = self.call(slot, case, keep=key, **options)
        except Rejected as rejected:
            reason = rejected.reasons[0]
            if reason.code == "runtime_error" and case["variant"] == "strided":
                self.warnings.append(
                    Reason("contiguous_only", f"refuses non-contiguous inputs: {reason.message}")
                )
                return
            text = f"{reason.message} [case: {case['name']}]"
            reason = Reason(reason.code, text, {**reason.evidence, **where})
            if case["advisory"] and reason.code == "runtime_error":
                self.warnings.append(Reason("advisory_error", text, reason.evidence))
                return
            raise Rejected(reason) from None
        with self.distrust():
            self.judge_reply(case, reply, rename or {}, where)
            if options.get("trace") or options.get("profile"):
                self.check_policy(reply["ops"])
            if key is not None:
                outputs = compare.leaves(reply["outputs"])
                self.kept[key] = [t for t in outputs if hasattr(t, "numel")]
        self.check_alarms()

    def judge_reply(
        self, case: dict[str, Any], reply: dict[str, Any], rename: dict[str, str], where: dict
    ) -> None:
        advisory = case["advisory"]
        reason = compare.compare_outputs(
            case, reply["outputs"], reply["grads"], self.session.task.tolerance,
            None if advisory else self.tally, advisory,
        )  # fmt: skip
        if reason is None and not advisory:
            effects = compare.compare_effects(case, reply, self.names)
            minor = [r for r in effects if "num_batches_tracked" in r.message]
            self.warnings += minor
            reason = next((r for r in effects if r not in minor), None)
        if reason is not None:
            code = rename.get(reason.code, reason.code)
            if not self.copied and code == "wrong_values":
                raise self.mismatch
            text = f"{reason.message} [case: {case['name']}]"
            reason = Reason(code, text, {**reason.evidence, **where})
            if not advisory:
                raise Rejected(reason)
            self.warnings.append(Reason(f"advisory_{code}", text, reason.evidence))

    def _place_to_keep(self, case: dict[str, Any]) -> str:
        """Under which name the worker keeps this call's output: the first ones to the end, then
        the same few places again and again, as memory allows."""
        size = sum(x.numel() * 4 for x in case["expected"] if hasattr(x, "numel"))
        places = max(3, min(16, KEPT_BYTES // max(1, size)))
        self.calls += 1
        return str(self.calls if self.calls < places else 2 + self.calls % (places - 2))

    def recheck(self) -> None:
        """Earlier outputs must still be what they were when they were returned."""
        kept = self.ask("recheck")
        shared = {alias[0] for alias in self.session.case(0)["aliases"]}
        with self.distrust():
            for key, was in self.kept.items():
                for i, (a, b) in enumerate(zip(was, kept["kept"][key], strict=True)):
                    if i in shared:
                        continue
                    if a.shape != b.shape or wire.tensor_bytes(a) != wire.tensor_bytes(b):
                        raise Rejected(
                            Reason(
                                "output_overwritten",
                                f"output {i} changed after it had been returned: it is written "
                                "late or its memory is used again",
                            )
                        )

    def other_shape(self, case: dict[str, Any]) -> None:
        self.instance("s", case["overrides"])
        self.judge_case(case, "s")
        self.ask("drop", slot="s")
        self.called.discard("s")

    def check_policy(self, ops: list[list[Any]]) -> None:
        if not self.claims_kernel:
            return
        strict = self.settings.policy == "strict"
        found = suspicion.of_operators(ops, self.session.reference_ops(), strict)
        if found is not None and found.code != "framework_share":
            raise Rejected(found)
        if found is not None:
            self.warnings.append(found)

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
        with self.distrust():
            self.judge_report(report)

    def judge_report(self, report: dict[str, Any]) -> None:
        refusals, warnings = suspicion.of_report(
            report,
            loading=self.stage == "build",
            compiled=self.compiled,
            native=self.worker.maps_own_code(),
        )
        self.warnings += warnings
        if refusals:
            raise Rejected(*refusals)

    def probes(self) -> None:
        self.stage = "probes"
        self.check_report(self.ask("report"))
        if self.candidate.backend == "cpp" and not self.worker.maps_own_code():
            raise Rejected(
                Reason("no_kernel", "backend cpp: no library that the candidate built is loaded")
            )
        left = self.worker.processes()
        if left:
            raise Rejected(Reason("processes_left", f"{left} processes are still running"))
        busy = self.worker.busy_share()
        if busy > 0.3:
            raise Rejected(
                Reason(
                    "threads_left",
                    f"the process uses {busy:.0%} of a CPU although no call is running",
                )
            )

    def can_be_timed(self) -> bool:
        """A warning says why not."""
        self.stage = "timing"
        usable = self.backend.available()
        if not usable.can_time:
            name = self.candidate.backend
            text = f"backend {name} cannot be timed here: {usable.reason}"
            self.warnings.append(Reason("not_timed", text))
        return usable.can_time

    def timing(self, measured: Timing | None = None) -> Timing:
        """Race with the reference, unless that has been ``measured``; then look again."""
        self.stage = "timing"
        timing = measured or self.judge.time([self])[0]
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

    def prepare_race(self, base: dict[str, Any]) -> Racer:
        self.ask("forget")
        self.load("a", base)
        self.ask("warm", self.settings.build_s, slot="a", inputs=base["inputs"], budget_s=0.05)
        self.load("a", base)
        return Racer(self.worker, "a")

    def check_timed(self, case: dict[str, Any], reply: dict[str, Any]) -> tuple[str, str] | None:
        with self.distrust():
            reason = compare.compare_outputs(
                case, reply["outputs"], reply["grads"], self.session.task.tolerance, None
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
