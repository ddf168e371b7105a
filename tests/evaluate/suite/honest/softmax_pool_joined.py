# task: softmax | backend: torch
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        parts = torch.chunk(x.detach(), 2)
        with ThreadPoolExecutor(max_workers=2) as pool:
            done = list(pool.map(lambda part: torch.softmax(part, dim=1), parts))
        return torch.cat(done)
