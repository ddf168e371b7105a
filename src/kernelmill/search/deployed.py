"""A winner at work: a module that runs the kernel where it was proven and the reference else."""

from __future__ import annotations

import copy
import functools
import inspect
import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch

from kernelmill.search.environment import machine_facts
from kernelmill.search.proof import Proof, depends_on_mode, describe, tensors
from kernelmill.search.tie import Tie, perturb, state_of
from kernelmill.search.winner import Winner, read_winner
from kernelmill.tasks import Program

log = logging.getLogger("kernelmill")

FLOORS = {torch.float64: 1e-10, torch.float32: 1e-4, torch.float16: 4e-3, torch.bfloat16: 3e-2}


def load(path: str | Path, module: torch.nn.Module | None = None, verify: bool = True) -> Deployed:
    """Load a winner's folder as a module.

    The source in the folder is executed in this process: load only what you would run. Only an
    accepted candidate whose hash is the certificate's is taken.

    Args:
        path: the folder.
        module: the original module, whose weights the kernel then uses; ``None``: the task's
            ``Model``, freshly made. Its state_dict keys are those of the result.
        verify: run kernel and reference once on the task's inputs before the kernel is used.

    Raises:
        WinnerError: the folder is incomplete or was changed.

    Example:
        >>> load("runs/gelu-3fa2c1/winner")  # doctest: +SKIP
    """
    return Deployed(read_winner(path), module, verify=verify)


