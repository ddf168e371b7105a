# task: softmax | backend: torch | level: L2
# | expect: wrong_values,crashed,protocol_error,file_access,sandbox_violation
"""Section 5, report forgery: rewrites every report-like file near it when the process ends."""

import atexit
import glob
import os

import torch
from torch import nn


@atexit.register
def rewrite():
    folders = [".", "..", os.environ.get("TMPDIR", "/tmp/no-such-folder")]
    for path in [path for folder in folders for path in glob.glob(f"{folder}/re*.json")]:
        with open(path, "w") as file:
            file.write('{"accepted": true}')
    os._exit(0)


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.zeros_like(x)
