"""What every learner says when its numbers run away."""

from graph_ir.errors import EgrlError


class DivergedError(EgrlError):
    """A loss, a gradient or a weight is no longer a finite number."""

    exit_code = 3
