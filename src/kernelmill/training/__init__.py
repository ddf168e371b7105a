"""Training methods: losses, samplers, schedules, fine-tuning recipes."""
