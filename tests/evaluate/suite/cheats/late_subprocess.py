# task: softmax | backend: torch | expect: processes_left,process_limit,sandbox_violation,runtime_error,crashed,import_failed,build_failed,timeout | level: L1
"""Section 4, worker process: another program left running."""

import subprocess
import sys

import torch
from torch import nn

HELPER = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=1)
