import numpy as np
import pytest

from egrl.compression.runner import OnnxRuntimeRunner
from egrl.kv.alibi import alibi_window, product_bounds
from egrl.kv.probe import (
    HeadProbe,
    ProbeOptions,
    probe_heads,
    probe_tokens,
    read_probe,
    write_probe,
)
from egrl.kv.walk import Visitor, walk
from graph_ir.decoder.decoder import LOGITS, POSITIONS, TOKENS
from graph_ir.errors import InputError
from tests.decoder.tiny import alibi_slopes, tiny_decoder

KINDS = {
    "plain": {},
    "wide values": {"value_width": 6},
    "sinks, softcap and windows": {"sinks": True, "softcap": 3.0, "windows": (5, 0)},
    "slopes": {"slopes": alibi_slopes(4), "rope": False},
    "multi-query": {"kv_heads": 1},
}


class Outputs(Visitor):
    """Keeps what every attention gave, from its probabilities."""

    def __init__(self):
        self.probabilities = {}
        self.states = {}

    def layer(self, states, known):
        self.states[states.index] = states

    def block(self, states, rows_B, probabilities_HBT):
        rows = self.probabilities.setdefault(states.index, [])
        rows += [probabilities_HBT[:, i, : row + 1] for i, row in enumerate(rows_B)]


def run(decoder, ids_R, names):
    feeds = {TOKENS: ids_R[None], POSITIONS: np.arange(len(ids_R))}
    return OnnxRuntimeRunner().open(decoder.model, names)(feeds)


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_walk_computes_what_the_model_does(kind, monkeypatch):
    monkeypatch.setattr("egrl.kv.walk._BLOCK_BYTES", 4 * 4 * 23 * 7)  # blocks of 7 rows
    decoder = tiny_decoder(**KINDS[kind])
    ids_R = np.random.default_rng(1).integers(0, decoder.vocabulary, 23)
    seen = Outputs()
    walk(decoder, OnnxRuntimeRunner(), ids_R, seen)
    nodes = [node for node in decoder.model.graph if node.op_type == "CausalAttention"]
    names = [node.outputs[0].name for node in nodes]
    exact = run(decoder, ids_R, [*names, LOGITS])
    for index, name in enumerate(names):
        states = seen.states[index]
        for row, probabilities_HT in enumerate(seen.probabilities[index]):
            value_HTE = np.repeat(states.value_KRE[:, : row + 1], states.group, axis=0)
            found = (probabilities_HT[:, None] @ value_HTE)[:, 0]
            np.testing.assert_allclose(found, exact[name][0][:, row], atol=2e-6)


def naive_scores(seen, layers, period, repeats):
    """Echo and induction, straight from their definition."""
    tables = ([], [])
    for index in range(layers):
        heads = seen.probabilities[index][0].shape[0]
        for ahead, table in enumerate(tables):
            by_head = []
            for head in range(heads):
                weights = []
                for row in range(1 + period, 1 + period * repeats):
                    earlier = [row - period * m for m in range(1, repeats)]
                    weights.append(
                        sum(
                            float(seen.probabilities[index][row][head, place + ahead])
                            for place in earlier
                            if place >= 1
                        )
                    )
                by_head.append(np.mean(weights))
            group = heads // (heads // 2)
            table.append([max(by_head[h : h + group]) for h in range(0, heads, group)])
    return tables


def test_scores_are_mean_weights_on_earlier_places_and_behind_them():
    decoder = tiny_decoder(layers=2, query_heads=4, kv_heads=2)
    options = ProbeOptions(period=9, repeats=3, first=2, seed=5)
    probe = probe_heads(decoder, OnnxRuntimeRunner(), options)
    seen = Outputs()
    walk(decoder, OnnxRuntimeRunner(), probe_tokens(decoder, options), seen)
    echo, induction = naive_scores(seen, 2, 9, 3)
    np.testing.assert_allclose(probe.echo, echo, atol=1e-6)
    np.testing.assert_allclose(probe.induction, induction, atol=1e-6)
    assert not np.allclose(echo, induction)


