"""Sequences of three to seven operations, as one would like to see them fused."""
