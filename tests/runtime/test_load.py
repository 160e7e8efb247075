import hashlib
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest

from accelerator_sim.plan import PlanOp
from graph_ir.errors import EgrlError, InputError
from runtime.check_plan import check_artifact_plan
from runtime.execute import run_artifact
from runtime.load import load_artifact, verify_artifact
from runtime.manifest import MANIFEST_FILE
from tests.runtime.tiny import OPS, WEIGHT_BYTES, tiny_inputs, tiny_plan, write_tiny


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write_tiny(tmp_path / "a.egrl")
    return tmp_path / "a.egrl"


def edit_manifest(out: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    manifest = json.loads((out / MANIFEST_FILE).read_bytes())
    edit(manifest)
    (out / MANIFEST_FILE).write_text(json.dumps(manifest))


def reseal(out: Path, name: str, data: bytes) -> None:
    """Change a file and make the manifest agree."""
    (out / name).write_bytes(data)
    record = {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
    edit_manifest(out, lambda manifest: manifest["files"].update({name: record}))


def refused(out: Path, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        verify_artifact(out)
    assert "\n" not in str(caught.value)


def test_verified_artifact_runs_and_its_plan_holds(out: Path) -> None:
    artifact = verify_artifact(out)
    got = run_artifact(artifact, tiny_inputs())
    checked = check_artifact_plan(artifact, tiny_inputs())
    assert checked.sound
    np.testing.assert_allclose(got["y"], checked.outputs["y"], rtol=1e-5, atol=1e-6)
    assert load_artifact(out).plans == artifact.plans


def test_a_link_to_an_artifact_is_followed(out: Path) -> None:
    link = out.parent / "latest.egrl"
    link.symlink_to(out)
    assert verify_artifact(link).manifest == verify_artifact(out).manifest


def test_not_an_artifact(tmp_path: Path) -> None:
    refused(tmp_path, "no manifest")
    refused(tmp_path / "missing", "No such file")
    (tmp_path / "file").write_text("")
    refused(tmp_path / "file", "expected the folder")
    refused(Path("a\0b"), "cannot read")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: m.update(schema=2), "unknown schema: expected 1, got 2"),
        (lambda m: m.update(schema="1"), "schema"),
        (lambda m: m.pop("schema"), "schema"),
        (lambda m: m.update(surprise=1), "surprise"),
        (lambda m: m.update(graphs=[]), "at least one"),
        (lambda m: m.update(graphs=["../main"]), "plain names"),
        (lambda m: m.update(graphs=["main", "main"]), "twice"),
        (lambda m: m.update(graphs=["main", "decode"]), "decode.onnx"),
        (lambda m: m["execution"].update(optimization_level="max"), "optimization_level"),
        (lambda m: m["execution"].update(intra_op_threads=-1), "intra_op_threads"),
        (lambda m: m["execution"].update(accuracy_level=9), "accuracy_level"),
        (lambda m: m["files"].update({"../x": m["files"]["main.onnx"]}), "plain file names"),
        (lambda m: m["files"].update({"/etc/passwd": m["files"]["main.onnx"]}), "plain file"),
        (lambda m: m["files"].update({"a\\b": m["files"]["main.onnx"]}), "plain file names"),
        (lambda m: m["files"].update({"manifest.json": m["files"]["main.onnx"]}), "plain file"),
        (lambda m: m["files"].update({"ghost": m["files"]["main.onnx"]}), "ghost"),
        (lambda m: m["files"].pop("weights.data"), "'weights.data', which"),
        (lambda m: m["files"]["weights.data"].update(size_bytes=-1), "negative"),
        (lambda m: m["files"]["weights.data"].update(size_bytes=1 << 80), "expected 1208"),
        (lambda m: m["files"]["weights.data"].update(sha256="0" * 64), "damaged or changed"),
        (lambda m: m["files"]["weights.data"].update(sha256="x"), "64 hexadecimal"),
    ],
)
def test_hostile_manifest(out: Path, edit: Callable[[dict[str, Any]], None], message: str) -> None:
    edit_manifest(out, edit)
    refused(out, message)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"schema": NaN}']
)
def test_manifest_that_is_no_manifest(out: Path, data: bytes) -> None:
    (out / MANIFEST_FILE).write_bytes(data)
    refused(out, "manifest")


def test_manifest_too_large(out: Path) -> None:
    with (out / MANIFEST_FILE).open("r+b") as stream:
        stream.truncate(1 << 40)
    refused(out, "at most")


def test_links_devices_and_strangers_in_the_folder(out: Path) -> None:
    outside = out.parent / "outside"
    outside.write_bytes((out / "weights.data").read_bytes())
    (out / "weights.data").unlink()
    (out / "weights.data").symlink_to(outside)
    refused(out, "symbolic link")
    (out / "weights.data").unlink()
    os.mkfifo(out / "weights.data")
    refused(out, "plain file")
    (out / "weights.data").unlink()
    refused(out, "No such file")
    outside.rename(out / "weights.data")
    verify_artifact(out)
    (out / "extra").symlink_to("/etc")
    refused(out, "'extra'")


