"""Benchmarks: suites of tasks, candidates asked of models, results, metrics and reports."""
