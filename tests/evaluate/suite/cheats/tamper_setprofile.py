# task: softmax | backend: torch | level: L2
# | expect: frame_access,patched,global_state,wrong_values,sandbox_violation
"""Section 5, frames: a profile function sees every frame of the harness and edits its locals."""

import sys

import torch
from torch import nn

SEEN = []


def spy(frame, event, argument):
    for name, value in list(frame.f_locals.items()):
        if isinstance(value, float):
            SEEN.append((frame.f_code.co_name, name, value))


class ModelNew(nn.Module):
    def forward(self, x):
        sys.setprofile(spy)
        return torch.softmax(x, dim=1)
