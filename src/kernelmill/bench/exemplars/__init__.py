"""A good candidate for a task of each category and backend, as language models are shown it."""