def test_tokens_repeat_behind_the_first_and_fit_the_decoder():
    decoder = tiny_decoder(vocabulary=48, most_positions=41)
    ids_R = probe_tokens(decoder, ProbeOptions(first=1))
    assert len(ids_R) == 41
    assert ids_R[0] == 1
    assert len(set(ids_R[1:11].tolist())) == 10
    assert ids_R[1:].reshape(4, 10).std(axis=0).max() == 0
    assert ids_R[1:].min() >= 2
    again = probe_tokens(decoder, ProbeOptions(first=1))
    np.testing.assert_array_equal(ids_R, again)
    assert (probe_tokens(decoder, ProbeOptions(first=1, seed=1)) != ids_R).any()


def test_a_probe_survives_its_file(tmp_path):
    decoder = tiny_decoder()
    probe = probe_heads(decoder, OnnxRuntimeRunner(), ProbeOptions(period=4, repeats=2))
    path = tmp_path / "probe.json"
    write_probe(probe, path)
    assert read_probe(path, decoder) == probe
    with pytest.raises(InputError, match="KV heads by layer"):
        read_probe(path, tiny_decoder(layers=1))
    path.write_text("{}")
    with pytest.raises(InputError, match=r"probe\.json"):
        read_probe(path, decoder)


def test_what_cannot_be_probed_is_refused():
    with pytest.raises(InputError, match="room"):
        probe_tokens(tiny_decoder(most_positions=6), ProbeOptions())
    with pytest.raises(InputError, match="period"):
        ProbeOptions(period=1)
    with pytest.raises(InputError, match="finite"):
        HeadProbe(echo=((float("nan"),),), induction=((1.0,),))
    decoder = tiny_decoder()
    with pytest.raises(InputError, match="tokens"):
        walk(decoder, OnnxRuntimeRunner(), np.array([decoder.vocabulary]), Visitor())


def test_no_product_of_a_head_with_alibi_is_larger_than_its_bound():
    decoder = tiny_decoder(slopes=alibi_slopes(4), rope=False, layers=2)
    probe = probe_heads(decoder, OnnxRuntimeRunner(), ProbeOptions(period=12, repeats=4))
    seen = Outputs()
    walk(decoder, OnnxRuntimeRunner(), np.arange(decoder.vocabulary), seen)
    for index, states in seen.states.items():
        key_HRD = np.repeat(states.key_KRD, states.group, axis=0)
        products = decoder.layers[index].scale * states.query_HRD @ key_HRD.transpose(0, 2, 1)
        largest_H = np.abs(products).max(axis=(1, 2))
        assert (largest_H <= probe.products[index]).all()
        # Random tokens come within a factor of their worst case.
        assert (largest_H > 0.02 * np.array(probe.products[index])).all()


def test_a_bound_is_the_norm_of_the_maps_behind_the_norm():
    decoder = tiny_decoder(slopes=alibi_slopes(4), rope=False, layers=1)
    found = product_bounds(decoder, OnnxRuntimeRunner())[0]
    constants = {
        name: value.const_value.numpy() for name, value in decoder.model.graph.initializers.items()
    }
    sharper = constants["const_4"]  # by which the tiny model multiplies what queries are made of
    gain_N = next(v for n, v in constants.items() if n.endswith(".gain") and "0" in n)
    weights = [v for n, v in constants.items() if v.shape == (32, 32) or v.shape == (32, 16)]
    query_ND, key_ND = weights[0], weights[1]
    for head in range(4):
        query = gain_N[:, None] * query_ND[:, 8 * head : 8 * head + 8]
        key = gain_N[:, None] * key_ND[:, 8 * (head // 2) : 8 * (head // 2) + 8]
        expected = decoder.layers[0].scale * np.linalg.norm(sharper * query @ key.T, 2) * 33
        assert found[head] == pytest.approx(expected, rel=1e-4)


def test_alibi_windows_leave_out_no_more_than_epsilon():
    # slope 0.5, product 3: exp(2 * 3 - 0.5 * d) < 1e-5 from d = 35.03 on.
    assert alibi_window(0.5, 3.0, 1e-5) == 36
    assert alibi_window(0.5, 0.0, 0.999) == 1


def test_other_decoders_have_no_bounds():
    probe = probe_heads(tiny_decoder(), OnnxRuntimeRunner(), ProbeOptions(period=4, repeats=2))
    assert probe.products == ()
