# task: layer_norm | backend: torch | needs: backward
# A backward pass of its own.
import torch
from torch import nn


class Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias):
        var, mean = torch.var_mean(x, dim=-1, correction=0, keepdim=True)
        scale = torch.rsqrt(var + 1e-5)
        normal = (x - mean) * scale
        ctx.save_for_backward(normal, scale, weight)
        return normal * weight + bias

    @staticmethod
    def backward(ctx, grad):
        normal, scale, weight = ctx.saved_tensors
        g = grad * weight
        gx = g - g.mean(-1, keepdim=True) - normal * (g * normal).mean(-1, keepdim=True)
        return gx * scale, (grad * normal).sum(0), grad.sum(0)


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x):
        return Norm.apply(x, self.weight, self.bias)
