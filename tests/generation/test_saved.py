import numpy as np
import pytest

from graph_ir.errors import InputError
from runtime.generation.sampling import Sampling
from runtime.generation.saved import Saved, read_sequence, save_sequence
from runtime.generation.step import StateForm
from runtime.npz import read_inputs, write_outputs
from tests.generation.toy import DIGEST, VOCABULARY, toy_generator

PROMPT = [3, 1, 4, 1, 5, 9]
DRAWN = Sampling(temperature=1.5, top_p=0.9, seed=4)
FORMS = (
    StateForm("a.key", "b.key", np.dtype(np.float32), (1, 2, 6, 4)),
    StateForm("a.scale", "b.scale", np.dtype(np.int8), (3,)),
)


@pytest.fixture
def generator():
    return toy_generator(eos=[])


def test_a_resumed_sequence_goes_on_as_if_it_had_not_stopped(generator, tmp_path):
    whole, stopped = generator.start(), generator.start()
    expected = list(generator.generate(whole, PROMPT, 14, DRAWN))
    given = list(generator.generate(stopped, PROMPT, 5, DRAWN))
    generator.save(stopped, tmp_path / "s")
    resumed = toy_generator(eos=[]).resume(tmp_path / "s")
    assert resumed.tokens == stopped.tokens
    assert given + list(generator.generate(resumed, (), 9, DRAWN)) == expected
    assert resumed.tokens == whole.tokens


def test_equal_sequences_give_equal_files(generator, tmp_path):
    for name in "ab":
        sequence = generator.start()
        list(generator.generate(sequence, PROMPT, 3))
        generator.save(sequence, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_session_of_another_artifact(generator, tmp_path):
    sequence = generator.start()
    list(generator.generate(sequence, PROMPT, 1))
    generator.save(sequence, tmp_path / "s")
    with pytest.raises(InputError, match="the session is of another artifact"):
        toy_generator(digest="cd" * 32).resume(tmp_path / "s")


def test_saving_again_replaces_in_one_step(generator, tmp_path, monkeypatch):
    sequence = generator.start()
    list(generator.generate(sequence, PROMPT, 1))
    generator.save(sequence, tmp_path / "s")
    before = (tmp_path / "s").read_bytes()
    list(generator.generate(sequence, (), 2))

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", killed)
        with pytest.raises(KeyboardInterrupt):
            generator.save(sequence, tmp_path / "s")
    assert (tmp_path / "s").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


@pytest.mark.parametrize("filled", [0, 3, 6])
def test_slots_that_hold_nothing_are_not_written(tmp_path, filled):
    key = np.zeros((1, 2, 6, 4), np.float32)
    key[:, :, :filled] = np.arange(filled)[:, None] + 1
    states = {"a.key": key, "a.scale": np.array([1, 0, 0], np.int8)}
    save_sequence(tmp_path / "s", Saved((1, 2), 1, states), DIGEST)
    assert read_inputs(tmp_path / "s")["state:a.key"].shape == (1, 2, filled, 4)
    saved = read_sequence(tmp_path / "s", DIGEST, FORMS, VOCABULARY, 10)
    assert (saved.tokens, saved.fed) == ((1, 2), 1)
    for name, state in states.items():
        assert saved.states[name].dtype == state.dtype
        np.testing.assert_array_equal(saved.states[name], state)


def _arrays():
    return {
        "schema": np.array([1]),
        "artifact": np.frombuffer(bytes.fromhex(DIGEST), np.uint8),
        "tokens": np.array([1, 2, 3]),
        "fed": np.array([2]),
        "state:a.key": np.ones((1, 2, 2, 4), np.float32),
        "state:a.scale": np.zeros(3, np.int8),
    }


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("schema", None, "not a saved session"),
        ("schema", np.array([2]), "unknown schema: expected 1, got 2"),
        ("schema", np.array([1.0]), "another form"),
        ("artifact", None, "not a saved session"),
        ("artifact", np.zeros(32, np.uint8), "of another artifact"),
        ("artifact", np.full(32, np.nan), "of another artifact"),
        ("tokens", np.array([[1]]), "another form"),
        ("tokens", np.array([VOCABULARY, 0, 0]), "beyond the vocabulary"),
        ("tokens", np.array([-1, 0, 0]), "beyond the vocabulary"),
        ("tokens", np.arange(12), "12 tokens in 10 positions"),
        ("fed", np.array([4]), "damaged: 4 of 3"),
        ("fed", np.array([-1]), "damaged: -1 of 3"),
        ("state:a.key", None, "not a saved session"),
        ("state:a.key", np.ones((1, 2, 7, 4), np.float32), "expected float32"),
        ("state:a.key", np.ones((1, 2, 2, 5), np.float32), "expected float32"),
        ("state:a.key", np.ones((1, 2, 2, 4), np.float64), "expected float32"),
        ("state:a.key", np.ones((1, 2, 2), np.float32), "expected float32"),
        ("state:a.key", np.full((1, 2, 2, 4), np.inf, np.float32), "not finite"),
        ("state:a.scale", np.zeros(2, np.int8), "expected int8"),
    ],
)
def test_damaged_sessions(tmp_path, name, value, message):
    arrays = _arrays()
    write_outputs(tmp_path / "s", arrays)
    read_sequence(tmp_path / "s", DIGEST, FORMS, VOCABULARY, 10)
    if value is None:
        del arrays[name]
    else:
        arrays[name] = value
    write_outputs(tmp_path / "s", arrays)
    with pytest.raises(InputError, match=message):
        read_sequence(tmp_path / "s", DIGEST, FORMS, VOCABULARY, 10)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\x80\x04pickle"])
def test_files_that_are_no_sessions(tmp_path, data):
    (tmp_path / "s").write_bytes(data)
    with pytest.raises(InputError, match="cannot read it"):
        read_sequence(tmp_path / "s", DIGEST, FORMS, VOCABULARY, 10)


def test_a_session_larger_than_its_caches_is_not_read(tmp_path):
    write_outputs(tmp_path / "s", {**_arrays(), "more": np.zeros(100_000)})
    with pytest.raises(InputError, match="expected at most"):
        read_sequence(tmp_path / "s", DIGEST, FORMS, VOCABULARY, 10)
