import json
from pathlib import Path

import pytest
from hypothesis import given

from accelerator_sim.allocate import Buffer
from accelerator_sim.plan_io import parse_plan, plan_bytes, read_plan
from graph_ir.errors import InputError
from tests.allocate.strategies import buffer_lists
from tests.validate.plans import hand_plan, plan_of


@given(buffer_lists(times=8))
def test_round_trip(buffers: list[Buffer]) -> None:
    plan = plan_of(buffers, 8)
    data = plan_bytes(plan)
    assert parse_plan(data, "p") == plan
    assert plan_bytes(parse_plan(data, "p")) == data


def test_form_of_the_file(tmp_path: Path) -> None:
    data = plan_bytes(hand_plan())
    assert data.endswith(b"\n}\n")
    document = json.loads(data)
    assert list(document) == ["schema", "tiers", "ops", "tensors", "copies"]
    assert list(document["tensors"][0])[:4] == ["name", "kind", "size_bytes", "alignment_bytes"]
    path = tmp_path / "main.plan.json"
    path.write_bytes(data)
    assert read_plan(path) == hand_plan()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"schema": 1', '"schema": 2', "unknown schema: expected 1, got 2"),
        ('"schema": 1', '"schema": "1"', r"at `\$\.schema`|\$.schema"),
        ('"size_bytes": 512', '"size_bytes": 512.5', r"\$\.tensors\[0\]\.size_bytes"),
        ('"size_bytes": 512', '"sizes": 512', r"\$\.tensors\[0\]"),
        ('"mode": "replicated"', '"mode": "split"', r"\$\.tensors\[6\]\.residences\[0\]\.mode"),
        ('"phase": "load"', '"phase": "early"', r"\$\.copies\[0\]\.phase"),
        ('"schema": 1,', '"schema": 1,,', "p.json: not a plan: JSON is malformed"),
    ],
)
def test_wrong_files(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = plan_bytes(hand_plan()).decode()
    assert old in text
    path = tmp_path / "p.json"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=message) as caught:
        read_plan(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"schema": 1}'])
def test_garbage(data: bytes) -> None:
    with pytest.raises(InputError, match=r"^p: "):
        parse_plan(data, "p")


def test_unreadable_and_oversized(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read_plan(tmp_path / "none")
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate((1 << 28) + 1)
    with pytest.raises(InputError, match="expected at most"):
        read_plan(large)
