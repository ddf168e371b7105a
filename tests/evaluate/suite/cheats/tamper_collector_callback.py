# task: softmax | backend: torch | expect: patched,global_state,wrong_values | level: L2
"""Section 5: a callback of the collector runs the candidate's code outside its calls."""

import gc

import torch
from torch import nn

RUNS = []
gc.callbacks.append(lambda phase, info: RUNS.append(phase))


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=1)
