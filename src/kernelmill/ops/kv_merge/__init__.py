"""Merging of neighbouring tokens in a key-value cache (KVMerger)."""

from kernelmill.ops.kv_merge.attention import merged_attention
from kernelmill.ops.kv_merge.op import KVMerged, kv_merge
from kernelmill.ops.kv_merge.scores import adjacent_cosine, attention_column_sums

__all__ = ["KVMerged", "adjacent_cosine", "attention_column_sums", "kv_merge", "merged_attention"]
