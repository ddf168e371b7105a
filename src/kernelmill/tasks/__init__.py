"""Tasks and candidates: the contract between the library and the workbench."""

from kernelmill.tasks.candidate import Candidate
from kernelmill.tasks.errors import CandidateError, TaskError
from kernelmill.tasks.loaders import list_configs, load_folder, load_task, problem_id
from kernelmill.tasks.program import Program
from kernelmill.tasks.source import parse_overrides
from kernelmill.tasks.suite import Suite
from kernelmill.tasks.task import Task, Tolerance

__all__ = [
    "Candidate",
    "CandidateError",
    "Program",
    "Suite",
    "Task",
    "TaskError",
    "Tolerance",
    "list_configs",
    "load_folder",
    "load_task",
    "parse_overrides",
    "problem_id",
]
