"""The networks: what they must not depend on, and their graph."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from egrl.agents.paper.config import PaperConfig
from egrl.agents.paper.critic import Critic
from egrl.agents.paper.policy import Policy
from egrl.agents.paper.topology import build_topology, squared
from egrl.environment.features import build_graph
from tests.placers.support import random_problem

SMALL = replace(PaperConfig(), hidden=16, depth=3, heads=2)


def pairs(edges_2E):
    return sorted(map(tuple, edges_2E.T.tolist()))


def test_the_square_of_a_chain_by_hand():
    topology = build_topology(np.array([[0, 1, 2], [1, 2, 3]]), 4)
    one = [(0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (3, 2)]
    assert pairs(topology.edges_2E) == one
    assert pairs(topology.squared_2E) == sorted([*one, (0, 2), (2, 0), (1, 3), (3, 1)])
    twice = topology.batch(2)
    assert pairs(twice.edges_2E) == sorted([*one, *((a + 4, b + 4) for a, b in one)])
    assert twice.graph_M.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize("seed", range(5))
def test_the_square_is_that_of_dense_matrices(seed):
    rng = np.random.default_rng(seed)
    dense = np.triu(rng.random((30, 30)) < 0.1, 1)
    topology = build_topology(np.argwhere(dense).T.copy(), 30)
    both = (dense | dense.T).astype(int) + np.eye(30, dtype=int)
    expected = (both @ both > 0) & ~np.eye(30, dtype=bool)
    assert pairs(topology.squared_2E) == pairs(np.argwhere(expected).T)
    assert squared(torch.zeros((2, 0), dtype=torch.int64), 3).shape == (2, 0)


def inputs(seed=0, batch=2):
    """A graph of ops with features that are all distinct, so that no pooling has a tie."""
    graph = build_graph(random_problem("nnp-i", seed, 24).workload)
    noise = torch.rand((batch, 24, 21), generator=torch.Generator().manual_seed(seed))
    nodes = torch.nn.functional.pad(torch.from_numpy(graph.features_NF), (0, 2)) + noise
    order = np.random.default_rng(seed).permutation(24)
    place = np.empty(24, np.int64)
    place[order] = np.arange(24)
    return nodes, graph.edges_2E, order, place[graph.edges_2E]


def built(kind, seed=0):
    torch.manual_seed(seed)
    return kind(21, 3, SMALL)


@pytest.mark.parametrize("seed", range(4))
def test_the_policy_follows_a_permutation_of_the_ops(seed):
    nodes, edges, order, moved = inputs(seed)
    policy = built(Policy, seed)
    with torch.no_grad():
        plain = policy(nodes, build_topology(edges, 24))
        other = policy(nodes[:, order], build_topology(moved, 24))
    assert plain.shape == (2, 24, 2, 3)
    assert plain.std() > 1e-3
    torch.testing.assert_close(other, plain[:, order], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_the_critic_does_not_see_the_order_of_the_ops(seed):
    nodes, edges, order, moved = inputs(seed)
    action = torch.rand((2, 24, 2, 3), generator=torch.Generator().manual_seed(seed))
    critic = built(Critic, seed)
    with torch.no_grad():
        plain = critic(nodes, action, build_topology(edges, 24))
        other = critic(nodes[:, order], action[:, order], build_topology(moved, 24))
        changed = critic(nodes, action.flip(3), build_topology(edges, 24))
    assert plain.shape == (2, 2)
    torch.testing.assert_close(other, plain, rtol=1e-4, atol=1e-5)
    assert (changed - plain).abs().max() > 1e-4


def test_graphs_of_a_batch_do_not_see_each_other():
    nodes, edges, _, _ = inputs()
    topology = build_topology(edges, 24)
    policy = built(Policy)
    with torch.no_grad():
        torch.testing.assert_close(policy(nodes, topology)[1:], policy(nodes[1:], topology))


def test_the_policy_sees_upstream_and_downstream():
    nodes, edges, _, _ = inputs()
    policy = built(Policy)
    topology = build_topology(edges, 24)
    state = nodes[:1].requires_grad_(True)
    policy(state, topology)[0, 12].sum().backward()
    reached = state.grad[0].abs().sum(dim=1) > 0
    assert reached[:12].any()
    assert reached[13:].any()


@pytest.mark.parametrize("kind", [Policy, Critic])
def test_every_parameter_of_the_networks_learns(kind):
    nodes, edges, _, _ = inputs()
    network = built(kind)
    topology = build_topology(edges, 24)
    action = torch.rand((2, 24, 2, 3))
    found = network(nodes, topology) if kind is Policy else network(nodes, action, topology)
    (found**2).sum().backward()
    still = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []


def test_a_single_op_without_edges():
    topology = build_topology(np.zeros((2, 0), np.int64), 1)
    assert built(Policy)(torch.rand(3, 1, 21), topology).shape == (3, 1, 2, 3)


def test_the_papers_size():
    policy = Policy(21, 3, PaperConfig())
    assert len(policy.unet.pools) == 4
    assert all(conv.heads == 4 and conv.out_channels == 32 for conv in policy.unet.down)
