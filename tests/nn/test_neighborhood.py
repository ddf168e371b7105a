"""NeighborhoodAttention1D, 2D and 3D: goldens, state, training, conventions."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from kernelmill.nn import (
    NeighborhoodAttention1D,
    NeighborhoodAttention2D,
    NeighborhoodAttention3D,
)
from kernelmill.nn import neighborhood as natten
from tests.goldens import config, load

SYSTEM = "neighborhood-attention"
LAYERS = (NeighborhoodAttention1D, NeighborhoodAttention2D, NeighborhoodAttention3D)


@pytest.mark.parametrize("backend", [None, "dense", "reference"])
@pytest.mark.parametrize("rank", range(3))
def test_goldens(rank, backend):
    name = f"m0{rank + 1}_module{rank + 1}d"
    data, fields = load(SYSTEM, name), config(SYSTEM, name)
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items() if k != "seed"}
    state = {k.removeprefix("state/"): v for k, v in data.items() if k.startswith("state/")}
    fields["qkv_bias"] = "qkv.bias" in state
    layer = LAYERS[rank](**fields, backend=backend)
    layer.load_state_dict(state)
    assert layer.state_dict().keys() == state.keys()
    x = data["input/x"].requires_grad_()
    y = layer(x)
    torch.testing.assert_close(y, data["output/y"], atol=2e-5, rtol=0)
    (y * data["input/cotangent"]).sum().backward()
    found = {"x": x.grad, **{k: p.grad for k, p in layer.named_parameters()}}
    for key, grad in found.items():
        wanted = data[f"grad/{key}"]
        scale = max(wanted.abs().max().item(), 1)
        torch.testing.assert_close(grad / scale, wanted / scale, atol=2e-5, rtol=0, msg=key)


def layers(**fields) -> list[tuple[nn.Module, torch.Tensor]]:
    torch.manual_seed(0)
    return [
        (LAYERS[0](8, 2, 5, 2, 2, **fields), torch.randn(2, 13, 8)),
        (LAYERS[1](8, 2, (3, 4), **fields), torch.randn(2, 5, 6, 8)),
        (LAYERS[2](8, 2, (1, 3, 2), dilation=(1, 1, 2), **fields), torch.randn(2, 3, 4, 5, 8)),
    ]


@pytest.mark.parametrize("bias", [False, True])
def test_state_round_trip(bias):
    for layer, x in layers(rel_pos_bias=bias):
        twin = copy.deepcopy(layer)
        assert torch.equal(twin(x), layer(x))
        twin.reset_parameters()
        assert not torch.equal(twin(x), layer(x))
        twin.load_state_dict(layer.state_dict())
        assert torch.equal(twin(x), layer(x))
        keys = {"qkv.weight", "qkv.bias", "proj.weight", "proj.bias"} | ({"rpb"} if bias else set())
        assert set(layer.state_dict()) == keys
        if bias:
            assert layer.no_weight_decay() == {"rpb"}
            assert 0 < layer.rpb.abs().max() < 0.5 and layer.rpb.requires_grad


def test_meta_device():
    layer = LAYERS[1](8, 2, 3, rel_pos_bias=True, device="meta", dtype=torch.float64)
    assert layer.rpb.is_meta and layer.qkv.weight.dtype == torch.float64
    assert layer(torch.empty(1, 4, 4, 8, device="meta", dtype=torch.float64)).is_meta
    layer.to_empty(device="cpu").reset_parameters()
    assert layer(torch.randn(1, 4, 4, 8, dtype=torch.float64)).isfinite().all()


def test_old_arguments():
    """A NAT layer as of NATTEN 0.17: the old name of the width, and a bias that is used."""
    layer = LAYERS[1](dim=8, num_heads=2, kernel_size=3, dilation=2, rel_pos_bias=True)
    assert layer.rpb.shape == (2, 5, 5)
    with torch.no_grad():
        layer.rpb.normal_()
    x = torch.randn(1, 6, 7, 8)
    q, k, v = layer.qkv(x).view(1, 6, 7, 3, 2, 4).permute(3, 0, 4, 1, 2, 5)
    logits = natten.natten2dqkrpb(q * 4**-0.5, k, layer.rpb, 3, 2)
    out = natten.natten2dav(logits.softmax(-1), v, 3, 2)
    wanted = layer.proj(out.permute(0, 2, 3, 1, 4).flatten(-2))
    torch.testing.assert_close(layer(x), wanted)


@pytest.mark.parametrize("bias", [False, True])
def test_dropped_weights(bias):
    for layer, x in layers(attn_drop=0.5, rel_pos_bias=bias):
        wanted = layer.eval()(x)
        layer.train()
        torch.manual_seed(1)
        first, second = layer(x), layer(x)
        assert not torch.equal(first, second)
        layer.attn_drop = 1e-9  # the unfused path, with nothing dropped
        torch.testing.assert_close(layer(x), wanted)
        layer.attn_drop = 0.5
        many = layer(x[:1].expand(400, *x.shape[1:]))
        torch.testing.assert_close(many.mean(0), wanted[0], atol=0.15, rtol=0)
    layer(x).sum().backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


def test_dropped_output():
    layer = LAYERS[0](8, 2, 3, proj_drop=0.5)
    x = torch.randn(1, 40, 8)
    assert (layer(x) == 0).float().mean() > 0.3
    assert not (layer.eval()(x) == 0).any()


@pytest.mark.parametrize("fields", [{}, {"rel_pos_bias": True}, {"attn_drop": 0.3}], ids=str)
def test_compiles_whole(fields):
    for layer, x in layers(**fields):
        torch._dynamo.reset()  # the layers share their code, and the limit of recompilations
        layer.eval()
        compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
        torch.testing.assert_close(compiled(x), layer(x))
        layer.train()
        compiled(x).square().sum().backward()
        assert layer.qkv.weight.grad.isfinite().all()


@pytest.mark.parametrize("fields", [{"backend": "dense"}, {"attn_drop": 1e-9}, {}], ids=str)
def test_exports(fields):
    for layer, x in layers(rel_pos_bias=True, **fields):
        program = torch.export.export(layer, (x,))
        torch.testing.assert_close(program.module()(x), layer(x))


@pytest.mark.parametrize("fields", [{"rel_pos_bias": True}, {"attn_drop": 1e-9}], ids=str)
def test_autocast(fields):
    for layer, x in layers(**fields):
        with torch.autocast("cpu", torch.bfloat16):
            y = layer(x)
        assert y.dtype == torch.bfloat16
        torch.testing.assert_close(y.float(), layer(x), atol=3e-2, rtol=3e-2)
        y.float().square().sum().backward()
        assert layer.qkv.weight.grad.dtype == torch.float32


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        ("num_heads: got 3 for embed_dim = 8", dict(num_heads=3)),
        ("kernel_size: got (3,) with 1 entries for 2 axes", dict(kernel_size=(3,))),
        ("kernel_size: got True", dict(kernel_size=True)),
        ("kernel_size: got 0 on axis 0", dict(kernel_size=0)),
        ("stride: got 4 on axis 1, wanted at most kernel_size = 3", dict(stride=(1, 4))),
        ("dilation: got 0", dict(dilation=0)),
        ("is_causal: got 1", dict(is_causal=1)),
        ("rel_pos_bias: not defined", dict(rel_pos_bias=True, is_causal=(False, True))),
        ("proj_drop: got 1", dict(proj_drop=1)),
        ("attn_drop: got -0.1", dict(attn_drop=-0.1)),
        ("backend: got 'x'", dict(backend="x")),
        ("scale: got nan", dict(qk_scale=float("nan"))),
        ("embed_dim: got 8 beside dim = 8", dict(dim=8)),
    ],
)
def test_bad_arguments(message, fields):
    with pytest.raises(ValueError) as caught:
        LAYERS[1](**{"embed_dim": 8, "num_heads": 2, "kernel_size": 3, **fields})
    assert message in str(caught.value)


def test_bad_inputs():
    layer = LAYERS[1](8, 2, 3, dilation=2)
    for shape in ((1, 8, 8), (1, 8, 8, 4), (1, 8, 8, 1, 8)):
        with pytest.raises(ValueError, match=r"wanted \(B, X, Y, C\) with C = 8"):
            layer(torch.zeros(shape))
    with pytest.raises(ValueError, match=r"3 \* 2 = 6 on axis 1, which has only 5 tokens"):
        layer(torch.zeros(1, 8, 5, 8))


def test_stands_for_natten():
    x = torch.randn(1, 6, 6, 2, 4)
    out, lse = natten.neighborhood_attention_generic(x, x, x, 3, return_lse=True)
    assert torch.equal(out, natten.na2d(x, x, x, 3, backend="cutlass-fna"))
    more, more_lse = natten.attention(*(x.flatten(1, 2),) * 3, return_lse=True)
    merged, _ = natten.merge_attentions([out.flatten(1, 2), more], [lse.flatten(1, 2), more_lse])
    assert merged.shape == more.shape
    assert all(hasattr(natten, name) for name in natten.__all__)
    text = repr(LAYERS[1](8, 2, 3, rel_pos_bias=True, backend="dense"))
    assert "8, num_heads=2, kernel_size=(3, 3), stride=(1, 1)" in text
    assert "rel_pos_bias=True, backend='dense'" in text
