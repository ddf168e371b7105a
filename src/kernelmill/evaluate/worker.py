"""The candidate's side: serves the judge from inside the sandbox.

It never holds the reference, an expected value or the seed of the inputs. All that it sends is
data that the judge checks; what it reports about integrity is advice.
"""

from __future__ import annotations

import ctypes
import gc
import os
import pickle
import socket
import sys
import time
from pathlib import Path
from typing import Any

import torch

from kernelmill.evaluate import integrity, wire
from kernelmill.evaluate.contents import (
    OpTrace,
    Refusal,
    aliases,
    check_types,
    classify,
    describe_failure,
    map_state,
    raw_state,
    task_of,
    tensors_in,
)  # fmt: skip

# Bound before any candidate is loaded.
_clock = time.perf_counter_ns
_memmove = ctypes.memmove
_tensor_type = torch.Tensor
_data_ptr, _numel, _element_size = (
    torch.Tensor.data_ptr, torch.Tensor.numel, torch.Tensor.element_size,
)  # fmt: skip
_is_grad_enabled = torch.is_grad_enabled
_manual_seed, _no_grad, _enable_grad = torch.manual_seed, torch.no_grad, torch.enable_grad
_full = torch.full
_state_dict = torch.nn.Module.state_dict
_named_parameters = torch.nn.Module.named_parameters
_isinstance, _len = isinstance, len
_pack, _receive = wire.pack, wire.receive
_python_threads = integrity.python_threads
_set_flush_denormal = torch.set_flush_denormal
_grad = torch.autograd.grad
_profile = torch.autograd.profiler.profile


