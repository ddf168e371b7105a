"""Merging of neighbouring tokens in a key-value cache (KVMerger)."""

from kernelmill.ops.kv_merge.op import (
    KVMerged,
    adjacent_cosine,
    attention_column_sums,
    kv_merge,
    merged_attention,
)

__all__ = ["KVMerged", "adjacent_cosine", "attention_column_sums", "kv_merge", "merged_attention"]
