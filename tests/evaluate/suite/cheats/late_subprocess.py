# task: softmax | backend: torch | expect: @process | level: L1
"""Section 4, worker process: another program left running."""

import subprocess
import sys

import torch
from torch import nn

HELPER = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=1)
