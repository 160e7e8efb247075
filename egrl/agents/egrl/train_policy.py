"""`python -m egrl.agents.egrl.train_policy`: train a policy on generated problems, from a seed.

A run that was killed goes on where it was when it is started again with the same arguments, and
ends with the same bytes.
"""

import argparse
import sys
import time
from pathlib import Path

import torch

import egrl
from egrl.agents.egrl.checkpoint import FEATURES, SHIPPED, Policy, Provenance, save_policy
from egrl.agents.egrl.folds import FOLDS, Fold, is_seen
from egrl.agents.egrl.network import NetworkConfig
from egrl.agents.egrl.pool import Exercise, PoolConfig, build_pool
from egrl.agents.egrl.training import Training, TrainingConfig, policy_of
from graph_ir.errors import EgrlError

SAVE_EVERY = 100


def train_policy(
    config: TrainingConfig, pool: list[Exercise], checkpoint: Path, fold: Fold | None, run: str
) -> Policy:
    """Train to the end, or go on with an earlier run.

    Args:
        config: hyper-parameters.
        pool: problems, of which the fold's are left out.
        checkpoint: where the run is kept.
        fold: what is left out, or None.
        run: how the run is named in the policy.

    Raises:
        EgrlError: the training diverged.
    """
    torch.set_num_threads(1)
    exercises = [e for e in pool if is_seen(fold, e.family, e.archetype)]
    training = Training(config, exercises)
    if checkpoint.exists():
        training.restore(checkpoint)
    began, loss, short = time.monotonic(), 0.0, 0.0
    while training.step < config.steps:
        told = training.advance()
        loss, short = loss + told.loss, short + told.short
        if told.step % SAVE_EVERY == 0 or told.step == config.steps:
            training.save(checkpoint)
            print(
                f"step {told.step} of {config.steps}: loss {loss / SAVE_EVERY:.4f}, "
                f"short of the solutions by {100 * short / SAVE_EVERY:.2f} %, "
                f"{time.monotonic() - began:.0f} s",
                flush=True,
            )
            loss, short = 0.0, 0.0
    without = [*fold.families, *fold.groups] if fold is not None else []
    return Policy(
        policy_of(training),
        Provenance(
            run=run,
            seed=config.seed,
            steps=config.steps,
            problems=len(exercises),
            without=without,
            tool_version=egrl.__version__,
            features=FEATURES,
            edges=config.network.edges,
        ),
    )


def main(arguments: list[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="train_policy", description="Trains the policy that the package ships."
    )
    parser.add_argument("--folder", type=Path, required=True, help="of the run: pool, checkpoint")
    parser.add_argument("-o", "--out", type=Path, default=SHIPPED, help="policy to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--problems", type=int, default=1000, help="default: 1000")
    parser.add_argument("--steps", type=int, default=3000, help="default: 3000")
    parser.add_argument("--least-ops", type=int, default=20)
    parser.add_argument("--most-ops", type=int, default=5000)
    parser.add_argument("--jobs", type=int, default=2, help="processes that draw problems")
    parser.add_argument("--edges", choices=("all", "none"), default="all", help="none: a control")
    parser.add_argument(
        "--fold",
        action="append",
        choices=[fold.name for fold in FOLDS],
        help="leave this fold's families out and write OUT.FOLD (may be repeated)",
    )
    args = parser.parse_args(arguments)
    config = TrainingConfig(
        network=NetworkConfig(edges=args.edges), steps=args.steps, seed=args.seed
    )
    pool = PoolConfig(args.problems, args.seed, (args.least_ops, args.most_ops))
    run = (
        f"scripts/train_policy --seed {args.seed} --problems {args.problems} "
        f"--steps {args.steps} --least-ops {args.least_ops} --most-ops {args.most_ops} "
        f"--edges {args.edges}"
    )
    folds: list[Fold | None] = [fold for fold in FOLDS if fold.name in (args.fold or [])]
    try:
        exercises = build_pool(pool, args.folder / "pool", args.jobs)
        for fold in folds or [None]:
            name = f"{args.edges}-{fold.name if fold is not None else 'whole'}"
            named = f"{run} --fold {fold.name}" if fold is not None else run
            policy = train_policy(
                config, exercises, args.folder / f"{name}.checkpoint", fold, named
            )
            out = args.out if fold is None else args.out.with_suffix(f".{fold.name}.safetensors")
            save_policy(out, policy)
            print(f"wrote {out}", flush=True)
    except EgrlError as error:
        print(f"train_policy: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
