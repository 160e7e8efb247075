"""What the policy sees of a problem: typed nodes, typed relations, features without units.

Nodes are tensors, ops, homes, op families and the cores. Whatever a feature measures is a share of
the problem's own ideal latency, bytes or capacities, or a rank, so that one network serves any
number of ops, tiers and cores.

Axis letters: T tensors, N ops, H homes, K op families, E operands, R relations between homes,
F features.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.incremental.moves import build_state
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.value import op_seconds_N
from egrl.agents.egrl.decoding import decode_keys
from egrl.agents.egrl.features import (
    FAMILIES,
    build_rule,
    family_features,
    op_features,
    pair_features,
    tensor_features,
)
from egrl.agents.egrl.machine import machine_nodes
from egrl.agents.egrl.prior import Prior, build_prior
from egrl.placers.decoder import Decoder
from graph_ir.workload import Role

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]

ROLES = tuple(Role)


@dataclass(frozen=True, slots=True)
class Observation:
    """Features and relations of one problem.

    Attributes:
        tensor_TF: float32.
        op_NF: float32.
        pair_THF: float32, a tensor in a home.
        home_HF: float32.
        family_KF: float32.
        core_F: float32.
        relation_RHH: float32, 1 where home i stands in the relation to home j.
        use_op_E: int64, op of every operand.
        use_tensor_E: int64, its tensor.
        use_role_E: int64, index into `ROLES`.
        family_N: int64, index into `FAMILIES`.
        start_T: int64, half-open lifetimes.
        end_T: int64.
        allowed_TH: where each tensor may live.
        prior: keys of the rule that the policy corrects.
    """

    tensor_TF: F32
    op_NF: F32
    pair_THF: F32
    home_HF: F32
    family_KF: F32
    core_F: F32
    relation_RHH: F32
    use_op_E: I64
    use_tensor_E: I64
    use_role_E: I64
    family_N: I64
    start_T: I64
    end_T: I64
    allowed_TH: NDArray[np.bool_]
    prior: Prior


def observe(problem: PlacementProblem, decoder: Decoder) -> Observation:
    """Everything that the policy knows of a problem; linear in ops.

    Where the rule's placement does not fit, the features describe the one without limits.

    Args:
        problem: the problem.
        decoder: of the problem.
    """
    workload, arrays = problem.workload, problem.arrays
    ideal_N = op_seconds_N(decoder.tables, decoder.values.ideal_T)
    ideal_s = max(float(ideal_N.sum()), 1e-12)
    prior = build_prior(problem, decoder, ideal_s)
    homes_PT, decoded_P = decode_keys(
        decoder, prior.priority_T[np.newaxis], prior.preference_TH[np.newaxis]
    )
    homes_T = homes_PT[0] if decoded_P[0] else decoder.values.ideal_T
    rule = build_rule(decoder, homes_T, build_state(decoder.tables, homes_T), ideal_N)
    family_N = np.array([FAMILIES.index(op.family) for op in workload.ops], np.int64)
    op_NF = op_features(problem, decoder, rule)
    home_HF, core_F, relation_RHH = machine_nodes(problem, ideal_s)
    return Observation(
        tensor_TF=tensor_features(problem, decoder, prior, rule),
        op_NF=op_NF,
        pair_THF=pair_features(problem, decoder, prior, rule),
        home_HF=home_HF,
        family_KF=family_features(family_N, rule, op_NF),
        core_F=core_F,
        relation_RHH=relation_RHH,
        use_op_E=np.repeat(np.arange(problem.op_count), np.diff(arrays.row_start_N)),
        use_tensor_E=arrays.row_tensor_E.astype(np.int64),
        use_role_E=np.array(
            [ROLES.index(operand.role) for op in workload.ops for operand in op.operands], np.int64
        ),
        family_N=family_N,
        start_T=arrays.start_T,
        end_T=arrays.end_T,
        allowed_TH=problem.allowed_TH,
        prior=prior,
    )
