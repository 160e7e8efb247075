"""`egrl allocate` on MiniMalloc's CSV."""

import csv

import pytest

from egrl.cli.main import main

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
    assert lines[0].startswith(f"egrl: error: {problem}: 12 bytes are needed at time 0")
    assert all(line.startswith("  ") for line in lines[1:])
    assert any("'b1'" in line for line in lines[1:])
    assert any("What would help" in line for line in lines[1:])
    assert not solution.exists()


@pytest.mark.parametrize(
    "text",
    ["", "id,lower,upper\n", "id,lower,upper,size\na,0,1\n", "id,lower,upper,size\na,1,1,4\n"],
)
def test_wrong_files_are_one_line(tmp_path, capsys, text):
    problem = tmp_path / "p.csv"
    problem.write_text(text)
    command = ["allocate", str(problem), "--capacity", "9", "-o", str(tmp_path / "s.csv")]
    assert main(command) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert str(problem) in err
    assert not (tmp_path / "s.csv").exists()
