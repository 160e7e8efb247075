"""`scripts/models` as a command, and the registry behind it."""

import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
from model_set.cache import Cache
from model_set.inputs import DIMS
from model_set.registry import ENTRIES, in_build_order

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "models"


def run(*arguments, cache):
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"EGRL_CACHE": str(cache)},
    )


def test_list_names_every_entry_with_licence_and_weights(tmp_path):
    result = run("--list", cache=tmp_path / "none")
    assert result.returncode == 0
    head, *rows = result.stdout.splitlines()
    assert head.split() == ["name", "made", "from", "licence", "weights"]
    assert [row.split()[0] for row in rows] == list(ENTRIES)
    for row, entry in zip(rows, ENTRIES.values(), strict=True):
        assert entry.origin_text in row
        assert entry.licence in row
        assert row.endswith(entry.weights)
    assert not (tmp_path / "none").exists()


def test_unknown_name_is_one_line_and_builds_nothing(tmp_path):
    result = run("light-vgg19", "vgg-19", cache=tmp_path / "none")
    assert result.returncode == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert line.endswith("got vgg-19")
    assert not (tmp_path / "none").exists()


def test_unwritable_cache_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    result = run("resnet50", "--cache", str(tmp_path / "file" / "cache"), cache=tmp_path)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1


def write_grey_png(path, size=256):
    """A photograph for those who look away: 8-bit RGB, one colour."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = (b"\0" + b"\x80" * (3 * size)) * size
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*c) for c in chunks))


def test_build_skips_what_is_there(tmp_path):
    (tmp_path / "photos").mkdir()
    write_grey_png(tmp_path / "photos" / "coffee.png")
    first = run("light-squeezenet", cache=tmp_path)
    assert first.returncode == 0
    assert "[2/2] light-squeezenet: built in" in first.stdout
    path = tmp_path / "light-squeezenet.onnx"
    before = path.stat().st_mtime_ns
    second = run("light-squeezenet", cache=tmp_path)
    assert "[2/2] light-squeezenet: there already" in second.stdout
    assert path.stat().st_mtime_ns == before
    index = json.loads((tmp_path / "index.json").read_text("utf-8"))
    assert list(index) == ["light-squeezenet"]
    with np.load(tmp_path / index["light-squeezenet"]["inputs"], allow_pickle=False) as inputs:
        assert [inputs[name].shape for name in inputs] == [(1, 3, 224, 224)]


def test_model_without_its_weights_is_not_built(tmp_path):
    cache = Cache(tmp_path)
    entry = ENTRIES["smollm2-decode"]
    (tmp_path / "smollm2-decode.onnx").touch()
    assert not entry.is_built(cache, "smollm2-decode")
    (tmp_path / "smollm2.weights").touch()
    assert entry.is_built(cache, "smollm2-decode")


def test_every_model_has_dims_and_every_builder_exists():
    assert set(DIMS) == {name for name, entry in ENTRIES.items() if not entry.target}
    for entry in ENTRIES.values():
        assert callable(entry.load_builder())
        assert all(needed in ENTRIES for needed in entry.needs)


def test_needs_come_first_and_nothing_twice():
    names = ["magika", "photos", "resnet50", "magika", "minilm"]
    assert in_build_order(names) == ["photos", "magika", "resnet50", "minilm"]
    assert sorted(in_build_order([])) == sorted(ENTRIES)
