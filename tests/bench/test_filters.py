from __future__ import annotations

import pytest
import torch

from kernelmill.bench.filters import upstream_flags


def test_upstream_filters_tell_weak_outputs_apart():
    free = torch.randn(5, 8, 6, generator=torch.Generator().manual_seed(0))
    assert upstream_flags(free, free) == ()
    assert upstream_flags(free * 1e-4, free) == ("range", "std", "axes")
    assert upstream_flags(free, free[:1].expand(5, 8, 6)) == ("input",)
    assert upstream_flags(free[:, :1].expand(5, 8, 6), free) == ("axes",)


def test_an_axis_of_size_one_is_never_caught():
    free = torch.tensor([[[0.0]], [[1.0]], [[5.0]]])
    assert upstream_flags(free, free) == ()


def test_one_seed_is_refused():
    with pytest.raises(ValueError, match="outputs: want at least 2 seeds"):
        upstream_flags(torch.zeros(1, 3), torch.zeros(2, 3))
