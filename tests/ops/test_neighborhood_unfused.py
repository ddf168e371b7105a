"""Unfused neighborhood attention, masks of the windows, merged attention: against goldens."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kernelmill.ops.neighborhood import (
    merge_attentions,
    neighborhood_block_mask,
    neighborhood_mask,
    unfused,
    window_bounds,
)
from kernelmill.ops.neighborhood.arguments import check_window
from kernelmill.ops.neighborhood.dense import attend as attend_dense
from kernelmill.ops.neighborhood.masks import BLOCK, block_mask
from tests.goldens import config, load, names

SYSTEM = "neighborhood-attention"
QK = (unfused.na1d_qk, unfused.na2d_qk, unfused.na3d_qk)
AV = (unfused.na1d_av, unfused.na2d_av, unfused.na3d_av)


@pytest.mark.parametrize("name", [n for n in names(SYSTEM) if n.startswith("u")])
def test_goldens(name):
    data, fields = load(SYSTEM, name), config(SYSTEM, name)
    rank = len(fields["kernel_size"])
    k, d = tuple(fields["kernel_size"]), tuple(fields["dilation"])
    causal = fields["is_causal"]
    causal = tuple(causal) if isinstance(causal, list) else causal
    x = {
        n.removeprefix("input/"): t.requires_grad_(n != "input/cotangent")
        for n, t in data.items()
        if n.startswith("input/")
    }
    logits = QK[rank - 1](
        x["query"], x["key"], k, d, x.get("additional_keys"), causal, x.get("rpb")
    )
    torch.testing.assert_close(logits, data["output/attn_logits"], atol=1e-10, rtol=0)
    out = AV[rank - 1](logits.softmax(-1), x["value"], k, d, x.get("additional_values"), causal)
    torch.testing.assert_close(out, data["output/out"], atol=1e-10, rtol=0)
    (out * x["cotangent"]).sum().backward()
    for n, wanted in data.items():
        if n.startswith("grad/"):
            found = x[n.removeprefix("grad/")].grad
            torch.testing.assert_close(found, wanted, atol=1e-10, rtol=0, msg=n)


def test_oldest_names():
    q, k, v = torch.randn(3, 2, 3, 11, 4)
    rpb = torch.randn(3, 9)
    logits = unfused.natten1dqkrpb(q, k, rpb, 5, 2)
    assert torch.equal(logits, unfused.na1d_qk(q, k, 5, 2, rpb=rpb))
    assert torch.equal(unfused.natten1dav(logits, v, 5, 2), unfused.na1d_av(logits, v, 5, 2))
    q, v = (x.unflatten(2, (11, 1)).expand(-1, -1, -1, 7, -1) for x in (q, v))
    logits = unfused.natten2dqkrpb(q, q, None, 3, 2)
    assert torch.equal(logits, unfused.na2d_qk(q, q, 3, 2))
    assert torch.equal(unfused.natten2dav(logits, v, 3, 2), unfused.na2d_av(logits, v, 3, 2))


CASES = [
    ((67,), 7, 1, 3, False),
    ((150,), 6, 4, 4, True),
    ((9, 22), (3, 6), 1, (2, 3), False),
    ((13, 11), (4, 3), (2, 1), (2, 3), (False, True)),
    ((5, 7, 6), (3, 2, 4), (2, 1, 3), (1, 3, 1), (True, False, True)),
]


@pytest.mark.parametrize(("shape", *"ksd", "causal"), CASES)
def test_any_window_with_additional_keys(shape, k, s, d, causal):
    """`attend`, gradients included, against attention with a mask; several tiles an axis."""
    generator = torch.Generator().manual_seed(0)

    def randn(*shape) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()

    window = check_window(shape, k, s, d, causal)
    x = [randn(2, *shape, 4, 3), *(randn(2, *shape, 2, 3) for _ in "kv")]
    extra = [randn(2, 2, 2, 3), randn(2, 2, 2, 3)]
    free = not any(window.is_causal)
    rpb = [randn(4, *(2 * k - 1 for k in window.kernel_size))] if free else [None]
    inputs = [t for t in (*x, *extra, *rpb) if t is not None]
    results = []
    for function in (unfused.attend, attend_dense):
        out, lse = function(*x, window, 0.4, *extra, *rpb)
        loss = (out * out.detach().cos()).sum() + lse.sin().sum()
        results.append([out, lse, *torch.autograd.grad(loss, inputs)])
    for found, wanted in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-10, rtol=1e-10)


def test_gradients_of_every_order():
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 1, 3, 4, 2, dtype=torch.float64).requires_grad_() for _ in "qkv")
    rpb = torch.randn(1, 5, 5, dtype=torch.float64).requires_grad_()

    def attention(q, k, v, rpb):
        return unfused.na2d_av(unfused.na2d_qk(q, k, 3, rpb=rpb).tanh(), v, 3)

    torch.autograd.gradcheck(attention, (q, k, v, rpb))
    torch.autograd.gradgradcheck(attention, (q, k, v, rpb), fast_mode=True)


def test_registered_operators():
    torch.manual_seed(0)
    window = ([3, 2], [1, 2], [2, 1], [False, True])
    q = torch.randn(2, 2, 6, 5, 3, requires_grad=True)
    attn = torch.randn(2, 2, 6, 5, 6, requires_grad=True)
    for op, first in ((unfused._pn, q), (unfused._nn, attn), (unfused._in, attn)):
        torch.library.opcheck(op, (first, q, *window))


def test_compiles_whole():
    torch.manual_seed(0)
    q = torch.randn(2, 2, 7, 9, 4, requires_grad=True)
    rpb = torch.randn(2, 5, 9, requires_grad=True)

    def attention(q, rpb, causal):
        logits = unfused.na2d_qk(q, q, (3, 5), is_causal=causal, rpb=rpb)
        return unfused.na2d_av(logits.softmax(-1), q, (3, 5), is_causal=causal)

    for bias, causal in ((rpb, False), (None, (True, False))):
        compiled = torch.compile(attention, backend="aot_eager", fullgraph=True)
        found, wanted = compiled(q, bias, causal), attention(q, bias, causal)
        torch.testing.assert_close(found, wanted)
        found, wanted = (torch.autograd.grad(x.sin().sum(), q) for x in (found, wanted))
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half(dtype):
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 1, 2, 20, 8).to(dtype)
    attn = unfused.na1d_qk(q, k, 5).softmax(-1, dtype=torch.float32)  # as under autocast
    out = unfused.na1d_av(attn, v, 5)
    wide = unfused.na1d_av(unfused.na1d_qk(q.float(), k.float(), 5).softmax(-1), v.float(), 5)
    assert out.dtype == dtype
    torch.testing.assert_close(out.float(), wide, atol=3e-2, rtol=0)


def test_strided_and_empty_inputs_and_same_gradients_again():
    torch.manual_seed(0)
    qkv = torch.randn(2, 30, 3, 4, 8, requires_grad=True)

    def gradient():
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        out = unfused.na1d_av(unfused.na1d_qk(q, k, 7, 2).softmax(-1), v, 7, 2)
        return out, *torch.autograd.grad(out.square().sum(), qkv)

    q, k, v = (x.contiguous() for x in qkv.permute(2, 0, 3, 1, 4))
    wanted = unfused.na1d_av(unfused.na1d_qk(q, k, 7, 2).softmax(-1), v, 7, 2)
    first, second = gradient(), gradient()
    torch.testing.assert_close(first[0], wanted)
    assert torch.equal(first[1], second[1])
    empty = torch.zeros(0, 2, 9, 4, requires_grad=True)
    out = unfused.na1d_av(unfused.na1d_qk(empty, empty, 3), empty, 3)
    out.sum().backward()
    assert out.shape == empty.grad.shape == empty.shape


X = torch.zeros(1, 2, 9, 4)


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("kernel_size: got 4; the unfused", lambda: unfused.na1d_qk(X, X, 4)),
        ("5 * 2 = 10 on axis 0", lambda: unfused.na1d_qk(X, X, 5, 2)),
        (r"query: got shape (1, 2, 9, 4), wanted (B, H, X, Y, D)",
         lambda: unfused.na2d_qk(X, X, 3)),
        ("key: got torch.float32 (1, 2, 8, 4)", lambda: unfused.na1d_qk(X, X[:, :, 1:], 3)),
        ("key: got torch.float64", lambda: unfused.na1d_qk(X, X.double(), 3)),
        ("rpb: got shape (2, 3)", lambda: unfused.na1d_qk(X, X, 3, rpb=torch.zeros(2, 3))),
        ("rpb: not defined with causal",
         lambda: unfused.na1d_qk(X, X, 3, is_causal=True, rpb=torch.zeros(2, 5))),
        ("additional_keys: got", lambda: unfused.na1d_qk(X, X, 3, 1, X[:, :1])),
        ("attn: got shape (1, 2, 9, 4)", lambda: unfused.na1d_av(X, X, 3)),
        ("additional_values: got", lambda: unfused.na1d_av(X, X, 3, 1, X[..., :2])),
    ],
)  # fmt: skip
def test_errors(message, call):
    with pytest.raises(ValueError) as caught:
        call()
    assert message in str(caught.value)


def test_masks_equal_goldens():
    data = load(SYSTEM, "w01_windows")
    for axis, wanted in zip(data["input/config"].tolist(), data["output/mask"], strict=True):
        length, k, s, d, causal = axis
        wanted = wanted[:length, :length].bool()
        assert torch.equal(neighborhood_mask(length, k, s, d, bool(causal)), wanted), axis
        start, end = window_bounds(length, k, s, d, bool(causal))
        for query, row in enumerate(wanted):
            r = torch.arange(start[query], end[query] + 1)
            assert torch.nonzero(row).flatten().tolist() == (r * d + query % d).tolist(), axis


BLOCKS = [
    ((1009,), 300, 1, 1, False),
    ((1009,), 6, 1, 150, False),
    ((1009,), 30, 7, 10, True),
    ((512,), 512, 1, 1, False),
    ((29, 37), (7, 8), (2, 1), (1, 3), (True, False)),
    ((8, 160), (3, 33), 1, 1, False),
    ((16, 256), (9, 200), (1, 200), 1, False),
    ((5, 7, 31), (3, 4, 9), (1, 2, 3), (1, 1, 3), (True, False, False)),
]


@pytest.mark.parametrize("extra", [0, 300])
@pytest.mark.parametrize(("shape", *"ksd", "causal"), BLOCKS)
def test_block_mask_covers_the_mask(shape, k, s, d, causal, extra):
    mask = neighborhood_mask(shape, k, s, d, causal)
    tokens = len(mask)
    if extra:
        blocks = block_mask(shape, check_window(shape, k, s, d, causal), extra, None)
        mask = torch.nn.functional.pad(mask, (0, extra), value=True)
    else:
        blocks = neighborhood_block_mask(shape, k, s, d, causal)
    row, column = torch.arange(tokens)[:, None], torch.arange(tokens + extra)
    assert torch.equal(blocks.mask_mod(0, 0, row, column), mask)
    rows, columns = (-(-n // BLOCK) for n in mask.shape)
    counts = torch.zeros(rows * BLOCK, columns * BLOCK, dtype=torch.long)
    counts[:tokens, : tokens + extra] = mask
    counts = counts.view(rows, BLOCK, columns, BLOCK).sum((1, 3))
    full = torch.zeros(rows, columns, dtype=torch.bool)
    for i, count in enumerate(blocks.full_kv_num_blocks[0, 0]):
        full[i, blocks.full_kv_indices[0, 0, i, :count].long()] = True
    touched = blocks.to_dense()[0, 0].bool()
    assert (counts[full] == BLOCK * BLOCK).all()
    assert touched[counts > 0].all()
    # Tight: few blocks are marked in vain, and few full ones as partial.
    assert touched.sum() <= 1.1 * (counts > 0).sum() + 1
    assert full.sum() >= 0.9 * (counts == BLOCK * BLOCK).sum() - 1


@pytest.mark.parametrize("name", ["a01_merge2", "a02_merge3"])
def test_merge(name):
    data = load(SYSTEM, name)
    count = sum(n.startswith("input/out") for n in data)
    outs = [data[f"input/out{i}"] for i in range(count)]
    lses = [data[f"input/lse{i}"] for i in range(count)]
    out, lse = merge_attentions(outs, lses)
    torch.testing.assert_close(out, data["output/out"], atol=2e-5, rtol=1e-6)
    torch.testing.assert_close(lse, data["output/lse"], atol=2e-5, rtol=1e-6)
    double = merge_attentions([x.double() for x in outs], [x.double() for x in lses])
    for found, wanted in zip(double, (data["output64/out"], data["output64/lse"]), strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-10, rtol=0)


def test_gradient_of_merged_attention():
    """Through the lse of both parts: as of one attention over all keys."""
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 5, 3, 4, dtype=torch.float64, requires_grad=True) for _ in "qkv")

    def attention(key, value):
        logits = torch.einsum("bqhd,bkhd->bqhk", q, key)
        lse = logits.logsumexp(-1)
        return torch.einsum("bqhk,bkhd->bqhd", (logits - lse[..., None]).exp(), value), lse

    parts = [attention(k[:, i:j], v[:, i:j]) for i, j in ((0, 2), (2, 3), (3, 5))]
    results = []
    for out, lse in (merge_attentions(*zip(*parts, strict=True)), attention(k, v)):
        loss = out.sin().sum() + lse.square().sum()
        results.append([out, lse, *torch.autograd.grad(loss, (q, k, v), retain_graph=True)])
    for found, wanted in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-10, rtol=0)
