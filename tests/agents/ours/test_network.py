from dataclasses import replace

import numpy as np
import pytest
import torch

from egrl.agents.egrl.inference import infer
from egrl.agents.egrl.network import NetworkConfig, PolicyNetwork, graph_of
from egrl.agents.egrl.observation import observe
from egrl.agents.egrl.zero_shot import shuffled
from egrl.placers.decoder import build_decoder
from tests.agents.ours.support import generated, random_problem

PER_TENSOR = ("tensor_TF", "pair_THF", "start_T", "end_T", "allowed_TH")


def network(edges="all", spread=0.1):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = PolicyNetwork(NetworkConfig(width=16, rounds=2, edges=edges))
        for parameter in made.parameters():
            parameter.data += spread * torch.randn_like(parameter)
    return made


def forward(made, seen):
    with torch.no_grad():
        priority_T, preference_TH = made(graph_of(seen))
    return priority_T.numpy(), preference_TH.numpy()


def weights_of(made):
    return {name: value.numpy() for name, value in made.state_dict().items()}


def seen_of(problem):
    return observe(problem, build_decoder(problem))


def test_an_untrained_network_changes_nothing():
    priority_T, preference_TH = forward(PolicyNetwork(NetworkConfig()), seen_of(random_problem(20)))
    assert (priority_T == 0).all()
    assert (preference_TH == 0).all()


@pytest.mark.parametrize("edges", ["all", "none"])
def test_the_order_of_tensors_and_operands_does_not_matter(edges):
    made, seen = network(edges), seen_of(random_problem(40))
    rng = np.random.default_rng(1)
    order = rng.permutation(len(seen.tensor_TF))
    rank = np.argsort(order)
    uses = rng.permutation(len(seen.use_op_E))
    moved = replace(
        seen,
        **{name: getattr(seen, name)[order] for name in PER_TENSOR},
        use_op_E=seen.use_op_E[uses],
        use_tensor_E=rank[seen.use_tensor_E][uses],
        use_role_E=seen.use_role_E[uses],
    )
    one, other = forward(made, seen), forward(made, moved)
    assert np.abs(one[0]).max() > 1e-3
    assert np.allclose(one[0][order], other[0], atol=1e-5)
    assert np.allclose(one[1][order], other[1], atol=1e-5)


def test_the_order_of_homes_does_not_matter():
    made, seen = network(), seen_of(random_problem(30))
    order = np.random.default_rng(2).permutation(len(seen.home_HF))
    moved = replace(
        seen,
        pair_THF=np.ascontiguousarray(seen.pair_THF[:, order]),
        home_HF=seen.home_HF[order],
        relation_RHH=np.ascontiguousarray(seen.relation_RHH[:, order][:, :, order]),
        allowed_TH=np.ascontiguousarray(seen.allowed_TH[:, order]),
    )
    one, other = forward(made, seen), forward(made, moved)
    assert np.allclose(one[0], other[0], atol=1e-5)
    assert np.allclose(one[1][:, order], other[1], atol=1e-5)


@pytest.mark.parametrize("edges", ["all", "none"])
@pytest.mark.parametrize("seed", [0, 1])
def test_inference_without_torch_is_the_same(edges, seed):
    made, seen = network(edges), seen_of(generated(seed))
    priority_T, preference_TH = forward(made, seen)
    fast_T, fast_TH = infer(weights_of(made), seen)
    assert np.allclose(priority_T, fast_T, atol=2e-5)
    assert np.allclose(preference_TH, fast_TH, atol=2e-5)


def test_edges_are_what_tells_neighbours_apart():
    seen = seen_of(random_problem(30))
    other = replace(seen, op_NF=seen.op_NF + 1.0)
    with_edges, without = network("all"), network("none")
    assert np.abs(forward(with_edges, seen)[0] - forward(with_edges, other)[0]).max() > 1e-3
    assert np.allclose(forward(without, seen)[0], forward(without, other)[0])


def test_features_are_finite_and_small_on_every_kind_of_problem():
    for seed in range(10):
        seen = seen_of(generated(seed))
        for name in ("tensor_TF", "op_NF", "pair_THF", "home_HF", "family_KF", "core_F"):
            value = getattr(seen, name)
            assert np.isfinite(value).all(), name
            assert np.abs(value).max() <= 32, name


def test_shuffling_keeps_the_graph_and_moves_the_features():
    seen = seen_of(random_problem(30))
    spoilt = shuffled(seen, np.random.default_rng(0))
    assert not np.array_equal(spoilt.tensor_TF, seen.tensor_TF)
    assert np.array_equal(np.sort(spoilt.tensor_TF, axis=0), np.sort(seen.tensor_TF, axis=0))
    assert spoilt.use_tensor_E is seen.use_tensor_E
