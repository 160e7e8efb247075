import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import msgspec
import pytest

from graph_ir.errors import InputError
from runtime import exchange, load, write
from runtime.folder import read_listed
from runtime.load import load_artifact, verify_artifact
from runtime.manifest import MANIFEST_FILE, FileRecord
from runtime.write import write_artifact
from tests.runtime.tiny import resident_plan, tiny_files, tiny_manifest, tiny_plan, write_tiny


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file under a folder, by path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def no_exchange(source: Path, destination: Path, flags: int) -> bool:
    """A system without `renameat2`."""
    return False


@pytest.fixture(params=["exchange", "two renames"])
def renaming(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "two renames":
        monkeypatch.setattr(exchange, "_rename2", no_exchange)
    return str(request.param)


def test_writes_what_it_says(tmp_path: Path) -> None:
    out = tmp_path / "a.egrl"
    manifest = write_tiny(out)
    assert sorted(os.listdir(out)) == sorted([MANIFEST_FILE, *manifest.files])
    assert os.listdir(tmp_path) == ["a.egrl"]
    assert verify_artifact(out).manifest == manifest


def test_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    write_tiny(tmp_path / "a.egrl")
    time.sleep(0.01)
    write_tiny(tmp_path / "b.egrl")
    assert snapshot(tmp_path / "a.egrl") == snapshot(tmp_path / "b.egrl")


def test_replaces_an_artifact_whole(tmp_path: Path, renaming: str) -> None:
    out = tmp_path / "a.egrl"
    write_tiny(out, extra={"tokenizer.json": b"{}"})
    write_tiny(out, resident_plan("shared", 1))
    assert "tokenizer.json" not in os.listdir(out)
    assert verify_artifact(out).plans["main"] == resident_plan("shared", 1)
    assert os.listdir(tmp_path) == ["a.egrl"]


@pytest.mark.parametrize("when", ["graphs", "digests", "exchange", "interrupt"])
def test_failure_leaves_the_old_artifact_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renaming: str, when: str
) -> None:
    out = tmp_path / "a.egrl"
    write_tiny(out)
    before = snapshot(tmp_path)

    def fail(*arguments: object) -> None:
        raise KeyboardInterrupt if when == "interrupt" else OSError(28, "No space left on device")

    def fill(folder: Path) -> None:
        (folder / "weights.data").write_bytes(b"half")
        fail()

    expected = KeyboardInterrupt if when == "interrupt" else InputError
    if when in ("graphs", "interrupt"):
        with pytest.raises(expected):
            write_artifact(out, tiny_manifest(), tiny_files(), fill)
    else:
        monkeypatch.setattr(write, "_records" if when == "digests" else "replace_folder", fail)
        with pytest.raises(expected, match="No space left"):
            write_tiny(out, resident_plan("shared", 1))
    assert snapshot(tmp_path) == before


def test_second_rename_failing_puts_the_old_one_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "a.egrl"
    write_tiny(out)
    before = snapshot(tmp_path)
    monkeypatch.setattr(exchange, "_rename2", no_exchange)
    rename = Path.rename

    def second_fails(path: Path, target: Path) -> Path:
        if ".new-" in path.name:
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", second_fails)
    with pytest.raises(InputError, match="Input/output error"):
        write_tiny(out)
    assert snapshot(tmp_path) == before


