"""The networks of MultiKernelBench: counts by the table, values by naive formulas."""

import math

import pytest
import torch

from kernelmill.evaluate import Judge, Settings
from kernelmill.tasks import Candidate, Program
from kernelmill.tasks.suites.assembly import without_running_statistics
from kernelmill.tasks.suites.catalog import multikernelbench
from tests.tasks.suite_table import differences, rows

ARCH = {name: entry for name, entry in multikernelbench().items() if entry.category == "arch"}
NORMED = [name for name, entry in ARCH.items() if "nn.BatchNorm" in entry.source()]
REPAIRED = [name for name, entry in ARCH.items() if entry.source() != entry.source(repaired=True)]
GRUS = ("gru", "gru_hidden", "gru_birectional", "gru_bidirectional_hidden")  # 10 s a trace
# Ours minus the table's FLOPs. The table's counter took fused attention for nothing: two products
# of 2 n m d, per layer. It took one image ten times for Swin, whose 13 x 13 distances go through
# their MLP (2 -> 512 -> heads) once per call, whatever the batch.
FLOPS = {
    "vision_transformer": 6 * 197 * (2 * 2 * 2 * 2 * 512),
    "convolutional_vision_transformer": 6 * 10 * (2 * 2 * 2 * 2 * 128),
    "swintransformer_v2": -9
    * sum(
        depth * 2 * 169 * (2 * 512 + 512 * heads)
        for depth, heads in zip((2, 2, 6, 2), (3, 6, 12, 24), strict=True)
    ),
}


def program(name, size="small", repaired=False, **overrides):
    return Program(ARCH[name].task(size, repaired), overrides)


def test_names_are_those_of_the_table():
    assert len(ARCH) == 50
    assert set(ARCH) == {name for name, row in rows().items() if row["category"] == "arch"}
    assert all(ARCH[name].kernelbench == rows()[name]["kernelbench_id"] for name in ARCH)


def check_table(name):
    found = differences(ARCH[name], "head")
    if name in FLOPS:
        want = int(rows()[name]["flops_head"])
        text = f"{name} at head: FLOPs: got {want + FLOPS[name]}, the table says {want}"
        assert found == [text]
    else:
        assert found == []
    assert differences(ARCH[name], "paper") == []


@pytest.mark.parametrize("name", [name for name in ARCH if name not in GRUS])
def test_shapes_and_costs_are_those_of_the_table(name):
    check_table(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", GRUS)
def test_shapes_and_costs_of_recurrent_networks(name):
    check_table(name)


@pytest.mark.parametrize("name", ARCH)
def test_small_networks_are_small_and_answer(name):
    made = program(name)
    model, inputs = made.make_model(0), made.make_inputs(0)
    assert sum(p.numel() for p in model.state_dict().values()) < 1_000_000
    assert sum(x.numel() for x in inputs) < 200_000
    with torch.no_grad():
        output = model(*inputs)
    assert torch.isfinite(output).all() and output.std() > 0


@pytest.mark.parametrize("name", REPAIRED)
def test_repaired_networks_depend_on_inputs_and_keep_nothing(name):
    made = program(name, repaired=True)
    model, inputs = made.make_model(0), made.make_inputs(0)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with torch.no_grad():
        output = model(*inputs)
        torch.manual_seed(7)
        assert torch.equal(model(*inputs), output)
        for index, tensor in enumerate(inputs):
            changed = [*inputs]
            changed[index] = torch.rand_like(tensor)
            assert not torch.allclose(model(*changed), output, rtol=1e-4, atol=0)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not any(isinstance(value, torch.Tensor) for value in vars(model).values())


@pytest.mark.parametrize("name", NORMED)
def test_repaired_batch_norm_is_that_of_training(name):
    if name == "efficientnet_b2":
        return  # its repaired form is another network
    head, repaired = program(name).make_model(3), program(name, repaired=True).make_model(3)
    inputs = program(name).make_inputs(5)
    with torch.no_grad():
        assert torch.equal(head(*inputs), repaired(*inputs))
    assert not [key for key in repaired.state_dict() if "running" in key]
    assert [key for key in head.state_dict() if "running" in key]


def test_every_batch_norm_is_rewritten():
    text = "a = nn.BatchNorm1d(\n    4,\n)\nb = [nn.BatchNorm2d(f(c), eps=1e-3)]  # ä\n"
    assert without_running_statistics(text) == (
        "a = nn.BatchNorm1d(\n    4, track_running_stats=False,\n)\n"
        "b = [nn.BatchNorm2d(f(c), eps=1e-3, track_running_stats=False)]  # ä\n"
    )


def test_vision_transformer_sees_its_image_when_repaired():
    for repaired in (False, True):
        made = program("vision_transformer", repaired=repaired)
        model, (image,) = made.make_model(0), made.make_inputs(0)
        with torch.no_grad():
            same = torch.equal(model(image), model(1 - image))
        assert same is not repaired


@pytest.mark.parametrize("name", ["mamba_return_y", "mamba_return_final_state"])
def test_chunked_state_space_model_is_the_recurrence(name):
    made = program(name)
    model, (x,) = made.make_model(0).double(), made.make_inputs(0)
    x = x.double()
    batch, steps, heads, width = x.shape
    state, outputs = torch.zeros(batch, heads, width, model.B.size(-1)).double(), []
    with torch.no_grad():
        for t in range(steps):
            decay = model.A[:, t].exp()[..., None, None]
            state = decay * state + x[:, t, :, :, None] * model.B[:, t, :, None, :]
            outputs.append((state * model.C[:, t, :, None, :]).sum(-1))
        want = state if name.endswith("state") else torch.stack(outputs, 1)
        torch.testing.assert_close(model(x), want)


def test_shufflenet_interleaves_its_groups():
    model = program("shufflenet_unit").make_model(0).unit
    seen = []
    model.expand.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model.depthwise = torch.nn.Identity()
    model.squeeze = torch.nn.Identity()
    model.shortcut = torch.nn.Conv2d(12, 48, 1)
    model(torch.arange(12.0).view(1, 12, 1, 1).expand(2, 12, 2, 2))
    assert seen[0][0, :, 0, 0].tolist() == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]


