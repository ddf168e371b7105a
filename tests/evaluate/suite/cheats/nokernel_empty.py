# task: softmax | backend: torch | expect: no_model_new | level: L0
"""Section 6, empty file."""
