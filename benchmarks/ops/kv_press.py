"""`KVMergerPress` beside the merging press of kvpress: one Llama layer, 4096 tokens, half stays.

    pip install kvpress "transformers<5.3"
    python benchmarks/ops/kv_press.py [--rounds 5] [--tokens 4096]

8 key-value and 32 query heads of 128 channels, float32, one thread. Each compresses the same cache;
kvpress's scorers are Knorm (keys alone) and SnapKV (the last 64 queries). Medians.
"""

from __future__ import annotations

import argparse

import torch
from harness import rounds
from kv_merge import show
from kvpress import KnormPress, MergingPress, SnapKVPress
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaRotaryEmbedding

from kernelmill.models.kv_press import KVMergerPress
from kernelmill.ops import native_status
from kernelmill.ops.kv_merge import kv_merge


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=4096)
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    print(native_status().reason)
    config = LlamaConfig(
        hidden_size=4096, num_attention_heads=32, num_key_value_heads=8, head_dim=128,
        num_hidden_layers=1, attn_implementation="sdpa",
    )  # fmt: skip
    layer, tokens = LlamaAttention(config, 0).eval(), options.tokens
    layer.rotary_emb = LlamaRotaryEmbedding(config)
    hidden = torch.randn(1, tokens, 4096)
    keys, values = torch.randn(1, 8, tokens, 128), torch.randn(1, 8, tokens, 128)
    given = {"position_embeddings": layer.rotary_emb(hidden, torch.arange(tokens).unsqueeze(0))}

    def compressing(press):
        return lambda: press.compress(layer, hidden, keys, values, None, given)

    scores = torch.rand(1, 8, tokens)
    kept = scores.topk(tokens // 2).indices
    settings = {"budget": tokens // 2, "recent": int(0.17 * tokens), "heavy": int(0.12 * tokens)}
    with torch.no_grad():
        print("merging alone")
        merging = MergingPress(KnormPress(0.5))
        show(
            rounds({"kv_merge": lambda: kv_merge(keys, values, scores, mass="value", **settings),
                  "MergingPress.merge": lambda: merging.merge(keys, values, kept)},
                 options.rounds),
            "kv_merge",
        )  # fmt: skip
        print("scores and merging (queries projected again, but for Knorm)")
        window = "KVMergerPress, window of 64"
        show(
            rounds({window: compressing(KVMergerPress(0.5, mass="value", score_window=64)),
                  "KVMergerPress": compressing(KVMergerPress(0.5, mass="value")),
                  "MergingPress(Knorm)": compressing(merging),
                  "MergingPress(SnapKV)": compressing(MergingPress(SnapKVPress(0.5)))},
                 options.rounds, warm=1),
            window,
        )  # fmt: skip


if __name__ == "__main__":
    main()