def test_crash_between_two_renames_is_repaired_by_the_next_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "a.egrl"
    write_tiny(out)
    before = snapshot(out)
    # As a crash leaves it: nothing at the destination, both folders aside.
    out.rename(tmp_path / ".a.egrl.old-0123456789abcdef")
    (tmp_path / ".a.egrl.new-0123456789abcdef").mkdir()

    def unwritable(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(InputError):
        write_artifact(out, tiny_manifest(), tiny_files(), unwritable)
    assert os.listdir(tmp_path) == ["a.egrl"]
    assert snapshot(out) == before


def test_only_temporaries_of_dead_writers_of_this_artifact_are_removed(tmp_path: Path) -> None:
    out = tmp_path / "a.egrl"
    others = [".b.egrl.new-0123456789abcdef", ".a.egrl.new-mine", "a.egrl.new-0123456789abcdef"]
    for name in others:
        (tmp_path / name).mkdir()
    (tmp_path / ".a.egrl.new-0123456789abcdef").mkdir()
    folder, lock = write._make_locked_folder(out)
    write_tiny(out)
    assert sorted(os.listdir(tmp_path)) == sorted([*others, "a.egrl", folder.name])
    os.close(lock)
    write_tiny(out)
    assert not folder.exists()


def test_killed_writer_leaves_the_old_artifact_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    out = tmp_path / "a.egrl"
    write_tiny(out)
    before = snapshot(out)
    script = f"""
        import sys, time
        from pathlib import Path
        from runtime.write import write_artifact
        from tests.runtime.tiny import tiny_files, tiny_manifest

        def fill(folder):
            (folder / "weights.data").write_bytes(b"half")
            print("half", flush=True)
            time.sleep(60)

        write_artifact(Path({str(out)!r}), tiny_manifest(), tiny_files(), fill)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"half\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert snapshot(out) == before
    assert len(os.listdir(tmp_path)) == 2
    write_tiny(out, resident_plan("shared", 1))
    assert os.listdir(tmp_path) == ["a.egrl"]


@pytest.mark.parametrize("replacements", [0, 1, 2, 3, 4])
def test_what_a_mixture_gets_wrong_is_never_said_of_the_artifact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replacements: int
) -> None:
    out = tmp_path / "a.egrl"
    plans = [tiny_plan(), resident_plan("shared", 1)]
    write_tiny(out, plans[0])
    done = 0

    def replaced_meanwhile(folder: Path, name: str, record: FileRecord, max_bytes: int) -> bytes:
        nonlocal done
        if done < replacements:
            done += 1
            write_tiny(out, plans[done % 2])
        return read_listed(folder, name, record, max_bytes)

    monkeypatch.setattr(load, "read_listed", replaced_meanwhile)
    if replacements < 3:
        assert load_artifact(out).plans["main"] == plans[replacements % 2]
    else:
        with pytest.raises(InputError, match="was replaced again and again"):
            load_artifact(out)
    assert done == min(replacements, 3)


def test_readers_see_old_or_new_while_a_writer_exchanges(tmp_path: Path) -> None:
    out = tmp_path / "a.egrl"
    write_tiny(out)
    script = f"""
        from pathlib import Path
        from tests.runtime.tiny import resident_plan, tiny_plan, write_tiny
        for index in range(12):
            write_tiny(Path({str(out)!r}), [tiny_plan, lambda: resident_plan("shared", 1)][index % 2]())
    """  # noqa: E501
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=Path(__file__).parents[2]
    )
    seen = []
    refused = 0
    while process.poll() is None:
        try:
            seen.append(len(verify_artifact(out).plans["main"].tensors))
        except InputError as error:
            # Replaced at every attempt: said so, never mixed up.
            assert "was replaced again" in str(error)  # noqa: PT017
            refused += 1
    assert process.returncode == 0
    sizes = {len(tiny_plan().tensors), len(resident_plan("shared", 1).tensors)}
    assert set(seen) <= sizes
    assert len(seen) > refused


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda out: out.write_text("mine"), "got a file"),
        (lambda out: out.mkdir(), "has no manifest"),
        (lambda out: (out.mkdir(), (out / "thesis.tex").write_text("mine")), "has no manifest"),
        (lambda out: out.symlink_to(out.parent), "symbolic link"),
        (
            lambda out: (out.mkdir(), (out / MANIFEST_FILE).write_text('{"schema": 1}')),
            "manifest.json",
        ),
        (lambda out: (write_tiny(out), (out / "notes.txt").write_text("mine")), "'notes.txt'"),
    ],
)
def test_refuses_to_overwrite_what_is_not_an_artifact(
    tmp_path: Path, make: object, message: str
) -> None:
    out = tmp_path / "out.egrl"
    assert callable(make)
    make(out)
    before = snapshot(tmp_path), sorted(os.listdir(tmp_path))
    with pytest.raises(InputError, match=message) as caught:
        write_tiny(out)
    assert "\n" not in str(caught.value)
    assert (snapshot(tmp_path), sorted(os.listdir(tmp_path))) == before


def test_unwritable_destinations(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        write_tiny(tmp_path / "missing" / "a.egrl")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="no folder"):
        write_tiny(tmp_path / "file" / "a.egrl")
    with pytest.raises(InputError, match="cannot write"):
        write_tiny(tmp_path / ("long" * 60 + ".egrl"))
    with pytest.raises(InputError, match="cannot write"):
        write_tiny(Path("/proc/a.egrl"))
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", MANIFEST_FILE, "weights.data", ""])
def test_file_names_that_cannot_be_in_an_artifact(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError):
        write_tiny(tmp_path / "a.egrl", extra={name: b"x"})
    assert os.listdir(tmp_path) == []


def test_a_graph_without_plan_is_refused(tmp_path: Path) -> None:
    manifest = msgspec.structs.replace(tiny_manifest(), graphs=["main", "decode"])
    with pytest.raises(InputError, match=r"decode\.onnx"):
        write_artifact(
            tmp_path / "a.egrl",
            manifest,
            tiny_files(),
            lambda folder: (folder / "main.onnx").write_bytes(b""),
        )
    assert os.listdir(tmp_path) == []


def test_load_does_not_need_the_weights_digest(tmp_path: Path) -> None:
    out = tmp_path / "a.egrl"
    write_tiny(out)
    weights = out / "weights.data"
    data = bytearray(weights.read_bytes())
    data[5] ^= 1
    weights.write_bytes(data)
    load_artifact(out)
    with pytest.raises(InputError, match=r"weights\.data.*sha256"):
        verify_artifact(out)
