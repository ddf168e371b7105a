from __future__ import annotations

import random

import pytest
import torch

from kernelmill import backends
from kernelmill.backends import BuildSpec
from kernelmill.evaluate.evaluation import Evaluation, Timing
from kernelmill.search.proposers._embed import embed
from kernelmill.search.proposers.compile import BASELINE, CompileProposer, make
from kernelmill.search.types import Context, Node
from kernelmill.tasks import Program, Task

CONV = '''
"""A task."""
from __future__ import annotations

import torch
import torch.nn as nn

channels: int = 4
side, batch = 6, 2

class Model(nn.Module):
    def __init__(self, kernel):
        super().__init__()
        self.conv = nn.Conv2d(3, channels, kernel)
        self.register_buffer("shift", torch.ones(channels, 1, 1))

    def forward(self, x):
        return torch.relu(self.conv(x) + self.shift)

def get_inputs():
    return [torch.randn(batch, 3, side, side)]

def get_init_inputs():
    return [3]

if __name__ == "__main__":
    print(Model(3))
'''
TASK = Task("conv", CONV.lstrip("\n"), overrides={"channels": 8, "side": 5})


def propose(task=TASK, parents=(), **fields):
    context = Context(random.Random(0), **fields)
    return list(CompileProposer().propose(task, list(parents), context))


def node(candidate, fitness):
    timing = Timing(1.0, 1.0 / fitness, fitness, (fitness, fitness), 9) if fitness else None
    return Node(
        3, candidate, Evaluation("accept" if fitness else "reject", "verdict", timing=timing)
    )


def test_plain_torch_compile_comes_first_and_is_marked():
    first, *rest = propose()
    assert first.name == BASELINE and first.provenance["baseline"] == BASELINE
    assert first.provenance["options"] == {} and "options=" not in first.source
    assert rest and not any("baseline" in c.provenance for c in rest)
    assert {c.backend for c in [first, *rest]} == {"inductor"}
    assert len({c.hash for c in [first, *rest]}) == len(rest) + 1


def test_options_exist_in_this_torch():
    import torch._inductor.config as config

    known = config.get_config_copy()
    for device in ("cpu", "cuda"):
        for candidate in propose(device=device):
            assert set(candidate.provenance["options"]) <= set(known), candidate.name


def test_cuda_graphs_belong_to_the_gpu_and_their_results_are_copied():
    def graphs(device):
        found = propose(device=device)
        return [c for c in found if c.provenance["options"].get("triton.cudagraphs")]

    assert not graphs("cpu")
    assert graphs("cuda") and all("_own(" in c.source for c in graphs("cuda"))


def test_freezing_is_never_proposed():
    assert not any("freezing" in c.source for d in ("cpu", "cuda") for c in propose(device=d))


def test_what_does_not_apply_is_not_proposed():
    text = CONV.lstrip("\n").replace("self.conv(x)", "x")
    text = text.replace("nn.Conv2d(3, channels, kernel)", "None").replace("conv", "nothing")
    plain = Task("plain", text)
    names = [c.name for c in propose(plain)]
    assert not any("channels last" in n or "max-autotune" in n for n in names)
    assert any("channels last" in c.name for c in propose())


def test_little_time_means_few_candidates():
    assert [c.name for c in propose(seconds_left=10)] == [BASELINE]
    assert len(propose(seconds_left=70)) < len(propose(seconds_left=1000))


def test_only_asked_for_backends():
    assert propose(facts={"backends": ["cpp"]}) == []


def test_improvements_join_settings_of_accepted_parents():
    parent = make(embed(TASK), {"cpp.simdlen": 256}, name="parent")
    found = propose(parents=[node(parent, 2.0)])
    assert found
    for candidate in found:
        assert candidate.provenance["options"]["cpp.simdlen"] == 256
        assert len(candidate.provenance["options"]) == 2 or candidate.provenance["channels_last"]
    assert propose(parents=[node(parent, 0.0)]) == []
    full = make(embed(TASK), dict.fromkeys("abc", 1), channels_last=True)
    assert propose(parents=[node(full, 2.0)]) == []


def test_the_reference_travels_with_its_overrides_and_without_its_generators():
    text = embed(TASK)
    assert "get_inputs" not in text and "__main__" not in text
    names: dict = {}
    exec(text, names)
    assert names["channels"] == 8 and (names["side"], names["batch"]) == (5, 2)
    assert text.startswith('"""A task."""\nfrom __future__')


def test_a_payload_travels_too():
    text = (
        '"""Doc."""\nfrom __future__ import annotations\nvalue = __payload__\nclass Model: pass\n'
    )
    names: dict = {}
    payload = bytes(range(256)) * 3
    exec(embed(Task("p", text, payload=payload)), names)
    assert names["value"] == payload
    assert embed(Task("p", text, payload=bytes(40 << 20))) is None


@pytest.mark.slow
def test_candidates_keep_the_state_serve_every_instance_and_read_fresh_weights(
    tmp_path, monkeypatch
):
    for name in ("TORCHINDUCTOR_CACHE_DIR", "TORCHINDUCTOR_COMPILE_THREADS"):
        monkeypatch.setenv(name, "")
    program = Program(TASK)
    (candidate,) = (c for c in propose() if "channels last" in c.name)
    cls = backends.get("inductor").build(candidate.source, tmp_path, BuildSpec())
    for seed in (0, 1):
        reference, x = program.make_model(seed), program.make_inputs(seed)[0]
        model = cls(*program.init_inputs())
        assert list(model.state_dict()) == list(reference.state_dict())
        model.load_state_dict(reference.state_dict())
        assert model.conv.weight.is_contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            assert torch.allclose(model(x), reference(x), rtol=1e-5, atol=1e-5)
            model.conv.weight.data.zero_()
            reference.conv.weight.data.zero_()
            assert torch.allclose(model(x), reference(x), rtol=1e-5, atol=1e-5)
