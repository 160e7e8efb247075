"""Gives every node a unique, non-empty name; names that exist and are unique stay."""

import onnx_ir as ir


def name_everything(graph: ir.Graph) -> None:
    """Names nodes that have no name after operator and output, and parts those that share one.

    Values are unique already: import checks them, and what is added later is named when it is
    added. An output without a name is one that the node does not compute, and stays without.
    """
    taken: set[str] = {node.name for node in graph if node.name}
    seen: set[str] = set()
    for node in graph:
        if node.name and node.name not in seen:
            seen.add(node.name)
            continue
        output = next((value.name for value in node.outputs if value.name), "")
        stem = node.name or f"{node.op_type}:{output}"
        name = stem
        suffix = 1
        while name in taken:
            suffix += 1
            name = f"{stem}_{suffix}"
        node.name = name
        taken.add(name)
        seen.add(name)
