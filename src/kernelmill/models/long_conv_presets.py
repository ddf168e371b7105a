"""The published configurations of long convolution models, as data.

Long Range Arena, sequential CIFAR and the language model of arXiv 2302.06646, from the published
configuration files. Their scores were not reproduced here. ``model`` are arguments of
`LongConvModel` or `LongConvLM`, ``training`` what the recipe sets besides: AdamW with betas
(0.9, 0.999), a cosine schedule of ``steps`` after ``warmup`` steps, seed 2222.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LongConvPreset:
    """Arguments of the model, and the training recipe."""

    model: dict[str, Any]
    training: dict[str, Any]


def _classifier(
    l_max: int, n_layers: int, d_model: int, classes: int, prenorm: bool, norm: str,
    dropout: float, tie_dropout: str, bidirectional: bool,
    kernel: tuple[float, float, float],  # learning rate, lam, dropout
    training: tuple[int, float, float, int],  # batch, lr, weight decay, epochs
    schedule: tuple[int, int | None],  # steps, warm-up
    d_input: int | None = None, pairs: bool = False, accumulate: int = 1,
) -> LongConvPreset:  # fmt: skip
    kernel_lr, lam, kernel_dropout = kernel
    batch, lr, weight_decay, epochs = training
    steps, warmup = schedule
    return LongConvPreset(
        {
            "l_max": l_max, "n_layers": n_layers, "d_model": d_model, "d_input": d_input,
            "d_output": classes, "prenorm": prenorm, "final_norm": prenorm, "norm": norm,
            "dropout": dropout, "tie_dropout": tie_dropout, "bidirectional": bidirectional,
            "pairs": pairs, "channels": 2, "lam": lam, "squash_grad": "hard",
            "kernel_dropout": kernel_dropout, "learning_rate": kernel_lr,
        },
        {
            "batch_size": batch, "accumulate": accumulate, "lr": lr,
            "weight_decay": weight_decay, "epochs": epochs, "steps": steps, "warmup": warmup,
        },
    )  # fmt: skip


# tokens in (vocab_size is the caller's) unless d_input is given
PRESETS = {
    "listops": _classifier(
        2048, 8, 128, 10, False, "batch", 0.0, "none", False,
        (5e-4, 0.002, 0.2), (50, 0.01, 0.05, 40), (80_000, 10_000),
    ),
    "text": _classifier(
        4096, 6, 256, 2, True, "batch", 0.0, "none", False,
        (1e-3, 0.003, 0.2), (16, 0.01, 0.05, 32), (50_000, 5_000),
    ),
    "retrieval": _classifier(
        4000, 6, 256, 2, True, "batch", 0.0, "none", False,
        (1e-4, 0.004, 0.1), (32, 0.01, 0.05, 20), (50_000, 2_500), pairs=True, accumulate=2,
    ),
    "image": _classifier(
        1024, 6, 512, 10, False, "layer", 0.1, "all", False,
        (1e-3, 0.003, 0.2), (50, 0.01, 0.05, 200), (200_000, 1_000), d_input=1,
    ),
    "pathfinder": _classifier(
        1024, 6, 256, 2, True, "batch", 0.0, "none", True,
        (1e-3, 0.001, 0.3), (64, 0.004, 0.03, 200), (500_000, 2_500), d_input=1,
    ),
    "pathx": _classifier(
        16384, 6, 256, 2, True, "batch", 0.0, "none", True,
        (5e-4, 0.001, 0.3), (16, 5e-4, 0.05, 50), (500_000, 10_000), d_input=1,
    ),
    "cifar": _classifier(
        1024, 6, 512, 10, False, "layer", 0.1, "all", False,
        (1e-3, 0.001, 0.2), (50, 0.01, 0.05, 300), (300_000, None), d_input=3,
    ),
}  # fmt: skip

# the context, l_max, and vocab_size are the caller's; the kernels' rate is min(1e-3, lr)
LM_PRESETS = {
    "h3": LongConvPreset(
        {
            "n_layers": 12, "d_model": 768, "mixer": "h3", "attention_layers": (1, 8),
            "n_heads": 12, "lam": 0.003, "squash_grad": "hard", "kernel_dropout": 0.2,
            "learning_rate": 1e-3,
        },
        {},
    ),
}  # fmt: skip


def preset(name: str, known: dict[str, LongConvPreset], changes: dict[str, Any]) -> dict[str, Any]:
    """The model's arguments of a preset, with changes."""
    if name not in known:
        raise ValueError(f"name: got {name!r}, wanted one of {', '.join(known)}")
    return known[name].model | changes
