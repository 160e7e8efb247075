"""A row of NVDLA's spreadsheet as an accelerator and as a layer of a network."""

from dataclasses import replace
from functools import lru_cache
from math import ceil

from accelerator_sim.accelerator import Accelerator
from egrl.validation.machines import machine
from egrl.validation.nvdla_sheet import Options, Stay
from egrl.validation.one_op import Convolution, layer_workload
from egrl.validation.rows import Row
from graph_ir.workload import Op, Role, TensorKind, Workload

TYPES = {1: "int8", 2: "int16"}

BYTES_PER_GB = 1.024e9
"""Of a gigabyte a second: sizes are divided by 1024, and bandwidths are GB/s."""


def machine_of(row: Row, chosen: Options, where: Stay, second_memory: bool) -> Accelerator:
    """The accelerator that a row names."""
    values: dict[str, object] = {
        "macs": row.count("macs_per_cycle"),
        "buffer_bytes": row.count("cbuf_kb") * 1024,
        "clock_hz": row.positive("clock_mhz") * 1e6,
        "dram_bytes_per_s": row.positive("dram_gbs") * BYTES_PER_GB,
        "order": chosen.order,
        "spare_lines": chosen.spare_lines,
        "images_apart": str(chosen.images_apart).lower(),
        "output_channel_quantum": chosen.output_channel_quantum,
        "winograd_weight_ratio": chosen.winograd_weight_ratio,
    }
    if not second_memory:
        return machine("nvdla", tuple(values.items()))
    values["sram_read_bytes_per_s"] = row.positive("sram_rd_gbs") * BYTES_PER_GB
    values["sram_write_bytes_per_s"] = row.positive("sram_wr_gbs") * BYTES_PER_GB
    return machine("nvdla-sram-staged" if where.staged else "nvdla-sram", tuple(values.items()))


def layer_of(row: Row, images: int, addend: bool) -> Convolution:
    """The convolution that a row names; zero padding keeps its extents at stride 1."""
    height, width = row.count("H"), row.count("W")
    kernel, strides = (
        (row.count("R"), row.count("S")),
        (row.count("stride_h"), row.count("stride_w")),
    )
    down = along = (0, 0)
    if row.choice("zero_pad", ("True", "False")) == "True":
        down = _same(height, kernel[0], strides[0])
        along = _same(width, kernel[1], strides[1])
    layer = Convolution(
        height=height,
        width=width,
        channels=row.count("C"),
        filters=row.count("K"),
        kernel_height=kernel[0],
        kernel_width=kernel[1],
        stride_height=strides[0],
        stride_width=strides[1],
        pads=(down[0], along[0], down[1], along[1]),
        images=images,
        addend=addend,
    )
    if layer.output_pixels < 1:
        raise row.wrong("R", "a filter that fits into the input")
    return layer


def is_pooled(row: Row) -> bool:
    """Whether pooling on the fly follows."""
    return row.choice("pool", ("True", "False")) == "True"


@lru_cache(maxsize=4096)
def in_network(layer: Convolution, types: tuple[int, int], pooled: int | None) -> Workload:
    """The lowered layer as part of a network: its input and output may live in any memory.

    Args:
        layer: the row.
        types: bytes of a feature and of a weight.
        pooled: extent of the output after pooling on the fly; None without pooling.
    """
    feature, weight = TYPES[types[0]], TYPES[types[1]]
    workload = layer_workload(layer, feature)
    (op,) = workload.ops
    tensors = []
    for tensor in workload.tensors:
        if tensor.kind is TensorKind.WEIGHT:
            size = tensor.size_bytes * types[1] // types[0]
            tensors.append(replace(tensor, data_type=weight, size_bytes=size))
        else:
            tensors.append(replace(tensor, kind=TensorKind.ACTIVATION))
    return replace(
        workload, tensors=tuple(tensors), ops=(_adapted(op, layer, weight, types, pooled),)
    )


def _adapted(
    op: Op, layer: Convolution, weight_type: str, types: tuple[int, int], pooled: int | None
) -> Op:
    operands = []
    for operand in op.operands:
        size = operand.traffic_bytes
        if operand.role is Role.RIGHT:
            size = size * types[1] // types[0]
        elif operand.role is not Role.LEFT and pooled is not None:
            size = layer.images * layer.filters * pooled * pooled * types[0]
        operands.append(replace(operand, traffic_bytes=size))
    work = tuple(replace(product, right_type=weight_type) for product in op.mac_work)
    return replace(op, operands=tuple(operands), mac_work=work)


def types_of(row: Row) -> tuple[int, int]:
    """Bytes of a feature and of a weight.

    Raises:
        InputError: neither 1 nor 2.
    """
    found = []
    for column in ("feat_bytes", "wt_bytes"):
        if row.count(column) not in TYPES:
            raise row.wrong(column, "1 or 2")
        found.append(row.count(column))
    return found[0], found[1]


def _same(extent: int, kernel: int, stride: int) -> tuple[int, int]:
    """Padding before and after for outputs at every `stride`-th input."""
    total = max(0, (ceil(extent / stride) - 1) * stride + kernel - extent)
    return total // 2, total - total // 2
