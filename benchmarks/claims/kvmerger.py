"""KVMerger's claims on a small decoder that is trained here.

    python benchmarks/claims/kvmerger.py [--steps 1200] [--threads 2]

arXiv 2407.08454 claims (1) that keys of neighbouring tokens are alike while values are not, (2)
that the share of tokens left at a fixed threshold belongs to the model, not to the text, and (3)
that merging keeps more quality than evicting at the same budget. A byte-level decoder with rotary
positions learns the text of Python's own help topics (`pydoc_data`, PSF licence), half of the
samples with a span that comes twice; the last tenth is held out. The script says where an effect
does not show.
"""

from __future__ import annotations

import argparse
import inspect
import platform
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

from kernelmill.models.kv_compressors import (
    attend,
    h2o,
    kvmerger,
    random,
    snapkv,
    streaming,
    untouched,
)
from kernelmill.ops.kv_merge import KVMerged, adjacent_cosine

WIDTH, HEADS, LAYERS, CONTEXT = 128, 4, 4, 384
PREFIX, NEW = 256, 96


def rotate(x: torch.Tensor, start: int = 0) -> torch.Tensor:
    half = x.shape[-1] // 2
    frequency = 10000.0 ** (-torch.arange(half) / half)
    angle = (start + torch.arange(x.shape[-2]))[:, None] * frequency
    a, b = x.chunk(2, -1)
    return torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.RMSNorm(WIDTH), nn.RMSNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)
        self.up = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.down = nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def project(self, x, start):
        parts = self.qkv(self.first(x)).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        q, k, v = parts.unbind(0)
        return rotate(q, start), rotate(k, start), v

    def forward(self, x, cache=None, start=0):
        """``cache``: a KVMerged of the prefix; returns the output and (q, k, v)."""
        q, k, v = self.project(x, start)
        if cache is None:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            y = attend(q, k, v, cache)
        x = x + self.out(y.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.second(x)))), (q, k, v)


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(256, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm, self.head = nn.RMSNorm(WIDTH), nn.Linear(WIDTH, 256, bias=False)

    def forward(self, tokens, caches=None, start=0):
        x, kept = self.embed(tokens), []
        for i, block in enumerate(self.blocks):
            x, qkv = block(x, None if caches is None else caches[i], start)
            kept.append(qkv)
        return self.head(self.norm(x)), kept


def plain(cache: KVMerged) -> KVMerged:
    """Without the counts in the logits."""
    return cache._replace(counts=(cache.counts > 0).int())


def methods(q, k, v, share: float) -> dict[str, KVMerged]:
    generator = torch.Generator().manual_seed(0)
    given = (q, k, v, share, generator)
    return {
        "sinks + recent": streaming(*given),
        "random + recent": random(*given),
        "H2O (heavy + recent)": h2o(*given),
        "SnapKV-like": snapkv(*given),
        "merge, mass=none": plain(kvmerger(*given, mass="none")),
        "merge, mass=value (paper)": plain(kvmerger(*given, mass="value")),
        "merge, mass=bias (default)": kvmerger(*given),
        "merge, bias, max_set=4": kvmerger(*given, max_set=4),
        "merge, bias, max_set=8": kvmerger(*given, max_set=8),
        "merge, bias, random edges": kvmerger(*given, edge_order="random"),
    }


def batches(data: torch.Tensor, steps: int, generator: torch.Generator):
    for _ in range(steps):
        at = torch.randint(0, len(data) - CONTEXT - 1, (6,), generator=generator)
        rows = torch.stack([data[i : i + CONTEXT + 1] for i in at])
        for row in rows[::2]:
            repeat(row, generator)
        yield rows


def repeat(row: torch.Tensor, generator: torch.Generator) -> None:
    """Copy a span of the first half into the second."""
    length = int(torch.randint(48, 128, (1,), generator=generator))
    half = len(row) // 2
    source = int(torch.randint(0, half - length, (1,), generator=generator))
    target = int(torch.randint(half, len(row) - length, (1,), generator=generator))
    row[target : target + length] = row[source : source + length].clone()


def train(data: torch.Tensor, steps: int) -> Decoder:
    torch.manual_seed(0)
    model, generator = Decoder(), torch.Generator().manual_seed(1)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    start = time.time()
    for step, rows in enumerate(batches(data, steps, generator)):
        loss = F.cross_entropy(model(rows[:, :-1])[0].flatten(0, 1), rows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 0 or step == steps - 1:
            print(f"step {step}: loss {loss.item():.3f}, {time.time() - start:.0f} s", flush=True)
    return model.eval()


def text_bytes() -> tuple[torch.Tensor, torch.Tensor]:
    import pydoc_data.topics as topics

    text = "\n".join(topics.topics.values()).encode()
    source = inspect.getsource(argparse) + inspect.getsource(inspect)
    return torch.tensor(list(text)), torch.tensor(list(source.encode()))


def windows(data: torch.Tensor, count: int) -> torch.Tensor:
    step = (len(data) - CONTEXT - 1) // count
    return torch.stack([data[i * step : i * step + CONTEXT + 1] for i in range(count)])


def observations(model: Decoder, held: torch.Tensor, code: torch.Tensor) -> None:
    print("\n1. cosine of neighbours and of tokens 40 apart, by layer")
    kept_at = {}
    for name, data in (("docs", held), ("code", code)):
        _, layers = model(windows(data, 24)[:, :-1])
        kept_at[name] = [
            float(1 - (adjacent_cosine(k) > 0.75).float().mean()) for _, k, _ in layers
        ]
        if name == "code":
            continue
        for i, (_, k, v) in enumerate(layers):
            near = adjacent_cosine(k).mean()
            far = F.cosine_similarity(k[:, :, :-40], k[:, :, 40:], dim=-1).mean()
            values = adjacent_cosine(v).mean()
            holds = i == 0 or (near >= 0.6 and near >= 1.6 * far and near >= 2.5 * values)
            print(f"   layer {i}: keys {near:.2f}, 40 apart {far:.2f}, values {values:.2f}"
                  f"{'' if holds else '   DOES NOT HOLD'}")  # fmt: skip
    print("2. share left at a threshold of 0.75, docs and code")
    rows = list(zip(kept_at["docs"], kept_at["code"], strict=True))
    for i, (a, b) in enumerate(rows):
        print(f"   layer {i}: {a:.2f}, {b:.2f}")
    apart = max(abs(a - b) for a, b in rows)
    across = max(a for a, _ in rows) - min(a for a, _ in rows)
    said = "holds" if apart < 0.05 and across > 0.2 else "DOES NOT HOLD"
    print(f"   texts differ by {apart:.2f}, layers by {across:.2f}: {said}")


def quality(model: Decoder, held: torch.Tensor) -> None:
    rows = windows(held, 24)
    generator = torch.Generator().manual_seed(5)
    copied = rows.clone()
    for row in copied:
        repeat(row, generator)
    _, layers = model(rows[:, : PREFIX + NEW])
    print("\n3. relative error of attention for the next 96 queries; held-out loss on copied text")
    print(f"   {'':28}{'50 %':>8}{'35 %':>8}{'loss 50 %':>12}{'loss 35 %':>12}")
    table: dict[str, list[float]] = {}
    for share in (0.5, 0.35):
        errors: dict[str, list[float]] = {}
        for q, k, v in layers:
            old = [x[:, :, :PREFIX] for x in (q, k, v)]
            new = [x[:, :, PREFIX:] for x in (q, k, v)]
            full = attend(*new, untouched(*old[1:]))
            for name, cache in methods(*old, share).items():
                error = (attend(*new, cache) - full).norm() / full.norm()
                errors.setdefault(name, []).append(float(error))
        for name, found in errors.items():
            table.setdefault(name, []).append(sum(found) / len(found))
    losses = {"full cache": [loss_with(model, copied, None, 1.0)] * 2}
    for name in table:
        losses[name] = [loss_with(model, copied, name, share) for share in (0.5, 0.35)]
    print(f"   {'full cache':28}{0:8.3f}{0:8.3f}{losses['full cache'][0]:12.3f}"
          f"{losses['full cache'][1]:12.3f}")  # fmt: skip
    for name, errors in table.items():
        print(f"   {name:28}{errors[0]:8.3f}{errors[1]:8.3f}"
              f"{losses[name][0]:12.3f}{losses[name][1]:12.3f}")  # fmt: skip
    names = ("merge, mass=bias (default)", "H2O (heavy + recent)", "SnapKV-like")
    best, h2o, snap = (table[name] for name in names)
    for i, share in enumerate(("50 %", "35 %")):
        holds = best[i] <= 0.7 * h2o[i] and best[i] <= 0.75 * snap[i]
        worse = losses["merge, mass=bias (default)"][i] - losses["H2O (heavy + recent)"][i]
        print(f"   at {share}: merging with counts has {best[i] / h2o[i]:.2f} of H2O's error and "
              f"{best[i] / snap[i]:.2f} of SnapKV's ({'holds' if holds else 'DOES NOT HOLD'}); "
              f"loss {worse:+.3f} nats beside H2O "
              f"({'holds' if worse <= 0.003 else 'DOES NOT HOLD'})")  # fmt: skip
    paper = table["merge, mass=value (paper)"]
    beside = f"{paper[0] / h2o[0]:.2f} and {paper[1] / h2o[1]:.2f} of H2O's error"
    shows = "shows" if paper[0] < h2o[0] and paper[1] < h2o[1] else "DOES NOT SHOW"
    print(f"   the paper's value scaling has {beside}: its claim {shows} here")


def loss_with(model: Decoder, rows: torch.Tensor, name: str | None, share: float) -> float:
    """Cross entropy of what follows a compressed prefix."""
    _, layers = model(rows[:, :PREFIX])
    caches = []
    for q, k, v in layers:
        caches.append(untouched(k, v) if name is None else methods(q, k, v, share)[name])
    logits, _ = model(rows[:, PREFIX:-1], caches, PREFIX)
    return float(F.cross_entropy(logits.flatten(0, 1), rows[:, PREFIX + 1 :].flatten()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, "
          f"{options.threads} threads, {time.strftime('%Y-%m-%d')}")  # fmt: skip
    data, code = text_bytes()
    held = data[len(data) * 9 // 10 :]
    model = train(data[: len(data) * 9 // 10], options.steps)
    with torch.no_grad():
        observations(model, held, code)
        quality(model, held)


if __name__ == "__main__":
    main()
