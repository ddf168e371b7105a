"""The reference's side: inputs, float64 answers and facts about the problem.

Runs in a sandbox of its own, apart from every candidate.
"""

from __future__ import annotations

import copy
import os
import random
import socket
from typing import Any

import torch

from kernelmill.evaluate import variants, wire
from kernelmill.evaluate.contents import aliases, leaves, structure, task_of, tensors_in
from kernelmill.tasks import Program, TaskError

FLOORS = {
    torch.float64: 1e-12, torch.float32: 2e-5, torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8,
    torch.complex64: 2e-5, torch.complex128: 1e-12,
}  # fmt: skip
SMALL_VARIANCES = "small variances"
SMALL_CASE = 1 << 20
BIG_CASE = 32 << 20
HUGE_CASE = 512 << 20
BIG_VARIANTS = (
    "negated", "large", "times 1e-3", "plus 300", "same", "last tenth", "middle column",
    "filled",
)  # fmt: skip


def _double(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        if value.is_floating_point():
            return value.detach().double().requires_grad_(value.requires_grad)
        if value.is_complex():
            return value.detach().to(torch.complex128)
        return value.detach().clone()
    return value


def _clone(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        copied = torch.empty_like(value.detach()).copy_(value.detach())
        return copied.requires_grad_(value.requires_grad)
    return copy.deepcopy(value)


def _is_float(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _relative_error(r32: torch.Tensor, r64: torch.Tensor) -> tuple[float, float]:
    """(max |r32 - r64|, the same over max |r64|), finite elements only."""
    wide = torch.complex128 if r32.is_complex() else torch.float64
    finite = torch.isfinite(r64) & torch.isfinite(r32)
    if not bool(finite.any()):
        return 0.0, 0.0
    difference = float((r32.to(wide) - r64)[finite].abs().max())
    scale = float(r64[finite].abs().max())
    return difference, difference / scale if scale > 0 else (0.0 if difference == 0 else 1.0)


class Oracle:
    """Each public method is a command of the judge."""

    def __init__(self, options: dict[str, Any]):
        torch.set_num_threads(options["threads"])
        self.memory_bytes = options["memory_bytes"]
        self.programs: dict[str, Program] = {}

    def open(self, task: dict[str, Any], seed: int) -> dict[str, Any]:
        """Execute the task; facts about its shapes, cost and free axes."""
        self.task = task_of(task)
        program = self.program = Program(self.task)
        program.check_memory(self.memory_bytes)
        self.seed = seed
        model = program.make_model(seed)
        inputs = program.make_inputs(seed)
        estimate = program.estimate()
        state = model.state_dict()
        with torch.no_grad():
            outputs = program.run(model, [_clone(x) for x in inputs])
        leaves_out = leaves(outputs)
        found = [t for t in leaves_out if isinstance(t, torch.Tensor)]
        if not found and not any(isinstance(x, (int, float, complex)) for x in leaves_out):
            raise TaskError(f"{self.task.name}: the reference returns no tensor")
        size = sum(t.numel() * t.element_size() for t in [*tensors_in(inputs), *found])
        weights = sum(t.numel() * t.element_size() for t in state.values())
        self.case_bytes = size + weights
        self.integer_outputs = any(not _is_float(t) for t in found)
        self.has_variances = any(variants.is_variance(k, v) for k, v in state.items())
        modal = (torch.nn.modules.batchnorm._NormBase, torch.nn.modules.dropout._DropoutNd)
        self.has_modes = any(isinstance(m, modal) for m in model.modules())
        if self.case_bytes < SMALL_CASE:
            torch.set_num_threads(1)
        return {
            "state": [[k, list(v.shape), str(v.dtype).removeprefix("torch.")]
                      for k, v in state.items() if isinstance(v, torch.Tensor)],
            "parameters": [k for k, _ in model.named_parameters()],
            "outputs": [["", list(t.shape), str(t.dtype).removeprefix("torch.")] for t in found],
            "inputs": [["", list(t.shape), str(t.dtype).removeprefix("torch.")]
                       for t in tensors_in(inputs)],
            "structure": "tensor" if isinstance(outputs, torch.Tensor)
            else "list" if isinstance(outputs, list) else "tuple",
            "groups": program.groups,
            "bytes": size + weights,
            "input_bytes": sum(t.numel() * t.element_size() for t in tensors_in(inputs)) + weights,
            "output_bytes": sum(t.numel() * t.element_size() for t in found),
            "flops": int(getattr(estimate, "flops", 0) or 0) if estimate else 0,
            "category": program.task.category or program.category,
            "dense": all(variants.is_free(t) for t in tensors_in(inputs)),
            "has_modes": self.has_modes,
            "needs_grad": any(t.requires_grad for t in tensors_in(inputs)),
        }  # fmt: skip

    def plan(self, seeds: int, shapes: int) -> dict[str, Any]:
        """The cases to judge by: (name, group, overrides, variant, state, seed offset)."""
        plain = [["plain", 0, {}, None, "initial" if i == 0 else "random", i] for i in range(seeds)]
        for group in range(1, self.program.groups):
            plain.append([f"group {group}", group, {}, None, "random", seeds + group])
        cases = list(plain)
        if self.case_bytes < HUGE_CASE:
            inputs = self.program.make_inputs(self.seed)
            many = sum(isinstance(x, torch.Tensor) for x in inputs)
            names = list(variants.VARIANTS)
            if self.case_bytes > BIG_CASE:
                names = [*BIG_VARIANTS]
            if self.integer_outputs:
                names = [n for n in names if n not in variants.TIES]
            for i, name in enumerate(names):
                small = name in variants.SMALL_CHANGES
                state = "random" if small or i % 3 or name == "times 1e-3" else "initial"
                cases.append([name, 0, {}, name, state, 100 + (0 if small else i)])
            cases.append(["eval mode", 0, {}, None, "random", 150])
            if self.has_variances:
                # not left to tiny inputs alone: a relu behind the normalisation may be all zero
                cases.append([SMALL_VARIANCES, 0, {}, None, "random", 160])
            if 1 < many <= 6 and self.case_bytes <= BIG_CASE:
                for i, value in enumerate(inputs):
                    if isinstance(value, torch.Tensor):
                        cases.append([f"only input {i}", 0, {}, f"only {i}", "random", 100])
        limit = min(1 << 24, max(1 << 16, self.case_bytes // 2))
        other = self.program.variants(random.Random(self.seed), limit)[:shapes]
        for i, overrides in enumerate(other):
            text = ", ".join(f"{k}={v}" for k, v in overrides.items())
            cases.append([f"shape {text}", 0, overrides, None, "random", 200 + i])
        return {"cases": cases}

    def init_inputs(self, overrides: dict[str, Any]) -> dict[str, Any]:
        return {"args": self._program(overrides).init_inputs(self.seed)}

    def _program(self, overrides: dict[str, Any]) -> Program:
        if not overrides:
            return self.program
        key = repr(sorted(overrides.items()))
        if key not in self.programs:
            self.programs = {key: self.program.with_overrides(overrides)}
        return self.programs[key]

    def _inputs(self, program: Program, seed: int, group: int, variant: str | None) -> Any:
        inputs = program.make_inputs(seed, group)
        if variant is None:
            return inputs
        if variant.startswith("only "):
            index = int(variant.split()[1])
            fresh = program.make_inputs(seed + 7919, group)
            return [fresh[i] if i == index else x for i, x in enumerate(inputs)]
        generator = _another_stream(seed)
        return variants.VARIANTS[variant](inputs, generator)

    def case(
        self,
        name: str,
        group: int,
        overrides: dict[str, Any],
        variant: str | None,
        state: str,
        seed: int,
        call_seed: int,
        backward: bool,
        training: bool = True,
    ) -> dict[str, Any]:
        """Inputs, weights and what the reference makes of them, in its own dtype and float64."""
        program = self._program(overrides)
        inputs = self._inputs(program, seed, group, variant)
        if inputs is None:
            return {"dropped": "the variant changes nothing"}
        model = program.make_model(self.seed)
        initial = {k: v.detach().clone() for k, v in model.state_dict().items()}
        if state == "random":
            generator = _another_stream(seed)
            variance = 1e-4 if name in ("times 1e-3", SMALL_VARIANCES) else 1.0
            model.load_state_dict(variants.randomise_state(initial, generator, variance))
        weights = {k: v.detach().clone() for k, v in model.state_dict().items()}
        if not training:
            model.eval()
        if overrides and not self._is_told(program, inputs, weights, call_seed):
            return {"dropped": "the size is baked into the model, not given to it"}
        wide = self._wide(model, inputs, call_seed, backward)
        given = [_clone(x) for x in inputs]
        if backward:
            _require_grad(inputs, given)
        narrow, narrow_grads, cotangents = self._run(model, given, call_seed, backward, None)
        tensors = tensors_in(given)
        originals = tensors_in(inputs)
        changed = {
            str(i): t.detach() for i, (t, o) in enumerate(zip(tensors, originals, strict=True))
            if wire.tensor_bytes(t) != wire.tensor_bytes(o)
        }  # fmt: skip
        after = model.state_dict()
        state_after = {
            k: v for k, v in after.items() if wire.tensor_bytes(v) != wire.tensor_bytes(weights[k])
        }
        case = {
            "inputs": inputs,
            "state": weights,
            "inputs_after": changed,
            "state_after": state_after,
            "aliases": aliases(narrow, tensors, list(after.values())),
            "cotangents": cotangents,
        }
        case |= self._answers(narrow, narrow_grads, wide)
        return case

    def inputs(self, seed: int) -> dict[str, Any]:
        """Fresh inputs without their answer."""
        return {"inputs": self.program.make_inputs(seed)}

    def answer(self, inputs: list[Any], state: dict, call_seed: int, backward: bool) -> dict:
        """What the reference makes of given inputs and weights."""
        model = self.program.make_model(self.seed)
        model.load_state_dict(state)
        wide = self._wide(model, inputs, call_seed, backward)
        given = [_clone(x) for x in inputs]
        if backward:
            _require_grad(inputs, given)
        narrow, grads, cotangents = self._run(model, given, call_seed, backward, None)
        return self._answers(narrow, grads, wide) | {"cotangents": cotangents}

    def _is_told(self, program, inputs, weights, seed) -> bool:
        """Is another size passed by arguments alone? Then the unchanged class, with the new
        constructor arguments, gives the same answer as the changed text."""
        outputs = []
        for Model in (program.Model, self.program.Model):
            try:
                model = Model(*program.init_inputs(self.seed))
                model.load_state_dict(weights)
                torch.manual_seed(seed)
                with torch.no_grad():
                    outputs.append(tensors_in(model(*[_clone(x) for x in inputs])))
            except Exception:
                return False
        changed, unchanged = outputs
        return len(changed) == len(unchanged) and all(
            a.shape == b.shape and torch.allclose(a, b, equal_nan=True)
            for a, b in zip(changed, unchanged, strict=True)
        )

    def _run(self, model, inputs, seed, backward, cotangents):
        torch.manual_seed(seed)
        if not backward:
            with torch.no_grad():
                return self.program.run(model, inputs), None, None
        output = self.program.run(model, inputs)
        outputs = [t for t in tensors_in(output) if _is_float(t)]
        if cotangents is None:
            generator = torch.Generator().manual_seed(seed)
            cotangents = [
                torch.randn(o.shape, generator=generator, dtype=torch.float32).to(o.dtype)
                for o in outputs
            ]
        pairs = [
            (o, c.to(o.dtype)) for o, c in zip(outputs, cotangents, strict=True) if o.requires_grad
        ]
        names = [(f"input {i}", t) for i, t in enumerate(tensors_in(inputs)) if t.requires_grad]
        names += [(k, p) for k, p in model.named_parameters() if p.requires_grad]
        if not pairs or not names:
            raise TaskError(f"{self.task.name}: no output of the reference requires a gradient")
        grads = torch.autograd.grad(
            [o for o, _ in pairs], [t for _, t in names], [c for _, c in pairs], allow_unused=True
        )
        return output, {n: g for (n, _), g in zip(names, grads, strict=True)}, cotangents

    def _wide(self, model, inputs, seed, backward):
        """The float64 run; ``None`` where the reference does not run in float64."""
        try:
            wide_model = copy.deepcopy(model).double()
            wide_inputs = [_double(x) for x in inputs]
            if backward:
                _require_grad(inputs, wide_inputs)
            torch.set_default_dtype(torch.float64)
            output, grads, _ = self._run(wide_model, wide_inputs, seed, backward, None)
            return output, grads
        except Exception:
            return None
        finally:
            torch.set_default_dtype(torch.float32)

    def _answers(self, narrow, narrow_grads, wide) -> dict[str, Any]:
        r32 = leaves(narrow)
        r64 = leaves(wide[0]) if wide else r32
        names = [f"output {i}" if len(r32) > 1 else "output" for i in range(len(r32))]
        if narrow_grads is not None:
            names += [f"gradient of {k}" for k in narrow_grads]
            r32 = r32 + list(narrow_grads.values())
            r64 = r64 + list(wide[1].values() if wide else narrow_grads.values())
        expected, exact = [], []
        for a, b in zip(r32, r64, strict=True):
            entry = {"kind": "value", "error": 0.0, "relative": 0.0, "floor": 0.0}
            if isinstance(a, torch.Tensor):
                entry |= {"kind": "exact", "dtype": str(a.dtype).removeprefix("torch.")}
                if _is_float(a):
                    entry["kind"] = "close"
                    comparable = isinstance(b, torch.Tensor) and a.shape == b.shape
                    b = b if comparable and _is_float(b) else a
                    b = b.detach().to(torch.complex128 if a.is_complex() else torch.float64)
                    entry["error"], entry["relative"] = _relative_error(a.detach(), b)
                    entry["floor"] = FLOORS.get(a.dtype, 2.0**-3)
                    entry["finite"] = bool(torch.isfinite(a).all())
                    same = torch.isfinite(a) == torch.isfinite(b)
                    entry["same_finite"] = bool(same.all())
                    exact.append(a.detach() if not entry["same_finite"] else None)
                    a = b
                else:
                    exact.append(b if isinstance(b, torch.Tensor) and b.dtype == a.dtype else None)
                a = a.detach()
            else:
                exact.append(None)
            expected.append((entry, a))
        return {
            "names": names,
            "entries": [e for e, _ in expected],
            "expected": [v for _, v in expected],
            "other": exact,
            "has_wide": wide is not None,
            "structure": structure(narrow),
        }

    def randomness(self) -> dict[str, Any]:
        """Does the reference's output depend on the random stream?"""
        model = self.program.make_model(self.seed)
        inputs = self.program.make_inputs(self.seed)
        found = []
        for seed in (1, 2):
            copy_of = copy.deepcopy(model)
            torch.manual_seed(seed)
            with torch.no_grad():
                output = self.program.run(copy_of, [_clone(x) for x in inputs])
            found.append([bytes(wire.tensor_bytes(t)) for t in tensors_in(output)])
        return {"random": found[0] != found[1]}

    def weak(self) -> dict[str, Any]:
        """What does not change the output: (over seeds; inputs one by one; weights)."""
        model = self.program.make_model(self.seed)
        with torch.no_grad():
            inputs = self.program.make_inputs(self.seed)
            torch.manual_seed(0)
            base = tensors_in(self.program.run(copy.deepcopy(model), [_clone(x) for x in inputs]))
            ignored = []
            fresh = self.program.make_inputs(self.seed + 1)
            for i, value in enumerate(inputs):
                if not isinstance(value, torch.Tensor) or torch.equal(value, fresh[i]):
                    continue
                mixed = [fresh[j] if j == i else x for j, x in enumerate(inputs)]
                torch.manual_seed(0)
                try:
                    out = self.program.run(copy.deepcopy(model), [_clone(x) for x in mixed])
                except Exception:
                    continue
                if all(torch.equal(a, b) for a, b in zip(tensors_in(out), base, strict=True)):
                    ignored.append(i)
        return {"ignored_inputs": ignored}


def _another_stream(seed: int) -> torch.Generator:
    """Numbers that are not those of the inputs: weights equal to inputs would make products of
    the two far larger than the rest, and errors elsewhere small beside them."""
    return torch.Generator().manual_seed(seed ^ 0x5EED_0FA7)


def _require_grad(inputs: list[Any], given: list[Any]) -> None:
    """Where the task says nothing about gradients, every float input gets one."""
    if any(isinstance(x, torch.Tensor) and x.requires_grad for x in inputs):
        return
    for value in [*inputs, *given]:
        if isinstance(value, torch.Tensor) and _is_float(value):
            value.requires_grad_(True)


def serve(connection: socket.socket, alarm: int, options: dict[str, Any]) -> None:
    """Answer the judge until it hangs up."""
    oracle = Oracle(options)
    connection.setblocking(True)
    while True:
        try:
            request = wire.receive(connection, allow_pickle=True)
        except wire.WireError:
            os._exit(0)
        try:
            reply = {"ok": getattr(oracle, request["op"])(**request["args"])}
        except TaskError as error:
            reply = {"refused": "task_error", "message": str(error), "evidence": {}}
        except Exception as error:
            text = f"the reference fails: {type(error).__name__}: {str(error)[:1000]}"
            reply = {"refused": "task_error", "message": text, "evidence": {}}
        reply["nonce"] = request["nonce"]
        try:
            wire.send(connection, reply, allow_pickle=True)
        except wire.WireError as error:
            text = f"the reference returns what no candidate can be compared with: {error}"
            wire.send(
                connection,
                {"refused": "task_error", "message": text, "evidence": {}, "nonce": reply["nonce"]},
            )
