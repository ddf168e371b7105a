"""A stack of long convolutions that classifies sequences."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kernelmill.models.long_conv_presets import PRESETS, preset
from kernelmill.nn.long_conv import LongConv, SequenceDropout

NORMS = ("layer", "batch")
POOLS = ("mean", "sum", "max", "last", "none")
TIES = ("residual", "all", "none")


class LongConvModel(nn.Module):
    r"""Encoder, residual long convolutions, pooling over time, linear decoder.

    ``x <- norm(x + dropout(LongConv(x)))``, or ``x <- x + dropout(LongConv(norm(x)))`` (prenorm)

    Args:
        d_input: features per position; or vocab_size: tokens. One of the two.
        d_output: numbers per sample; 0: the pooled features.
        d_model, n_layers: width and depth.
        dropout: in each layer, and on its result.
        prenorm: where the norm is. final_norm: one more before pooling.
        norm: ``"layer"`` (over channels) or ``"batch"`` (over samples and, of them, the positions
            before ``lengths``).
        tie_dropout: where a mask is one for all times: ``"residual"`` (the published standalone
            model), ``"all"`` (also inside the layers) or ``"none"``.
        pool: ``"mean"``, ``"sum"``, ``"max"`` or ``"last"`` over the positions before ``lengths``;
            ``"none"``: the decoder's result for every position.
        pairs: decode two sequences x[:, 0] and x[:, 1] together (matching of documents).
        l_max: taps per kernel.
        device, dtype: of the parameters.
        conv_args: of `kernelmill.nn.LongConv`: channels, bidirectional, mode, lam, ...

    Shapes:
        x: (B, L, d_input), or int (B, L) tokens; with ``pairs`` (B, 2, ...). lengths: (B,), with
        ``pairs`` (B, 2), each in [1, L]; padded positions influence no others ->
        (B, d_output), or (B, L, d_output).

    Raises:
        ValueError: an argument is out of range or does not fit another; in forward: a shape.

    Source: arXiv 2302.06646, and the published ``standalone_long_convs.py``, whose checkpoints
    `from_standalone` loads.

    Example:
        >>> import torch
        >>> from kernelmill.models import LongConvModel
        >>> model = LongConvModel(d_input=1, d_output=10, d_model=16, n_layers=2, l_max=256)
        >>> model(torch.randn(3, 200, 1)).shape
        torch.Size([3, 10])
    """

    def __init__(
        self,
        d_input: int | None = None,
        d_output: int = 10,
        d_model: int = 512,
        n_layers: int = 6,
        dropout: float = 0.1,
        prenorm: bool = False,
        *,
        vocab_size: int | None = None,
        l_max: int = 1024,
        norm: str = "layer",
        final_norm: bool = False,
        tie_dropout: str = "residual",
        pool: str = "mean",
        pairs: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
        **conv_args: Any,
    ) -> None:
        super().__init__()
        if (d_input is None) == (vocab_size is None):
            raise ValueError(
                f"d_input, vocab_size: got {d_input} and {vocab_size}, wanted one of the two"
            )
        for name, value, known in (
            ("norm", norm, NORMS), ("pool", pool, POOLS), ("tie_dropout", tie_dropout, TIES),
        ):  # fmt: skip
            if value not in known:
                raise ValueError(f"{name}: got {value!r}, wanted one of {', '.join(known)}")
        if n_layers < 1 or d_output < 0:
            raise ValueError(
                f"n_layers, d_output: got {n_layers} and {d_output}, wanted at least 1 and 0"
            )
        if pairs and pool == "none":
            raise ValueError("pool: got 'none' with pairs, wanted one vector per sequence")
        if not conv_args.get("transposed", True):
            raise ValueError("transposed: got False; inside, the layout is (B, d_model, L)")
        where = {"device": device, "dtype": dtype}
        self.d_model, self.prenorm, self.pool, self.pairs = d_model, prenorm, pool, pairs
        self.tokens = vocab_size is not None
        self.encoder = (
            nn.Embedding(vocab_size, d_model, **where)
            if self.tokens
            else nn.Linear(d_input, d_model, **where)
        )
        make = nn.LayerNorm if norm == "layer" else nn.BatchNorm1d
        self.conv_layers = nn.ModuleList(
            LongConv(
                d_model, l_max, dropout=dropout, tie_dropout=tie_dropout == "all",
                **where, **conv_args,
            )
            for _ in range(n_layers)
        )  # fmt: skip
        self.norms = nn.ModuleList(make(d_model, **where) for _ in range(n_layers))
        self.dropout = SequenceDropout(dropout, tie_dropout != "none", dim=-1)
        self.norm = make(d_model, **where) if final_norm else None
        self.reset_classifier(d_output)

    def reset_classifier(self, d_output: int) -> None:
        """A new decoder; 0: none."""
        width, like = self.d_model, next(self.encoder.parameters())
        where = {"device": like.device, "dtype": like.dtype}
        if d_output == 0:
            self.decoder = nn.Identity()
        elif self.pairs:
            self.decoder = nn.Sequential(
                nn.Linear(4 * width, width, **where), nn.ReLU(), nn.Linear(width, d_output, **where)
            )
        else:
            self.decoder = nn.Linear(width, d_output, **where)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Encode, pool, decode."""
        if not self.pairs:
            return self.decoder(self.pooled(x, lengths))
        if x.dim() < 2 or x.shape[1] != 2:
            raise ValueError(f"x: got shape {tuple(x.shape)}, wanted (B, 2, ...) with pairs")
        lengths = None if lengths is None else lengths.flatten()
        first, second = self.pooled(x.flatten(0, 1), lengths).unflatten(0, (-1, 2)).unbind(1)
        return self.decoder(torch.cat([first, second, first - second, first * second], 1))

    def pooled(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, d_model); (B, L, d_model) without pooling."""
        y = self.features(x, lengths)
        if self.pool == "none":
            return y.transpose(1, 2)
        if self.pool == "last":
            if lengths is None:
                return y[..., -1]
            last = (lengths.long() - 1).view(-1, 1, 1)
            return y.gather(2, last.expand(-1, y.shape[1], -1)).squeeze(2)
        if lengths is not None:
            filler = -torch.inf if self.pool == "max" else 0.0
            y = y.masked_fill(~self._valid(y, lengths), filler)
        if self.pool == "max":
            return y.amax(2)
        if self.pool == "sum":
            return y.sum(2)
        return y.sum(2) / (y.shape[2] if lengths is None else lengths.unsqueeze(1))

    def features(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, d_model, L): what is pooled."""
        self._check(x, lengths)
        x = self.encoder(x).transpose(1, 2)
        for layer, norm in zip(self.conv_layers, self.norms, strict=True):
            z = self._normalise(norm, x, lengths) if self.prenorm else x
            x = x + self.dropout(layer(z, lengths)[0])
            if not self.prenorm:
                x = self._normalise(norm, x, lengths)
        return x if self.norm is None else self._normalise(self.norm, x, lengths)

    def _check(self, x: Tensor, lengths: Tensor | None) -> None:
        if self.tokens:
            if x.dim() != 2 or x.is_floating_point():
                raise ValueError(f"x: got {x.dtype} {tuple(x.shape)}, wanted int (B, L) tokens")
        elif x.dim() != 3 or x.shape[2] != self.encoder.in_features:
            raise ValueError(
                f"x: got shape {tuple(x.shape)}, wanted (B, L, {self.encoder.in_features})"
            )
        if lengths is None or lengths.device.type != "cpu" or torch.compiler.is_compiling():
            return
        if lengths.numel() and int(lengths.min()) < 1:
            raise ValueError(f"lengths: got {int(lengths.min())}, wanted at least 1")

    @staticmethod
    def _valid(x: Tensor, lengths: Tensor) -> Tensor:
        """Which positions count: (B, 1, L)."""
        return torch.arange(x.shape[2], device=x.device) < lengths.view(-1, 1, 1)

    def _normalise(self, norm: nn.Module, x: Tensor, lengths: Tensor | None) -> Tensor:
        if isinstance(norm, nn.LayerNorm):
            return norm(x.transpose(1, 2)).transpose(1, 2)
        if lengths is None or not self.training:
            return norm(x)
        rows, keep = x.transpose(1, 2), self._valid(x, lengths).squeeze(1)
        return torch.zeros_like(rows).index_put((keep,), norm(rows[keep])).transpose(1, 2)

    @classmethod
    def preset(cls, name: str, **changes: Any) -> LongConvModel:
        """A published configuration (`kernelmill.models.long_conv_presets`), with changes.

        Args:
            name: ``"listops"``, ``"text"``, ``"retrieval"`` (these want ``vocab_size``),
                ``"image"``, ``"pathfinder"``, ``"pathx"`` or ``"cifar"``.
        """
        return cls(**preset(name, PRESETS, changes))

    @classmethod
    def from_standalone(cls, state: dict[str, Tensor], lam: float, **options: Any) -> LongConvModel:
        """The published standalone model with its weights, kernels two-sided as they are there.

        Args:
            state: its state dict. lam: its ``kernel_lam``, which is not in the state.
            options: ``prenorm``, ``dropout``, ``kernel_dropout``, as it was trained.

        Returns:
            The model in eval mode; to train on as published, with the hard gradient.

        Raises:
            ValueError: the state is not that of a standalone model. RuntimeError: keys differ.
        """
        wanted = {"encoder.weight", "decoder.weight", "conv_layers.0.kernel", "conv_layers.0.D"}
        if not wanted <= set(state):
            missing = ", ".join(sorted(wanted - set(state)))
            raise ValueError(f"state: no {missing}; wanted the standalone model's state dict")
        channels, d_model, taps = state["conv_layers.0.kernel"].shape
        settings = {
            "mode": "circular2L", "squash_grad": "hard", "allow_dead": True, "lam": lam,
            "channels": channels, "l_max": taps // 2,
            "n_layers": 1 + max(int(k.split(".")[1]) for k in state if k.startswith("norms.")),
        }  # fmt: skip
        model = cls(
            state["encoder.weight"].shape[1],
            state["decoder.weight"].shape[0],
            d_model,
            **(settings | options),
        )
        model.load_state_dict(state)
        return model.eval()
