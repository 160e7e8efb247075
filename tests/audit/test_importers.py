import csv
from pathlib import Path

import pytest

from egrl.audit.audit import audit
from egrl.audit.cost import compile_costs
from egrl.audit.import_minimalloc import import_minimalloc
from egrl.audit.import_vela import import_vela
from egrl.audit.plan import index_plan
from egrl.audit.state import is_feasible
from egrl.audit.vela_dataflow import Layer, infer_dataflow
from graph_ir.errors import InputError

VELA = Path(__file__).parents[1] / "data" / "vela" / "resnet8_per_layer.csv"
SHARED = {"memory_mode": "Shared_Sram"}


def vela_rows(**facts):
    with VELA.open(encoding="utf-8", newline="") as file:
        return [r for r in csv.DictReader(file) if all(r[k] == v for k, v in facts.items())]


@pytest.mark.parametrize("mode", ["Shared_Sram", "Sram_Only"])
def test_velas_own_placement_takes_velas_cycles(mode):
    imported = import_vela(VELA, select={"memory_mode": mode})
    cycles = sum(int(row["op_cycles"]) for row in vela_rows(memory_mode=mode))
    table = compile_costs(imported.problem)
    plan = index_plan(table, imported.plan, "vela")
    assert table.seconds(plan.homes) == pytest.approx(cycles / 500e6, rel=1e-12)
    assert is_feasible(table, plan.homes)


def test_vela_dataflow_of_resnet8():
    """The residuals and shortcuts of ResNet-8, by what each op reads and writes."""
    problem = import_vela(VELA, select=SHARED).problem
    kinds = {tensor.name: tensor.kind for tensor in problem.tensors}

    def activations(op, streams):
        return [s.tensor.split(" ")[0] for s in streams if kinds[s.tensor] != "weight"]

    flow = [(activations(op, op.reads), activations(op, op.writes)) for op in problem.ops[:14]]
    assert flow == [
        (["#0"], ["#0"]),  # network input, first convolution
        (["#0"], ["#1"]),
        (["#1"], ["#2"]),
        (["#0", "#2"], ["#0"]),  # residual add, in place
        (["#0"], ["#4"]),
        (["#4"], ["#5"]),
        (["#0"], ["#6"]),  # shortcut convolution from the add
        (["#5", "#6"], ["#5"]),
        (["#5"], ["#8"]),
        (["#8"], ["#9"]),
        (["#5"], ["#10"]),
        (["#9", "#10"], ["#9"]),
        (["#9"], ["#12"]),
        (["#12"], ["#13"]),
    ]


def layer(name, operator, inputs, staging_bytes=10**6):
    return Layer(name, operator, 1, {"sram": 1}, staging_bytes, inputs, (8,))


def reads_of(layers, op):
    return [b.name.split(" ")[1] for b in infer_dataflow(layers) if op in b.readers]


def test_an_input_is_the_newest_result_that_nothing_has_read():
    weights = (8, 8)
    layers = [
        layer("one", "Conv2D", ((8,), weights)),
        layer("two", "Conv2D", ((4,), weights)),
        layer("three", "MaxPool", ((8,),)),
    ]
    assert reads_of(layers, 2) == ["two"]


def test_a_branch_leaves_from_the_newest_join():
    weights = (8, 8)
    layers = [
        layer("one", "Conv2D", ((8,), weights)),
        layer("pool1", "MaxPool", ((8,),)),
        layer("pool2", "MaxPool", ((8,),)),
        layer("three", "Conv2D", ((8,), weights)),
        layer("four", "Conv2D", ((8,), weights)),
        layer("sum", "Add", ((8,), (8,))),
    ]
    assert reads_of(layers, 5) == ["pool2", "four"]
    full = [*layers[:4], layer("four", "Conv2D", ((8,), weights), 16), layers[5]]
    assert reads_of(full, 5) == ["three", "four"]  # nothing else fits beside three and four


def test_vela_sizes_and_capacity():
    problem = import_vela(VELA, select=SHARED).problem
    sizes = {t.name.split(" ")[0] + t.kind: t.size_bytes for t in problem.tensors}
    assert sizes["#0io"] == 32 * 32 * 3
    assert sizes["#0weight"] == 16 * 3 * 3 * 3 + 4 * 16
    assert sizes["#0activation"] == 32 * 32 * 16
    assert [tier.name for tier in problem.tiers] == ["off_chip_flash", "sram"]
    staged = max(int(row["staging_bytes"]) for row in vela_rows(**SHARED))
    assert problem.tiers[1].capacity_bytes == staged
    assert import_vela(VELA, 4096, SHARED).problem.tiers[1].capacity_bytes == 4096


