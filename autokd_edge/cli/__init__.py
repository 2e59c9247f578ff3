"""The command line: the only reader of arguments and environment; one module for each command.

Exit status: 0 done, 1 a failure that is nobody's input (a device that does not answer), 2 wrong
input, 3 nothing keeps the limits, 130 interrupted.
"""

from autokd_edge.cli.app import main

__all__ = ["main"]
