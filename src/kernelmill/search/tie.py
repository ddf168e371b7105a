"""Making a kernel use the weights of another module.

Sharing puts the module's own tensors into the kernel: updates in place, ``load_state_dict`` and
gradients all work. A kernel that keeps something made of its weights (a packed copy, a view)
cannot share; it is given copies by ``load_state_dict``, as the judge did, whenever a weight has
changed. Which of the two holds is found out by a trial on scratch copies.
"""

from __future__ import annotations

from typing import Any

import torch


class TieError(Exception):
    """The kernel's state does not fit the module's."""


def match_names(own: dict[str, Any], theirs: dict[str, Any]) -> dict[str, str]:
    """Own name to the other's: by name, else by order, shape and dtype (the judge's rule).

    Raises:
        TieError: neither fits.
    """
    if set(own) == set(theirs):
        return {name: name for name in own}
    if len(own) == len(theirs) and all(
        a.shape == b.shape and a.dtype == b.dtype
        for a, b in zip(own.values(), theirs.values(), strict=True)
    ):
        return dict(zip(own, theirs, strict=True))
    raise TieError(
        f"its parameters and buffers {sorted(own)} fit the module's {sorted(theirs)} neither by "
        "name nor by order and shape"
    )


def state_of(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {k: v for k, v in module.state_dict().items() if isinstance(v, torch.Tensor)}


def _place(module: torch.nn.Module, name: str) -> tuple[dict[str, Any], str]:
    """The dictionary that holds a parameter or buffer, and its key there."""
    path, _, leaf = name.rpartition(".")
    owner = module.get_submodule(path)
    table = owner._parameters if leaf in owner._parameters else owner._buffers
    if leaf not in table:
        raise TieError(f"{name} is neither a parameter nor a buffer")
    return table, leaf


class Tie:
    """Keeps the state of ``kernel`` at that of ``module``.

    Args:
        share: the kernel gets the module's own tensors; else copies.
        device: kind of device on which the weights must be.

    Raises:
        TieError: the states do not fit.
    """

    def __init__(
        self, kernel: torch.nn.Module, module: torch.nn.Module, share: bool, device: str = "cpu"
    ):
        names = match_names(state_of(kernel), state_of(module))
        self.kernel, self.share, self.names, self.device = kernel, share, names, device
        self.links = []
        for mine, theirs in names.items():
            table, leaf = _place(kernel, mine)
            source, key = _place(module, theirs)
            tensor = table[leaf]
            self.links.append((source, key, table, leaf, tensor.dtype, tensor.shape, theirs))
        self.seen: list[tuple[int, int, int]] = []
        self.update()

    def refusal(self) -> str | None:
        """Why the module's present state does not fit; ``None``: it does."""
        for source, key, _, _, dtype, shape, name in self.links:
            tensor = source[key]
            if tensor is None or tensor.dtype != dtype or tensor.shape != shape:
                now = "gone" if tensor is None else f"{tensor.dtype} {tuple(tensor.shape)}"
                return f"{name} is {now}, proven was {dtype} {tuple(shape)}"
            if tensor.device.type != self.device:
                return f"{name} is on {tensor.device}, proven was {self.device}"
        return None

    def update(self) -> None:
        """Follow the module. Sharing: take over tensors that were replaced. Copying: load them
        again where any has changed."""
        if self.share:
            for source, key, table, leaf, *_ in self.links:
                if table[leaf] is not source[key]:
                    table[leaf] = source[key]
            return
        now = [
            (id(source[key]), source[key]._version, source[key].data_ptr())
            for source, key, *_ in self.links
        ]
        if now != self.seen:
            state = {
                mine: link[0][link[1]].detach()
                for mine, link in zip(self.names, self.links, strict=True)
            }
            self.kernel.load_state_dict(state)
            self.seen = now


def perturb(module: torch.nn.Module, seed: int = 0) -> None:
    """Change every floating weight in place, a little; what is positive stays so."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in state_of(module).values():
            if tensor.is_floating_point():
                noise = torch.rand(tensor.shape, generator=generator).to(tensor)
                tensor.mul_(1 + 0.25 * noise).add_(0.05 * noise)
