"""The agent's precision head: what it computes, what it is decoded to, how it is trained."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from accelerator_sim.engine import evaluate
from egrl.agents.egrl.checkpoint import load_policy
from egrl.compression.joint.exercises import Exercise, draw_exercise
from egrl.compression.joint.head import (
    Genes,
    Head,
    Provenance,
    load_head,
    noisy,
    propose,
    save_head,
)
from egrl.compression.joint.head_network import HeadNetwork
from egrl.compression.joint.head_training import HeadTrainingConfig
from egrl.compression.joint.head_view import FEATURES, HeadView
from egrl.compression.joint.model import Bounds
from egrl.compression.joint.proposals import PrecisionAgent, precision_agent
from egrl.compression.joint.search import Effort, JointSearch, joint_search
from egrl.compression.joint.train_head import train_head
from graph_ir.errors import InputError
from tests.compression.joint_support import (
    chain,
    precisions_of,
    random_costs,
    search_of,
    small_machine,
)

WIDTH = 32


def random_view(rng: np.random.Generator, products: int, precisions: int) -> HeadView:
    """Seeded normal features."""
    return HeadView(
        rng.standard_normal((products, WIDTH)).astype(np.float32),
        rng.standard_normal((products, precisions, FEATURES)).astype(np.float32),
    )


def random_weights(seed: int) -> dict[str, np.ndarray]:
    """A network none of whose layers is zero."""
    torch.manual_seed(seed)
    network = HeadNetwork(WIDTH)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return {name: value.numpy() for name, value in network.state_dict().items()}


@pytest.fixture(scope="module")
def exercise() -> Exercise:
    """A generated problem with all five precisions."""
    found = draw_exercise(np.random.default_rng([1, 0]), (20, 40), 200)
    assert len(found.traits) == 5
    return found


@given(st.integers(0, 1000), st.integers(1, 9), st.integers(2, 6))
@settings(max_examples=15)
def test_head_is_equivariant_to_products_and_precisions(
    seed: int, products: int, precisions: int
) -> None:
    rng = np.random.default_rng(seed)
    weights, view = random_weights(seed), random_view(rng, products, precisions)
    said = propose(weights, view)
    by_s, by_p = rng.permutation(products), rng.permutation(precisions)
    turned = HeadView(view.product_SD[by_s], view.choice_SPF[by_s][:, by_p])
    other = propose(weights, turned)
    np.testing.assert_allclose(other.price_SP, said.price_SP[by_s][:, by_p], atol=1e-4)
    np.testing.assert_allclose(other.worth_2, said.worth_2, atol=1e-4)
    assert np.ptp(said.price_SP) > 1e-3


def test_numpy_computes_what_torch_does() -> None:
    weights, view = random_weights(3), random_view(np.random.default_rng(4), 5, 4)
    network = HeadNetwork(WIDTH)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    with torch.no_grad():
        worth, price = network(torch.from_numpy(view.product_SD), torch.from_numpy(view.choice_SPF))
    said = propose(weights, view)
    np.testing.assert_allclose(said.price_SP, price.numpy(), atol=1e-5)
    np.testing.assert_allclose(said.worth_2, worth.numpy(), atol=1e-5)


def test_untrained_head_is_the_middle_of_the_rule() -> None:
    network = HeadNetwork(WIDTH)
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    keys = propose(weights, random_view(np.random.default_rng(0), 3, 4)).keys()
    assert (keys.price_SP == 1.0).all()
    assert (keys.late_S == 0.5).all()
    assert (keys.byte_value_S == 0.5).all()


@given(st.integers(0, 10_000), st.floats(0.01, 1.0), st.booleans())
@settings(max_examples=20)
def test_whatever_it_says_keeps_to_the_bounds(
    exercise: Exercise, seed: int, share: float, of_bytes: bool
) -> None:
    rng = np.random.default_rng(seed)
    costs = exercise.costs
    search = joint_search(exercise.place(0), exercise.problems, costs, Effort())
    most = float(np.sqrt(costs.error_squared_SP.max(axis=1).sum()))
    least = costs.other_bytes + int(costs.bytes_SP.min(axis=1).sum())
    kept = costs.other_bytes + int(costs.bytes_SP[:, 0].sum())
    bounds = Bounds(share * most, round(least + share * (kept - least)) if of_bytes else None)
    wild = Genes(
        10 * rng.standard_normal(2), 10 * rng.standard_normal(costs.error_squared_SP.shape)
    )
    free_S = rng.random(len(costs.ops_of_product)) < 0.7
    choice_S = search.decoder.decode(exercise.start, bounds, wild.keys(), free_S)
    if choice_S is None:
        assert of_bytes  # Keeping everything has no error, but it may have too many bytes.
        return
    assert search.keeps(choice_S, bounds)
    assert all(choice_S[s] == exercise.start.choice_S[s] for s in np.flatnonzero(~free_S))


def _agent_search(exercise: Exercise, effort: Effort) -> JointSearch:
    made = partial(precision_agent, load_head(), load_policy(), exercise.costs, exercise.traits)
    return joint_search(exercise.place(0), exercise.problems, exercise.costs, effort, made)


def test_agent_keeps_to_the_bounds_and_is_deterministic(exercise: Exercise) -> None:
    runs = [
        _agent_search(exercise, Effort(0, 0.0, 8, 100, 2)).run(exercise.bounds, [exercise.start])
        for _ in range(2)
    ]
    first, second = runs
    assert first is not None
    assert second is not None
    assert first.choice_S == second.choice_S
    assert first.homes_T.tolist() == second.homes_T.tolist()
    assert exercise.costs.error(first.choice_S) <= exercise.bounds.error * (1 + 1e-9)
    assert first.latency_s < exercise.start.latency_s
    again_s, overflow_bytes = evaluate(first.problem, first.homes_T)
    assert again_s == first.latency_s
    assert overflow_bytes <= 0


def test_agent_breeds_what_was_fast(exercise: Exercise) -> None:
    agent = _agent_search(exercise, Effort()).proposals
    assert isinstance(agent, PrecisionAgent)
    rng = np.random.default_rng(0)
    for seconds in (3.0, 1.0, np.inf, 2.0, 5.0, 4.0, 6.0):
        agent.next(exercise.start, exercise.bounds, rng)
        agent.told(seconds)
    assert [seconds for seconds, _ in agent.elites] == [1.0, 2.0, 3.0, 4.0]
    agent.begin()
    assert not agent.elites


def test_agent_beats_uniform_precision_where_one_product_must_stay() -> None:
    """One product's rounding costs nearly all of the error: uniform precision keeps everything."""
    machine = small_machine(24 << 10)
    precisions = precisions_of(chain([64, 128, 128, 160, 64]), machine)
    costs = random_costs(precisions, 5)
    costs.error_squared_SP[:, 1:] = 1e-6
    costs.error_squared_SP[1, 1:] = 1.0
    bounds = Bounds(0.1)
    plain = search_of(precisions, machine, costs, Effort(0, 0.0, 6, 300))
    uniform = [
        plain.place.place(precisions.uniform(p), [], 2000)
        for p in range(precisions.count)
        if costs.error(precisions.uniform(p)) <= bounds.error
    ]
    assert [placed.choice_S for placed in uniform] == [precisions.uniform(0)]
    made = partial(precision_agent, load_head(), load_policy(), costs, precisions.traits)
    search = joint_search(plain.place, plain.problems, costs, Effort(0, 0.0, 6, 300), made)
    found = search.run(bounds, uniform)
    assert found is not None
    assert found.latency_s < 0.95 * uniform[0].latency_s
    assert found.choice_S[1] == 0


