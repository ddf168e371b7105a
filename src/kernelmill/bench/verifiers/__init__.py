"""Screens that read a candidate before it is run. They only reject: the judge alone accepts."""

from kernelmill.bench.verifiers.base import Effect, Review, Screened, Verifier, effect, screen
from kernelmill.bench.verifiers.language import LanguageVerifier
from kernelmill.bench.verifiers.static import StaticVerifier, static_verifiers

__all__ = [
    "Effect", "LanguageVerifier", "Review", "Screened", "StaticVerifier", "Verifier", "effect",
    "screen", "static_verifiers",
]  # fmt: skip
