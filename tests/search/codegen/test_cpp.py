"""Generated C++ against float64, on ordinary and on hard inputs."""

from __future__ import annotations

import copy

import pytest
import torch

from kernelmill.search.codegen.schedule import Schedule
from tests.search.codegen.judging import assert_agrees, build, variants
from tests.search.codegen.models import MODELS, layer, text


@pytest.mark.parametrize("name", MODELS)
def test_generated_kernels_agree_with_float64(name):
    model, new, inputs, _ = build(MODELS[name])
    for label, changed in variants(inputs):
        new.load_state_dict(model.state_dict())
        assert_agrees(model, new, changed, label)


SCHEDULES = {
    "narrow": Schedule(tile=16, lanes=16, spill_bytes=0),
    "unfused": Schedule(fuse=False, native_width=False, huge_pages=False),
    "double": Schedule(accumulate="double", tile_bytes=16384, lanes=128),
}


@pytest.mark.parametrize(
    "name", ["chain", "convolution", "channels_last", "depthwise", "batch_norm"]
)
def test_channels_last_computes_the_same(name):
    model, new, inputs, _ = build(MODELS[name], Schedule(channels_last=True))
    for label, changed in variants(inputs):
        new.load_state_dict(model.state_dict())
        assert_agrees(model, new, changed, label)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", ["softmax_outer", "channels", "group_norm", "long_rows"])
def test_every_schedule_computes_the_same(name, schedule):
    model, new, inputs, _ = build(MODELS[name], SCHEDULES[schedule])
    assert_agrees(model, new, inputs, schedule)


def test_equal_inputs_have_no_variance():
    model, new, _, _ = build(layer("nn.LayerNorm(96)", "torch.randn(7, 96)"))
    with torch.no_grad():
        assert torch.equal(new(torch.full((7, 96), 300.1)), torch.zeros(7, 96))


def test_a_repeated_call_gives_the_same_bits_in_fresh_memory():
    _, new, inputs, _ = build(MODELS["whole"])
    with torch.no_grad():
        first, second = new(*inputs), new(*inputs)
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b) and a.data_ptr() != b.data_ptr()


def test_running_statistics_are_updated_as_by_torch():
    model, new, inputs, _ = build(MODELS["batch_norm"])
    ours, theirs = copy.deepcopy(new), copy.deepcopy(model)
    with torch.no_grad():
        for _ in range(3):
            ours(*inputs)
            theirs(*inputs)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)


def test_other_shapes_dtypes_modes_and_gradients_go_to_the_reference():
    model, new, (x,), _ = build(MODELS["group_norm"])
    other = torch.randn(2, 6, 5, 4)
    with torch.no_grad():
        assert torch.equal(new(other), model(other))
        assert torch.equal(new.double()(x.double()), model.double()(x.double()))
    model, new, (x,), _ = build(MODELS["group_norm"])
    new(x).sum().backward()
    assert all(p.grad is not None for p in new.parameters())


def test_both_modes_of_a_module_have_kernels():
    model, new, (x,), generated = build(MODELS["batch_norm"])
    assert "_km_forward_1" in generated
    model.load_state_dict(new.state_dict())
    model.eval()
    new.eval()
    new.m[0].forward = None  # the reference's own layers are not called
    with torch.no_grad():
        torch.testing.assert_close(new(x), model(x))


def test_a_module_without_modes_has_one_forward_for_both():
    model, new, (x,), generated = build(MODELS["group_norm"])
    assert "_km_forward_1" not in generated
    new.eval()
    new.m[0].forward = None
    with torch.no_grad():
        torch.testing.assert_close(new(x), model(x))


def test_a_mixture_of_modes_goes_to_the_reference():
    model, new, (x,), _ = build(MODELS["batch_norm"])
    for module in (model, new):
        module.m[0].eval()
    with torch.no_grad():
        assert torch.equal(new(x), model(x))


def test_an_index_out_of_range_is_an_error_as_in_torch():
    model, new, (x, y), _ = build(MODELS["cross_entropy"])
    y = y.clone()
    y[3] = 70
    with torch.no_grad(), pytest.raises(IndexError):
        new(x, y)


def test_weights_are_read_at_every_call():
    model, new, (x,), _ = build(MODELS["group_norm"])
    with torch.no_grad():
        new.m[0].weight.mul_(3)
        model.m[0].weight.mul_(3)
        torch.testing.assert_close(new(x), model(x))


def test_an_operator_that_is_not_known_stays_a_torch_call():
    source = text("torch.sort(x * 2, 1)[0].tanh()", "torch.randn(5, 9)")
    model, new, inputs, generated = build(source)
    assert "aten.sort" in generated
    assert_agrees(model, new, inputs, "sort")
