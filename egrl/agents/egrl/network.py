"""The policy network: it corrects the rule's priority of every tensor and preference of every pair.

Rounds of messages go between tensors and the ops that use them, one weight matrix per role, along
the execution order, and between an op and all that is live while it runs; homes exchange messages
over their typed relations. All of it is linear in ops. The last layers begin at zero, so that an
untrained network is the rule.

Axis letters: T tensors, N ops, H homes, K op families, E operands, R relations, D width, F
features.
"""

from dataclasses import dataclass
from typing import Literal

import msgspec
import torch
from torch import Tensor, nn
from torch_geometric.utils import scatter

from egrl.agents.egrl.features import (
    FAMILY_FEATURES,
    OP_FEATURES,
    PAIR_FEATURES,
    TENSOR_FEATURES,
)
from egrl.agents.egrl.machine import CORE_FEATURES, HOME_FEATURES, RELATIONS
from egrl.agents.egrl.observation import ROLES, Observation

Edges = Literal["all", "none"]


class NetworkConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Architecture.

    Attributes:
        width: D.
        rounds: of messages.
        window: ops that see one another along the execution order, odd.
        edges: `none` is a control: every node sees only itself.
    """

    width: int = 32
    rounds: int = 2
    window: int = 5
    edges: Edges = "all"


@dataclass(frozen=True, slots=True)
class Graph:
    """An observation as tensors; see `Observation`."""

    tensor_TF: Tensor
    op_NF: Tensor
    pair_THF: Tensor
    home_HF: Tensor
    family_KF: Tensor
    core_F: Tensor
    relation_RHH: Tensor
    use_op_E: Tensor
    use_tensor_E: Tensor
    use_role_E: Tensor
    family_N: Tensor
    start_T: Tensor
    end_T: Tensor
    allowed_TH: Tensor


def graph_of(observation: Observation) -> Graph:
    """The tensors of an observation, sharing its memory."""
    return Graph(
        *(torch.from_numpy(getattr(observation, name)) for name in Graph.__dataclass_fields__)
    )


def _mlp(inputs: int, width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, outputs))


class Round(nn.Module):
    """One round of messages between tensors and ops."""

    def __init__(self, width: int, window: int) -> None:
        """Make the layers."""
        super().__init__()
        roles = len(ROLES)
        self.to_op = nn.Linear(width, roles * width, bias=False)
        self.to_tensor = nn.Linear(width, roles * width, bias=False)
        self.along = nn.Conv1d(width, width, window, padding=window // 2)
        self.op = _mlp(4 * width, width, width)
        self.tensor = _mlp(3 * width, width, width)
        self.op_norm, self.tensor_norm = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, tensor_TD: Tensor, op_ND: Tensor, graph: Graph) -> tuple[Tensor, Tensor]:
        """Tensors and ops after the round."""
        tensors, ops, width = len(tensor_TD), len(op_ND), tensor_TD.shape[1]
        op_E, tensor_E, role_E = graph.use_op_E, graph.use_tensor_E, graph.use_role_E
        sent_TRD = self.to_op(tensor_TD).view(tensors, len(ROLES), width)
        used_ND = scatter(sent_TRD[tensor_E, role_E], op_E, 0, ops, "sum")
        along_ND = self.along(op_ND.T.unsqueeze(0))[0].T
        live_ND = _live(tensor_TD, graph, ops)
        change_ND = self.op(torch.cat([op_ND, used_ND, along_ND, live_ND], dim=1))
        op_ND = self.op_norm(op_ND + change_ND)
        sent_NRD = self.to_tensor(op_ND).view(ops, len(ROLES), width)
        using_TD = scatter(sent_NRD[op_E, role_E], tensor_E, 0, tensors, "mean")
        over_TD = _over_life(op_ND, graph)
        change_TD = self.tensor(torch.cat([tensor_TD, using_TD, over_TD], dim=1))
        return self.tensor_norm(tensor_TD + change_TD), op_ND


class Alone(nn.Module):
    """The control without edges: as many layers, but every node by itself."""

    def __init__(self, width: int) -> None:
        """Make the layers."""
        super().__init__()
        self.tensor, self.tensor_norm = _mlp(width, 3 * width, width), nn.LayerNorm(width)

    def forward(self, tensor_TD: Tensor, op_ND: Tensor, _graph: Graph) -> tuple[Tensor, Tensor]:
        """Tensors and ops after the round."""
        return self.tensor_norm(tensor_TD + self.tensor(tensor_TD)), op_ND


class Machine(nn.Module):
    """Homes, seen over their relations and from the cores."""

    def __init__(self, width: int) -> None:
        """Make the layers."""
        super().__init__()
        self.home = _mlp(HOME_FEATURES, width, width)
        self.core = nn.Linear(CORE_FEATURES, width)
        self.related = nn.Linear(width, len(RELATIONS) * width, bias=False)
        self.join = _mlp(2 * width, width, width)

    def forward(self, graph: Graph) -> Tensor:
        """Float32 [H, D]."""
        home_HD = self.home(graph.home_HF) + self.core(graph.core_F)
        homes, width = home_HD.shape
        sent_HRD = self.related(home_HD).view(homes, len(RELATIONS), width)
        heard_HD = torch.einsum("rij,jrd->id", graph.relation_RHH, sent_HRD) / homes
        joined: Tensor = home_HD + self.join(torch.cat([home_HD, heard_HD], dim=1))
        return joined


class PolicyNetwork(nn.Module):
    """See the module."""

    def __init__(self, config: NetworkConfig) -> None:
        """Make the layers; torch's generator decides the initial weights."""
        super().__init__()
        width = config.width
        self.machine = Machine(width)
        self.pair_in = _mlp(PAIR_FEATURES + width, width, width)
        self.tensor_in = _mlp(TENSOR_FEATURES + width, width, width)
        self.op_in = _mlp(OP_FEATURES + FAMILY_FEATURES, width, width)
        with_edges = config.edges == "all"
        self.rounds = nn.ModuleList(
            Round(width, config.window) if with_edges else Alone(width)
            for _ in range(config.rounds)
        )
        self.priority = _mlp(width, width, 1)
        self.preference = _mlp(2 * width, width, 1)
        for head in (self.priority, self.preference):
            for parameter in head[-1].parameters():
                nn.init.zeros_(parameter)

    def forward(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """Corrections of the priority [T] and of the preferences [T, H]."""
        tensors, homes = graph.allowed_TH.shape
        home_HD = self.machine(graph)
        home_THD = home_HD.expand(tensors, homes, home_HD.shape[1])
        pair_THD = self.pair_in(torch.cat([graph.pair_THF, home_THD], dim=2))
        allowed_TH1 = graph.allowed_TH.unsqueeze(2)
        pooled_TD = (pair_THD * allowed_TH1).sum(1) / allowed_TH1.sum(1)
        tensor_TD = self.tensor_in(torch.cat([graph.tensor_TF, pooled_TD], dim=1))
        op_ND = self.op_in(torch.cat([graph.op_NF, graph.family_KF[graph.family_N]], dim=1))
        for layer in self.rounds:
            tensor_TD, op_ND = layer(tensor_TD, op_ND, graph)
        seen_THD = tensor_TD.unsqueeze(1).expand(tensors, homes, tensor_TD.shape[1])
        preference_TH = self.preference(torch.cat([seen_THD, pair_THD], dim=2)).squeeze(2)
        return self.priority(tensor_TD).squeeze(1), preference_TH


def _live(tensor_TD: Tensor, graph: Graph, ops: int) -> Tensor:
    """Mean of the tensors that are live at every op: [N, D]."""
    width = tensor_TD.shape[1]
    # Sums of what has begun minus what has ended.
    one_T1 = torch.ones_like(tensor_TD[:, :1])
    value = torch.cat([tensor_TD, one_T1], dim=1)
    change = torch.zeros(ops + 1, width + 1)
    change = change.index_add(0, graph.start_T, value).index_add(0, graph.end_T, -value)
    summed = change.cumsum(0)[:ops]
    return summed[:, :width] / summed[:, width:].clamp(min=1.0)


def _over_life(op_ND: Tensor, graph: Graph) -> Tensor:
    """Mean of the ops of every tensor's lifetime: [T, D]."""
    summed = torch.cat([torch.zeros_like(op_ND[:1]), op_ND.cumsum(0)])
    length = (graph.end_T - graph.start_T).clamp(min=1).unsqueeze(1)
    return (summed[graph.end_T] - summed[graph.start_T]) / length
