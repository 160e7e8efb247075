"""A machine and workloads with round numbers, for arithmetic on paper."""

from accelerator_sim.accelerator import (
    Accelerator,
    Energy,
    Interconnect,
    Streaming,
    Tier,
    VectorUnit,
)
from accelerator_sim.mac_array import MacArray
from graph_ir.workload import (
    MacWork,
    Op,
    Operand,
    OpFamily,
    Role,
    Split,
    Tensor,
    TensorKind,
    Workload,
)
from tests.accelerator_sim.machines import quantity, tier

BOTH = (Split.ROWS, Split.COLUMNS)


def toy(
    tiers: list[Tier] | None = None,
    cores: int = 1,
    multicast: bool = True,
    tile_buffer_bytes: int = 1 << 20,
    launch_overhead_s: float = 0.0,
    prefetch_ops: int = 1,
    slice_bytes: int = 10,
    ring_bytes: int = 20,
    interconnect: float = 40.0,
    port: float = 20.0,
    mac_array: MacArray | None = None,
) -> Accelerator:
    """One vector operation a second and core; an outer tier of 10 B/s, an inner one of 100 B/s."""
    return Accelerator(
        schema=1,
        name="toy",
        description="for arithmetic on paper",
        approximate=[],
        clock_hz=quantity(1.0),
        cores=quantity(cores),
        default_type="int8",
        vector_unit=VectorUnit(lanes={"int8": quantity(1.0)}),
        tile_buffer_bytes=quantity(tile_buffer_bytes),
        launch_overhead_s=quantity(launch_overhead_s),
        tiers=tiers or [tier("OUT", read=10, write=10), tier("IN", read=100, write=100)],
        interconnect=Interconnect(
            bytes_per_s=quantity(interconnect),
            port_bytes_per_s=quantity(port),
            multicast=multicast,
        ),
        streaming=Streaming(
            prefetch_ops=prefetch_ops,
            slice_bytes=slice_bytes,
            staging_bytes=2 * slice_bytes + ring_bytes,
            source="a test",
        ),
        energy=Energy(
            mac_j={"int8*int8": quantity(10.0)},
            vector_op_j=quantity(1.0),
            leakage_w=quantity(2.0),
        ),
        mac_array=mac_array,
    )


def tensor(name: str, kind: TensorKind, size_bytes: int, start: int, end: int) -> Tensor:
    return Tensor(name, kind, (size_bytes,), "int8", size_bytes, start, end)


def op(
    name: str,
    operands: list[Operand],
    vector_ops: int = 0,
    work: tuple[MacWork, ...] = (),
    rows: int = 1,
    columns: int = 1,
) -> Op:
    return Op(
        name=name,
        family=OpFamily.MATMUL if work else OpFamily.ELEMENTWISE,
        nodes=(name,),
        operands=tuple(operands),
        mac_work=work,
        vector_ops=vector_ops,
        rows=rows,
        columns=columns,
        layout="mac" if work else "vector",
        execution_type="int8",
    )


def workload(ops: list[Op], tensors: list[Tensor]) -> Workload:
    return Workload("toy", "int8", tuple(ops), tuple(tensors))


def reading(index: int, size_bytes: int, role: Role = Role.OTHER) -> Operand:
    return Operand(index, role, size_bytes, BOTH)


def writing(index: int, size_bytes: int) -> Operand:
    return Operand(index, Role.OUTPUT, size_bytes, BOTH)
