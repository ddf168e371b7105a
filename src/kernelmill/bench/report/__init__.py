"""Reports of benchmark runs: tables, figures and one HTML page."""

from kernelmill.bench.report.tables import Line, Table, lines_of, tables
from kernelmill.bench.report.write import FILES, write

__all__ = ["FILES", "Line", "Table", "lines_of", "tables", "write"]
