"""A command line whose mistakes are one line, as those of the product's own commands are. Standard library only."""

from __future__ import annotations

import argparse
from typing import NoReturn


class Arguments(argparse.ArgumentParser):
    """argparse's parser without the lines of usage before an error; its status is 2 as well."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line, with the command that says how it is right."""
        self.exit(2, f"{self.prog}: {message}. Hint: {self.prog} --help\n")
