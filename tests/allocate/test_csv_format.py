import os
from pathlib import Path

import pytest
from hypothesis import given

from accelerator_sim.allocate import Buffer
from accelerator_sim.allocate.csv_format import allocate_csv, read_problem, solution_text
from graph_ir.errors import InputError, UnmetRequirementError
from tests.allocate.strategies import buffer_lists

TOY = "id,lower,upper,size\nb1,0,3,4\nb2,3,9,4\nb3,0,9,4\nb4,9,21,4\nb5,0,21,4\n"


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "p.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_toy_in_and_out(tmp_path: Path) -> None:
    out = tmp_path / "s.csv"
    allocation = allocate_csv(write(tmp_path, TOY), 12, out)
    rows = out.read_text().splitlines()
    assert rows[0] == "id,lower,upper,size,offset"
    for row, before, offset in zip(rows[1:], TOY.splitlines()[1:], allocation.offsets, strict=True):
        assert row == f"{before},{offset}"
    # A solution is a problem again.
    assert read_problem(out) == read_problem(tmp_path / "p.csv")
    assert sorted(os.listdir(tmp_path)) == ["p.csv", "s.csv"]


@given(buffer_lists(alignments=(1, 64)))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, buffers: list[Buffer]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    path.write_text(solution_text(buffers, [0] * len(buffers)))
    assert read_problem(path) == buffers


def test_columns_in_any_order_with_alignment_and_hint(tmp_path: Path) -> None:
    text = "\ufeffsize,id,upper,lower,alignment,hint\r\n5,x,2,-1,8,\r\n\r\n6,y,4,3,1,0\r\n"
    assert read_problem(write(tmp_path, text)) == [Buffer("x", -1, 2, 5, 8), Buffer("y", 3, 4, 6)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1: expected the header"),
        ("id,lower,upper\n", ":1: expected id,lower,upper,size, got no column size"),
        ("id,lower,upper,size,gaps\n", ":1: .* got column 'gaps'"),
        ("id,lower,upper,size,size\n", ":1: expected every column once"),
        ("id,lower,upper,size\na,0,1\n", ":2: expected 4 fields, got 3"),
        ("id,lower,upper,size\na,0,1,x\n", ":2: size: expected an integer, got 'x'"),
        ("id,lower,upper,size\na,0,1,1.5\n", ":2: size: expected an integer"),
        ("id,lower,upper,size\na,0,1,\u0661\n", ":2: size: expected an integer"),
        ("id,lower,upper,size\na,0,1,-1\n", ":2: size: expected 0 to"),
        ("id,lower,upper,size\na,0,1,99999999999999999999\n", ":2: size: expected 0 to"),
        ("id,lower,upper,size\na,0,1,999999999999999999999\n", ":2: size: expected an integer"),
        ("id,lower,upper,size\na,2,2,1\n", ":2: expected lower < upper, got 2 and 2"),
        ("id,lower,upper,size\na,0,1,1\n\na,0,1,1\n", ":4: id 'a' is already on line 2"),
        ("id,lower,upper,size\n,0,1,1\n", ":2: expected an id"),
        ("id,lower,upper,size,alignment\na,0,1,1,0\n", ":2: alignment: expected 1 to"),
        ('id,lower,upper,size\n"a,0,1,1\n', "unexpected end of data"),
        (b"\xff\xfe\x00", "expected UTF-8"),
        (f"id,lower,upper,size\na,0,1,{1 << 59}\nb,0,1,{1 << 59}\n", "bytes in all"),
    ],
)
def test_wrong_files(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_problem(write(tmp_path, text))
    assert "\n" not in str(caught.value)
    assert "p.csv" in str(caught.value)


def test_missing_folder_and_oversized_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read_problem(tmp_path / "none.csv")
    with pytest.raises(InputError, match=r"cannot read|expected a file"):
        read_problem(tmp_path)
    large = tmp_path / "large.csv"
    with large.open("wb") as file:
        file.truncate(1 << 27)
    with pytest.raises(InputError, match="expected at most"):
        read_problem(large)


def test_unwritable_solution_leaves_nothing(tmp_path: Path) -> None:
    problem = write(tmp_path, TOY)
    (tmp_path / "folder").mkdir()
    for target in (tmp_path / "none" / "s.csv", tmp_path / "folder"):
        with pytest.raises(InputError, match="cannot write"):
            allocate_csv(problem, 12, target)
    assert sorted(os.listdir(tmp_path)) == ["folder", "p.csv"]


def test_demand_above_the_capacity_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UnmetRequirementError) as caught:
        allocate_csv(write(tmp_path, TOY), 11, tmp_path / "s.csv")
    assert str(caught.value).endswith("12 bytes are needed at time 0, capacity is 11 (1 too few)")
    assert any("'b1' (buffer): 4 bytes" in line for line in caught.value.details)
    assert not (tmp_path / "s.csv").exists()


def test_proof_and_exhaustion_are_told_apart(tmp_path: Path) -> None:
    rows = ["0,1,6", "1,2,2", "0,3,1", "2,3,1", "1,4,4", "3,4,2", "2,5,1", "4,5,1", "4,5,5"]
    text = "id,lower,upper,size\n" + "".join(f"b{i},{row}\n" for i, row in enumerate(rows))
    problem = write(tmp_path, text)
    with pytest.raises(
        UnmetRequirementError, match=r"proven: no allocation within 7 bytes.*; 8 bytes are enough"
    ):
        allocate_csv(problem, 7, tmp_path / "s.csv")
    with pytest.raises(UnmetRequirementError, match=r"in 1 search nodes; \d+ bytes are enough"):
        allocate_csv(problem, 7, tmp_path / "s.csv", node_budget=1)
    with pytest.raises(InputError, match="capacity: expected 0 or more"):
        allocate_csv(problem, -1, tmp_path / "s.csv")
