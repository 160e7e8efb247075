"""`egrl allocate` on MiniMalloc's CSV."""

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelerator_sim.allocate import Buffer
from accelerator_sim.minimalloc_csv import busiest_time, read_buffers, solution_csv
from egrl.cli.main import main
from graph_ir.errors import InputError

EXAMPLE = """\
id,lower,upper,size
b1,0,3,4
b2,3,9,4
b3,0,9,4
b4,9,21,4
b5,0,21,4
"""


def overlaps(rows: list[dict[str, str]]) -> list[tuple[str, str]]:
    """Pairs that are live together and share bytes: the check of a person, not the allocator's."""
    found = []
    for position, a in enumerate(rows):
        for b in rows[:position]:
            in_time = int(a["lower"]) < int(b["upper"]) and int(b["lower"]) < int(a["upper"])
            a_low, b_low = int(a["offset"]), int(b["offset"])
            in_space = a_low < b_low + int(b["size"]) and b_low < a_low + int(a["size"])
            if in_time and in_space:
                found.append((a["id"], b["id"]))
    return found


def test_offsets_are_added_and_nothing_else_changes(tmp_path, capsys):
    problem, solution = tmp_path / "p.csv", tmp_path / "s.csv"
    problem.write_text(EXAMPLE)
    assert main(["allocate", str(problem), "--capacity", "12", "-o", str(solution)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "5 buffers in 12 bytes" in captured.out
    rows = list(csv.DictReader(solution.open()))
    given_rows = list(csv.DictReader(problem.open()))
    assert [{k: v for k, v in row.items() if k != "offset"} for row in rows] == given_rows
    assert overlaps(rows) == []
    assert max(int(row["offset"]) + int(row["size"]) for row in rows) <= 12


def test_a_solution_can_be_given_as_a_problem_again(tmp_path):
    problem, solution = tmp_path / "p.csv", tmp_path / "s.csv"
    problem.write_text(EXAMPLE)
    assert main(["allocate", str(problem), "--capacity", "12", "-o", str(solution)]) == 0
    first = solution.read_bytes()
    assert main(["allocate", str(solution), "--capacity", "12", "-o", str(solution)]) == 0
    assert solution.read_bytes() == first


def test_alignment_is_honoured(tmp_path):
    problem, solution = tmp_path / "p.csv", tmp_path / "s.csv"
    problem.write_text("id,lower,upper,size,alignment\na,0,2,3,1\nb,0,2,5,64\nc,0,2,5,64\n")
    assert main(["allocate", str(problem), "--capacity", "200", "-o", str(solution)]) == 0
    rows = list(csv.DictReader(solution.open()))
    assert overlaps(rows) == []
    assert all(int(row["offset"]) % int(row["alignment"]) == 0 for row in rows)


def test_what_does_not_fit_is_explained(tmp_path, capsys):
    problem, solution = tmp_path / "p.csv", tmp_path / "s.csv"
    problem.write_text(EXAMPLE)
    assert main(["allocate", str(problem), "--capacity", "11", "-o", str(solution)]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert lines[0] == "egrl: error: no allocation fits 11 bytes"
    assert "  live at once: 12 bytes at time 0, in 3 buffers" in lines
    assert "  at least 12 bytes are needed, and 12 are enough" in lines
    assert any("largest then: b1 4 bytes, live from 0 to 3" in line for line in lines)
    assert not solution.exists()


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "line 1: expected a column id"),
        ("id,lower,upper\n", "expected a column size"),
        ("id,lower,upper,size,gaps\n", "got 'gaps'"),
        ("id,lower,upper,size,size\n", "got 'size'"),
        ("id,lower,upper,size\na,0,1\n", "line 2: expected as many fields"),
        ("id,lower,upper,size\na,0,1,2,3\n", "line 2: expected as many fields"),
        ("id,lower,upper,size\na,0,1,-1\n", "line 2: size: expected a whole number from 0"),
        ("id,lower,upper,size\na,0,1,1e3\n", "line 2: size"),
        ("id,lower,upper,size\na,0,1,99999999999999999999\n", "line 2: size"),
        ("id,lower,upper,size\na,0,1,999999999999999999\n", "bytes in all"),
        ("id,lower,upper,size\n\na,1,1,4\n", "line 3: expected lower < upper, got 1 and 1"),
        ('id,lower,upper,size\n"a,0,1,4\n', "line 2"),
        ("id,lower,upper,size,alignment\na,0,1,4,0\n", "alignment: expected a whole number from 1"),
    ],
)
def test_wrong_files_are_one_line(tmp_path, capsys, text, part):
    problem = tmp_path / "p.csv"
    problem.write_text(text)
    command = ["allocate", str(problem), "--capacity", "9", "-o", str(tmp_path / "s.csv")]
    assert main(command) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert str(problem) in err
    assert part in err
    assert not (tmp_path / "s.csv").exists()


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "p.csv"
    path.write_bytes(b"id,lower,upper,size\n\xff\xfe,0,1,4\n")
    with pytest.raises(InputError, match="cannot be read"):
        read_buffers(path)


def test_no_buffers_are_no_problem(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("id,lower,upper,size\n")
    command = ["allocate", str(path), "--capacity", "0", "-o", str(tmp_path / "s.csv")]
    assert main(command) == 0
    assert (tmp_path / "s.csv").read_text() == "id,lower,upper,size,offset\n"


@given(
    rows=st.lists(
        st.tuples(st.integers(-9, 9), st.integers(1, 9), st.integers(0, 99), st.integers(1, 8)),
        min_size=1,
    )
)
def test_files_read_back_and_the_busiest_time_is_right(rows, tmp_path_factory):
    buffers = [
        Buffer(f"b,{i}", lower, lower + length, size, alignment)
        for i, (lower, length, size, alignment) in enumerate(rows)
    ]
    path = tmp_path_factory.getbasetemp() / "buffers.csv"
    path.write_text(solution_csv(buffers, [0] * len(buffers)))
    assert read_buffers(path) == buffers
    _, live = busiest_time(buffers)
    most = max(
        sum(b.size_bytes for b in buffers if b.lower <= time < b.upper) for time in range(-9, 19)
    )
    assert sum(b.size_bytes for b in live) == most
