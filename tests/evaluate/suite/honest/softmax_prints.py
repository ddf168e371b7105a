# task: softmax | backend: torch
# Debug output, a warning and a log line are bad manners and no cheat.
import logging
import sys
import warnings

import torch
from torch import nn

log = logging.getLogger("softmax")
print("loading softmax kernel", file=sys.stderr)


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        warnings.warn("experimental kernel", stacklevel=2)

    def forward(self, x):
        log.warning("rows %d", x.shape[0])
        print("forward", tuple(x.shape))
        return torch.softmax(x, dim=1)
