import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egrl.compression.runner import OnnxRuntimeRunner
from egrl.kv.allot import allot
from egrl.kv.budget import layout_share
from egrl.kv.errors import SHARES, SINKS, HeadErrors, measure_errors
from egrl.kv.made_up import made_up_text
from egrl.kv.methods.fitted import Fitted
from egrl.kv.plan import plan_layout, read_text
from egrl.kv.probe import HeadProbe, ProbeOptions, read_probe, write_probe
from egrl.kv.said_twice import PIECE, said_twice
from egrl.kv.walk import Visitor, walk
from graph_ir.decoder.decoder import LOGITS, POSITIONS, TOKENS
from graph_ir.errors import InputError, UnmetRequirementError
from tests.decoder.tiny import tiny_decoder
from tests.kv_methods.test_methods import kept

OPTIONS = st.lists(
    st.tuples(st.integers(1, 20).map(float), st.integers(0, 30).map(float)), min_size=1, max_size=4
)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.lists(OPTIONS, min_size=1, max_size=4), st.integers(1, 70))
def test_allotting_fits_and_is_the_best_but_for_a_step(options, budget):
    choices = dict(enumerate(options))
    found = allot(choices, budget)
    totals = [
        (sum(c for c, _ in picked), sum(e for _, e in picked))
        for picked in itertools.product(*options)
    ]
    fitting = [error for cost, error in totals if cost <= budget]
    if found is None:
        assert not fitting
        return
    cost = sum(choices[key][i][0] for key, i in found.items())
    error = sum(choices[key][i][1] for key, i in found.items())
    assert cost <= budget
    largest_step = max(e for option in options for _, e in option)
    assert error <= min(fitting) + largest_step


def test_allotting_takes_the_steepest_steps_first():
    choices = {"a": [(1.0, 10.0), (2.0, 9.0)], "b": [(1.0, 5.0), (3.0, 0.0)], "c": [(1.0, 1.0)]}
    assert allot(choices, 5) == {"a": 0, "b": 1, "c": 0}
    assert allot(choices, 6) == {"a": 1, "b": 1, "c": 0}
    assert allot(choices, 4) == {"a": 1, "b": 0, "c": 0}
    assert allot(choices, 2) is None


class States(Visitor):
    def __init__(self):
        self.states = {}
        self.known = {}

    def layer(self, states, known):
        self.states[states.index] = states
        self.known[states.index] = dict(known)


def naive_error(decoder, states, residual_RC, matrix, head, window, rows):
    """The change of the residual stream, row by row and head by head."""
    errors = []
    for row in rows:
        change = 0
        for query in range(head * states.group, (head + 1) * states.group):
            scores = states.attention.scale * states.query_HRD[query, row] @ states.key_KRD[head].T
            seen = np.arange(len(scores)) <= row
            narrow = seen & (
                (np.arange(len(scores)) > row - window) | (np.arange(len(scores)) < SINKS)
            )
            outputs = []
            for mask in (seen, narrow):
                weights = np.where(mask, np.exp(scores - scores[seen].max()), 0)
                outputs.append(weights @ states.value_KRE[head] / weights.sum())
            width = states.value_KRE.shape[2]
            change = (
                change + (outputs[1] - outputs[0]) @ matrix[query * width : (query + 1) * width]
            )
        errors.append((change**2).mean() / (residual_RC[row] ** 2).mean())
    return np.mean(errors)


def test_errors_are_changes_of_the_residual_stream():
    decoder = tiny_decoder(layers=2, query_heads=4, kv_heads=2)
    ids_R = np.random.default_rng(2).integers(0, decoder.vocabulary, 64)
    found = measure_errors(decoder, OnnxRuntimeRunner(), ids_R)
    seen = States()
    walk(decoder, OnnxRuntimeRunner(), ids_R, seen)
    weight = decoder.model.graph.initializers["layers.0.o.weight"].const_value.numpy()
    residual_RC = decoder.model.graph.initializers["embedding"].const_value.numpy()[ids_R]
    rows = range(32, 64)  # all of the second half, as there are no more than are sampled
    for head, at in itertools.product(range(2), (0, 3, 7)):
        window = round(SHARES[at] * 64)
        expected = naive_error(decoder, seen.states[0], residual_RC, weight, head, window, rows)
        assert found.errors[0][head][at] == pytest.approx(expected, rel=1e-4)
    assert all(len(layer) == 2 for layer in found.errors)


