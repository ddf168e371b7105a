# task: softmax | backend: torch
# Submodules that torch does not import by itself add attributes to it.
import collections
import enum
import itertools
import operator

import numpy as np
import torch
import torch.ao.quantization
import torch.distributions
import torch.fx
import torch.nn.functional as F
import torch.nn.utils.parametrize
import torch.profiler
import torch.utils.benchmark
import torch.utils.checkpoint
from torch import nn


class Axis(enum.Enum):
    ROWS = 0
    COLS = 1


Shape = collections.namedtuple("Shape", ["rows", "cols"])


class ModelNew(nn.Module):
    def forward(self, x):
        shape = Shape(*x.shape)
        parts = itertools.pairwise(np.linspace(0, shape.rows, 4).astype(int).tolist())
        dim = operator.attrgetter("value")(Axis.COLS)
        return torch.cat([F.softmax(x[start:stop], dim=dim) for start, stop in parts])
