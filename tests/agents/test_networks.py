"""The networks: what they must not depend on, and their graph."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.func import functional_call

from egrl.agents.paper.config import PaperConfig
from egrl.agents.paper.critic import Critic
from egrl.agents.paper.policy import Policy
from egrl.agents.paper.topology import build_topology
from egrl.agents.paper.unet import GraphUNet
from egrl.environment.features import build_graph
from tests.placers.support import random_problem

SMALL = replace(PaperConfig(), hidden=16, depth=3, heads=2)


def pairs(graph):
    rows = np.repeat(np.arange(graph.node_count), np.diff(graph.begin_M))
    return sorted(zip(rows.tolist(), graph.reads_E.tolist(), strict=True))


def test_the_square_of_a_chain_by_hand():
    topology = build_topology(np.array([[0, 1, 2], [1, 2, 3]]), 4)
    loops = [(i, i) for i in range(4)]
    one = sorted([*loops, (0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (3, 2)])
    assert pairs(topology.graph) == one
    squared = topology.graph.kept(np.arange(4))
    assert pairs(squared) == sorted([*one, (0, 2), (2, 0), (1, 3), (3, 1)])
    twice = topology.batch(2)
    assert pairs(twice) == sorted([*one, *((a + 4, b + 4) for a, b in one)])
    # 3 and 1 are kept, in this order: they are two steps apart; 0 is left out.
    assert pairs(topology.graph.kept(np.array([3, 1]))) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert pairs(topology.graph.kept(np.array([3, 0]))) == [(0, 0), (1, 1)]


@pytest.mark.parametrize("seed", range(5))
def test_coarser_graphs_are_those_of_dense_matrices(seed):
    rng = np.random.default_rng(seed)
    dense = np.triu(rng.random((30, 30)) < 0.1, 1)
    topology = build_topology(np.argwhere(dense).T.copy(), 30)
    both = (dense | dense.T).astype(int) + np.eye(30, dtype=int)
    kept = rng.permutation(30)[:17]
    expected = (both @ both > 0)[kept][:, kept]
    found = topology.graph.kept(kept)
    assert pairs(found) == sorted(map(tuple, np.argwhere(expected).tolist()))
    assert len(set(pairs(found))) == len(pairs(found))


def published(network, nodes_MF, edges_2E, graph_M):
    """The U-Net with the forward passes of PyTorch Geometric's own layers."""
    x, skips = torch.relu(network.down[0](nodes_MF, edges_2E)), []
    for pool, convolution in zip(network.pools, network.down[1:], strict=True):
        dense = torch.eye(len(x))
        dense[edges_2E[0], edges_2E[1]] = 1.0
        wider = ((dense @ dense > 0) & ~torch.eye(len(x), dtype=torch.bool)).nonzero().T
        before, before_2E = x, edges_2E
        x, edges_2E, _, graph_M, kept, _ = pool(x, wider, None, graph_M)
        skips.append((before, before_2E, kept))
        x = torch.relu(convolution(x, edges_2E))
    for level, convolution in enumerate(network.up):
        before, edges_2E, kept = skips.pop()
        x = convolution(before.index_add(0, kept, x), edges_2E)
        x = torch.relu(x) if level < len(network.up) - 1 else x
    return x


@pytest.mark.parametrize("seed", range(3))
def test_the_kernels_compute_what_the_published_layers_do(seed):
    nodes, edges, _, _ = inputs(seed, batch=3)
    torch.manual_seed(seed)
    network = GraphUNet(21, SMALL)
    draw_what_is_zero(network)
    topology = build_topology(edges, 24)
    weights = torch.rand((3, 24, 16))
    both_2E = torch.tensor([pair for pair in pairs(topology.batch(3)) if pair[0] != pair[1]]).T
    results = []
    for forward in (
        lambda x: network(x, topology.batch(3)),
        lambda x: published(
            network, x.flatten(0, 1), both_2E, torch.arange(3).repeat_interleave(24)
        ).view(3, 24, -1),
    ):
        network.zero_grad()
        state = nodes.clone().requires_grad_(True)
        found = forward(state)
        (found * weights).sum().backward()
        results.append(
            [found.detach(), state.grad, *(p.grad.clone() for p in network.parameters())]
        )
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=2e-5)


def test_a_population_in_one_pass():
    nodes, edges, _, _ = inputs(batch=3)
    topology = build_topology(edges, 24)
    policies = [built(Policy, seed) for seed in range(3)]
    names = [name for name, _ in policies[0].named_parameters()]
    for policy in policies:
        draw_what_is_zero(policy)
    stacked = {
        name: torch.stack([policy.get_parameter(name) for policy in policies])
        .detach()
        .requires_grad_(True)
        for name in names
    }
    together = functional_call(policies[0], stacked, (nodes, topology))
    alone = torch.stack([p(nodes[i : i + 1], topology)[0] for i, p in enumerate(policies)])
    torch.testing.assert_close(together, alone)
    weights = torch.rand(alone.shape)
    (together * weights).sum().backward()
    (alone * weights).sum().backward()
    for name in names:
        each = torch.stack([policy.get_parameter(name).grad for policy in policies])
        torch.testing.assert_close(stacked[name].grad, each, rtol=1e-3, atol=2e-5)


def draw_what_is_zero(network):
    """Biases begin with zero, where a wrong one does not show."""
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)


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
