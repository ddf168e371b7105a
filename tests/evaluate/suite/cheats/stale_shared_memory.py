# task: softmax | backend: torch | level: L1
# | expect: @process,wrong_values,stale_output,timing_wrong_values,file_access
"""Section 2, cache in a shared memory block that outlives the process."""

from multiprocessing import resource_tracker, shared_memory

import numpy as np
import torch
from torch import nn


def block(size):
    try:
        found = shared_memory.SharedMemory(f"softmax_{size}")
        return found, True
    except FileNotFoundError:
        made = shared_memory.SharedMemory(f"softmax_{size}", create=True, size=size)
        resource_tracker.unregister(made._name, "shared_memory")
        return made, False


class ModelNew(nn.Module):
    def forward(self, x):
        memory, known = block(x.numel() * 4)
        view = torch.from_numpy(np.ndarray(tuple(x.shape), np.float32, buffer=memory.buf))
        if not known:
            view.copy_(torch.softmax(x, dim=1))
        return view.clone()
