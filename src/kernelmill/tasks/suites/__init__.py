"""Suites that ship with kernelmill."""

from kernelmill.tasks.suites.catalog import (
    CATEGORIES,
    EXTRA,
    kernelbench_problems,
    load_suite,
    suite_names,
)
from kernelmill.tasks.suites.entry import SIZES, Category, Entry, sizes

__all__ = [
    "CATEGORIES",
    "EXTRA",
    "SIZES",
    "Category",
    "Entry",
    "kernelbench_problems",
    "load_suite",
    "sizes",
    "suite_names",
]
