"""The exceptions that a user meets, each with the exit code that the command line gives it."""


class EgrlError(Exception):
    """Base of all expected failures. The message is one line: what, where, expected, got."""

    exit_code = 1


class InputError(EgrlError):
    """What the user gave is wrong: a file, an option, a value."""

    exit_code = 2


class UnmetRequirementError(EgrlError):
    """A requested bound (capacity, error, pin) cannot be met.

    Attributes:
        details: further lines for a person: demand, bound, gap, contributors, what would help.
    """

    exit_code = 3

    def __init__(self, message: str, details: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.details = details
