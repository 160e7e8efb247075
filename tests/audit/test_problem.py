import copy
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from egrl.audit.parts import problem_from_parts
from egrl.audit.problem import (
    ProblemOp,
    ProblemTensor,
    ProblemTier,
    Stream,
    encode_problem,
    parse_problem,
    read_problem,
)
from graph_ir.errors import InputError
from tests.audit.oracle import problems

GOOD = {
    "schema": 1,
    "tiers": [
        {"name": "dram", "read_bytes_per_s": 1e9, "write_bytes_per_s": 1e9},
        {
            "name": "sram",
            "read_bytes_per_s": 1e11,
            "write_bytes_per_s": 1e11,
            "capacity_bytes": 1000,
        },
    ],
    "tensors": [
        {"name": "w", "kind": "weight", "size_bytes": 700, "start": 0, "end": 2},
        {"name": "h", "kind": "activation", "size_bytes": 500, "start": 0, "end": 2},
    ],
    "ops": [
        {
            "name": "a",
            "compute_s": 1e-6,
            "reads": [{"tensor": "w", "traffic_bytes": 700}],
            "writes": [{"tensor": "h", "traffic_bytes": 500}],
            "measured": {
                "base_s": 1e-6,
                "extra": [
                    {"tensor": "w", "tier": "dram", "seconds": 2e-6},
                    {"tensor": "w", "tier": "sram", "seconds": 0},
                ],
                "combinations": [{"homes": {"w": "sram", "h": "sram"}, "seconds": 1e-6}],
            },
        },
        {"name": "b", "reads": [{"tensor": "h", "traffic_bytes": 500}]},
    ],
    "pins": {"h": "dram"},
}


def changed(path, value):
    document = copy.deepcopy(GOOD)
    at = document
    for key in path[:-1]:
        at = at[key]
    if value is KeyError:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return document


def refused(text):
    with pytest.raises(InputError) as caught:
        parse_problem(text, "p.json")
    message = str(caught.value)
    assert message.startswith("p.json: ")
    assert "\n" not in message
    return message


def test_good_one_reads():
    problem = parse_problem(json.dumps(GOOD), "p.json")
    assert [t.name for t in problem.tensors] == ["w", "h"]
    assert problem.tiers[0].capacity_bytes is None


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (("schema",), 2, "$.schema: expected 1, got 2"),
        (("schema",), KeyError, "schema"),
        (("surprise",), 1, "surprise"),
        (("tiers",), [], "$.tiers"),
        (("tiers", 1, "name"), "dram", "$.tiers[1].name"),
        (("tiers", 1, "name"), "", "$.tiers[1].name"),
        (("tiers", 0, "read_bytes_per_s"), 0, "$.tiers[0].read_bytes_per_s"),
        (("tiers", 0, "read_bytes_per_s"), -1, "$.tiers[0].read_bytes_per_s"),
        (("tiers", 0, "read_bytes_per_s"), 1e300, "$.tiers[0].read_bytes_per_s"),
        (("tiers", 1, "capacity_bytes"), -1, "$.tiers[1].capacity_bytes"),
        (("tiers", 1, "capacity_bytes"), 1.5, "$.tiers[1].capacity_bytes"),
        (("tiers", 1, "latency_s"), -1e-9, "$.tiers[1].latency_s"),
        (("tensors", 1, "name"), "w", "$.tensors[1].name"),
        (("tensors", 0, "size_bytes"), -1, "$.tensors[0].size_bytes"),
        (("tensors", 0, "size_bytes"), 10**30, "$.tensors[0].size_bytes"),
        (("tensors", 0, "size_bytes"), "700", "$.tensors[0].size_bytes"),
        (("tensors", 0, "kind"), "wight", "$.tensors[0].kind"),
        (("tensors", 0, "end"), 3, "$.tensors[0]"),
        (("tensors", 0, "start"), 2, "$.tensors[0]"),
        (("tensors", 0, "start"), -1, "$.tensors[0].start"),
        (("tensors", 0, "tiers"), [], "$.tensors[0].tiers"),
        (("tensors", 0, "tiers"), ["cache"], "$.tensors[0].tiers"),
        (("tensors", 0, "alignment_bytes"), 0, "$.tensors[0].alignment_bytes"),
        (("tensors", 1, "end"), 1, "$.ops[1]"),
        (("tensors", 1, "tiers"), ["sram"], "$.pins['h']"),
        (("ops",), [], "$.ops"),
        (("ops", 0, "reads", 0, "tensor"), "nobody", "$.ops[0].reads[0].tensor"),
        (("ops", 0, "writes", 0, "tensor"), "nobody", "$.ops[0].writes[0].tensor"),
        (("ops", 0, "reads", 0, "traffic_bytes"), -1, "traffic_bytes"),
        (("ops", 0, "compute_s"), -1, "$.ops[0].compute_s"),
        (("ops", 0, "compute_s"), True, "$.ops[0].compute_s"),
        (("ops", 0, "measured", "base_s"), KeyError, "$.ops[0].measured.extra"),
        (("ops", 0, "measured"), {}, "$.ops[0].measured"),
        (("ops", 0, "measured", "base_s"), -1, "base_s"),
        (("ops", 0, "measured", "extra", 0, "seconds"), -5e-6, "at least 0"),
        (("ops", 0, "measured", "extra", 0, "tensor"), "x", "$.ops[0].measured.extra[0].tensor"),
        (("ops", 0, "measured", "extra", 0, "tier"), "x", "$.ops[0].measured.extra[0].tier"),
        (("ops", 0, "measured", "extra", 0, "tier"), "sram", "$.ops[0].measured.extra[1]"),
        (("ops", 0, "measured", "extra", 0), KeyError, "$.ops[0].measured.extra"),
        (("ops", 0, "measured", "combinations", 0, "homes"), {"w": "sram"}, "combinations[0]"),
        (("ops", 0, "measured", "combinations", 0, "homes", "h"), "x", "combinations[0].homes"),
        (("pins",), {"nobody": "dram"}, "$.pins['nobody']"),
        (("pins",), {"w": "cache"}, "$.pins['w']"),
    ],
)
def test_wrong_fields_are_named(path, value, where):
    message = refused(json.dumps(changed(path, value)))
    assert where in message


