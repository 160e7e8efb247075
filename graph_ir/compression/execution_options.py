"""Options of a weight compression that are about the whole graph, not about its method."""

from dataclasses import dataclass

from graph_ir.compression.grid import Grid
from graph_ir.errors import InputError

SAME = "same"
FLOAT = "float"
EMBEDDINGS = (SAME, FLOAT, "4", "8")
# Picked rows are not summed over, so an embedding's error does not average out as a product's does.
_FEWEST_BITS = 4

ACCURACIES = (1, 4)

# onnxruntime 1.31 computes nonsense for other numbers of columns of 2 bits.
COLUMNS_OF_2_BITS = 4


@dataclass(frozen=True, slots=True)
class WholeGraph:
    """What a weight compression does beside its products, and how they are executed.

    Attributes:
        embeddings: bits of tables that no product shares: `4`, `8`, `same` as the products (but
            at least 4), or `float` to leave them.
        accuracy: of onnxruntime's fused products: 4 multiplies with activations rounded to int8,
            1 with float32 ones. 4 is 2 to 4 times faster at one row and the only fast one at 2
            and 8 bits; its rounding is a tenth of what 4-bit weights cost.

    Raises:
        InputError: another value.
    """

    embeddings: str = SAME
    accuracy: int = 4

    def __post_init__(self) -> None:
        if self.embeddings not in EMBEDDINGS:
            raise InputError(
                f"embeddings={self.embeddings}: expected one of {', '.join(EMBEDDINGS)}"
            )
        if self.accuracy not in ACCURACIES:
            raise InputError(f"accuracy={self.accuracy}: expected 1 or 4")

    def check(self, grid: Grid) -> None:
        """Refuse the grids that onnxruntime has no fast product for at this accuracy.

        Raises:
            InputError: naming both.
        """
        if self.accuracy != 4 and grid.bits != 4:
            raise InputError(
                f"accuracy={self.accuracy}: expected 4 with bits={grid.bits}; onnxruntime falls "
                "back to a kernel a hundred times slower"
            )

    def embedding_grid(self, grid: Grid) -> Grid | None:
        """The grid of an embedding beside products of a grid; None where it stays float."""
        if self.embeddings == FLOAT:
            return None
        bits = max(grid.bits, _FEWEST_BITS) if self.embeddings == SAME else int(self.embeddings)
        return Grid(bits, grid.group, grid.symmetric)


def right_grid(grid: Grid, columns: int) -> Grid:
    """The grid asked for, or the next wider one where onnxruntime's product of it is wrong."""
    if grid.bits == 2 and columns % COLUMNS_OF_2_BITS:
        return Grid(4, grid.group, grid.symmetric)
    return grid
