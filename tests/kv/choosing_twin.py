"""Slow and in float64: what positions of a prompt score, which are chosen, what is attended to."""

import numpy as np

from graph_ir.kv.scoring import OBSERVED, SINKS

# As published.
FLOOR, FUTURE, POOLED = 0.2, 512, 7


def observed_scores(query_HWD, key_KSD, length, scale, softcap=0.0):
    """SnapKV's, [KV heads, S]; infinite for the observation window."""
    each = len(query_HWD) // len(key_KSD)
    begin = length - OBSERVED
    scores = np.full((len(key_KSD), length), np.inf)
    for head, key_SD in enumerate(key_KSD.astype(np.float64)):
        total_S = np.zeros(begin)
        for query_WD in query_HWD[head * each : (head + 1) * each].astype(np.float64):
            for at, query_D in enumerate(query_WD):
                logits = scale * key_SD[: begin + at + 1] @ query_D
                if softcap:
                    logits = softcap * np.tanh(logits / softcap)
                weights = np.exp(logits - logits.max())
                total_S += (weights / weights.sum())[:begin]
        near = POOLED // 2
        scores[head, :begin] = [
            total_S[max(0, t - near) : t + near + 1].max() for t in range(begin)
        ]
    return scores


def mean_rotation(rotation, length):
    """Mean of the rotations to the positions behind a prompt, [D, D]."""
    matrix_DD = np.eye(rotation.width)
    for one, other, radians in rotation.pairs:
        angles = [radians * (length + ahead) for ahead in range(FUTURE)]
        cos, sin = np.mean(np.cos(angles)), np.mean(np.sin(angles))
        matrix_DD[[one, other], [one, other]] = cos
        matrix_DD[one, other], matrix_DD[other, one] = -sin, sin
    return matrix_DD


def expected_scores(mean_HD, covariance_HDD, key_KSD, value_KSE, length, scale, rotation, epsilon):
    """Those of expected attention, [KV heads, S]; infinite for the first positions."""
    each = len(mean_HD) // len(key_KSD)
    turn_DD = mean_rotation(rotation, length)
    scores = np.full((len(key_KSD), length), np.inf)
    for head in range(len(key_KSD)):
        total_S = np.zeros(length - SINKS)
        for query in range(head * each, (head + 1) * each):
            mean_D = turn_DD @ mean_HD[query].astype(np.float64)
            covariance_DD = turn_DD @ covariance_HDD[query].astype(np.float64) @ turn_DD.T
            logits = [
                scale * key_D @ mean_D + scale**2 / 2 * key_D @ covariance_DD @ key_D
                for key_D in key_KSD[head, SINKS:length].astype(np.float64)
            ]
            weights = np.exp(np.array(logits) - max(logits))
            total_S += weights / weights.sum() / each
        lengths = np.linalg.norm(value_KSE[head, SINKS:length].astype(np.float64), axis=1)
        scores[head, SINKS:] = (total_S + epsilon) * lengths
    return scores


def chosen(scores_KS, keep, shared=False):
    """For each KV head the positions kept, rising; all of a short prompt."""
    heads, length = scores_KS.shape
    if length <= keep:
        return [list(range(length))] * heads
    ranked = [sorted(range(length), key=lambda t: (-scores_S[t], t)) for scores_S in scores_KS]
    if not shared:
        return [sorted(order[:keep]) for order in ranked]
    always = int(np.isinf(scores_KS[0]).sum())
    safe = always + int(FLOOR * (keep - always))
    kept = [set(order[:safe]) for order in ranked]
    others = [(-scores_KS[h, t], h, t) for h in range(heads) for t in ranked[h][safe:]]
    for _, head, position in sorted(others)[: heads * (keep - safe)]:
        kept[head].add(position)
    assert sum(map(len, kept)) == heads * keep
    return [sorted(positions) for positions in kept]


def attended(tables, tokens, at, kept, begin, attention):
    """What the query at a position attends to: what was kept of a prompt and all behind it."""
    each = attention.query_heads // attention.kv_heads
    parts = []
    for head in range(attention.query_heads):
        seen = tokens[[*kept[head // each], *range(begin, at + 1)]]
        query = tables.query[tokens[at], head].astype(np.float64)
        logits = attention.scale * tables.key[seen, head // each] @ query
        if attention.softcap:
            logits = attention.softcap * np.tanh(logits / attention.softcap)
        weights = np.exp(logits - logits.max())
        parts.append(weights / weights.sum() @ tables.value[seen, head // each])
    return np.concatenate(parts)
