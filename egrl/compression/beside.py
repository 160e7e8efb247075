"""What a weight compression does beside its products: embeddings, and weights that are bytes."""

import onnx_ir as ir

from egrl.compression.quantize import layer_record
from egrl.compression.recipe import Recipe
from graph_ir.compression.embedding import Table, emit_table, find_tables
from graph_ir.compression.existing import (
    BITS,
    Bytes,
    as_bytes,
    emit_byte_table,
    emit_bytes,
)
from graph_ir.compression.methods.rtn import Rtn
from graph_ir.compression.sites import find_sites
from runtime.compression import LayerRecord, SkippedRecord


def quantize_beside(
    model: ir.Model, recipe: Recipe
) -> tuple[list[LayerRecord], list[SkippedRecord]]:
    """Quantizes what no method has to choose, in place.

    Embeddings are rounded to the nearest. Where 8 bits are asked for, weights that are bytes with
    a scale a column already stay those bytes, exactly.

    Returns:
        A record of each, and what was passed over.

    Raises:
        InputError: a weight that is not finite.
    """
    sites = find_sites(model.graph)
    tables = find_tables(model.graph, sites.found)
    skipped = [SkippedRecord(each.name, each.reason) for each in tables.skipped]
    layers: list[LayerRecord] = []
    grid = recipe.whole.embedding_grid(recipe.grid)
    for table in tables.found:
        if grid is None:
            skipped.append(SkippedRecord(table.name, "embeddings=float leaves it"))
            continue
        layers.append(_quantized_table(table, recipe))
    if recipe.grid.bits == BITS:
        for site in sites.found:
            kept = None if site.tables else as_bytes(site.weight_KN())
            if kept is not None:
                layers.append(_byte_record(site.name, kept))
                emit_bytes(site, kept)
    return layers, skipped


def _quantized_table(table: Table, recipe: Recipe) -> LayerRecord:
    grid = recipe.whole.embedding_grid(recipe.grid)
    assert grid is not None
    weight_KN = table.weight_KN()
    kept = as_bytes(weight_KN) if grid.bits == BITS else None
    if kept is not None:
        emit_byte_table(table, kept)
        return _byte_record(table.name, kept)
    quantized = Rtn().quantize(weight_KN, grid)
    emit_table(table, quantized)
    return layer_record(table.name, weight_KN, quantized, None)


def _byte_record(name: str, kept: Bytes) -> LayerRecord:
    inner = kept.levels_KN.shape[0]
    return LayerRecord(name, BITS, inner, kept.stored_bits, kept.levels_KN.size, 0.0)
