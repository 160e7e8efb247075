"""The command: what it reads, what it refuses in one line, and the document that it writes."""

import shutil
from pathlib import Path

import pytest

from egrl.cli.errors import guarded
from egrl.validation.__main__ import compare, main
from egrl.validation.document import Compared, write_document
from egrl.validation.result import Check, Point, Series, ToolResult
from egrl.validation.rows import read_rows
from graph_ir.errors import InputError
from tests.validation.folders import ROWS, cells_of, write

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "validation.md"


@pytest.fixture
def few(tmp_path, monkeypatch):
    """A folder with rows of ONNXim and ZigZag alone, and no models."""
    monkeypatch.setenv("EGRL_CACHE", str(tmp_path / "none"))
    folder = tmp_path / "rows"
    folder.mkdir()
    for name in ("onnxim_layers.csv", "zigzag_gemm.csv"):
        write(folder / name, cells_of(name)[-30:])
    return folder


def test_tools_without_rows_are_skipped_by_name(few, capsys):
    assert main(["--rows", str(few)]) == 0
    out = capsys.readouterr().out
    assert "scalesim: skipped, no scalesim_v3_layers.csv, llmcompass_scalesim_lut.csv" in out
    assert "resnet50.onnx (scripts/models resnet50)" in out
    assert "onnxim: met: " in out
    assert out.splitlines()[-1].endswith("checks met")


def test_a_tool_that_was_asked_for_must_have_rows(few, capsys):
    assert guarded(lambda: main(["--rows", str(few), "--only", "scalesim"])) == 2
    assert _one_line(capsys).endswith(
        "scalesim needs scalesim_v3_layers.csv, llmcompass_scalesim_lut.csv: no such file"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "gem5"], "--only: expected some of scalesim, "),
        (["--rows", "nowhere"], "--rows: expected a folder of CSV files, got 'nowhere'"),
    ],
)
def test_wrong_options(arguments, words, capsys):
    assert guarded(lambda: main(arguments)) == 2
    assert words in _one_line(capsys)


def test_a_wrong_row_is_one_line(few, capsys):
    cells = cells_of("zigzag_gemm.csv")[-3:]
    cells[1]["N"] = "x\ny"
    write(few / "zigzag_gemm.csv", cells)
    assert guarded(lambda: main(["--rows", str(few)])) == 2
    assert "zigzag_gemm.csv:4: N: expected a number" in _one_line(capsys)


def _one_line(capsys) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("egrl: error: ")
    assert captured.err.count("\n") == 1
    return captured.err.rstrip("\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "expected one column a, got 0"),
        (b"a,b\n", "expected rows, got none"),
        (b"a\n1\n", "expected one column b, got 0"),
        (b"a,b,a\n1,2,3\n", "expected one column a, got 2"),
        (b"a,b\n1,2\n1\n", ":3: expected 2 cells, got 1"),
        (b'a,b\n1,"2\n', "cannot be read as CSV"),
        (b"a,b\n\xff,1\n", "cannot be read as CSV"),
        (b"a,b\n1,\x00\n", "b: expected a number"),
    ],
)
def test_damaged_files(tmp_path, text, words):
    path = tmp_path / "rows.csv"
    path.write_bytes(text)
    with pytest.raises(InputError) as caught:
        read_rows(path, ("a", "b"))[0].number("b")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_in_place_of_a_file(tmp_path):
    (tmp_path / "rows.csv").mkdir()
    with pytest.raises(InputError, match="expected a CSV file"):
        read_rows(tmp_path / "rows.csv", ())


def test_blank_lines_and_further_columns_do_no_harm(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("z,b,a\n\n1,2,3\n\n", "utf-8")
    (row,) = read_rows(path, ("a", "b"))
    assert (row.count("a"), row.number("b")) == (3, 2.0)


RESULT = ToolResult(
    tool="Some tool 1.0",
    about="What is compared.",
    checks=(Check("a", "b", "c", True), Check("d", "e", "f", False)),
    series=(
        Series("First", "cycles", (Point("x", 10, 11), Point("y|z", 100, 80), Point("w", 0, 1))),
        Series("Nothing to draw", "cycles", (Point("x", 0, 1),)),
    ),
    notes=("A note.",),
)


def test_the_document_says_what_was_measured(tmp_path):
    compared = {
        "some": Compared("some", RESULT, (), 0.5),
        "other": Compared("other", None, ("other.csv",), 0.0),
    }
    plots = tmp_path / "out" / "validation"
    plots.mkdir(parents=True)
    for name in ("some-former.svg", "other-former.svg"):
        (plots / name).write_text("of a former run", "utf-8")
    write_document(compared, tmp_path / "out" / "validation.md")
    text = (tmp_path / "out" / "validation.md").read_text("utf-8")
    assert "| [Some tool 1.0](#some) | 1 of 2 | 4 | 0.5 | 125 |" in text
    assert "| other | skipped: no other.csv | | | |" in text
    assert "| d | e | f | **short** |" in text
    assert "| First | 2 | 15.00 % | 15.00 % | 20.00 % | y z | 1.0000 |" in text
    assert "![First](validation/some-first.svg)" in text
    assert "- A note." in text
    pictures = sorted(path.name for path in plots.iterdir())
    assert pictures == ["other-former.svg", "some-first.svg"]


def test_the_same_rows_give_the_same_bytes(tmp_path):
    compared = {"some": Compared("some", RESULT, (), 0.5)}
    for name in ("one", "two"):
        write_document(compared, tmp_path / name / "validation.md")
    picture = Path("validation") / "some-first.svg"
    first = (tmp_path / "one" / picture).read_bytes()
    assert first == (tmp_path / "two" / picture).read_bytes()
    assert b"<svg" in first
    assert len(first) < 40_000


def test_the_committed_document_shows_its_pictures():
    text = DOCUMENT.read_text("utf-8")
    shown = {line.partition("](")[2].rstrip(")") for line in text.splitlines() if line[:2] == "!["}
    there = {f"validation/{path.name}" for path in (DOCUMENT.parent / "validation").iterdir()}
    assert shown == there


def test_the_committed_document_is_what_the_rows_give(tmp_path):
    for name in ("onnxim_layers.csv", "zigzag_gemm.csv"):
        shutil.copy(ROWS / name, tmp_path / name)
    text = DOCUMENT.read_text("utf-8")
    for item in compare(tmp_path, ["onnxim", "zigzag"]).values():
        assert item.result is not None
        for check in item.result.checks:
            state = "met" if check.met else "**short**"
            assert f"| {check.text} | {check.goal} | {check.measured} | {state} |" in text
