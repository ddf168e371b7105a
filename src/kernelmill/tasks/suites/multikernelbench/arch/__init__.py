"""Whole networks and their building blocks, one family per file.

Written after the published architectures. Constructor arguments beyond the benchmark's own have
the published network as their default; only the small sizes use them.
"""
