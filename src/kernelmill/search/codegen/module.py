"""A partition to the text of a candidate: the reference's source and ``ModelNew`` below it."""

from __future__ import annotations

import math
from typing import Any

from kernelmill.search.codegen import calls
from kernelmill.search.codegen.cpp import Emitter
from kernelmill.search.codegen.fuse import Kernel, Partition
from kernelmill.search.codegen.ir import TORCH_NAMES, Call, Prim, Unsupported
from kernelmill.search.codegen.layout import layouts, reusable, takes_channels_last
from kernelmill.search.codegen.mathlib import HEADER
from kernelmill.search.codegen.plan import Plan
from kernelmill.search.codegen.runtime import PLAIN_RUNTIME, RUNTIME, SHARED, TRITON_RUNTIME
from kernelmill.search.codegen.schedule import Schedule
from kernelmill.search.codegen.triton import HELPERS, TritonEmitter


class Assembler:
    """Writes ``ModelNew``: the reference's class with a forward of calls and kernels."""

    def __init__(
        self,
        partitions: list[Partition],
        modes: list[tuple | None],
        schedule: Schedule,
        device: str,
    ):
        """``partitions``: one per mode of the module; ``modes``: the training flags of its
        submodules in that mode, ``None`` where they do not matter."""
        self.partitions = partitions
        self.modes = modes
        self.device = device
        self.schedule = schedule
        self.onednn = schedule.gemm == "onednn" and device == "cpu" and calls.onednn()
        self.kernels: list[str] = []
        self.signatures: dict[str, int] = {}

    def text(self, reference: str) -> str:
        methods = [self._method(number) for number in range(len(self.partitions))]
        body = "\n\n".join(methods)
        helped = "_km_linear(" in body or "_km_conv(" in body
        if not self.kernels and not helped:
            raise Unsupported("nothing to generate: every operator stays torch's")
        if self.device != "cpu":
            runtime = self._triton_runtime()
        elif self.kernels:
            runtime = self._runtime()
        else:
            runtime = PLAIN_RUNTIME + SHARED
        if helped:
            runtime += calls.HELPERS
        return f"{reference.rstrip()}\n{runtime}\n\n{self._class()}\n{body}\n"

    def _runtime(self) -> str:
        source = HEADER + "\n" + "\n\n".join(self.kernels)
        functions = [f'_{k} = _km_function("{k}", {n})' for k, n in self.signatures.items()]
        runtime = RUNTIME.replace("@FLAGS@", repr(self.schedule.flags()))
        runtime = runtime.replace("@FUNCTIONS@", "\n".join(functions))
        return runtime.replace("@SOURCE@", source.strip())

    def _triton_runtime(self) -> str:
        runtime = TRITON_RUNTIME.replace("@HELPERS@", HELPERS.strip())
        runtime = runtime.replace("@KERNELS@", "\n\n".join(self.kernels))
        # the tensors decide where the kernels run
        shared = SHARED.replace('            and value.device.type == "cpu"\n', "")
        shared = shared.replace("dtype=tensor.dtype)", "dtype=tensor.dtype, device=tensor.device)")
        return runtime + shared

    def _class(self) -> str:
        program = self.partitions[0].program
        wanted = []
        for name, value in program.user_inputs:
            prim = program.leaf_prims.get(name)
            if prim is None:
                wanted.append(f"({value!r}, None)")
            else:
                wanted.append(f"({prim.shape!r}, _torch.{TORCH_NAMES[prim.dtype]})")
        known = {mode: number for number, mode in enumerate(self.modes)}
        lines = [f"_KM_INPUTS = ({', '.join(wanted)}{',' if wanted else ''})"]
        if None in known:
            lines += ["", ""]
            choose = ["        mode = 0"]
        else:
            lines += [f"_KM_MODES = {known!r}", "", ""]
            choose = [
                "        mode = _KM_MODES.get(tuple(m.training for m in self.modules()))",
                "        if mode is None:",
                "            return super().forward(*args, **kwargs)",
            ]
        methods = ", ".join(f"self._km_forward_{number}" for number in range(len(self.modes)))
        lines += [
            "class ModelNew(Model):",
            '    """The reference with its forward in generated kernels; other shapes, other',
            '    dtypes and calls that record gradients go to the reference."""',
            "",
            "    def forward(self, *args, **kwargs):",
            "        if kwargs or not _km_fits(args, _KM_INPUTS):",
            "            return super().forward(*args, **kwargs)",
            "        if _torch.is_grad_enabled() and (",
            "            any(p.requires_grad for p in self.parameters())",
            "            or any(isinstance(a, _torch.Tensor) and a.requires_grad for a in args)",
            "        ):",
            "            return super().forward(*args, **kwargs)",
            *choose,
            f"        return ({methods},)[mode](*args)",
            "",
        ]
        return "\n".join(lines)

    def _method(self, number: int) -> str:
        self.partition = self.partitions[number]
        self.program = self.partition.program
        last_layout = self.schedule.channels_last and self.device == "cpu"
        self.layout = layouts(self.partition) if last_layout else {}
        self.names: dict[Prim, str] = {}
        self.lines: list[str] = []
        self.calls = 0
        self.leaf_names: dict[str, str] = {}
        self.laid: set[Prim] = set()
        for name, prim in self.program.leaf_prims.items():
            self.names[prim] = self.program.leaves[name]
        for unit in self.partition.units:
            if isinstance(unit, Call):
                self._call(unit)
            else:
                self._kernel(unit)
        for target, value in self.program.writes:
            self.lines.append(f"{target}.copy_({self.tensor(value)})")
        output = self.structure(self.program.output)
        args = "".join(f", {name}" for name, _ in self.program.user_inputs)
        lines = [*self.lines, f"return {output}"]
        body = "\n".join("        " + line for line in lines)
        return f"    def _km_forward_{number}(self{args}):\n{body}"

    # -- tensors as Python expressions

    def tensor(self, prim: Prim) -> str:
        """The Python expression of a prim that must be a tensor."""
        if prim in self.names:
            return self.names[prim]
        kind = prim.kind
        if kind == "const":
            dtype = TORCH_NAMES[prim.dtype]
            return f"_torch.full((), {_python(prim)}, dtype=_torch.{dtype}{self.place()})"
        if kind == "iota":
            n = prim.shape[prim.attrs["dim"]]
            if len(prim.shape) != 1:
                raise Unsupported("index tensor of several dimensions")
            return f"_torch.arange({n}{self.place()})"
        source = prim.args[0]
        if kind == "expand" and source.kind == "const":
            dtype = TORCH_NAMES[prim.dtype]
            value = f"{_python(source)}, dtype=_torch.{dtype}{self.place()}"
            return f"_torch.full({prim.shape!r}, {value})"
        text = self.tensor(source)
        if kind == "permute":
            return f"{text}.permute({prim.attrs['perm']!r})"
        if kind == "reshape":
            return f"{text}.reshape({prim.shape!r})"
        if kind == "expand":
            return f"{text}.expand({prim.shape!r})"
        if kind == "slice":
            dim, start, step = (prim.attrs[k] for k in ("dim", "start", "step"))
            length = prim.shape[dim]
            if step < 0:
                if length != source.shape[dim] or step != -1:
                    raise Unsupported("slice with a negative step")
                return f"{text}.flip({dim})"
            index = f"slice({start}, {start + (length - 1) * step + 1}, {step})"
            lead = "slice(None), " * dim
            return f"{text}[{lead}{index}]" if lead else f"{text}[{index}]"
        raise Unsupported(f"{prim} was never computed")

    def structure(self, value: Any) -> str:
        """Python text of a structure of prims and plain values."""
        if isinstance(value, Prim):
            return self.tensor(value)
        if isinstance(value, dict):
            items = ", ".join(f"{k!r}: {self.structure(v)}" for k, v in value.items())
            return "{" + items + "}"
        if isinstance(value, list | tuple):
            items = ", ".join(self.structure(v) for v in value)
            if isinstance(value, tuple):
                return f"({items},)" if value else "()"
            return f"[{items}]"
        if isinstance(value, float) and not math.isfinite(value):
            return f"float({str(value)!r})"
        if value is None or isinstance(value, int | float | bool | str | complex):
            return repr(value)
        text = str(value)
        if text.startswith("torch."):
            return "_" + text
        if type(value).__name__ == "device":
            return f"_torch.device({text!r})"
        raise Unsupported(f"argument {value!r}")

    def place(self) -> str:
        """Keyword of the device of a new tensor."""
        if self.device == "cpu":
            return ""
        tensors = [n for n, _ in self.program.user_inputs if n in self.program.leaf_prims]
        if not tensors:
            raise Unsupported("no tensor among the inputs tells the device")
        return f", device={tensors[0]}.device"

    # -- units

    def _call(self, call: Call) -> None:
        def structure(value: Any) -> str:
            text = self.structure(value)
            if value is call.args[0] and self.layout and takes_channels_last(call):
                text += ".contiguous(memory_format=_torch.channels_last)"
            return text

        name = f"r{self.calls}"
        self.calls += 1
        text = calls.text(call, structure, self.onednn, bool(self.layout))
        self.lines.append(f"{name} = {text}")
        for i, out in enumerate(call.outputs):
            if out is None:
                continue
            variable = out.attrs["name"]
            self.lines.append(f"{variable} = {name if call.single else f'{name}[{i}]'}")
            self.names[out] = variable
        self.lines.append(f"del {name}")

    def _kernel(self, kernel: Kernel) -> None:
        name = f"k{len(self.kernels)}"
        on_cpu = self.device == "cpu"
        emitter = (
            self._emitter(kernel, name) if on_cpu else TritonEmitter(kernel, self.schedule, name)
        )
        self.kernels.append(emitter.function())
        for prim in emitter.outputs:
            variable = f"v{prim.id}"
            dtype = TORCH_NAMES[prim.dtype]
            make = f"_torch.empty({prim.shape!r}, dtype=_torch.{dtype}{self.place()})"
            if prim in self.layout:
                stride = self.layout[prim]
                make = f"_torch.empty_strided({prim.shape!r}, {stride!r}, dtype=_torch.{dtype})"
            if on_cpu and prim in emitter.reused:
                make = self._laid(emitter.reused[prim])
            self.lines.append(f"{variable} = {make}")
            self.names[prim] = variable
        arguments = [self._laid(p) for p in emitter.inputs]
        arguments += [
            self.names[p] for p in emitter.outputs if not on_cpu or p not in emitter.reused
        ]
        self.signatures[name] = len(arguments)
        if on_cpu:
            self.lines.append(f"_{name}({', '.join(arguments)})")
        else:
            self.lines.append(emitter.launch(arguments))

    def _emitter(self, kernel: Kernel, name: str) -> Emitter:
        plan = Plan(kernel, self.schedule, self.layout)
        return Emitter(plan, name, reusable(plan, kernel, self.partition))

    def _laid(self, prim: Prim) -> str:
        """A buffer in the strides that the plan took for it."""
        if prim.kind != "buffer":
            return self.names[prim]
        if prim not in self.laid:
            text, stride = self.names[prim], self.layout.get(prim, prim.attrs["stride"])
            variable = prim.attrs["name"] if text.startswith("t") else f"c_{prim.attrs['name']}"
            self.lines.append(f"{variable} = _km_as({text}, {stride!r})")
            self.laid.add(prim)
            self.leaf_names[prim.attrs["name"]] = variable
        return self.leaf_names[prim.attrs["name"]]


def _python(prim: Prim) -> str:
    value = prim.attrs["value"]
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    return repr(value)
