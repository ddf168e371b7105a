"""Tasks and candidates: the contract between the library and the workbench."""

from kernelmill.tasks.candidate import Candidate
from kernelmill.tasks.errors import CandidateError, TaskError
from kernelmill.tasks.program import Program
from kernelmill.tasks.task import Task, Tolerance

__all__ = ["Candidate", "CandidateError", "Program", "Task", "TaskError", "Tolerance"]