def test_vela_audit_ends_in_a_gap():
    imported = import_vela(VELA, select=SHARED)
    result = audit(imported.problem, imported.plan)
    assert result.plan.fits
    assert 0 < result.plan.gap < 0.02
    assert result.moves


def test_vela_in_its_own_spelling(tmp_path):
    names = {
        "nng_op": "NNG Operator",
        "npu_cycles": "NPU",
        "sram_ac": "SRAM AC",
        "dram_ac": "DRAM AC",
        "onflash_ac": "OnFlash AC",
        "offflash_ac": "OffFlash AC",
        "staging_bytes": "Staging Usage",
        "name": "Name",
        "in_shapes": "in_shapes",
        "out_shape": "out_shape",
    }
    path = tmp_path / "own.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(names.values()))
        writer.writeheader()
        for row in vela_rows(**SHARED):
            writer.writerow({new: row[old] for old, new in names.items()})
    with pytest.raises(InputError, match="--select system_config"):
        import_vela(path)
    facts = {"system_config": "Ethos_U55_High_End_Embedded", "memory_mode": "Shared_Sram"}
    assert import_vela(path, None, facts).problem.ops == import_vela(VELA, None, SHARED).problem.ops


@pytest.mark.parametrize(
    ("select", "match"),
    [
        ({}, "expected one accelerator"),
        ({"memory_mode": "nowhere"}, "expected rows with memory_mode"),
        ({"memory_mode": "Dedicated_Sram_384KB"}, "does not say which feature maps"),
        ({"colour": "red"}, "expected one of network"),
    ],
)
def test_vela_selections_that_are_refused(select, match):
    with pytest.raises(InputError, match=match):
        import_vela(VELA, select=select)


@pytest.mark.parametrize(
    ("column", "value", "match"),
    [
        ("npu_cycles", "-1", "whole number"),
        ("npu_cycles", "9" * 40, "whole number"),
        ("staging_bytes", "", "whole number"),
        ("in_shapes", "[[1; x]]", "expected shapes"),
        ("in_shapes", "[[999999999; 999999999]]", "elements"),
        ("dram_ac", "5", "accesses dram"),
        ("system_config", "Unknown", "system_config"),
    ],
)
def test_vela_rows_that_are_wrong(tmp_path, column, value, match):
    rows = vela_rows(**SHARED)
    if column == "system_config":
        rows = [{**row, column: value} for row in rows]
    rows[2][column] = value
    path = tmp_path / "wrong.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(InputError, match=match) as caught:
        import_vela(path)
    assert "\n" not in str(caught.value)


def minimalloc(tmp_path, text):
    path = tmp_path / "m.csv"
    path.write_text(text, encoding="utf-8")
    return import_minimalloc(path, 8)


def test_minimalloc(tmp_path):
    problem = minimalloc(tmp_path, "id,lower,upper,size\na,0,30,8\nb,10,20,4\nc,20,30,4\n")
    assert [op.name for op in problem.ops] == ["t0", "t10", "t20"]
    spans = [(t.name, t.start, t.end, t.size_bytes) for t in problem.tensors]
    assert spans == [("a", 0, 3, 8), ("b", 1, 2, 4), ("c", 2, 3, 4)]
    written = {s.tensor: i for i, op in enumerate(problem.ops) for s in op.writes}
    read = {s.tensor: i for i, op in enumerate(problem.ops) for s in op.reads}
    assert written == {"a": 0, "b": 1, "c": 2}
    assert read == {"a": 2, "b": 1, "c": 2}
    assert problem.tiers[0].capacity_bytes is None
    assert problem.tiers[1].capacity_bytes == 8
    result = audit(problem, None)
    assert result.bound_status == "optimal"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "expected a column 'id'"),
        ("id,lower,upper,size\n", "at least one row"),
        ("id,lower,upper\na,0,1\n", "expected a column 'size'"),
        ("id,lower,upper,size\na,0,1\n", "line 2: expected 4 fields"),
        ("id,lower,upper,size\na,1,1,5\n", "line 2: expected lower < upper"),
        ("id,lower,upper,size\na,0,1,-5\n", "line 2: expected a whole number"),
        ("id,lower,upper,size\na,0,1,5\na,0,1,5\n", "unique name"),
        ("id,lower,upper,size\n" + "a" * 200_000 + ",0,1,5\n", "line 2: field larger"),
        ("id,lower,upper,size\na,0,1,²\n", "whole number"),
    ],
)
def test_minimalloc_files_that_are_wrong(tmp_path, text, match):
    with pytest.raises(InputError, match=match):
        minimalloc(tmp_path, text)
