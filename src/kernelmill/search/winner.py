"""A winner as a folder: the source, the certificate of what was proven, and the task.

::

    kernel.py | kernel.cpp | kernel.cu   the candidate's text
    certificate.json                     hashes, evaluation, machine, what it was proven for
    reference.py, task.json              the task (and payload.bin where it has one)
"""

from __future__ import annotations

import ast
import hashlib
import json
import shutil
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from kernelmill.evaluate.evaluation import Evaluation, Timing
from kernelmill.search.environment import machine_facts
from kernelmill.search.errors import WinnerError
from kernelmill.tasks import Candidate, Task, Tolerance

FORMAT = 1
CERTIFICATE = "certificate.json"


@dataclass
class Winner:
    """What a winner's folder holds. ``candidate`` is ``None`` where the reference won."""

    task: Task
    candidate: Candidate | None
    certificate: dict[str, Any]
    path: Path | None = None

    @property
    def evaluation(self) -> Evaluation | None:
        facts = self.certificate.get("evaluation")
        return Evaluation.from_dict(facts) if facts else None


def certify(
    task: Task,
    candidate: Candidate | None,
    evaluation: Evaluation | None = None,
    *,
    timing: Timing | None = None,
    training: bool | None = None,
    backward: bool = False,
    device: str = "cpu",
    summary: str = "",
    run_id: str | None = None,
) -> Winner:
    """Write down what was proven. Runs the reference once, for its shapes.

    Args:
        candidate: ``None``: the reference stays.
        evaluation: of the candidate; must be accepted.
        timing: measured again at the end; ``None``: the evaluation's.
        training: the mode that was judged; ``None``: as ``Model`` is constructed.
        backward: gradients were judged too.

    Raises:
        WinnerError: the evaluation does not accept this candidate.
    """
    if candidate is not None:
        if evaluation is None or not evaluation.accepted:
            raise WinnerError(
                f"candidate {candidate.name or candidate.hash[:12]} was not accepted; "
                "only an accepted one can be deployed"
            )
        if evaluation.candidate_hash not in ("", candidate.hash):
            raise WinnerError(
                f"the evaluation is of candidate {evaluation.candidate_hash[:12]}, "
                f"not of {candidate.hash[:12]}"
            )
    facts = _facts(task)
    warnings = {w.code for w in evaluation.warnings} if evaluation else set()
    certificate: dict[str, Any] = {
        "format": FORMAT,
        "kind": "reference" if candidate is None else "candidate",
        "summary": summary,
        "run": run_id,
        "task_hash": task.hash,
        "candidate_hash": candidate.hash if candidate else None,
        "backend": candidate.backend if candidate else None,
        "name": candidate.name if candidate else "reference",
        "provenance": dict(candidate.provenance) if candidate else {},
        "source_sha256": _sha(candidate.source) if candidate else None,
        "machine": machine_facts(),
        "proven": {
            "inputs": facts["inputs"],
            "device": device,
            "training": facts["training"] if training is None else training,
            "backward": bool(backward or task.backward),
            "contiguous_only": "contiguous_only" in warnings,
            "state_copied": "state_not_copied" not in warnings,
        },
        "build": facts["build"],
        "timing": asdict(timing) if timing else None,
        "evaluation": evaluation.to_dict() if evaluation else None,
    }
    return Winner(task, candidate, json.loads(json.dumps(certificate, default=str)))


def _facts(task: Task) -> dict[str, Any]:
    """Signatures of the inputs, and the shapes that a build may know."""
    import torch

    from kernelmill.search.proof import signature, tensors
    from kernelmill.tasks import Program
    from kernelmill.tasks.program import quiet_rng

    with torch.no_grad(), quiet_rng():
        program = Program(task, register=False)
        model = program.make_model(seed=0)
        groups = [program.make_inputs(seed=0, group=g) for g in range(program.groups)]
        outputs = program.run(model, groups[0])
    kinds = {torch.Tensor: "tensor", list: "list"}
    state = [(k, v) for k, v in model.state_dict().items() if isinstance(v, torch.Tensor)]
    return {
        "training": model.training,
        "inputs": [signature(inputs) for inputs in groups],
        "build": {
            "state": [_spec(k, v) for k, v in state],
            "parameters": [k for k, _ in model.named_parameters()],
            "inputs": [_spec("", t) for t in tensors(groups[0])],
            "outputs": [_spec("", t) for t in tensors(outputs)],
            "structure": kinds.get(type(outputs), "tuple"),
        },
    }


