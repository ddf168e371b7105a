"""The eleven tasks of robust-kbench: several configurations each, forward and backward.

Written anew after a description of each task (arXiv 2509.14279). A file of ``problems/`` is a
task in functional form with its table of configurations.
"""

from kernelmill.tasks.suites.robustkbench.suite import (
    Problem,
    export_folder,
    functional_candidate,
    problems,
    robustkbench_suite,
)

__all__ = ["Problem", "export_folder", "functional_candidate", "problems", "robustkbench_suite"]
