"""The statistics of the document, on a workload that can be counted by hand."""

from pathlib import Path

import pytest

from egrl.generator.ops.builder import WorkloadBuilder
from egrl.generator.ops.images import conv
from egrl.generator.statistics import REAL, STATISTICS, document
from egrl.generator.workloads.registry import FAMILIES
from graph_ir.errors import InputError


def test_statistics_of_three_convolutions() -> None:
    builder = WorkloadBuilder("main", "int8")
    image = builder.input("image", (1, 1024, 8, 8))
    one = conv(builder, "one", image, 512)
    two = conv(builder, "two", one, 512)
    three = conv(builder, "three", two, 512, added=(one,), bias=False)
    workload = builder.finish([three])
    found = {name: statistic(workload) for name, statistic in STATISTICS.items()}
    macs = 64 * 512 * (1024 + 512 + 512)
    moved = 64 * 1024 + 6 * 64 * 512 + 512 * (1024 + 512 + 512) + 2 * 512
    assert found == pytest.approx(
        {
            "ops": 3,
            "tensors / op": 9 / 3,
            "weights MiB": (512 * 2048 + 1024) / 2**20,
            "factor KiB": 256,
            "activation KiB": 32,
            "peak MiB": 3 * 32 / 1024,
            "MAC / byte": macs / moved,
            "vector / MAC": 3 * 64 * 512 / macs,
            "readers": 1.5,
            "lifetime": 2.5,
            "longest": 1,
        }
    )


def test_real_models_are_compared_with_families_that_exist(tmp_path: Path) -> None:
    assert set(REAL) < set(FAMILIES)
    with pytest.raises(InputError, match="run scripts/models first"):
        document(tmp_path)
