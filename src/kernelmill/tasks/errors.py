"""What can be wrong with a task or a candidate before anything is judged."""


class TaskError(Exception):
    """The task cannot be used: its file, its source, or what its reference does."""


class CandidateError(Exception):
    """The candidate cannot be used as it is given (missing file, no ModelNew, ...)."""
