"""What a language model is asked, and the examples that it is shown."""

from kernelmill.bench.prompts.examples import Example, example
from kernelmill.bench.prompts.render import STRATEGIES, Strategy, render

__all__ = ["STRATEGIES", "Example", "Strategy", "example", "render"]
