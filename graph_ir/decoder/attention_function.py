"""The function `egrl::CausalAttention`: the attention of the normal form as standard ONNX.

    output[h, p] = sum_t w[h, p, t] * value[h // G, t]
    w[h, p, :]   = softmax over t of  cap(scale * query[h, p] . key[h // G, t]) + slope[h] * (t - p)

with G query heads per KV head, `t` in `(p - window, p]` and `cap(x) = softcap * tanh(x / softcap)`.
A learned sink is one more logit of the softmax, without a value. The rows are the positions from 0
on. Heads that do without window, slopes, softcap or sinks do not pay for them: each combination is
an overload of the function, the plainest one with an empty name.
"""

import onnx
import onnx_ir as ir
from onnx import parser

from graph_ir.decoder.decoder import ATTENTION, DOMAIN, Attention

OLDEST_OPSET = 13
# Model-local functions with overloads.
OLDEST_IR_VERSION = 10

_HEAD = """
<domain: "egrl", opset_import: ["" : {opset}]>
CausalAttention <layer, scale, softcap, window, slopes> ({inputs}) => (output)
{{
    axis_0 = Constant <value_ints = [0]> ()
    axis_1 = Constant <value_ints = [1]> ()
    axis_2 = Constant <value_ints = [2]> ()
    axis_3 = Constant <value_ints = [3]> ()
    rest = Constant <value_ints = [-1]> ()
    zero = Constant <value_int = 0> ()
    one = Constant <value_int = 1> ()
    two = Constant <value_int = 2> ()
    query_shape = Shape (query)
    key_shape = Shape (key)
    value_shape = Shape (value)
    batch = Gather (query_shape, axis_0)
    query_heads = Gather (query_shape, axis_1)
    kv_heads = Gather (key_shape, axis_1)
    rows = Gather (query_shape, axis_2)
    head_width = Gather (query_shape, axis_3)
    value_width = Gather (value_shape, axis_3)
    factor = Constant <value_float: float = @scale> ()
    scaled_query = Mul (query, factor)
    grouped_shape = Concat <axis = 0> (batch, kv_heads, rest, head_width)
    grouped = Reshape (scaled_query, grouped_shape)
    turned = Transpose <perm = [0, 1, 3, 2]> (key)
    products = MatMul (grouped, turned)
    scores_shape = Concat <axis = 0> (batch, query_heads, rows, rows)
    scores = Reshape (products, scores_shape)
    row_count = Gather (query_shape, two)
    positions = Range (zero, row_count, one)
    positions_row = Unsqueeze (positions, axis_0)
    positions_column = Unsqueeze (positions, axis_1)
    ahead = Sub (positions_row, positions_column)
    before = LessOrEqual (ahead, zero)
"""
_SOFTCAP = """
    cap = Constant <value_float: float = @softcap> ()
    small = Div (scores, cap)
    bent = Tanh (small)
    {next} = Mul (bent, cap)
"""
_SLOPES = """
    slope_list = Constant <value_floats: floats = @slopes> ()
    slope_shape = Constant <value_ints = [-1, 1, 1]> ()
    slope = Reshape (slope_list, slope_shape)
    distance = Cast <to = 1> (ahead)
    bias = Mul (slope, distance)
    {next} = Add ({now}, bias)
"""
_WINDOW = """
    window_size = Constant <value_int: int = @window> ()
    far = Neg (window_size)
    near = Greater (ahead, far)
    seen = And (before, near)
"""
_MASK = """
    hidden = Constant <value = float {{-3.4028234663852886e38}}> ()
    masked = Where ({seen}, {now}, hidden)
"""
_SOFTMAX = """
    weights = Softmax <axis = -1> (masked)
"""
_SINK_SOFTMAX = """
    ones = Concat <axis = 0> (axis_1, rest, axis_1, axis_1)
    sink_list = Reshape (sinks, ones)
    sink_shape = Concat <axis = 0> (batch, query_heads, rows, axis_1)
    sink = Expand (sink_list, sink_shape)
    logits = Concat <axis = 3> (masked, sink)
    with_sinks = Softmax <axis = -1> (logits)
    weights = Slice (with_sinks, axis_0, rest, axis_3)
"""
_TAIL = """
    grouped_weights_shape = Concat <axis = 0> (batch, kv_heads, rest, rows)
    grouped_weights = Reshape (weights, grouped_weights_shape)
    mixed = MatMul (grouped_weights, value)
    output_shape = Concat <axis = 0> (batch, query_heads, rows, value_width)
    output = Reshape (mixed, output_shape)
}}
"""


def overload_of(attention: Attention) -> str:
    """The overload that computes an attention: what it has beside a scale, joined by dots."""
    parts = {
        "softcap": attention.softcap != 0.0,
        "slopes": bool(attention.slopes),
        "window": attention.window != 0,
        "sinks": attention.sinks,
    }
    return ".".join(part for part, present in parts.items() if present)


def attention_function(overload: str, opset: int) -> ir.Function:
    """One overload of the function.

    Args:
        overload: as `overload_of` says.
        opset: of the standard operators, at least `OLDEST_OPSET`.
    """
    parts = overload.split(".")
    now = "scores"
    text = _HEAD
    if "softcap" in parts:
        text, now = text + _SOFTCAP.replace("{next}", "capped"), "capped"
    if "slopes" in parts:
        text, now = text + _SLOPES.replace("{next}", "tilted").replace("{now}", now), "tilted"
    text += _WINDOW if "window" in parts else ""
    text += _MASK.replace("{seen}", "seen" if "window" in parts else "before").replace("{now}", now)
    text += (_SINK_SOFTMAX if "sinks" in parts else _SOFTMAX) + _TAIL
    inputs = "query, key, value" + (", sinks" if "sinks" in parts else "")
    proto: onnx.FunctionProto = parser.parse_function(text.format(opset=opset, inputs=inputs))
    proto.overload = overload
    return ir.serde.deserialize_function(proto)


def attention_node(
    attention: Attention,
    layer: int,
    query: ir.Value,
    key: ir.Value,
    value: ir.Value,
    sinks: ir.Value | None = None,
) -> ir.Node:
    """The node of an attention; its one output has no name yet.

    Args:
        attention: what it computes; its `node` becomes the name.
        layer: index among the decoder's attentions.
        query: `[1, query_heads, rows, head_width]`.
        key: `[1, kv_heads, rows, head_width]`.
        value: `[1, kv_heads, rows, value_width]`.
        sinks: `[query_heads]` where the attention has learned sinks.
    """
    attributes = [
        ir.AttrInt64("layer", layer),
        ir.AttrFloat32("scale", attention.scale),
        ir.AttrFloat32("softcap", attention.softcap),
        ir.AttrInt64("window", attention.window),
        ir.AttrFloat32s("slopes", list(attention.slopes)),
    ]
    inputs = [query, key, value] + ([sinks] if sinks is not None else [])
    return ir.Node(
        DOMAIN,
        ATTENTION,
        inputs,
        attributes,
        overload=overload_of(attention),
        name=attention.node,
    )


def carry_functions(model: ir.Model) -> None:
    """Gives a model the functions that its `CausalAttention` nodes need, in place."""
    opset = max(model.opset_imports.get("", OLDEST_OPSET), OLDEST_OPSET)
    for node in model.graph:
        if (node.domain, node.op_type) != (DOMAIN, ATTENTION):
            continue
        if node.op_identifier() not in model.functions:
            function = attention_function(node.overload, opset)
            model.functions[function.identifier()] = function
    model.opset_imports.setdefault(DOMAIN, 1)
    model.ir_version = max(model.ir_version, OLDEST_IR_VERSION)
