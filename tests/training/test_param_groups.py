"""Parameter groups: who asks for what, shared and frozen parameters."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from kernelmill.nn import GroupGeMPool, LongConv
from kernelmill.training import param_groups


def settings(groups, parameter):
    (group,) = [g for g in groups if any(p is parameter for p in g["params"])]
    return {k: v for k, v in group.items() if k != "params"}


def test_options_of_parameters_and_modules():
    conv, pool, linear = LongConv(4, 8, learning_rate=1e-3), GroupGeMPool(4), nn.Linear(4, 4)
    model = nn.ModuleDict({"conv": conv, "pool": pool, "linear": linear})
    model["linear"].bias._optim = {"betas": (0.5, 0.9)}
    for found in (model, copy.deepcopy(model)):
        groups = param_groups(found, 0.1, 0.2)
        common = {"lr": 0.1, "weight_decay": 0.2}
        assert settings(groups, found["conv"].D) == common
        assert settings(groups, found["conv"].kernel.kernel) == {"lr": 1e-3, "weight_decay": 0.0}
        assert settings(groups, found["pool"].p) == {"lr": 0.1, "weight_decay": 0.0}
    groups = param_groups(model, 0.1, 0.2)
    assert settings(groups, model["linear"].bias) == common | {"betas": (0.5, 0.9)}
    assert {k: v for k, v in groups[0].items() if k != "params"} == common
    optimizer = torch.optim.AdamW(groups)
    assert sum(len(g["params"]) for g in optimizer.param_groups) == len(list(model.parameters()))


def test_options_survive_assigned_state():
    model = LongConv(4, 8, learning_rate=1e-3)
    other = LongConv(4, 8, learning_rate=1e-3, device="meta")
    other.load_state_dict(model.state_dict(), assign=True)
    groups = param_groups(other, 0.1, 0.2)
    assert settings(groups, other.kernel.kernel) == {"lr": 1e-3, "weight_decay": 0.0}


def test_shared_once_and_frozen_never():
    shared = nn.Linear(3, 3)
    model = nn.ModuleList([shared, shared, nn.Linear(2, 2)])
    model[2].weight.requires_grad_(False)
    (group,) = param_groups(model, 0.1)
    assert len(group["params"]) == 3
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="model: got no parameter"):
        param_groups(model, 0.1)
