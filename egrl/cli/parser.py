"""The argument parser: its errors are input errors, and flags are never abbreviated."""

import argparse
from typing import NoReturn, TypeAlias

from graph_ir.errors import InputError


class Parser(argparse.ArgumentParser):
    """`argparse.ArgumentParser` with one line per error, raised instead of printed."""

    def __init__(
        self,
        prog: str | None = None,
        description: str | None = None,
        epilog: str | None = None,
        keep_lines: bool = False,
    ) -> None:
        plain, wrapped = argparse.RawDescriptionHelpFormatter, argparse.HelpFormatter
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=plain if keep_lines else wrapped,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and exiting.

        Raises:
            InputError: always.
        """
        verb = self.prog.partition(" ")[2]
        raise InputError(f"{verb + ': ' if verb else ''}{message}; see {self.prog} --help")


Verbs: TypeAlias = "argparse._SubParsersAction[Parser]"
"""What a verb adds its parser to."""
