"""The 285 tasks of MultiKernelBench in 14 categories, and its 15 attention tasks.

Written anew after a description of each task (arXiv 2507.17773): one file or folder per category.
"""
