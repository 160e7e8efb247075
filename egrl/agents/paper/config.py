"""Every hyper-parameter of the published agent, and the file that holds them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from egrl.agents.config_file import load_table
from graph_ir.errors import InputError

Schedule = Literal["paper", "fast"]
Ablation = Literal["none", "boltzmann-only", "gnn-only", "no-learner", "sac-only"]


@dataclass(frozen=True, slots=True)
class PaperConfig:
    """Hyper-parameters; the defaults are those of the paper and its public supplement.

    Attributes:
        schedule: `paper`: a step begins with the map that the last one tried, and the learner's
            target looks on into the next step. `fast`: every step begins with everything
            outermost and its reward is all, so that one pass of a policy serves a whole batch.
        ablation: `boltzmann-only` (no GNN, no learner), `gnn-only` (no Boltzmann chromosome),
            `no-learner` (evolution alone), `sac-only` (no population).
        evaluations: default budget.
        population: individuals.
        boltzmann_share: share of them that are Boltzmann chromosomes.
        elite_share: best individuals whose copies nothing changes; never fewer than 2.
        tournament_size: of which the best becomes a parent.
        crossover_probability: that a pair of offspring is crossed.
        mutation_probability: that an individual is mutated.
        weight_limit: magnitude at which mutated weights are clamped.
        boltzmann_crossover_share: share of the entries that crossed chromosomes swap.
        prior_noise: standard deviation of the factor that mutation applies to a prior.
        temperature_decay: mean of the factor that mutation applies to a temperature.
        temperature_noise: its standard deviation.
        temperature_low: bounds of temperatures, and of their first draw.
        temperature_high: see `temperature_low`.
        row_swap_share: most rows of a weight matrix that crossed networks swap.
        vector_swap_probability: that crossed networks swap an entry of a vector.
        mutated_share: most entries of a matrix that are mutated.
        strong_probability: of a mutation that is ten times as strong.
        reset_probability: of one that draws the weight anew.
        mutation_noise: standard deviation relative to the weight, and of weights drawn anew.
        matrix_trigger: a matrix is mutated with a probability drawn below this.
        vector_trigger: factor of that for vectors.
        hidden: width of the networks.
        depth: poolings of the graph U-Net.
        heads: of its attention; each is `hidden / heads` wide.
        pool_ratio: ops that a pooling keeps.
        actor_rate: step size of Adam.
        critic_rate: step size of Adam.
        entropy_weight: alpha.
        target_entropy_factor: factor of the entropy in the target.
        discount: gamma; unused by `fast`.
        target_rate: tau of the target critic.
        batch: transitions per gradient step.
        buffer: transitions kept.
        learning_start: evaluations before the first gradient step.
        gradient_steps_per_evaluation: mean rate of gradient steps.
        reward_shift: added to rewards before learning.
        reward_scale: factor of shifted rewards.
        gradient_norm: at which gradients are clipped, after they are computed.
        action_noise: standard deviation on stored actions before the critic sees them.
        exploration_start: share of choices drawn at random by the learner's noisy rollout.
        exploration_end: where that share ends.
        exploration_decay: its factor per noisy rollout.
    """

    schedule: Schedule = "paper"
    ablation: Ablation = "none"
    evaluations: int = 4000
    population: int = 20
    boltzmann_share: float = 0.2
    elite_share: float = 0.1
    tournament_size: int = 3
    crossover_probability: float = 0.3
    mutation_probability: float = 0.85
    weight_limit: float = 1e7
    boltzmann_crossover_share: float = 0.5
    prior_noise: float = 0.1
    temperature_decay: float = 0.95
    temperature_noise: float = 0.1
    temperature_low: float = 0.1
    temperature_high: float = 10.0
    row_swap_share: float = 0.3
    vector_swap_probability: float = 0.2
    mutated_share: float = 0.05
    strong_probability: float = 0.05
    reset_probability: float = 0.02
    mutation_noise: float = 0.1
    matrix_trigger: float = 2.0
    vector_trigger: float = 0.04
    hidden: int = 128
    depth: int = 4
    heads: int = 4
    pool_ratio: float = 0.5
    actor_rate: float = 1e-3
    critic_rate: float = 1e-3
    entropy_weight: float = 0.05
    target_entropy_factor: float = 0.2
    discount: float = 0.99
    target_rate: float = 1e-3
    batch: int = 24
    buffer: int = 100_000
    learning_start: int = 50
    gradient_steps_per_evaluation: float = 1.0
    reward_shift: float = 2.0
    reward_scale: float = 5.0
    gradient_norm: float = 5.0
    action_noise: float = 0.2
    exploration_start: float = 1.0
    exploration_end: float = 0.05
    exploration_decay: float = 0.98

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            InputError: a value is outside its range.
        """
        for name in _AT_LEAST_ONE:
            self._check(name, 1, None)
        for name in _SHARES:
            self._check(name, 0, 1)
        for name in _NOT_NEGATIVE:
            self._check(name, 0, None)
        self._check("population", 4, None)
        if self.hidden % self.heads:
            raise InputError(f"hidden: expected a multiple of heads ({self.heads}), {self.hidden}")
        if not 0 < self.temperature_low <= self.temperature_high:
            raise InputError("temperature_low: expected more than 0, at most temperature_high")
        if self.pool_ratio == 0:
            raise InputError("pool_ratio: expected more than 0")

    def _check(self, name: str, low: float, high: float | None) -> None:
        value = getattr(self, name)
        if not value >= low or (high is not None and value > high) or value == float("inf"):
            limits = f"at least {low}" if high is None else f"between {low} and {high}"
            raise InputError(f"{name}: expected {limits}, got {value}")


_AT_LEAST_ONE = (
    "evaluations", "tournament_size", "hidden", "depth", "heads", "batch", "buffer",
)  # fmt: skip
_SHARES = (
    "boltzmann_share", "elite_share", "crossover_probability", "mutation_probability",
    "boltzmann_crossover_share", "row_swap_share", "vector_swap_probability", "mutated_share",
    "strong_probability", "reset_probability", "pool_ratio", "discount", "target_rate",
    "exploration_start", "exploration_end", "exploration_decay",
)  # fmt: skip
_NOT_NEGATIVE = (
    "weight_limit", "prior_noise", "temperature_decay", "temperature_noise", "temperature_high",
    "mutation_noise", "matrix_trigger", "vector_trigger", "actor_rate", "critic_rate",
    "entropy_weight", "target_entropy_factor", "learning_start", "gradient_steps_per_evaluation",
    "reward_shift", "reward_scale", "gradient_norm", "action_noise",
)  # fmt: skip

FAST = PaperConfig(schedule="fast", gradient_steps_per_evaluation=0.2)
"""What `--placer egrl-paper` runs: a gradient step every fifth evaluation, on terminal targets."""


def load_config(path: Path) -> PaperConfig:
    """Read a file of hyper-parameters; what it leaves out keeps its default.

    Raises:
        InputError: it cannot be read, has an unknown key, or a value is wrong.
    """
    return load_table(path, PaperConfig)
