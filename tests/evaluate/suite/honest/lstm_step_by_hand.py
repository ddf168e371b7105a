# task: lstm_step | backend: torch
import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.cell = nn.LSTMCell(dim, dim)

    def forward(self, x, h, c):
        p = self.cell
        gates = torch.addmm(p.bias_ih + p.bias_hh, x, p.weight_ih.t()) + h @ p.weight_hh.t()
        i, f, g, o = gates.chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return torch.tanh(h), (h, c)