def test_swin_windows_come_back_and_masks_part_what_was_apart():
    space = program("swintransformer_v2").namespace
    x = torch.rand(2, 8, 12, 3)
    windows = space["to_windows"](x, 4)
    assert windows.shape == (12, 16, 3)
    assert torch.equal(windows[1].view(4, 4, 3), x[0, :4, 4:8])
    assert torch.equal(space["from_windows"](windows, 4, 8, 12), x)
    mask = space["shift_mask"](8, 4, 2)
    assert not mask[0].any()  # the first window holds neighbours only
    # top right: columns 6, 7 beside columns 0, 1 that the shift brought in
    assert mask[1].view(4, 4, 4, 4)[0, 0, 0].tolist() == [0, 0, -100, -100]
    assert mask[1].view(4, 4, 4, 4)[0, 3, 3].tolist() == [-100, -100, 0, 0]


def test_causal_attention_is_that_of_pytorch():
    made = program("min_gpt_causal_attention")
    model, (x,) = made.make_model(0).attention, made.make_inputs(0)
    with torch.no_grad():
        q, k, v = (p.view(2, 32, 4, 16).transpose(1, 2) for p in model.c_attn(x).split(64, 2))
        y = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        want = model.c_proj(y.transpose(1, 2).reshape(2, 32, 64))
        torch.testing.assert_close(model(x), want)


def test_ghost_clusters_take_weight_and_vanish():
    made = program("net_vlad_with_ghost_clusters", repaired=True)
    model, (x,) = made.make_model(0).pool, made.make_inputs(0)
    centres = model.centres[0]
    with torch.no_grad():
        scores = torch.einsum("bnd,dk->bnk", x, model.clusters)
        scores = (scores - scores.mean((0, 1))) / (scores.var((0, 1), correction=0) + 1e-5).sqrt()
        weights = scores.softmax(-1)[..., :8]
        apart = x[..., None] - centres  # (batch, features, size, clusters)
        vlad = (weights[:, :, None] * apart).sum(1)
        vlad = vlad / vlad.norm(dim=1, keepdim=True) / math.sqrt(8)
        torch.testing.assert_close(model(x), vlad.flatten(1))


@pytest.mark.slow
@pytest.mark.parametrize("repaired", [False, True])
def test_judge_accepts_every_network_as_its_own_answer(repaired):
    weak = {"lstm": {"weak"}, "vision_transformer": {"weak"}}
    # its single pixels are normalised to noise, more or less of it by the seed
    weak["efficientnet_b2"] = {"ok", "weak", "untestable"}
    # their signal fades: for some seeds the image is lost altogether
    weak |= dict.fromkeys(("vgg16", "vgg19", "squeeze_net"), {"ok", "weak"})
    with Judge(Settings(timing=False, threads=1, seed=11)) as judge:
        for name in REPAIRED if repaired else ARCH:
            task = ARCH[name].task("small", repaired)
            copied = task.source.replace("class Model(", "class ModelNew(")
            answer = judge.evaluate(task, Candidate(copied))
            verdict = judge.lint(task).verdict
            assert verdict in ({"ok"} if repaired else weak.get(name, {"ok"})), name
            wanted = "untestable" if verdict == "untestable" else "accept"
            assert answer.status == wanted, (name, answer.reasons)
