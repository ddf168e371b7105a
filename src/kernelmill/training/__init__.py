"""Training methods: losses, samplers, schedules, fine-tuning recipes."""

from kernelmill.training.param_groups import param_groups

__all__ = ["param_groups"]
