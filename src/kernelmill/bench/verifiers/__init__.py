"""Screens that read a candidate before it is run. They only reject: the judge alone accepts."""

from kernelmill.bench.verifiers.base import Effect, Review, Screened, Verifier, effect, screen

__all__ = ["Effect", "Review", "Screened", "Verifier", "effect", "screen"]
