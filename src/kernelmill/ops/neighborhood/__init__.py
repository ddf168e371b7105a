"""Neighborhood attention: fused and unfused, on grids of one to three axes."""

from kernelmill.ops.neighborhood.masks import neighborhood_block_mask, neighborhood_mask
from kernelmill.ops.neighborhood.merge import merge_attentions
from kernelmill.ops.neighborhood.op import (
    attention,
    na1d,
    na2d,
    na3d,
    neighborhood_attention,
)
from kernelmill.ops.neighborhood.unfused import (
    na1d_av,
    na1d_qk,
    na2d_av,
    na2d_qk,
    na3d_av,
    na3d_qk,
)
from kernelmill.ops.neighborhood.windows import window_bounds

__all__ = [
    "attention",
    "merge_attentions",
    "na1d",
    "na1d_av",
    "na1d_qk",
    "na2d",
    "na2d_av",
    "na2d_qk",
    "na3d",
    "na3d_av",
    "na3d_qk",
    "neighborhood_attention",
    "neighborhood_block_mask",
    "neighborhood_mask",
    "window_bounds",
]
