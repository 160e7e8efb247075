"""Products of queries with keys."""

import onnx_ir as ir

from graph_ir.kv.writing import Writer


def product(writer: Writer, query: ir.Value, key: ir.Value, *, fused: bool) -> ir.Value:
    """Of queries with keys, both [..., width]; fused by onnxruntime's product if wanted."""
    if fused:
        flags = {"transB": 1}
        return writer.many("FusedMatMul", (query, key), 1, flags, "com.microsoft")[0]
    turned = writer.op("Transpose", key, attributes={"perm": [0, 1, 3, 2]})
    return writer.op("MatMul", query, turned)


def capped(writer: Writer, logits: ir.Value, softcap: float) -> ir.Value:
    """Logits with a soft cap, if there is one."""
    if not softcap:
        return logits
    cap = writer.number(softcap)
    return writer.op("Mul", writer.op("Tanh", writer.op("Div", logits, cap)), cap)
