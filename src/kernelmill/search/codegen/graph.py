"""A module and example inputs to a `Program`: export, normalise, lower what can be lowered."""

from __future__ import annotations

import logging
import operator
import warnings
from typing import Any

import torch

from kernelmill.search.codegen import lower_norm, lower_shape  # noqa: F401  (fill the table)
from kernelmill.search.codegen.ir import (
    Builder,
    Call,
    Prim,
    Program,
    Unsupported,
)
from kernelmill.search.codegen.lower import TABLE, Lowering
from kernelmill.search.codegen.nest import Nest, is_computed
from kernelmill.search.codegen.triton import supports

log = logging.getLogger(__name__)

DTYPES = {
    torch.float64: "f64",
    torch.float32: "f32",
    torch.bfloat16: "bf16",
    torch.float16: "f16",
    torch.int64: "i64",
    torch.int32: "i32",
    torch.int16: "i16",
    torch.int8: "i8",
    torch.uint8: "u8",
    torch.bool: "bool",
}
# Operators that stay whole: torch's own kernels are the best there is for them.
KEPT = frozenset(
    "linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d matmul bmm mm "
    "addmm baddbmm einsum bilinear scaled_dot_product_attention lstm gru rnn_tanh rnn_relu "
    "embedding std std_mean multi_head_attention_forward convolution dropout".split()
)
IGNORED = ("_assert_tensor_metadata", "_assert_async", "sym_constrain_range_for_size")


