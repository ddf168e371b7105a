"""GeMPool2d and GroupGeMPool: values, state, training, conventions."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from kernelmill.nn import GeMPool2d, GroupGeMPool
from kernelmill.ops import gem


def test_tokens_and_feature_maps_agree():
    x = torch.rand(2, 12, 5, 6)
    p = [1.5, 2.0, 4.0]
    maps = GroupGeMPool(12, 3, p=p, channels_last=False)(x)
    tokens = GroupGeMPool(12, 3, p=p)(x.flatten(2).transpose(1, 2))
    nhwc = GroupGeMPool(12, 3, p=p)(x.permute(0, 2, 3, 1))
    torch.testing.assert_close(maps, tokens)
    torch.testing.assert_close(nhwc, tokens)
    one = GroupGeMPool(12, channels_last=False)(x)
    torch.testing.assert_close(GeMPool2d()(x), one)
    assert GeMPool2d(keepdim=True)(x).shape == (2, 12, 1, 1)


@pytest.mark.parametrize("make", [lambda **k: GroupGeMPool(8, 4, **k), lambda **k: GeMPool2d(**k)])
def test_state_is_one_tensor(make):
    learnable, fixed = make(), make(learnable=False)
    assert list(learnable.state_dict()) == list(fixed.state_dict()) == ["p"]
    assert [n for n, _ in learnable.named_parameters()] == ["p"]
    assert not list(fixed.parameters())
    assert learnable.no_weight_decay() == {"p"}
    fixed.load_state_dict(learnable.state_dict())
    meta = make(device="meta")
    meta.to_empty(device="cpu").reset_parameters()
    assert torch.equal(meta.p, learnable.p)
    assert torch.equal(copy.deepcopy(learnable).p, learnable.p)


def test_exponents_are_learned_per_group():
    torch.manual_seed(0)
    x = torch.rand(64, 9, 4) + 0.1
    target = gem(x, torch.tensor([1.0, 6.0]), groups=2)
    pool = GroupGeMPool(4, 2)
    optimizer = torch.optim.Adam(pool.parameters(), lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        (pool(x) - target).square().mean().backward()
        optimizer.step()
    assert pool.p[0] < 1.3 and pool.p[1] > 5.0


@pytest.mark.parametrize("learnable", [True, False])
def test_compiles_whole(learnable):
    pool = nn.Sequential(nn.Linear(6, 8), GroupGeMPool(8, 2, learnable=learnable))
    x = torch.randn(3, 7, 6)
    compiled = torch.compile(pool, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), pool(x))


def test_for_vit():
    class Timm(nn.Module):
        embed_dim = 24
        blocks = [SimpleNamespace(attn=SimpleNamespace(num_heads=6))]

    class Transformers(nn.Module):
        config = SimpleNamespace(hidden_size=32, num_attention_heads=4)

    assert GroupGeMPool.for_vit(Timm()).p.shape == (6,)
    assert GroupGeMPool.for_vit(Transformers(), learnable=False).groups == 4
    with pytest.raises(TypeError, match="model: got Linear"):
        GroupGeMPool.for_vit(nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        ("groups: got 3 for dim = 8", dict(dim=8, groups=3)),
        ("p: got", dict(dim=8, groups=2, p=[1.0])),
        ("p: got nan", dict(dim=8, p=float("nan"))),
        ("eps: got 0", dict(dim=8, eps=0.0)),
        ("negative: got 'x'", dict(dim=8, negative="x")),
    ],
)
def test_bad_arguments(message, fields):
    with pytest.raises(ValueError) as caught:
        GroupGeMPool(**fields)
    assert message in str(caught.value)


def test_bad_shapes():
    with pytest.raises(ValueError, match="wanted 8 channels in the last"):
        GroupGeMPool(8)(torch.ones(2, 8, 3))
    with pytest.raises(ValueError, match=r"wanted \(B, C, H, W\)"):
        GeMPool2d()(torch.ones(2, 8, 3))
