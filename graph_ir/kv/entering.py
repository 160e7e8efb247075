"""Rows that enter caches at slots which may differ from head to head."""

from collections.abc import Sequence

import onnx_ir as ir

from graph_ir.kv.storage import Storage
from graph_ir.kv.writing import Writer


def entered(
    writer: Writer,
    storage: Storage,
    parts: Sequence[ir.Value],
    rows: ir.Value,
    write: ir.Value,
    valid: ir.Value | None,
) -> list[ir.Value]:
    """What is stored of a cache once rows are written.

    Args:
        writer: where nodes go.
        storage: of the cache.
        parts: what is stored of it.
        rows: [1, H, R, width], rotated as entries are.
        write: where ScatterND writes them, [1, H, R, 3].
        valid: rows that are not padding, of which nothing is written; None for all.
    """
    updates = storage.encoded(writer, rows)
    if valid is not None:
        updates = [
            writer.op("Where", valid, update, writer.op("GatherND", part, write))
            for part, update in zip(parts, updates, strict=True)
        ]
    return [
        writer.op("ScatterND", part, write, update)
        for part, update in zip(parts, updates, strict=True)
    ]
