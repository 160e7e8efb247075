"""The learner of an unknown machine: what it takes beyond the model, by where tensors live.

Bayesian linear regression of measured latencies on the engine's latency and on the home of every
tensor. What tensors of a kind, or of a family of ops, in a home have in common is a term of its own
with a wide prior, so that a wrong bandwidth shows after a few measurements; what is peculiar to one
tensor in one home has a narrow one. All measurements are replayed at every update. A sample of the
posterior is a machine that may be the true one: planning on samples explores where it may pay
(Thompson, "On the likelihood that one unknown probability exceeds another", Biometrika 25, 1933).
Samples are drawn by correcting a sample of the prior (Matheron's rule; Wilson et al., "Efficiently
sampling functions from Gaussian process posteriors", ICML 2020), which needs one factorisation in
measurements, not in tensors.

Axis letters: M measurements, T tensors, H homes, G common terms.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from accelerator_sim.problem import PlacementProblem
from egrl.agents.egrl.config import DEFAULT, EgrlConfig
from egrl.agents.egrl.features import FAMILIES, KINDS
from egrl.agents.egrl.one_thread import one_thread
from egrl.placers.decoder import Decoder

F64 = NDArray[np.float64]
I8 = NDArray[np.int8]

ROOM = 64
"""Measurements that a learner has room for at first; then it doubles."""


@dataclass(slots=True)
class Correction:
    """The learner's state.

    Attributes:
        own_TH: prior standard deviations of one tensor in one home, in seconds.
        common_GTH: what each common term adds to a tensor in a home, in seconds, times its prior
            standard deviation.
        config: hyper-parameters.
        homes_MT: placements that are replayed, oldest first; room to grow.
        modelled_s: of each, by the engine.
        measured_s: of each.
        common_MG: what the common terms add up to in each; room to grow.
        covariance_MM: prior covariance of the tensors' terms, the spread left out; likewise.
        noise_share: see `EgrlConfig.noise_shares`.
        spread: factor of all prior standard deviations.
        tuned_at: measurements when these two were chosen.
        seen: measurements in all.
    """

    own_TH: F64
    common_GTH: F64
    homes_MT: I8
    common_MG: F64
    covariance_MM: F64
    config: EgrlConfig = DEFAULT
    modelled_s: list[float] = field(default_factory=list)
    measured_s: list[float] = field(default_factory=list)
    noise_share: float = 1e-3
    spread: float = 1.0
    tuned_at: int = 0
    seen: int = 0

    def add(self, homes_T: I8, modelled_s: float, measured_s: float) -> None:
        """Remember a measurement; beyond so many the slowest of the older half is forgotten."""
        self.seen += 1
        count, tensors = len(self.measured_s), np.arange(len(homes_T))
        if count == len(self.homes_MT):
            self.homes_MT = np.pad(self.homes_MT, ((0, count), (0, 0)))
            self.common_MG = np.pad(self.common_MG, ((0, count), (0, 0)))
            self.covariance_MM = np.pad(self.covariance_MM, (0, count))
        self.homes_MT[count] = homes_T
        self.common_MG[count] = self.common_GTH[:, tensors, homes_T].sum(axis=1)
        self.modelled_s.append(modelled_s)
        self.measured_s.append(measured_s)
        known = slice(count + 1)
        with one_thread():
            shared_M = (self.homes_MT[known] == homes_T) @ self.own_TH[tensors, homes_T] ** 2
            shared_M += self.common_MG[known] @ self.common_MG[count]
        self.covariance_MM[count, known] = shared_M
        self.covariance_MM[known, count] = shared_M
        if count == self.config.most_measurements:
            older = range(count + 1 - self.config.most_measurements // 2)
            self._forget(max(older, key=lambda m: (self.measured_s[m], m)))

    def _forget(self, index: int) -> None:
        """Leave a measurement out from now on."""
        count = len(self.measured_s)
        del self.modelled_s[index], self.measured_s[index]
        for rows_M in (self.homes_MT, self.common_MG, self.covariance_MM, self.covariance_MM.T):
            rows_M[index : count - 1] = rows_M[index + 1 : count]

    def tune(self) -> None:
        """Choose the noise and the width of the prior that make the measurements likeliest.

        Again only when there are so many times more of them than the last time.
        """
        config = self.config
        if self.seen < max(config.tuned_from, config.tuned_growth * self.tuned_at):
            return
        self.tuned_at = self.seen
        newest = slice(max(0, len(self.measured_s) - config.tuned_on), len(self.measured_s))
        covariance_MM = self.covariance_MM[newest, newest]
        modelled_M = np.array(self.modelled_s[newest])
        off_M = np.array(self.measured_s[newest]) - modelled_M
        scale_s = float(np.mean(modelled_M))
        best = -np.inf
        for spread in config.spreads:
            for noise_share in config.noise_shares:
                full_MM = self._full(covariance_MM * spread**2, modelled_M, noise_share * scale_s)
                with one_thread():
                    value = _evidence(full_MM, off_M)
                if value > best:
                    best, self.spread, self.noise_share = value, spread, noise_share

    def posterior(self) -> "Posterior":
        """What all measurements together say."""
        count = len(self.measured_s)
        modelled_M = np.array(self.modelled_s)
        inverse_MM: F64 = np.zeros((0, 0))
        noise_s = 0.0
        if count:
            noise_s = self.noise_share * float(np.mean(modelled_M))
            covariance_MM = self.covariance_MM[:count, :count] * self.spread**2
            with one_thread():
                full_MM = self._full(covariance_MM, modelled_M, noise_s)
                inverse_MM = np.linalg.inv(full_MM).astype(np.float64)
        return Posterior(
            self,
            self.homes_MT[:count].copy(),
            self.common_MG[:count].copy(),
            modelled_M,
            np.array(self.measured_s) - modelled_M,
            inverse_MM,
            noise_s,
        )

    def _full(self, covariance_MM: F64, modelled_M: F64, noise_s: float) -> F64:
        """With the terms for the scale, a constant, and what nothing explains."""
        scale_spread = self.config.scale_spread
        full_MM = covariance_MM + scale_spread**2 * np.outer(modelled_M, modelled_M)
        full_MM += (scale_spread * float(modelled_M.mean())) ** 2
        full_MM[np.diag_indices(len(modelled_M))] += noise_s**2
        return full_MM


@dataclass(frozen=True, slots=True)
class Posterior:
    """Machines that may be the true one.

    Attributes:
        correction: whose measurements these are.
        homes_MT: placements measured.
        common_MG: what the common terms add up to in each.
        modelled_M: seconds of each by the engine.
        residual_M: measured minus modelled seconds.
        inverse_MM: of their covariance.
        noise_s: what the terms cannot explain.
    """

    correction: Correction
    homes_MT: I8
    common_MG: F64
    modelled_M: F64
    residual_M: F64
    inverse_MM: F64
    noise_s: float

    def draw(self, rng: np.random.Generator, temperature: float) -> tuple[float, F64]:
        """A machine.

        Args:
            rng: source of all randomness.
            temperature: 0 for the most likely machine, 1 for a draw from the posterior.

        Returns:
            The factor of the engine's latency, and seconds to add for every tensor in every home.
        """
        with one_thread():
            return self._draw(rng, temperature)

    def _draw(self, rng: np.random.Generator, temperature: float) -> tuple[float, F64]:
        prior, config = self.correction, self.correction.config
        width = prior.spread * temperature
        own_TH = width * rng.standard_normal(prior.own_TH.shape) * prior.own_TH
        common_G = width * rng.standard_normal(len(prior.common_GTH))
        bias_TH = own_TH + np.tensordot(common_G, prior.common_GTH, 1)
        factor = 1.0 + temperature * config.scale_spread * float(rng.standard_normal())
        modelled_M, homes_MT = self.modelled_M, self.homes_MT
        if not len(modelled_M):
            return max(config.least_factor, factor), bias_TH
        tensors = np.arange(homes_MT.shape[1])
        drawn_M = bias_TH[tensors, homes_MT].sum(axis=1) + (factor - 1.0) * modelled_M
        drawn_M += (
            temperature * config.scale_spread * float(modelled_M.mean() * rng.standard_normal())
        )
        drawn_M += temperature * self.noise_s * rng.standard_normal(len(modelled_M))
        weight_M = self.inverse_MM @ (self.residual_M - drawn_M)
        factor += config.scale_spread**2 * float(modelled_M @ weight_M)
        # What the measurements say of every tensor in every home.
        seen_TH = np.stack(
            [weight_M @ (homes_MT == home) for home in range(bias_TH.shape[1])], axis=1
        )
        of_common_G = np.tensordot(prior.common_GTH, seen_TH, 2)
        bias_TH += prior.spread**2 * (
            seen_TH * prior.own_TH**2 + np.tensordot(of_common_G, prior.common_GTH, 1)
        )
        return max(config.least_factor, factor), bias_TH

    def predict(self, homes_PT: I8, modelled_s_P: F64) -> F64:
        """The most likely latencies of placements in seconds.

        Args:
            homes_PT: int8.
            modelled_s_P: of each, by the engine.
        """
        with one_thread():
            return self._predict(homes_PT, modelled_s_P)

    def _predict(self, homes_PT: I8, modelled_s_P: F64) -> F64:
        prior = self.correction
        modelled_M, homes_MT = self.modelled_M, self.homes_MT
        if not len(modelled_M):
            return modelled_s_P
        scale, tensors = prior.config.scale_spread**2, np.arange(homes_MT.shape[1])
        weight_M = self.inverse_MM @ self.residual_M
        predicted_P = np.array(modelled_s_P)
        for p, homes_T in enumerate(homes_PT):
            shared_M = (homes_MT == homes_T) @ prior.own_TH[tensors, homes_T] ** 2
            shared_M += self.common_MG @ prior.common_GTH[:, tensors, homes_T].sum(axis=1)
            shared_M *= prior.spread**2
            shared_M += scale * (modelled_s_P[p] * modelled_M + modelled_M.mean() ** 2)
            predicted_P[p] += shared_M @ weight_M
        return predicted_P


def build_correction(
    problem: PlacementProblem, decoder: Decoder, config: EgrlConfig = DEFAULT
) -> Correction:
    """A learner that has seen nothing.

    Args:
        problem: the problem as the model has it.
        decoder: of the problem.
        config: hyper-parameters.
    """
    arrays, allowed_TH = problem.arrays, problem.allowed_TH
    seconds_TH = decoder.values.seconds_TH
    fastest_T1 = seconds_TH.min(axis=1, keepdims=True)
    slowest_T1 = np.where(allowed_TH, seconds_TH, -np.inf).max(axis=1, keepdims=True)
    lost_TH = np.where(allowed_TH, seconds_TH - fastest_T1, 0.0)
    # What the homes of a tensor decide; a home that costs nothing by the model may cost something.
    decided_TH = np.where(allowed_TH, slowest_T1 - fastest_T1, 0.0)
    free_T1 = allowed_TH.sum(axis=1, keepdims=True) > 1
    least_s = config.least_spread * float(decoder.values.seconds_TH.min(axis=1).max())
    own_TH = (
        free_T1 * allowed_TH * (config.own_spread * (0.5 * decided_TH + 0.5 * lost_TH) + least_s)
    )
    kind_T = np.array([KINDS.index(tensor.kind) for tensor in problem.workload.tensors])
    family_T = np.zeros(problem.tensor_count, np.int64)
    op_E = np.repeat(np.arange(problem.op_count), np.diff(arrays.row_start_N))
    families = np.array([FAMILIES.index(op.family) for op in problem.workload.ops])
    # The first op that uses a tensor, by writing from the last operand to the first.
    family_T[arrays.row_tensor_E[::-1]] = families[op_E[::-1]]
    terms: list[F64] = []
    for h in range(allowed_TH.shape[1]):
        for what_T in (kind_T, family_T):
            for value in np.unique(what_T).tolist():
                chosen_T = (what_T == value) & allowed_TH[:, h] & free_T1[:, 0]
                for seconds in (lost_TH, decided_TH):
                    term_TH = np.zeros(allowed_TH.shape)
                    term_TH[chosen_T, h] = config.common_spread * seconds[chosen_T, h]
                    if term_TH.any():
                        terms.append(term_TH)
    common_GTH = np.stack(terms) if terms else np.zeros((0, *allowed_TH.shape))
    return Correction(
        own_TH,
        common_GTH,
        np.zeros((ROOM, problem.tensor_count), np.int8),
        np.zeros((ROOM, len(common_GTH))),
        np.zeros((ROOM, ROOM)),
        config,
    )


def _solve(covariance_MM: F64, value_M: F64) -> F64:
    """Solve with a symmetric positive definite matrix, in double precision."""
    found_M: F64 = np.linalg.solve(covariance_MM, value_M).astype(np.float64)
    return found_M


def _evidence(covariance_MM: F64, value_M: F64) -> float:
    """Logarithm of the likelihood of values with mean zero, constants left out."""
    sign, log_determinant = np.linalg.slogdet(covariance_MM)
    if sign <= 0:
        return -np.inf
    return -0.5 * (float(value_M @ _solve(covariance_MM, value_M)) + float(log_determinant))
