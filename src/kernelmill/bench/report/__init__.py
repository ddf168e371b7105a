"""Reports of benchmark runs: tables, figures and one HTML page."""

from kernelmill.bench.report.tables import Line, Table, lines_of, tables
from kernelmill.bench.report.write import write

__all__ = ["Line", "Table", "lines_of", "tables", "write"]
