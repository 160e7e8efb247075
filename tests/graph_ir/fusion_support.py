"""Graphs written as ONNX text, and what fusion makes of them."""

import onnx
import onnx_ir as ir

from graph_ir.fusion.fuse import fuse
from graph_ir.fusion.views import STREAMED_BY_DEFAULT


def graph(body: str, inputs: str, outputs: str, weights: str = "", opset: int = 18) -> ir.Model:
    """A model with named nodes and inferred shapes.

    Args:
        body: statements such as `y = Relu(x)`.
        inputs: such as `float[2,8] x`.
        outputs: such as `float[2,8] y`.
        weights: such as `float[2] w = {1, 2}`; without values they are filled with ones.
    """
    text = f"""<ir_version: 9, opset_import: ["" : {opset}, "com.microsoft" : 1]>
    g ({inputs}) => ({outputs}) {"<" + _with_values(weights) + ">" if weights else ""} {{
    {body}
    }}"""
    proto = onnx.parser.parse_model(text)
    for at, node in enumerate(proto.graph.node):
        node.name = f"{node.op_type}_{at}"
    onnx.checker.check_model(proto)
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))


def _with_values(weights: str) -> str:
    filled = []
    for declaration in weights.split(";"):
        text = declaration.strip()
        if "=" not in text:
            extents = text[text.index("[") + 1 : text.index("]")].split(",")
            count = 1
            for extent in extents:
                count *= int(extent) if extent.strip() else 1
            text = f"{text} = {{{', '.join(['1'] * count)}}}"
        filled.append(text)
    return ", ".join(filled)


def fused(model: ir.Model, streamed: frozenset[str] = STREAMED_BY_DEFAULT) -> list[str]:
    """Every group as `family: Op Op Op`, in execution order."""
    return [
        f"{group.family.value}: {' '.join(node.op_type for node in group.nodes)}"
        for group in fuse(model, streamed).groups
    ]