class Worker:
    """State of one sandboxed candidate; each public method is a command of the judge."""

    def __init__(self, alarm: int, options: dict[str, Any]):
        self.workdir = Path(options["workdir"])
        self.prefix = str(self.workdir)
        self.watch = integrity.Watch(self.prefix, alarm)
        self.instances: dict[str, torch.nn.Module] = {}
        self.inputs: list[Any] | None = None
        self.kept: dict[str, Any] = {}
        self.timed: list[Any] = []
        self.flush: torch.Tensor | None = None
        self.sync = lambda: None
        self.device = torch.device("cpu")
        self.swallowed: list[str] = []
        self.trace_python = options.get("trace", True)
        torch.set_num_threads(options["threads"])
        _manual_seed(options["seed"])
        self._look()

    def _look(self) -> None:
        """What the process is like before any of the candidate's code runs."""
        self.flushes = integrity.flushes_denormals()
        self.before = integrity.snapshot()
        self.state_before = integrity.global_state()
        self.python_threads = integrity.python_threads()
        self.most_threads = self.python_threads  # seen right after a call

    def build(self, source: str, backend: str, spec: bytes) -> dict[str, Any]:
        from kernelmill import backends

        chosen = backends.get(backend)
        for name, value in getattr(chosen, "environment", dict)().items():
            os.environ[name] = value
        self.device = torch.device(chosen.device)
        self.sync = chosen.synchronize
        if hasattr(chosen, "prepare"):
            try:
                chosen.prepare()  # libraries that leave their mark on the process
            except Exception as error:
                raise Refusal("build_failed", str(error)[:4000]) from error
            self._look()
        self.watch.install()
        self.watch.on = True
        tracer = integrity.Tracer(self.prefix)
        try:
            if self.trace_python:
                with tracer:
                    self.cls = chosen.build(source, self.workdir, pickle.loads(spec))
            else:
                self.cls = chosen.build(source, self.workdir, pickle.loads(spec))
        except backends.BuildError as error:
            code = getattr(error, "code", None) or "build_failed"
            raise Refusal(classify(error, code), str(error)[:4000]) from error
        except BaseException as error:
            text = describe_failure(error, self.prefix)
            raise Refusal(classify(error, "import_failed"), text) from error
        self.swallowed = tracer.caught
        if not isinstance(self.cls, type) or not issubclass(self.cls, torch.nn.Module):
            raise Refusal("no_model_new", "ModelNew is not a subclass of torch.nn.Module")
        if self.cls.forward is torch.nn.Module.forward:
            raise Refusal("no_forward", "ModelNew defines no forward")
        report = self.report()
        self.swallowed = []  # what was caught while loading may be a guarded import
        return report

    def build_task(self, task: dict[str, Any]) -> dict[str, Any]:
        """The reference itself as what is to be called (for timing it)."""
        from kernelmill.tasks import Program

        self.watch.install()  # costs a little in each call, here as in a candidate's process
        self.watch.on = True
        self.cls = Program(task_of(task)).Model
        return {}

    def instance(self, slot: str, args: list[Any], seed: int) -> dict[str, Any]:
        _manual_seed(seed)
        try:
            module = self.cls(*args)
        except BaseException as error:
            text = describe_failure(error, self.prefix)
            raise Refusal(classify(error, "init_failed"), text) from error
        if self.device.type != "cpu":
            module = module.to(self.device)
        self.instances[slot] = module
        return {"state": {k: [list(v.shape), str(v.dtype)] for k, v in _state_dict(module).items()}}

    def drop(self, slot: str) -> dict[str, Any]:
        self.instances.pop(slot, None)
        self.inputs = None
        gc.collect()
        return {}

    def load_state(self, slot: str, state: dict[str, torch.Tensor]) -> dict[str, Any]:
        module = self.instances[slot]
        state = map_state(module, state)
        try:
            module.load_state_dict(state)
        except Exception as error:
            raise Refusal("state_mismatch", describe_failure(error, self.prefix)) from error
        return {}

    def _place_inputs(self, fresh: list[Any], reuse: bool) -> list[Any]:
        """Move inputs to the device; where ``reuse``, overwrite the storage of the last call's
        tensors behind their version counter's back."""
        fresh = [
            leaf.to(self.device) if _isinstance(leaf, _tensor_type) else leaf for leaf in fresh
        ]
        old = self.inputs
        again = reuse and old is not None and _len(old) == _len(fresh)
        if not again or self.device.type != "cpu":
            self.inputs = fresh
            return fresh
        for index, new in enumerate(fresh):
            have = old[index]
            same = (
                _isinstance(new, _tensor_type) and _isinstance(have, _tensor_type)
                and new.shape == have.shape and new.dtype == have.dtype
                and new.stride() == have.stride() and new.requires_grad == have.requires_grad
                and new.is_contiguous() and have.is_contiguous() and _numel(new) > 0
            )  # fmt: skip
            if same:
                _memmove(_data_ptr(have), _data_ptr(new), _numel(new) * _element_size(new))
            else:
                old[index] = new
        return old

    def _poison(self, sizes: list[int]) -> None:
        """Leave blocks of NaN of the outputs' sizes in the allocator's free lists."""
        blocks = [_full((max(1, size // 4),), float("nan")) for size in sizes for _ in range(2)]
        del blocks

    def _run(self, module: Any, inputs: list[Any], entry: str, timed: bool = False) -> Any:
        _set_flush_denormal(self.flushes)  # a library built with -ffast-math switches it on
        self.watch.in_call = True
        grad = _is_grad_enabled()
        try:
            output = module(*inputs) if entry == "call" else module.forward(*inputs)
        finally:
            self.watch.in_call = False
        if not timed:
            # a thread that is left to finish the answer is soon gone
            self.most_threads = max(self.most_threads, _python_threads())
        if _is_grad_enabled() != grad:
            raise Refusal("global_state", "the call switched gradient recording on or off")
        return output

    def call(
        self,
        slot: str,
        inputs: list[Any],
        seed: int,
        entry: str = "call",
        reuse: bool = False,
        grad: bool = False,
        poison: list[int] = (),
        trace: bool = False,
        profile: bool = False,
        training: bool = True,
        keep: str | None = None,
        cotangents: list[torch.Tensor] | None = None,
    ) -> dict[str, Any]:
        """One call: the outputs as they are at return, what became of inputs and state."""
        module = self.instances[slot]
        inputs = self._place_inputs(inputs, reuse)
        originals = [bytes(wire.tensor_bytes(t)) for t in tensors_in(inputs)]
        state = {k: wire.tensor_bytes(v).tobytes() for k, v in raw_state(module).items()}
        self._poison(poison)
        modes = [(part, part.training) for part in module.modules()]
        if not training:
            module.eval()
        _manual_seed(seed)
        tracer, ops = integrity.Tracer(self.prefix), OpTrace()
        try:
            with _enable_grad() if grad or cotangents is not None else _no_grad():
                if trace and self.trace_python:
                    with tracer, ops:
                        output = self._run(module, inputs, entry)
                elif trace:
                    with ops:
                        output = self._run(module, inputs, entry)
                elif profile:
                    with _profile(use_kineto=True) as events:
                        output = self._run(module, inputs, entry)
                    names = (e.name for e in events.function_events)
                    ops.ops = [(n[6:], 0) for n in names if n.startswith("aten::")][:4096]
                else:
                    output = self._run(module, inputs, entry)
            self.sync()
        except Refusal:
            raise
        except BaseException as error:
            text = describe_failure(error, self.prefix)
            raise Refusal(classify(error, "runtime_error"), text, {"call": entry}) from error
        finally:
            if not training:
                for part, mode in modes:  # a constructor may have frozen some of them
                    part.training = mode
        check_types(output)
        reply: dict[str, Any] = {"outputs": output}
        reply["grads"] = self._backward(module, inputs, output, cotangents)
        given = tensors_in(inputs)
        changed = [
            i for i, (t, b) in enumerate(zip(given, originals, strict=True))
            if wire.tensor_bytes(t) != b
        ]  # fmt: skip
        reply["inputs_after"] = {str(i): given[i].detach() for i in changed}
        after = raw_state(module)
        reply["state_after"] = {
            k: v for k, v in after.items() if state.get(k) != wire.tensor_bytes(v).tobytes()
        }
        reply["aliases"] = aliases(output, given, list(after.values()))
        reply["ops"] = ops.ops
        self.swallowed += tracer.caught
        if keep is not None:
            self.kept[keep] = output
        return reply

    def _backward(self, module, inputs, output, cotangents) -> dict[str, Any] | None:
        if cotangents is None:
            return None
        outputs = [t for t in tensors_in(output) if t.is_floating_point() or t.is_complex()]
        matched = zip(outputs, cotangents, strict=False)
        pairs = [(o, c.to(o.device)) for o, c in matched if o.requires_grad]
        names = [(f"input {i}", t) for i, t in enumerate(tensors_in(inputs)) if t.requires_grad]
        names += [(k, p) for k, p in _named_parameters(module) if p.requires_grad]
        if not pairs or not names:
            raise Refusal("wrong_gradient", "the output does not require a gradient")
        try:
            grads = _grad(
                [o for o, _ in pairs], [t for _, t in names], [c for _, c in pairs],
                allow_unused=True,
            )  # fmt: skip
        except Exception as error:
            raise Refusal(
                "wrong_gradient", "backward failed: " + describe_failure(error, self.prefix)
            ) from error
        return {name: g for (name, _), g in zip(names, grads, strict=True)}

    def recheck(self) -> dict[str, Any]:
        """The outputs that were kept, as they are now."""
        self.sync()
        return {"kept": {k: [t.detach() for t in tensors_in(o)] for k, o in self.kept.items()}}

    def forget(self) -> dict[str, Any]:
        """Let go of kept outputs and of the inputs whose storage is used again."""
        self.kept.clear()
        self.timed.clear()
        self.inputs = None
        return {}

    def timed_output(self, index: int) -> dict[str, Any]:
        """Outputs of one of the last timed calls; the judge chooses after they are done."""
        output, grads = self.timed[index]
        self.timed = []
        check_types(output)
        return {"outputs": output, "grads": grads}

    def report(self) -> dict[str, Any]:
        """What the process looks like now, beside what it was before the candidate came."""
        patched = integrity.replaced(self.before, integrity.snapshot())
        state = integrity.global_state()
        return {
            "patched": patched[:20],
            "global_state": {
                k: [self.state_before[k], v] for k, v in state.items() if v != self.state_before[k]
            },
            "threads": max(self.most_threads, integrity.python_threads()) - self.python_threads,
            "swallowed": sorted(set(self.swallowed))[:10],
            "flushes_denormals": integrity.flushes_denormals(),
        }

    def warm(self, slot: str, inputs: list[Any], budget_s: float) -> dict[str, Any]:
        """Call repeatedly before timing, untimed."""
        module = self.instances[slot]
        end = _clock() + int(budget_s * 1e9)
        count = 0
        try:
            with _no_grad():
                while count < 2 or (_clock() < end and count < 50):
                    self._run(module, [_copy(x) for x in inputs], "call")
                    self.sync()
                    count += 1
        except Refusal:
            raise
        except BaseException as error:
            text = describe_failure(error, self.prefix)
            raise Refusal(classify(error, "runtime_error"), text, {"call": "warm"}) from error
        return {"count": count}


def _copy(value: Any) -> Any:
    return value.clone() if _isinstance(value, _tensor_type) else value


def _answer(worker: Worker, request: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"ok": getattr(worker, request["op"])(**request["args"])}
    except Refusal as refusal:
        code, message, *evidence = refusal.args
        return {"refused": code, "message": message, "evidence": evidence[0] if evidence else {}}
    except RecursionError:
        text = "the output is nested more deeply than can be read"
        return {"refused": "wrong_structure", "message": text, "evidence": {}}


def _timed(worker: Worker, connection: socket.socket, args: dict[str, Any]) -> dict[str, Any]:
    """One timed call. A byte leaves before and after it, so that the judge's own clock can
    bound what this process claims."""
    # bound here, before any of the candidate's code runs
    clock, run, backward, sync = _clock, worker._run, worker._backward, worker.sync
    tell = connection.sendall
    module = worker.instances[args["slot"]]
    inputs = worker._place_inputs(args["inputs"], reuse=False)
    worker.inputs = None
    if args["state"] is not None:
        worker.load_state(args["slot"], args["state"])
    cotangents = args.get("cotangents")
    _manual_seed(args["seed"])
    if args["flush"] and (worker.flush is None or _numel(worker.flush) * 4 != args["flush"]):
        worker.flush = torch.zeros(max(1, args["flush"] // 4))
    mode = _no_grad() if cotangents is None else _enable_grad()
    failed = grads = None
    with mode:
        if args["flush"]:
            worker.flush.add_(1.0)
        sync()
        tell(b"S")
        start = clock()
        try:
            output = run(module, inputs, "call", timed=True)
            if cotangents is not None:
                grads = backward(module, inputs, output, cotangents)
            sync()
        except BaseException as error:
            failed = error
        end = clock()
        tell(b"D")
    if failed is not None:
        code = failed.args[0] if isinstance(failed, Refusal) else classify(failed, "runtime_error")
        text = describe_failure(failed, worker.prefix)
        return {"refused": code, "message": text, "evidence": {}}
    worker.timed = [*worker.timed[-3:], (output, grads)]
    return {"ok": {"ns": end - start}}


def _seal() -> Any:
    """Remember what this package's functions and classes are; the returned function says whether
    they still are."""
    owners = [
        sys.modules[f"kernelmill.evaluate.{name}"] for name in ("worker", "wire", "integrity")
    ]
    owners += [Worker, OpTrace, Refusal, integrity.Watch, integrity.Tracer, wire.WireError]
    spaces = [vars(owner) for owner in owners]

    def identities(space: Any) -> dict[str, tuple[int, int]]:
        return {
            k: (id(v), id(getattr(v, "__code__", None)))
            for k, v in list(space.items())
            if k != "__warningregistry__"  # comes with the first warning
        }

    known = [identities(space) for space in spaces]

    def intact() -> bool:
        return known == [identities(space) for space in spaces]

    return intact


def serve(connection: socket.socket, alarm: int, options: dict[str, Any]) -> None:
    """Answer the judge until it hangs up."""
    worker = Worker(alarm, options)
    intact, write, answer, timed = _seal(), os.write, _answer, _timed
    # the judge's own code is not to be found by name from here on
    for name in [n for n in sys.modules if n.startswith("kernelmill.evaluate")]:
        del sys.modules[name]
    vars(sys.modules["kernelmill"]).pop("evaluate", None)
    sys.modules["__main__"] = type(sys)("__main__")
    connection.setblocking(True)
    while True:
        try:
            request = _receive(connection, allow_pickle=True)
        except wire.WireError:
            os._exit(0)
        if not intact():
            write(alarm, b"patched the judge's own functions\n")
        if request["op"] == "timed":
            reply = timed(worker, connection, request["args"])
        else:
            reply = answer(worker, request)
        if not intact():
            write(alarm, b"patched the judge's own functions\n")
        reply["nonce"] = request["nonce"]
        try:
            pieces = _pack(reply)
        except Exception as error:
            message = f"the candidate returned what is no output of a task: {error}"
            code = classify(error, "wrong_type")
            refusal = {"refused": code, "message": message, "evidence": {}}
            pieces = _pack(refusal | {"nonce": request["nonce"]})
        for piece in pieces:
            if _len(piece):
                connection.sendall(piece)
