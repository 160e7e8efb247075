"""Gives every node and value a unique, non-empty name; names that exist and are unique stay."""

import onnx_ir as ir
from onnx_ir.passes import common


class _Names(common.naming.NameGenerator):
    """Names after the operator, so that a report is readable without the file."""

    def generate_node_name(self, node: ir.Node) -> str:
        output = next((value.name for value in node.outputs if value.name), None)
        return node.name or f"{node.op_type}:{output}"

    def generate_value_name(self, value: ir.Value) -> str:
        producer = value.producer()
        return value.name or (f"{producer.op_type}_output" if producer is not None else "value")


def name_everything(model: ir.Model) -> None:
    """Names what has no name, and renames what shares one."""
    common.NameFixPass(_Names())(model)
