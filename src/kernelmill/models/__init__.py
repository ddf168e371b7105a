"""Whole networks, with loaders for the official checkpoints."""