def capture(
    module: torch.nn.Module, inputs: list[Any], own_depthwise: bool = True, triton: bool = False
) -> Program:
    """Export ``module`` for these inputs and lower its graph.

    Raises:
        Unsupported: the module cannot be exported, or it writes to its inputs.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            exported = torch.export.export(module, tuple(inputs), strict=False)
            table = torch.export.default_decompositions()
            for op in list(table.keys()):
                if op.__name__.split(".")[0] in KEPT:
                    table.pop(op)
            exported = exported.run_decompositions(table)
            strides = _Strides(exported).measure(module, inputs)
        except Unsupported:
            raise
        except Exception as error:
            raise Unsupported(f"export: {type(error).__name__}: {error}") from error
    return _Lower(exported, strides, module, own_depthwise, triton).program()


def capture_modes(
    module: torch.nn.Module, inputs: list[Any], own_depthwise: bool = True, triton: bool = False
) -> list[tuple[tuple[bool, ...] | None, Program]]:
    """The graph in the module's own mode and, where that makes a difference, in the other one,
    each with the training flags of all submodules (``None``: they make no difference).

    Raises:
        Unsupported: as `capture`, for the module's own mode.
    """
    before = [m.training for m in module.modules()]
    own = capture(module, inputs, own_depthwise, triton)
    module.train(not module.training)
    flags = tuple(m.training for m in module.modules())
    try:
        other = capture(module, inputs, own_depthwise, triton)
    except Unsupported as reason:
        log.debug("the other mode goes to the reference: %s", reason)
        return [(tuple(before), own)]
    finally:
        for part, flag in zip(module.modules(), before, strict=True):
            part.training = flag
    if own.fingerprint == other.fingerprint:
        return [(None, own)]
    return [(tuple(before), own), (flags, other)]


class _Strides(torch.fx.Interpreter):
    """Runs the graph once on the real inputs to learn the layout of every result."""

    def __init__(self, exported: torch.export.ExportedProgram):
        super().__init__(exported.graph_module)
        self.exported = exported
        self.seen: dict[str, Any] = {}

    def run_node(self, node: torch.fx.Node) -> Any:
        result = super().run_node(node)
        self.seen[node.name] = torch.utils._pytree.tree_map(
            lambda t: tuple(t.stride()) if isinstance(t, torch.Tensor) else None, result
        )
        return result

    def measure(self, module: torch.nn.Module, inputs: list[Any]) -> dict[str, Any]:
        # state is cloned: the graph may write to buffers
        exported = self.exported
        values = []
        flat, _ = torch.utils._pytree.tree_flatten((tuple(inputs), {}))
        rest = iter(flat)
        for spec in exported.graph_signature.input_specs:
            if spec.kind.name == "USER_INPUT":
                value = next(rest)
                values.append(value.clone() if isinstance(value, torch.Tensor) else value)
            elif spec.target in exported.state_dict:
                values.append(exported.state_dict[spec.target].detach().clone())
            else:
                values.append(exported.constants[spec.target].clone())
        self.run(*values)
        return self.seen


class _Lower:
    def __init__(
        self, exported: Any, strides: dict[str, Any], module: torch.nn.Module, own, triton
    ):
        self.triton = triton
        self.own_depthwise = own
        self.exported = exported
        self.strides = strides
        self.module = module
        self.b = Builder()
        self.values: dict[torch.fx.Node, Any] = {}
        self.calls: list[Call] = []
        self.leaves: dict[str, str] = {}
        self.leaf_prims: dict[str, Prim] = {}
        self.user_inputs: list[tuple[str, Any]] = []

    def program(self) -> Program:
        signature = self.exported.graph_signature
        if signature.user_inputs_to_mutate:
            raise Unsupported("the reference writes to its inputs")
        specs = iter(signature.input_specs)
        for node in self.exported.graph.nodes:
            if node.op == "placeholder":
                self.values[node] = self._placeholder(node, next(specs))
            elif node.op == "call_function":
                self.values[node] = self._function(node)
            elif node.op == "output":
                results = torch.utils._pytree.tree_map_only(
                    torch.fx.Node, self.values.__getitem__, list(node.args[0])
                )
                return self._finish(results)
            else:
                raise Unsupported(f"graph node {node.op} {node.target}")
        raise Unsupported("graph without output")

    def _placeholder(self, node: torch.fx.Node, spec: Any) -> Any:
        value = node.meta["val"]
        if spec.kind.name == "USER_INPUT":
            name = f"x{len(self.user_inputs)}"
            if not isinstance(value, torch.Tensor):
                self.user_inputs.append((name, value))
                return value
            self.user_inputs.append((name, None))
            self.leaves[name] = name
        else:
            name = f"w{len(self.leaves)}"
            self.leaves[name] = self._attribute(spec.target)
        prim = self._buffer(name, value, _contiguous(value.shape))
        self.leaf_prims[name] = prim
        return prim

    def _attribute(self, target: str) -> str:
        owner: Any = self.module
        try:
            for part in target.split("."):
                owner = getattr(owner, part)
        except AttributeError:
            owner = None
        if not isinstance(owner, torch.Tensor):
            value = self.exported.constants.get(target)
            if isinstance(value, torch.Tensor) and value.numel() <= 64:
                return f"torch.tensor({value.tolist()!r}, dtype={value.dtype})"
            raise Unsupported(f"constant tensor {target} is not the module's")
        steps = "".join(
            f".{part}" if part.isidentifier() else f".get_submodule({part!r})"
            for part in target.split(".")
        )
        return f"self{steps}"

    def _buffer(self, name: str, value: torch.Tensor, stride: tuple[int, ...]) -> Prim:
        if value.dtype not in DTYPES:
            raise Unsupported(f"dtype {value.dtype}")
        return self.b.buffer(name, value.shape, DTYPES[value.dtype], stride)

    def _function(self, node: torch.fx.Node) -> Any:
        if node.target is operator.getitem:
            return self.values[node.args[0]][node.args[1]]
        name = str(node.target)
        if any(word in name for word in IGNORED):
            return None
        args, kwargs = torch.utils._pytree.tree_map_only(
            torch.fx.Node, self.values.__getitem__, (list(node.args), dict(node.kwargs))
        )
        results = node.meta["val"]
        many = list(results) if isinstance(results, tuple | list) else [results]
        if name in TABLE and all(isinstance(v, torch.Tensor) and v.dtype in DTYPES for v in many):
            before = self.b.count
            try:
                return self._lower(node, name, many, args, kwargs)
            except Unsupported as reason:
                self.b.forget(before)
                log.debug("%s stays a torch call: %s", name, reason)
        return self._call(node, name, results, args, kwargs)

    def _lower(self, node, name, many, args, kwargs) -> Any:
        used = {u.args[1] for u in node.users if u.target is operator.getitem}
        context = Lowering(
            self.b, [DTYPES[v.dtype] for v in many], [tuple(v.shape) for v in many], used
        )
        context.own_depthwise = self.own_depthwise
        tensors = [n.meta["val"] for n in node.args if isinstance(n, torch.fx.Node)]
        if len(tensors) == 2 and all(isinstance(t, torch.Tensor) for t in tensors):
            context.joint = DTYPES[torch.result_type(*tensors)]
        before = self.b.count
        value = TABLE[name](context, *args, **kwargs)
        for prim in list(self.b.known.values()):
            if prim.id > before and is_computed(prim):
                Nest([prim], [prim], self.triton)
            if (
                prim.id > before
                and self.triton
                and (not supports(prim) or prim.kind == "slice" or prim.dtype in ("f16", "bf16"))
            ):
                raise Unsupported(f"{prim} in Triton")
        checked = value if isinstance(value, tuple) else (value,)
        for prim, meta in zip(checked, many, strict=True):
            if prim is not None and (
                prim.shape != tuple(meta.shape) or prim.dtype != DTYPES[meta.dtype]
            ):
                raise Unsupported(f"{name}: lowered to {prim}, want {meta}")
        return value

    def _call(self, node, name, results, args, kwargs) -> Any:
        kwargs = {k: v for k, v in kwargs.items() if k != "pin_memory"}
        single = isinstance(results, torch.Tensor)
        stride = self.strides[node.name]
        many = [results] if single else list(results)
        strides = [stride] if single else list(stride)
        used = {u.args[1] for u in node.users if u.target is operator.getitem}
        outputs: list[Prim | None] = []
        for i, (value, layout) in enumerate(zip(many, strides, strict=True)):
            if not isinstance(value, torch.Tensor) or (not single and i not in used):
                outputs.append(None)
                continue
            outputs.append(self._buffer(f"t{len(self.calls)}_{i}", value, layout))
        call = Call(name, tuple(args), kwargs, tuple(outputs), single)
        self.calls.append(call)
        return outputs[0] if single else tuple(outputs)

    def _finish(self, results: list[Any]) -> Program:
        writes = []
        user = []
        for spec, value in zip(self.exported.graph_signature.output_specs, results, strict=True):
            if spec.kind.name == "BUFFER_MUTATION":
                writes.append((self._attribute(spec.target), value))
            elif spec.kind.name == "USER_OUTPUT":
                user.append(value)
            else:
                raise Unsupported(f"output of kind {spec.kind.name}")
        output = torch.utils._pytree.tree_unflatten(user, self.exported.call_spec.out_spec)
        mark = f"{self.exported.graph} {self.exported.graph_signature.buffers_to_mutate}"
        return Program(
            self.calls, self.leaves, self.leaf_prims, output, writes, self.user_inputs, mark
        )


def _contiguous(shape: Any) -> tuple[int, ...]:
    strides = []
    step = 1
    for n in reversed(shape):
        strides.append(step)
        step *= max(int(n), 1)
    return tuple(reversed(strides))