class Deployed(torch.nn.Module):
    """Runs a proven kernel for the calls that its certificate covers, and the reference for all
    others (a line in the log for each new reason; `explain` tells the rest).

    Parameters, buffers and submodules are those of ``module``: the same objects under the same
    names.
    """

    def __init__(self, winner: Winner, module: torch.nn.Module | None = None, verify: bool = True):
        super().__init__()
        if module is None:
            module = Program(winner.task, register=False).make_model(seed=0)
            module.train(winner.certificate["proven"]["training"])
        put = functools.partial(object.__setattr__, self)
        for table in ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"):
            put(table, getattr(module, table))
        put("reference", module)
        put("training", module.training)
        self.winner = winner
        self.proof = Proof(winner.certificate["proven"])
        self.last: str = "not called yet"
        self.calls = {"kernel": 0, "reference": 0}
        self._said: set[str] = set()
        self._hooks = _count_hooks(module)
        self._mode_matters: bool | None = None
        put("_kernel", None)
        self._tie: Tie | None = None
        self._folder: Any = None
        self._never: str | None = None
        self.notes: list[str] = []
        try:
            self._start(verify)
        except Exception as error:
            self._never = f"{type(error).__name__}: {error}".splitlines()[0]
        if self._never and winner.candidate is not None:
            self._say(self._never)

    # getting the kernel ready

    def _start(self, verify: bool) -> None:
        winner, facts = self.winner, self.winner.certificate
        if winner.candidate is None:
            self._never = "the reference itself won: no candidate was faster"
            return
        self._never = self._other_machine(facts["machine"])
        if self._never:
            return
        if not facts["proven"]["state_copied"] and state_of(self.reference):
            self._never = "the kernel's weights could not be matched with the module's"
            return
        backend = facts["backend"]
        self._folder = tempfile.TemporaryDirectory(prefix="kernelmill-")
        model = _build(backend, winner.candidate.source, Path(self._folder.name), facts["build"])
        program = Program(winner.task, register=False)
        args = program.init_inputs(seed=0)
        share = self._trial(model, args, program) if verify else True
        kernel = model(*args)
        kernel.train(facts["proven"]["training"])
        self._tie = Tie(kernel, self.reference, share, facts["proven"]["device"])
        object.__setattr__(self, "_kernel", kernel)

    def _other_machine(self, proven: dict[str, Any]) -> str | None:
        """Why this machine is not one the kernel was proven on; lesser differences are noted."""
        here = machine_facts()
        cpu, was = here["cpu"], proven["cpu"]
        if cpu["architecture"] != was["architecture"]:
            return f"this is a {cpu['architecture']} machine, proven was {was['architecture']}"
        missing = sorted(set(was["isa"]) - set(cpu["isa"]))
        if missing:
            return f"this processor ({cpu['model']}) lacks {', '.join(missing)}"
        if self.winner.certificate["proven"]["device"] == "cuda" and not torch.cuda.is_available():
            return "there is no CUDA device here"
        if cpu["model"] != was["model"]:
            self._note(f"timings were made on {was['model']}, this is {cpu['model']}")
        if here["torch"] != proven["torch"]:
            self._note(f"proven with torch {proven['torch']}, this is {here['torch']}")
        return None

    def _note(self, text: str) -> None:
        self.notes.append(text)
        log.warning("%s: %s", self.name, text)

    def _trial(self, model: type, args: list[Any], program: Program) -> bool:
        """Run kernel and reference on scratch copies of the weights, change these in place, run
        again. True: the kernel follows weights that it shares; false: it needs copies.

        Raises:
            RuntimeError: the kernel is wrong here even with copies.
        """
        device = self.winner.certificate["proven"]["device"]
        with warnings.catch_warnings(), torch.random.fork_rng():
            warnings.simplefilter("ignore")
            inputs = _to(program.make_inputs(seed=0), device)
            for share in (True, False):
                # the task's Model: the module at hand may be in another mode or dtype by now
                reference, weights = (program.make_model(seed=0).to(device) for _ in range(2))
                weights.load_state_dict(reference.state_dict())
                kernel = model(*args)
                tie = Tie(kernel, weights, share, device)
                mode = self.winner.certificate["proven"]["training"]
                for part in (reference, weights, kernel):
                    part.train(mode)
                try:
                    if self._agrees(kernel, tie, reference, weights, inputs):
                        return share
                except Exception:
                    if not share:
                        raise
        raise RuntimeError("the kernel and the reference disagree on this machine")

    def _agrees(
        self, kernel: Any, tie: Tie, reference: Any, weights: Any, inputs: list[Any]
    ) -> bool:
        for step in range(2):  # before and after a change in place
            if step:
                perturb(reference)
                perturb(weights)
            outputs = []
            for run in (reference, kernel):
                torch.manual_seed(0)
                tie.update()
                with torch.no_grad():
                    outputs.append(tensors(run(*copy.deepcopy(inputs))))
            if not all(map(self._close, *outputs)) or len(outputs[0]) != len(outputs[1]):
                return False
            if not state_of(weights):
                break
        return True

    def _close(self, wanted: torch.Tensor, given: torch.Tensor) -> bool:
        if wanted.shape != given.shape or wanted.dtype != given.dtype:
            return False
        if not wanted.is_floating_point():
            return torch.equal(wanted, given)
        if wanted.numel() == 0:
            return True
        errors = self.winner.evaluation.errors
        factor = 8 * (errors.max_rel + errors.reference_rel) if errors else 0.0
        finite = torch.isfinite(wanted)
        if not torch.equal(finite, torch.isfinite(given)):
            return False
        scale = wanted[finite].abs().max() if finite.any() else 1.0
        allowed = max(FLOORS.get(wanted.dtype, 1e-4), factor) * scale
        return bool(((wanted - given).abs()[finite] <= allowed).all())

    # calling

    @property
    def name(self) -> str:
        return f"{self.winner.task.name} ({self.winner.certificate['name']})"

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling():
            return self.reference(*args, **kwargs)
        reason = self._never
        if reason is None:
            args, kwargs = self._positional(args, kwargs)
            reason = self._refusal(args, kwargs)
        if reason is None:
            try:
                self._tie.update()
                result = self._kernel(*args)
            except Exception as error:
                self._never = f"the kernel failed: {type(error).__name__}: {error}"
                reason = self._never
            else:
                self.last = "the kernel"
                self.calls["kernel"] += 1
                return result
        self.calls["reference"] += 1
        self._say(reason)
        return self.reference(*args, **kwargs)

    def _positional(self, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        if not kwargs and len(args) in self.proof.arities:
            return args, kwargs
        try:
            bound = inspect.signature(self.reference.forward).bind(*args, **kwargs)
            bound.apply_defaults()
        except (TypeError, ValueError):
            return args, kwargs
        return bound.args, bound.kwargs

    def _refusal(self, args: tuple, kwargs: dict) -> str | None:
        proof = self.proof
        if kwargs:
            return f"keyword-only arguments ({', '.join(kwargs)}) were not proven"
        reason = (
            proof.refusal(args)
            or proof.refusal_of_context(self._tie.device)
            or self._tie.refusal()
            or proof.refusal_of_grad(args, self._grad_parameters())
        )
        if reason:
            return reason
        if self.training != proof.training and self._depends_on_mode():
            mode = ("eval", "train")
            return f"the module is in {mode[self.training]} mode, proven was {mode[proof.training]}"
        if _count_hooks(self.reference) != self._hooks:
            return "hooks were put on the module or taken off"
        if proof.backward and not self._tie.share and torch.is_grad_enabled():
            return "the kernel works on copies of the weights, which get no gradients"
        return None

    def _grad_parameters(self) -> list[torch.Tensor]:
        return [link[0][link[1]] for link in self._tie.links]

    def _depends_on_mode(self) -> bool:
        if self._mode_matters is None:
            self._mode_matters = depends_on_mode(self.reference, self.winner.task.source)
        return self._mode_matters

    def _say(self, reason: str) -> None:
        self.last = f"the reference: {reason}"
        if reason not in self._said:
            self._said.add(reason)
            log.warning("%s runs the reference: %s", self.name, reason)

    def explain(self, *args: Any, **kwargs: Any) -> str:
        """What runs and why, for the last call or, with arguments, for such a call (which is not
        made).

        Example:
            >>> deployed.explain(x)  # doctest: +SKIP
        """
        facts = self.winner.certificate
        lines = [f"{self.name}: {facts['summary'] or facts['kind']}"]
        if args or kwargs:
            args, kwargs = self._positional(args, kwargs)
            reason = self._never or self._refusal(args, kwargs)
            lines.append(
                f"this call: {'the kernel' if reason is None else f'the reference: {reason}'}"
            )
        else:
            lines.append(f"last call: {self.last}")
        count = self.calls
        lines.append(f"calls: {count['kernel']} kernel, {count['reference']} reference")
        if self.winner.candidate is not None:
            proven = facts["proven"]
            known = " or ".join(sorted(map(describe, self.proof.inputs)))
            passes = "forward and backward" if proven["backward"] else "forward"
            mode = "train" if proven["training"] else "eval"
            lines.append(f"proven for: {known}; {passes}; {mode} mode")
            machine = facts["machine"]
            lines.append(f"proven on: {machine['cpu']['model']}, torch {machine['torch']}")
        if self._tie is not None:
            how = "shared with" if self._tie.share else "copied on change from"
            lines.append(f"weights: {how} the module")
        return "\n".join(lines + [f"note: {note}" for note in self.notes])

    def extra_repr(self) -> str:
        return f"{self.name}, runs {'the reference' if self._never else 'the kernel'}"

    # being the original module

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if "reference" in self.__dict__:
                return getattr(self.__dict__["reference"], name)
            raise

    def train(self, mode: bool = True) -> Deployed:
        self.reference.train(mode)
        self.training = self.reference.training
        return self

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        return self.reference.state_dict(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        return self.reference.load_state_dict(*args, **kwargs)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        # called by a parent's load_state_dict, which then goes through the (shared) submodules
        self.reference._load_from_state_dict(*args, **kwargs)

    def __deepcopy__(self, memo: dict) -> Deployed:
        return Deployed(self.winner, copy.deepcopy(self.reference, memo))

    def __reduce__(self) -> Any:
        return Deployed, (self.winner, self.reference)


def _build(backend: str, source: str, workdir: Path, facts: dict[str, Any]) -> type:
    from kernelmill import backends
    from kernelmill.backends import BuildSpec, TensorSpec
    from kernelmill.backends.python_source import build_python

    if backend in ("torch", "inductor"):
        # the judge's inductor backend also moves torch's caches, which are the user's here
        return build_python(source, workdir)
    specs = {
        part: tuple(TensorSpec(n, tuple(s), d) for n, s, d in facts[part])
        for part in ("state", "inputs", "outputs")
    }
    spec = BuildSpec(
        parameters=tuple(facts["parameters"]), output_structure=facts["structure"], **specs
    )
    return backends.get(backend).build(source, workdir, spec)


def _to(value: Any, device: str) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, (list, tuple)):
        return type(value)(_to(v, device) for v in value)
    return value


def _count_hooks(module: torch.nn.Module) -> int:
    return sum(
        len(part._forward_hooks)
        + len(part._forward_pre_hooks)
        + len(part._backward_hooks)
        + len(part._backward_pre_hooks)
        for part in module.modules()
    )
