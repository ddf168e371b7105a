"""Asking a language model for candidates."""

from kernelmill.bench.generation.budget import Budget, OverBudget, Prices
from kernelmill.bench.generation.client import Answer, Client, RequestFailed
from kernelmill.bench.generation.extract import extract
from kernelmill.bench.generation.folder import Cache, Folder, FolderError, generation_of
from kernelmill.bench.generation.run import Plan, Summary, generate

__all__ = [
    "Answer", "Budget", "Cache", "Client", "Folder", "FolderError", "OverBudget", "Plan", "Prices",
    "RequestFailed", "Summary", "extract", "generate", "generation_of",
]  # fmt: skip
