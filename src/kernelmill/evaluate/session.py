"""A task under judgement: its oracle process, the cases to judge by, and what is known of it."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from kernelmill.backends import BuildSpec, TensorSpec
from kernelmill.evaluate import compare, wire
from kernelmill.evaluate.evaluation import Reason
from kernelmill.evaluate.process import Refused, WorkerDied, WorkerProcess
from kernelmill.evaluate.variants import ADVISORY, freshen, is_free
from kernelmill.tasks import Task, TaskError

KEPT_BYTES = 1 << 30
SHAPES = 3
SETUP_S = 300.0


@dataclass(frozen=True)
class TaskReport:
    """What the judge found out about a problem. ``verdict``: ``ok``, ``weak`` (it is judged, the
    report carries a mark) or ``untestable`` (no speed-up is reported)."""

    verdict: str
    findings: tuple[Reason, ...] = ()
    category: str = ""
    flops: int = 0
    bytes: int = 0
    cases: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


def task_message(task: Task) -> dict[str, Any]:
    """A task as the fields that `contents.task_of` puts together again."""
    payload = None if task.payload is None else wire.Pickled(pickle.dumps(task.payload))
    return {**asdict(task), "overrides": dict(task.overrides), "payload": payload}


def readable_folders(task: Task) -> tuple[str, ...]:
    """What the reference may read besides the system: the folder of its file."""
    if task.path and Path(task.path).exists():
        return (str(Path(task.path).resolve().parent),)
    return ()


class TaskSession:
    """Opened once per task and judge; candidates of the same task share its answers."""

    def __init__(self, spawn: Any, task: Task, seed: int, settings: Any, threads: int):
        self.task, self.seed, self.settings = task, seed, settings
        self.spawn, self.threads = spawn, threads
        self.backward = task.backward if settings.backward is None else settings.backward
        self.kept: dict[int, dict[str, Any]] = {}
        self.kept_bytes = 0
        self.dropped: dict[int, str] = {}
        self._timing: dict[str, dict[str, Any]] = {}
        self._count = 0
        self._noise = torch.Generator().manual_seed(self.derive("noise"))
        self.oracle: WorkerProcess | None = None
        self.reference: WorkerProcess | None = None
        self._report: TaskReport | None = None
        self._ops: list[list[Any]] | None = None
        self._open()

    def _spawn_oracle(self) -> WorkerProcess:
        options = {"threads": self.threads, "memory_bytes": self.settings.memory_bytes // 3}
        return self.spawn("oracle", options, readable_folders(self.task))

    def _ask(self, op: str, **args: Any) -> Any:
        try:
            return self.oracle.request(op, seconds=SETUP_S, **args)
        except Refused as refused:
            raise TaskError(refused.message) from None
        except WorkerDied as died:
            message = died.message.replace("the candidate", "the reference")
            raise TaskError(f"{self.task.path or self.task.name}: {message}") from None

    def _open(self) -> None:
        self.oracle = self._spawn_oracle()
        try:
            self.facts = self._ask("open", task=task_message(self.task), seed=self.init_seed)
            planned = self._ask("plan", seeds=self.settings.seeds, shapes=SHAPES)["cases"]
            self.random = self._ask("randomness")["random"]
        except TaskError:
            self.oracle.kill()
            raise
        self.plan = [self._case(*row) for row in planned]
        self.args = self._ask("init_inputs", overrides={})["args"]

    def derive(self, *what: Any) -> int:
        """A seed of its own for each use: none of them, seen by a candidate, tells another."""
        text = "|".join(map(str, (self.seed, *what)))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1

    @property
    def init_seed(self) -> int:
        """Seed of the constructors, the reference's and the candidates'."""
        return self.derive("init")

    def _case(self, name, group, overrides, variant, state, offset) -> dict[str, Any]:
        return {
            "name": name, "group": group, "overrides": overrides, "variant": variant,
            "state": state, "seed": self.derive("case", offset),
            "call_seed": self.derive("call", offset), "training": name != "eval mode",
        }  # fmt: skip

    @property
    def spec(self) -> BuildSpec:
        return BuildSpec(
            state=tuple(TensorSpec(n, tuple(s), d) for n, s, d in self.facts["state"]),
            parameters=tuple(self.facts["parameters"]),
            outputs=tuple(TensorSpec(n, tuple(s), d) for n, s, d in self.facts["outputs"]),
            output_structure=self.facts["structure"],
            inputs=tuple(TensorSpec(n, tuple(s), d) for n, s, d in self.facts["inputs"]),
        )

    def fetch(self, plan: dict[str, Any]) -> dict[str, Any]:
        """Inputs and answers of one planned case, with the plan's own fields."""
        case = self._ask("case", **plan, backward=self.backward)
        advisory = plan["variant"] in ADVISORY or (not plan["training"] and self.facts["has_modes"])
        if "dropped" not in case and plan["variant"] is not None and not advisory:
            case = self._bearable(case)
        return {**plan, **case, "advisory": advisory}

    def _bearable(self, case: dict[str, Any]) -> dict[str, Any]:
        """Drop a variant that the reference itself does not bear."""
        for entry in case["entries"]:
            if entry["kind"] != "close":
                continue
            if entry["relative"] > max(2e-4, 8 * entry["floor"]):
                return {"dropped": "the reference is ill-conditioned there"}
            if not entry["same_finite"]:
                return {"dropped": "the reference overflows there"}
            if not entry["finite"] and self._plain_is_finite():
                return {"dropped": "the reference is not finite there"}
        return case

    def _plain_is_finite(self) -> bool:
        plain = self.case(0)
        return all(e.get("finite", True) for e in plain["entries"])

    def case(self, index: int) -> dict[str, Any]:
        """Case ``index`` of the plan, kept for the next candidate while memory allows."""
        if index in self.kept:
            return self.kept[index]
        case = self.fetch(self.plan[index])
        if "dropped" in case:
            self.dropped[index] = case["dropped"]
        size = sum(
            t.numel() * t.element_size() for t in compare.leaves([case.get(k) for k in (
                "inputs", "state", "expected", "other", "cotangents")])
            if isinstance(t, torch.Tensor)
        )  # fmt: skip
        if self.kept_bytes + size <= KEPT_BYTES or "dropped" in case:
            self.kept[index] = case
            self.kept_bytes += size
        return case

    def cases(self) -> Iterator[dict[str, Any]]:
        """Every case that the reference bears."""
        for index in range(len(self.plan)):
            case = self.case(index)
            if "dropped" not in case:
                yield case

    def timing_base(self, copied: bool) -> dict[str, Any]:
        """The plain case that timed inputs are made of; weights other than the initial ones
        where the candidate could take them over."""
        state = "random" if copied else "initial"
        if state not in self._timing:
            case = self.fetch(self._case("timing", 0, {}, None, state, 300))
            case["timed_state"] = case["state"] if case["state_after"] else None
            case["free"] = [is_free(x) for x in case["inputs"]]
            self._timing[state] = case
        return self._timing[state]

    def fresh(self, base: dict[str, Any]) -> dict[str, Any]:
        """Inputs for one timed call that nobody has seen before."""
        self._count += 1
        if any(base["free"]):
            inputs = freshen(base["inputs"], base["free"], self._noise)
        else:
            inputs = self._ask("inputs", seed=self.derive("timed", self._count))["inputs"]
        return {**base, "inputs": inputs, "name": f"timed {self._count}"}

    def answered(self, case: dict[str, Any]) -> dict[str, Any]:
        """A case of `fresh` with the reference's answer."""
        answer = self._ask(
            "answer", inputs=case["inputs"], state=case["state"], call_seed=case["call_seed"],
            backward=self.backward,
        )  # fmt: skip
        return {**case, **answer}

    def extra(self, count: int) -> Iterator[dict[str, Any]]:
        """More fresh plain cases, for claims that need more proof."""
        for i in range(count):
            yield self.fetch(self._case(f"extra {i}", 0, {}, None, "random", 320 + i))

    def init_inputs(self, overrides: dict[str, Any]) -> list[Any]:
        return self._ask("init_inputs", overrides=overrides)["args"] if overrides else self.args

    def reference_racer(self) -> WorkerProcess:
        """The reference in a process like a candidate's, for timing; slot ``a`` is ready."""
        if self.reference is None or self.reference.closed:
            worker = self.spawn(
                "worker", {"threads": self.threads, "seed": 0, "trace": False},
                readable_folders(self.task),
            )  # fmt: skip
            worker.request("build_task", seconds=SETUP_S, task=task_message(self.task))
            worker.request(
                "instance",
                seconds=SETUP_S,
                slot="a",
                args=self.args,
                seed=self.init_seed,
            )
            self.reference = worker
        return self.reference

    def reference_ops(self) -> list[list[Any]]:
        """Framework operators of one call of the reference, with the bytes they touch."""
        if self._ops is None:
            case = self.case(0)
            reply = self.reference_racer().request(
                "call", seconds=SETUP_S, slot="a", inputs=case["inputs"], seed=case["call_seed"],
                trace=True,
            )  # fmt: skip
            self._ops = reply["ops"]
        return self._ops

    def report(self) -> TaskReport:
        """The problem's own weaknesses, from its cases."""
        if self._report is not None:
            return self._report
        findings: list[Reason] = []
        everywhere, plain = {"zeros", "mean"}, {"zeros", "mean"}
        names, steady, first = [], True, None
        for case in self.cases():
            names.append(case["name"])
            if case["advisory"]:
                continue
            passing = compare.trivial_answers(case, self.task.tolerance)
            everywhere &= passing
            if case["variant"] is None and not case["overrides"]:
                plain &= passing
                if first is None:
                    first = case
                else:
                    steady = steady and _same_answer(first, case, self.task.tolerance)
        steady = steady and len(self.facts["outputs"]) > 0
        for answer in sorted(plain):
            findings.append(
                Reason(
                    f"{answer}_pass",
                    f"an output of {'zeros' if answer == 'zeros' else 'its own mean'} is within "
                    f"the tolerance on the problem's own inputs",
                )
            )
        if steady:
            findings.append(
                Reason("constant_output", "the output does not change with inputs and weights")
            )
        if self.random:
            findings.append(Reason("random_reference", "the reference draws random numbers"))
        first = first or self.case(0)
        if not first["has_wide"]:
            findings.append(
                Reason("no_float64", "the reference does not run in float64; float32 is the judge")
            )
        if first["inputs_after"]:
            findings.append(Reason("mutates_inputs", "the reference changes its inputs"))
        ignored = self._ask("weak")["ignored_inputs"]
        if ignored:
            findings.append(
                Reason("ignored_inputs", f"the output does not depend on inputs {ignored}")
            )
        untestable = steady or (everywhere and self.facts["outputs"])
        verdict = "untestable" if untestable else "ok"
        if verdict == "ok" and any(f.code != "mutates_inputs" for f in findings):
            verdict = "weak"
        self._report = TaskReport(
            verdict=verdict,
            findings=tuple(findings),
            category=self.facts["category"],
            flops=self.facts["flops"],
            bytes=self.facts["bytes"],
            cases=tuple(names),
            dropped=tuple(f"{self.plan[i]['name']}: {why}" for i, why in self.dropped.items()),
        )
        return self._report

    def close(self) -> None:
        for worker in (self.oracle, self.reference):
            if worker is not None:
                worker.kill()


def _same_answer(a: dict[str, Any], b: dict[str, Any], tolerance: Any) -> bool:
    for entry, x, y in zip(a["entries"], a["expected"], b["expected"], strict=True):
        if not isinstance(x, torch.Tensor):
            if x != y:
                return False
            continue
        if x.shape != y.shape:
            return False
        if entry["kind"] == "exact":
            if bool((x != y).any()):
                return False
        elif bool(((x - y).abs() > compare.allowed_error(entry, x, tolerance)).any()):
            return False
    return True