@pytest.mark.parametrize("name", ["weights.data", "main.onnx", "main.plan.json", MANIFEST_FILE])
def test_truncated_files(out: Path, name: str) -> None:
    data = (out / name).read_bytes()
    (out / name).write_bytes(data[: len(data) // 2])
    refused(out, name)


@pytest.mark.parametrize("name", ["weights.data", "main.onnx", "accelerator.toml"])
def test_changed_files(out: Path, name: str) -> None:
    data = bytearray((out / name).read_bytes())
    data[-1] ^= 1
    (out / name).write_bytes(data)
    refused(out, f"{name}.*damaged or changed")


def test_weights_shorter_than_the_graph_says(out: Path) -> None:
    reseal(out, "weights.data", (out / "weights.data").read_bytes()[:WEIGHT_BYTES])
    refused(out, "main.onnx: tensor 'w2'")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("location", "../outside"),
        ("location", "/etc/passwd"),
        ("location", "absent"),
        ("offset", "-1"),
        ("offset", str(1 << 62)),
        ("length", str(1 << 62)),
    ],
)
def test_external_data_that_escapes_or_is_not_there(out: Path, key: str, value: str) -> None:
    model = onnx.load(out / "main.onnx", load_external_data=False)
    (entry,) = [e for e in model.graph.initializer[0].external_data if e.key == key]
    entry.value = value
    reseal(out, "main.onnx", model.SerializeToString())
    refused(out, "main.onnx: tensor")


def test_huge_tensor_declared_in_a_small_file(out: Path) -> None:
    model = onnx.load(out / "main.onnx", load_external_data=False)
    model.graph.initializer[0].dims[:] = [1 << 31, 1 << 31]
    reseal(out, "main.onnx", model.SerializeToString())
    refused(out, "main.onnx: tensor 'w1'")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 7}, "unknown schema"),
        ({"ops": tiny_plan().ops[:-1]}, "main.plan.json"),
        ({"ops": [*tiny_plan().ops[:-1], PlanOp("add", ["ghost"], "none", ["c"], ["y"])]}, "ghost"),
        ({"tensors": tiny_plan().tensors[1:]}, "main.plan.json"),
        ({"tensors": [*tiny_plan().tensors, tiny_plan().tensors[3]]}, "main.plan.json"),
        ({"tiers": []}, "main.plan.json"),
    ],
)
def test_plan_that_does_not_fit_the_graph(out: Path, changes: dict[str, Any], message: str) -> None:
    plan = msgspec.structs.replace(tiny_plan(), **changes)
    reseal(out, "main.plan.json", msgspec.json.encode(plan))
    refused(out, message)


def test_plan_with_a_tensor_that_the_graph_does_not_have(out: Path) -> None:
    plan = tiny_plan()
    ghost = msgspec.structs.replace(
        plan.tensors[0],
        name="ghost",
        residences=[msgspec.structs.replace(plan.tensors[0].residences[0], offset=1 << 16)],
    )
    plan = msgspec.structs.replace(plan, tensors=[*plan.tensors, ghost])
    reseal(out, "main.plan.json", msgspec.json.encode(plan))
    refused(out, "'ghost'")


def test_plan_that_the_validator_refuses(out: Path) -> None:
    plan = tiny_plan()
    place = msgspec.structs.replace(plan.tensors[3].residences[0], offset=64, end=OPS)
    broken = msgspec.structs.replace(plan.tensors[3], residences=[place])
    tensors = [broken if tensor.name == "a" else tensor for tensor in plan.tensors]
    plan = msgspec.structs.replace(plan, tensors=tensors)
    reseal(out, "main.plan.json", msgspec.json.encode(plan))
    refused(out, "main.plan.json")


def mutate(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed)) if changed else 0
        match rng.randrange(5):
            case 0:
                changed[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del changed[at : at + rng.randint(1, 16)]
            case 2:
                changed[at:at] = rng.choice([b"0", b"-", b"[", b"{", b"9" * 30, b"\xff", b'"'])
            case 3:
                changed[at : at + 1] = bytes([changed[at] ^ (1 << rng.randrange(8))])
            case _:
                del changed[at:]
    return bytes(changed)


@pytest.mark.parametrize("sealed", [False, True])
def test_random_damage_is_one_clear_line(out: Path, sealed: bool) -> None:
    """Files changed at random, with and without the manifest agreeing: no traceback."""
    rng = random.Random(2024)
    originals = {path.name: path.read_bytes() for path in sorted(out.iterdir())}
    accepted = 0
    for _ in range(250):
        for name, data in originals.items():
            (out / name).write_bytes(data)
        name = rng.choice(sorted(originals))
        data = mutate(originals[name], rng)
        if sealed and name != MANIFEST_FILE:
            reseal(out, name, data)
        else:
            (out / name).write_bytes(data)
        try:
            artifact = verify_artifact(out)
            run_artifact(artifact, tiny_inputs())
            check_artifact_plan(artifact, tiny_inputs())
            accepted += 1
        except EgrlError as error:
            assert "\n" not in str(error), str(error)  # noqa: PT017
    assert accepted < 250
    assert sealed == (accepted > 5)