def probe(errors, heads=4):
    scores = tuple((0.0,) * 2 for _ in range(heads // 2))
    return HeadProbe(scores, scores, errors=errors)


def test_windows_go_where_errors_are():
    decoder = tiny_decoder(layers=2)
    steep = tuple(np.linspace(1, 0.1, len(SHARES)).tolist())
    flat = (1e-6,) * len(SHARES)
    errors = HeadErrors(SHARES, ((flat, steep), (flat, flat)))
    method = Fitted(kv_budget=0.8, window=8, induction=0.0, echo=0.0)
    layout = method.layout(decoder, 512, probe(errors))
    found = kept(layout)
    assert layout_share(decoder, layout) <= 0.8
    assert found[0, 1][0] in (0, *range(256, 512))
    assert all(found[head][0] == 16 for head in ((0, 0), (1, 0), (1, 1)))


def test_retrieval_heads_come_first_and_may_take_more_than_there_is():
    decoder = tiny_decoder(layers=2)
    errors = HeadErrors(SHARES, (((0.0,) * len(SHARES),) * 2,) * 2)
    scores = HeadProbe(((0.0,) * 2,) * 2, ((0.0, 1.0), (0.5, 0.0)), errors=errors)
    found = kept(Fitted(kv_budget=1.0, induction=0.25, echo=0).layout(decoder, 512, scores))
    assert found[0, 1] == (0, 0, False)
    with pytest.raises(UnmetRequirementError, match="retrieval heads"):
        Fitted(kv_budget=0.4, echo=0.5).layout(decoder, 512, scores)
    with pytest.raises(InputError, match="errors"):
        Fitted().layout(decoder, 512, probe(None))
    with pytest.raises(InputError, match="sliding"):
        Fitted().layout(tiny_decoder(layers=2, windows=(4, 0)), 512, scores)


def test_retrieval_heads_take_no_more_than_half_of_the_budget():
    decoder = tiny_decoder(layers=10)
    errors = HeadErrors(SHARES, (((0.0,) * len(SHARES),) * 2,) * 10)
    scores = HeadProbe(((0.0, 0.0),) * 10, tuple((float(i), 0.5) for i in range(10)), errors=errors)
    for budget, heads in ((0.2, 1), (0.4, 2), (1.0, 3)):
        method = Fitted(kv_budget=budget, induction=0.14, echo=0.0, window=8)
        layout = method.layout(decoder, 400, scores)
        whole = [head for head, what in kept(layout).items() if what == (0, 0, False)]
        assert whole == [(9, 0), (8, 0), (7, 0)][:heads][::-1]
        assert layout_share(decoder, layout) <= budget
    assert not any(what[2] for what in kept(layout).values())


def test_made_up_text_ends_as_the_model_samples_it():
    decoder = tiny_decoder(layers=1)
    runner = OnnxRuntimeRunner()
    ids_R = made_up_text(decoder, runner, seed=3, length=12)
    np.testing.assert_array_equal(ids_R, made_up_text(decoder, runner, seed=3, length=12))
    assert (ids_R != made_up_text(decoder, runner, seed=4, length=12)).any()
    # The first tokens are final after as many rounds: sampled one at a time they are the same.
    clocks = np.random.default_rng([3, 1])
    text = [ids_R[0]]
    for _ in range(8):
        feeds = {TOKENS: np.array([text]), POSITIONS: np.arange(len(text))}
        logits_V = runner.open(decoder.model, [LOGITS])(feeds)[LOGITS][0, -1]
        clock_V = clocks.standard_exponential(decoder.vocabulary, dtype=np.float32)
        text.append(int((logits_V / 0.6 - np.log(clock_V + np.float32(1e-30))).argmax()))
    np.testing.assert_array_equal(ids_R[:9], text)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.integers(2, 400), st.integers(2, 500))
def test_everything_is_said_twice(tokens, length):
    ids_R = np.arange(100, 100 + tokens)
    found = said_twice(ids_R, length)
    first = min(tokens, length // 2)
    assert len(found) == 2 * first
    np.testing.assert_array_equal(found[:first], ids_R[:first])
    np.testing.assert_array_equal(np.sort(found[first:]), ids_R[:first])
    # Where a piece begins, and nowhere else, the order is another one.
    breaks = np.flatnonzero(np.diff(found[first:]) != 1) + 1
    assert len(breaks) < -(-first // PIECE)
    np.testing.assert_array_equal(found, said_twice(ids_R, length))


def test_what_is_said_twice_is_turned_round():
    found = said_twice(np.arange(10 * PIECE), 20 * PIECE)
    assert (found[10 * PIECE :] != np.arange(10 * PIECE)).mean() > 0.5


def test_a_plan_measures_what_its_method_needs(tmp_path):
    decoder = tiny_decoder(layers=2, most_positions=400)
    runner = OnnxRuntimeRunner()
    options = ProbeOptions(period=8, repeats=3)
    text = tmp_path / "text.npy"
    np.save(text, np.arange(40) % decoder.vocabulary)
    for method in (Fitted(window=8, text=str(text)), Fitted(window=8)):
        layout = plan_layout(method, decoder, 256, runner, options=options)
        assert layout_share(decoder, layout) <= 0.3
    for bad in (np.array([1.5, 2.5]), np.array([5]), np.array([1, 10**6])):
        np.save(text, bad)
        with pytest.raises(InputError, match=r"text\.npy"):
            read_text(text, decoder)
    with pytest.raises(InputError, match=r"none\.npy"):
        read_text(tmp_path / "none.npy", decoder)


def test_errors_survive_the_file_of_a_probe(tmp_path):
    decoder = tiny_decoder(layers=2)
    made = probe(HeadErrors(SHARES, (((0.25,) * len(SHARES),) * 2,) * 2))
    write_probe(made, tmp_path / "probe.json")
    assert read_probe(tmp_path / "probe.json", decoder) == made
