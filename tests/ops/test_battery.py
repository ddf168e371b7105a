"""The battery over every registered operator: nothing here knows a particular one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch._subclasses import FakeTensorMode

from kernelmill.ops.registry import operators, use_backend
from tests.ops import battery

ROOT = Path(__file__).parents[2]
SMALL = [(op, e) for op in operators().values() for e in op.examples if not e.bench]
CASES = [pytest.param(op, e, id=f"{op.name}-{e.name}") for op, e in SMALL]
PARITY = [
    pytest.param(op, e, name, id=f"{op.name}-{e.name}-{name}")
    for op, e in SMALL
    for name in battery.backends(op)
]
HALF = [torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, *HALF], ids=str)
@pytest.mark.parametrize(("op", "example", "name"), PARITY)
def test_parity(op, example, name, dtype):
    battery.parity(op, example, name, dtype)


@pytest.mark.parametrize(("op", "example", "name"), PARITY)
def test_parity_of_strided_inputs(op, example, name):
    battery.parity(op, example, name, torch.float32, change=battery.strided)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("dtype", [torch.float32, *HALF], ids=str)
@pytest.mark.parametrize(("op", "example"), CASES)
def test_parity_on_gpu(op, example, dtype):
    battery.parity(op, example, "triton", dtype, "cuda")


def test_triton_parity_in_its_interpreter():
    battery.interpreted("tests.ops.triton_interpreter")


@pytest.mark.parametrize(("op", "example"), CASES)
def test_threads_agree_and_inputs_stay(op, example):
    args = battery.leaves(example(seed=7))
    before = {k: v.detach().clone() for k, v in args.items() if isinstance(v, torch.Tensor)}
    found = []
    for count in (1, 2, 2):
        with battery.threads(count):
            found.append(battery.values_and_gradients(op.function, args))
    battery.compare(op, found[1], found[0], torch.float32)
    for name, value in found[1].items():
        assert torch.equal(value, found[2][name]), f"{name} differs from run to run"
    for name, value in before.items():
        assert torch.equal(args[name], value), f"{name} was modified"


@pytest.mark.parametrize(("op", "example"), CASES)
def test_opcheck(op, example):
    for function, args in battery.recorded(op, example):
        torch.library.opcheck(function, args)


@pytest.mark.parametrize(("op", "example"), CASES)
def test_gradcheck_of_the_reference(op, example):
    args = battery.leaves(example(seed=11, dtype=torch.float64))
    args = {
        k: v.detach().double().requires_grad_() if k in battery.differentiable(args) else v
        for k, v in args.items()
    }
    names = battery.differentiable(args)

    def function(*tensors):
        return op.reference(**{**args, **dict(zip(names, tensors, strict=True))})

    assert torch.autograd.gradcheck(function, [args[k] for k in names], fast_mode=True)


@pytest.mark.parametrize(("op", "example"), CASES)
def test_second_derivatives_agree_with_the_reference(op, example):
    def second(function, args):
        names = battery.differentiable(args)
        found = battery.outputs(function(**args))
        tensors = [args[k] for k in names]
        first = torch.autograd.grad(
            sum(y.square().sum() for y in found), tensors, create_graph=True
        )
        total = sum((g * torch.linspace(-1, 1, g.numel()).view(g.shape)).sum() for g in first)
        again = torch.autograd.grad(total, tensors)
        return dict(zip(names, again, strict=True))

    args = example(seed=13)
    want = {k: v.double() if k in battery.differentiable(args) else v for k, v in args.items()}
    got, want = (
        second(op.function, battery.leaves(args)),
        second(op.reference, battery.leaves(want)),
    )
    for name, value in want.items():
        scale = max(value.abs().max().item(), 1.0) if value.numel() else 1.0
        torch.testing.assert_close(got[name].double(), value, rtol=0, atol=5e-4 * scale)


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize(("op", "example"), CASES)
def test_compiles_without_a_graph_break(op, example, dynamic):
    torch._dynamo.reset()
    compiled = torch.compile(op.function, fullgraph=True, backend="aot_eager", dynamic=dynamic)
    args = example(seed=17)
    got = battery.values_and_gradients(compiled, battery.leaves(args))
    battery.compare(op, got, battery.exact(op, args), torch.float32)


@pytest.mark.parametrize(("op", "example"), CASES)
def test_exports(op, example):
    args = example(seed=19)

    class Model(torch.nn.Module):
        def forward(self, **kwargs):
            return op.function(**kwargs)

    program = torch.export.export(Model(), (), args)
    want = battery.outputs(op.function(**args))
    for got, value in zip(battery.outputs(program.module()(**args)), want, strict=True):
        torch.testing.assert_close(got, value)


@pytest.mark.parametrize("device", ["fake", "meta"])
@pytest.mark.parametrize(("op", "example"), CASES)
def test_shapes_without_values(op, example, device):
    args = example(seed=23)
    want = battery.outputs(op.function(**args))
    if device == "fake":
        with FakeTensorMode() as mode:
            fake = {
                k: mode.from_tensor(v) if isinstance(v, torch.Tensor) else v
                for k, v in args.items()
            }
            got = battery.outputs(op.function(**fake))
    else:
        meta = {k: v.to("meta") if isinstance(v, torch.Tensor) else v for k, v in args.items()}
        got = battery.outputs(op.function(**meta))
    for g, w in zip(got, want, strict=True):
        assert (g.shape, g.dtype, g.stride()) == (w.shape, w.dtype, w.stride())


@pytest.mark.parametrize(("op", "example"), CASES)
def test_autocast(op, example):
    args = example(seed=29)
    with torch.autocast("cpu", torch.bfloat16):
        got = battery.values_and_gradients(op.function, battery.leaves(args))
    battery.compare(op, got, battery.exact(op, args), torch.bfloat16)


@pytest.mark.parametrize("op", operators().values(), ids=operators())
def test_a_graph_with_kernels_runs_without_them(op, monkeypatch):
    """What was exported where kernels are must run where there are none."""
    from kernelmill.ops import registry

    example = next(e for e in op.examples if not e.bench)
    args = example(seed=31)
    if "cpu" not in op.kernels or registry.native() is None:
        pytest.skip("needs compiled kernels")
    with use_backend("cpu"):
        monkeypatch.setattr(registry, "native", lambda: None)
        got = battery.values_and_gradients(op.function, battery.leaves(args))
    battery.compare(op, got, battery.exact(op, args), torch.float32)


@pytest.mark.parametrize("op", operators().values(), ids=operators())
def test_definition_is_complete(op):
    assert op.doc.endswith("."), "the public function needs a first line"
    assert "Example:" in op.function.__doc__ and "Raises:" in op.function.__doc__
    names = [e.name for e in op.examples]
    assert len(set(names)) == len(names) and any(e.bench for e in op.examples)