def test_extras_below_zero_in_all():
    document = changed(("ops", 0, "measured", "extra", 1, "seconds"), -5e-6)
    assert "at least 0" in refused(json.dumps(document))


def test_same_combination_twice():
    entry = GOOD["ops"][0]["measured"]["combinations"][0]
    document = changed(("ops", 0, "measured", "combinations"), [entry, entry])
    assert "twice" in refused(json.dumps(document))


def test_too_many_combinations():
    tensors = [ProblemTensor(f"t{i}", "weight", 1, 0, 1) for i in range(13)]
    names = {t.name: "a" for t in tensors}
    op = msgspec.convert(
        {"name": "op", "measured": {"combinations": [{"homes": names, "seconds": 1}]}}, ProblemOp
    )
    tiers = [ProblemTier("a", 1.0, 1.0), ProblemTier("b", 1.0, 1.0)]
    with pytest.raises(InputError, match="4096"):
        problem_from_parts(tiers, tensors, [op])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{",
        '{"schema": 1, "schema": 1}',
        "[" * 200_000,
        '{"schema": 1, "x": ' + "[" * 200_000 + "}",
        '{"schema": NaN}',
        '{"schema": 1e999}',
        json.dumps(GOOD)[:-40],
        json.dumps(GOOD) + "x",
        json.dumps(GOOD).replace('"dram"', '"\\ud800"', 1),
    ],
)
def test_hostile_text_is_one_line(text):
    refused(text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"pins": {"h": "dram"}', '"pins": {"h": "dram", "h": "sram"}'),
        ('"name": "b"', '"name": "b", "name": "c"'),
    ],
)
def test_duplicate_keys_are_refused(old, new):
    text = json.dumps(GOOD)
    assert old in text
    assert "given twice" in refused(text.replace(old, new))


def test_files(tmp_path):
    good = tmp_path / "good.json"
    good.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode())
    assert read_problem(good).name == ""
    with pytest.raises(InputError, match="found none"):
        read_problem(tmp_path / "missing.json")
    with pytest.raises(InputError, match="found none"):
        read_problem(tmp_path)
    binary = tmp_path / "binary.json"
    binary.write_bytes(b'{"schema": "\xff"}')
    with pytest.raises(InputError, match="UTF-8"):
        read_problem(binary)


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    huge = tmp_path / "huge.json"
    with huge.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(InputError, match="at most"):
        read_problem(huge)


@given(problem=problems())
def test_what_is_written_is_read_back(problem):
    assert parse_problem(encode_problem(problem).decode(), "p") == problem


@given(
    junk=st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.integers(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    ),
    data=st.data(),
)
def test_junk_in_place_of_any_part_never_ends_in_a_traceback(junk, data):
    document = copy.deepcopy(GOOD)
    at = document
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not keys:
            break
        key = data.draw(st.sampled_from(keys))
        if not isinstance(at[key], dict | list) or data.draw(st.booleans()):
            at[key] = junk
            break
        at = at[key]
    message = ""
    try:
        parse_problem(json.dumps(document), "p.json")
    except InputError as error:
        message = str(error)
    assert "\n" not in message


def test_parts_that_contradict_each_other():
    with pytest.raises(InputError, match=r"\$\.ops\[0\]"):
        problem_from_parts(
            [ProblemTier("a", 1.0, 1.0)], [], [ProblemOp("op", reads=[Stream("x", 1.0)])]
        )
    with pytest.raises(InputError, match="read_bytes_per_s"):
        problem_from_parts([ProblemTier("a", 0.0, 1.0)], [], [ProblemOp("op")])
