"""Output files appear whole or not at all."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egrl.cli.files import check_writable, write_file
from egrl.cli.simulate import output_paths
from egrl.cli.values import extents
from graph_ir.errors import InputError


def test_a_file_is_replaced_in_one_step(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("old")
    write_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]


def test_what_was_there_survives_a_failure(tmp_path, monkeypatch):
    path = tmp_path / "out.csv"
    path.write_text("old")

    def fail(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(InputError, match="No space left"):
        write_file(path, b"new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]


def test_folders_and_missing_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="it is a folder"):
        check_writable(tmp_path)
    with pytest.raises(InputError, match="no folder"):
        write_file(tmp_path / "none" / "x", b"")
    check_writable(None)
    check_writable(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_devices_are_written_through():
    write_file(Path(os.devnull), b"gone")


def test_several_graphs_get_a_file_each(tmp_path):
    path = tmp_path / "ops.csv"
    assert output_paths(None, ["a", "b"]) == [None, None]
    assert output_paths(path, ["x.egrl:main"]) == [path]
    assert output_paths(path, ["m.egrl:prefill", "m.egrl:decode"]) == [
        tmp_path / "ops.m.egrl_prefill.csv",
        tmp_path / "ops.m.egrl_decode.csv",
    ]


@given(names=st.lists(st.text(min_size=1), min_size=2, max_size=5))
def test_file_names_are_all_different_and_stay_in_the_folder(names, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "ops.csv"
    paths = output_paths(path, names)
    assert len(set(paths)) == len(names)
    assert all(p.parent == path.parent and p.suffix == ".csv" for p in paths)


def test_extents():
    assert extents([]) == {}
    assert extents(["batch=1", "a=b=7"]) == {"batch": 1, "a=b": 7}
    for wrong in ("x", "=1", "x=", "x=-1", "x=1.5", "x=0", "x=\u0661", "x=9999999999999999"):
        with pytest.raises(InputError, match="--dim"):
            extents([wrong])
