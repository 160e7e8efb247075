import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelerator_sim.allocate import Buffer
from accelerator_sim.plan_io import parse_plan, plan_bytes, read_plan
from accelerator_sim.validate import validate_plan
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


LEAVES = st.one_of(
    st.integers(-(1 << 70), 1 << 70),
    st.sampled_from([0, 1, -1, 2, 3, 4, 5, 64, 1 << 40, None, True, 1.5, [], {}, ""]),
    st.sampled_from(["dram", "sram", "w1", "b_view", "b", "@staging", "partitioned", "load"]),
)


def paths_of(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [path, *(found for key, item in inner for found in paths_of(item, (*path, key)))]


PATHS = paths_of(json.loads(plan_bytes(hand_plan())))


@settings(max_examples=400)
@given(st.lists(st.tuples(st.sampled_from(PATHS[1:]), LEAVES), min_size=1, max_size=3))
def test_a_changed_plan_is_refused_or_judged(
    changes: list[tuple[tuple[str | int, ...], object]],
) -> None:
    document = json.loads(plan_bytes(hand_plan()))
    for path, value in changes:
        at = document
        for key in path[:-1]:
            at = at[key] if isinstance(at, list | dict) and key in dict_or_range(at) else {}
        if isinstance(at, list | dict) and path[-1] in dict_or_range(at):
            at[path[-1]] = value
    try:
        validate_plan(parse_plan(json.dumps(document).encode(), "p"))
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017 (any plan may also be sound)


def dict_or_range(value: list[object] | dict[str, object]) -> object:
    return range(len(value)) if isinstance(value, list) else value
