"""Generated kernels: a task's graph to C++ or Triton text with a schedule."""
