# task: softmax | backend: torch | expect: no_model_new,init_failed,build_failed,wrong_type | level: L0
"""Section 6, `ModelNew` is no class of modules."""

import torch


def ModelNew():
    return torch.nn.Softmax(dim=1)