def test_noise_has_its_scale() -> None:
    genes = Genes(np.zeros(2), np.zeros((40, 50)))
    rng = np.random.default_rng(0)
    assert noisy(genes, rng, 0.0).price_SP.any() is np.False_
    assert np.std(noisy(genes, rng, 2.0).price_SP) == pytest.approx(0.4, rel=0.1)


def test_training_is_reproducible_and_changes_the_head(tmp_path: Path) -> None:
    config = HeadTrainingConfig(2, 1, 4, 1, (20, 30), seed=3)
    heads = [train_head(config, "a test") for _ in range(2)]
    for at, head in enumerate(heads):
        save_head(tmp_path / f"{at}.safetensors", head)
    one, two = ((tmp_path / f"{at}.safetensors").read_bytes() for at in range(2))
    assert one == two
    assert any(heads[0].weights[name].any() for name in ("price.2.weight", "worth.2.weight"))
    assert load_head(tmp_path / "0.safetensors").provenance == heads[0].provenance


def test_shipped_head_says_where_it_comes_from() -> None:
    head = load_head()
    assert head.provenance.run.startswith("scripts/train_precision_head --seed")
    assert head.provenance.steps > 0
    assert any(value.any() for value in head.weights.values())


def test_wrong_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "head.safetensors"
    with pytest.raises(InputError, match="found none"):
        load_head(path)
    path.write_bytes(b"no such thing")
    with pytest.raises(InputError, match="not readable"):
        load_head(path)
    weights = {"choice.0.weight": np.full((1, 1), np.nan, np.float32)}
    provenance = Provenance("a test", 0, 0, 0, "0", FEATURES, WIDTH)
    save_head(path, Head(weights, provenance))
    with pytest.raises(InputError, match="finite"):
        load_head(path)
    save_head(path, Head({}, Provenance("a test", 0, 0, 0, "0", FEATURES + 1, WIDTH)))
    with pytest.raises(InputError, match="features"):
        load_head(path)