def _spec(name: str, tensor: Any) -> list[Any]:
    return [name, list(tensor.shape), str(tensor.dtype)[6:]]


def save_winner(winner: Winner, path: str | Path) -> Path:
    """Write the folder; an older winner there is replaced.

    Raises:
        WinnerError: ``path`` is something else than a winner's folder, or cannot be written.
    """
    path = Path(path)
    if path.exists() and not (path / CERTIFICATE).exists():
        if not path.is_dir() or any(path.iterdir()):
            raise WinnerError(f"{path} exists and is no winner's folder; name another place")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
        _write(winner, made)
        made.chmod(0o755)
        if path.exists():
            shutil.rmtree(path)
        made.rename(path)
    except OSError as error:
        raise WinnerError(f"the winner cannot be written to {path}: {error.strerror}") from error
    winner.path = path
    return path


def _write(winner: Winner, folder: Path) -> None:
    task, candidate = winner.task, winner.candidate
    certificate = dict(winner.certificate)
    if candidate is not None:
        name = "kernel" + _suffix(candidate)
        certificate["source"] = name
        (folder / name).write_text(candidate.source, encoding="utf-8")
    fields = asdict(replace(task, payload=None, source=""))
    del fields["payload"], fields["source"]
    (folder / "task.json").write_text(json.dumps(fields, indent=1, default=str) + "\n")
    (folder / "reference.py").write_text(task.source, encoding="utf-8")
    if task.payload is not None:
        (folder / "payload.bin").write_bytes(task.payload)
    (folder / CERTIFICATE).write_text(json.dumps(certificate, indent=1, default=str) + "\n")


def read_winner(path: str | Path) -> Winner:
    """Read a winner's folder and check it against its certificate. Executes nothing.

    Raises:
        WinnerError: files are missing or unreadable, or were changed since they were proven.
    """
    path = Path(path)
    if path.name == CERTIFICATE:
        path = path.parent
    try:
        certificate = json.loads((path / CERTIFICATE).read_text(encoding="utf-8"))
        fields = json.loads((path / "task.json").read_text(encoding="utf-8"))
        reference = (path / "reference.py").read_text(encoding="utf-8")
        payload = path / "payload.bin"
        data = payload.read_bytes() if payload.exists() else None
        source = None
        if certificate.get("kind") == "candidate":
            source = (path / certificate["source"]).read_text(encoding="utf-8")
    except OSError as error:
        raise WinnerError(
            f"{path} is no complete winner's folder: {error.filename}: {error.strerror}"
        ) from error
    except (ValueError, KeyError, AttributeError) as error:
        raise WinnerError(f"{path} is no readable winner's folder: {error}") from error
    if certificate.get("format") != FORMAT:
        raise WinnerError(
            f"{path}: certificate format {certificate.get('format')!r}, "
            f"this kernelmill reads {FORMAT}"
        )
    try:
        fields["tolerance"] = Tolerance(**fields["tolerance"])
        fields["axes"] = None if fields["axes"] is None else tuple(fields["axes"])
        task = Task(source=reference, payload=data, **fields)
        if task.hash != certificate["task_hash"]:
            raise WinnerError(f"{path}: the task was changed after the winner was proven for it")
        candidate = None
        if source is not None:
            candidate = Candidate(
                source, certificate["backend"], certificate["name"], certificate["provenance"]
            )
            proven = certificate["evaluation"]
            if (
                candidate.hash != certificate["candidate_hash"]
                or _sha(source) != certificate["source_sha256"]
            ):
                raise WinnerError(
                    f"{path / certificate['source']} was changed after it was proven: its hash is "
                    f"not the certificate's; judge it again with `kernelmill evaluate`"
                )
            if not proven or proven.get("status") != "accept":
                raise WinnerError(f"{path}: the certificate holds no acceptance")
    except (TypeError, KeyError) as error:
        raise WinnerError(f"{path}: the certificate or task.json lacks {error}") from error
    return Winner(task, candidate, certificate, path)


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _suffix(candidate: Candidate) -> str:
    try:
        ast.parse(candidate.source)
        return ".py"
    except (SyntaxError, ValueError):
        return {"cpp": ".cpp", "cuda": ".cu"}.get(candidate.backend, ".py")
