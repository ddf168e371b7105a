"""Running a reference on fake tensors: shapes, operators and cost without memory or time."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from kernelmill.tasks.program import Program


@dataclass(frozen=True)
class Spec:
    """Shape and dtype of a tensor (``float32``...); for another value its type's name."""

    shape: tuple[int, ...]
    dtype: str
    name: str = ""
    is_tensor: bool = True

    @classmethod
    def of(cls, value: Any, name: str = "") -> Spec:
        if isinstance(value, torch.Tensor):
            return cls(tuple(int(n) for n in value.shape), str(value.dtype)[6:], name)
        return cls((), type(value).__name__, name, is_tensor=False)

    @property
    def elements(self) -> int:
        return math.prod(self.shape) if self.is_tensor else 0

    @property
    def bytes(self) -> int:
        return self.elements * getattr(torch, self.dtype).itemsize if self.is_tensor else 0

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]" if self.is_tensor else self.dtype


@dataclass(frozen=True)
class Trace:
    """What a call of the reference looks like.

    Attributes:
        inputs, outputs: specs of the flattened forward arguments and results.
        parameters, buffers: specs with names.
        operators: names of the dispatched operators (``aten.mm``...), in order.
        flops: of matrix products, convolutions and attention; elementwise work is not counted.
        traffic: bytes that all operators read and write, one by one (what eager moves).
        largest: elements of the largest tensor that any operator returns.
        output: the results themselves (fake), for their structure.
    """

    inputs: tuple[Spec, ...]
    outputs: tuple[Spec, ...]
    parameters: tuple[Spec, ...]
    buffers: tuple[Spec, ...]
    operators: tuple[str, ...] = ()
    flops: int = 0
    traffic: int = 0
    largest: int = 0
    output: Any = field(default=None, repr=False, compare=False)

    @property
    def elements(self) -> int:
        """Elements of inputs, outputs and the largest intermediate."""
        return sum(spec.elements for spec in (*self.inputs, *self.outputs)) + self.largest

    @property
    def weights(self) -> int:
        """Elements of parameters and buffers."""
        return sum(spec.elements for spec in (*self.parameters, *self.buffers))


@contextmanager
def fake() -> Iterator[Any]:
    """Tensors made inside have shapes and no memory."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    # a shape that does not fit is an answer here, not an event to log
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    before = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings(), FakeTensorMode(allow_non_fake_inputs=True) as mode:
            warnings.simplefilter("ignore")
            yield mode
    finally:
        logger.disabled = before


VIEWS = ("view", "reshape", "expand", "permute", "transpose", "t", "detach", "alias", "slice")
VIEWS += ("select", "unsqueeze", "squeeze", "split", "split_with_sizes", "as_strided", "unbind")
VIEWS += ("_unsafe_view", "lift_fresh", "chunk", "diagonal", "unfold", "movedim", "view_as_real")


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.operators: list[str] = []
        self.traffic = 0
        self.largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        namespace, _, name = func._schema.name.partition("::")
        if name not in VIEWS and namespace != "prim":
            self.operators.append(f"{namespace}.{name}")
            results = [t for t in tree_leaves(result) if isinstance(t, torch.Tensor)]
            reads = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
            self.traffic += sum(t.numel() * t.element_size() for t in (*results, *reads))
            self.largest = max(self.largest, *(t.numel() for t in results), 0)
        return result


def _attention_flops(query, key, value, *_, **__) -> int:
    """Two products per head: (queries x dim x keys) and (queries x keys x value dim)."""
    *batch, queries, dim = query
    return 2 * math.prod(batch) * queries * key[-2] * (dim + value[-1])


def _counter() -> Any:
    from torch.utils.flop_counter import FlopCounterMode

    attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return FlopCounterMode(display=False, custom_mapping={attention: _attention_flops})


def observe(program: Program, group: int = 0) -> Trace:
    """Build the model, draw inputs and call it once under whatever tensor mode is active.

    Raises:
        TaskError: whatever the reference raises.
    """
    model = program.make_model()
    inputs = program.make_inputs(group=group)
    recorder, counter = _Recorder(), _counter()
    with recorder, counter:
        output = program.run(model, inputs)
    return Trace(
        inputs=tuple(map(Spec.of, tree_leaves(inputs))),
        outputs=tuple(map(Spec.of, tree_leaves(output))),
        parameters=tuple(Spec.of(p, name) for name, p in model.named_parameters()),
        buffers=tuple(Spec.of(b, name) for name, b in model.named_buffers()),
        operators=tuple(recorder.operators),
        flops=int(counter.get_total_flops()),
        traffic=recorder.traffic,
        largest=recorder.largest,
        output=output,
    )


def trace(program: Program, group: int = 0) -> Trace | None:
    """`observe` on fake tensors; ``None`` where that does not work (values are read, NumPy...)."""
    from kernelmill.tasks.program import quiet_rng

    for grad in (False, True):  # some references take gradients themselves
        try:
            with fake(), quiet_rng(), torch.set_grad_enabled(grad):
                return observe(program, group)
        except Exception:
            continue
    return None


def input_specs(program: Program, group: int = 0) -> tuple[Spec, ...] | None:
    """Specs of the inputs alone, from fake tensors; ``None`` where that does not work."""
    from kernelmill.tasks.program import quiet_rng

    try:
        with fake(), quiet_rng():
            return tuple(map(Spec.of, tree_leaves(program.make_inputs(group=group))))
    except Exception:
        return None


def probe(program: Program, group: int = 0, real_elements: int = 1 << 22) -> Trace | None:
    """`trace`, or a real run where the inputs have at most ``real_elements`` elements."""
    from kernelmill.tasks.program import quiet_rng

    found = trace(program, group)
    if found is None:
        specs = input_specs(program, group)
        if specs is None or sum(spec.elements for spec in specs) > real_elements:
            return None
        try:
            with quiet_rng(), torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = observe(program, group)
        except Exception:
            return None
    return found
