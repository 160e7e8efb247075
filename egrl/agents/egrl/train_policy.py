"""`python -m egrl.agents.egrl.train_policy`: train a policy on generated problems, from a seed.

A run that was killed goes on where it was when it is started again with the same arguments, and
ends with the same bytes.
"""

import argparse
import shlex
import sys
import time
from pathlib import Path

import torch

import egrl
from egrl.agents.egrl.checkpoint import FEATURES, SHIPPED, Policy, Provenance, save_policy
from egrl.agents.egrl.folds import FOLDS, Fold, archetypes_without, families_without
from egrl.agents.egrl.network import NetworkConfig
from egrl.agents.egrl.pool import PoolConfig, build_pool
from egrl.agents.egrl.training import Training, TrainingConfig, policy_of
from graph_ir.errors import EgrlError

SAVE_EVERY = 100
CHECKPOINT = "checkpoint.safetensors"


def train_policy(
    config: TrainingConfig,
    pool: PoolConfig,
    pool_folder: Path,
    folder: Path,
    jobs: int,
    fold: Fold | None,
    run: str,
) -> Policy:
    """Train to the end, or go on with an earlier run.

    Args:
        config: hyper-parameters.
        pool: what to train on.
        pool_folder: keeps the solutions of the pool.
        folder: keeps the checkpoint.
        jobs: processes that draw the pool; training itself has one thread.
        fold: what was left out, or None.
        run: how the run is named in the policy.

    Raises:
        EgrlError: the training diverged.
    """
    torch.set_num_threads(1)
    exercises = build_pool(pool, pool_folder, jobs)
    training = Training(config, exercises)
    checkpoint = folder / CHECKPOINT
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
            problems=pool.problems,
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
    parser.add_argument("--steps", type=int, default=4000, help="default: 4000")
    parser.add_argument("--least-ops", type=int, default=20)
    parser.add_argument("--most-ops", type=int, default=300)
    parser.add_argument("--jobs", type=int, default=2, help="processes that draw problems")
    parser.add_argument("--edges", choices=("all", "none"), default="all", help="none: a control")
    parser.add_argument(
        "--fold", choices=[fold.name for fold in FOLDS], help="leave this fold's families out"
    )
    args = parser.parse_args(arguments)
    fold = next((fold for fold in FOLDS if fold.name == args.fold), None)
    config = TrainingConfig(
        network=NetworkConfig(edges=args.edges), steps=args.steps, seed=args.seed
    )
    pool = PoolConfig(
        args.problems,
        args.seed,
        families_without(fold),
        archetypes_without(fold),
        (args.least_ops, args.most_ops),
    )
    args.folder.mkdir(parents=True, exist_ok=True)
    named = [
        f"--seed {args.seed} --problems {args.problems} --steps {args.steps}",
        f"--least-ops {args.least_ops} --most-ops {args.most_ops} --edges {args.edges}",
        *([f"--fold {shlex.quote(args.fold)}"] if args.fold else []),
    ]
    run = f"scripts/train_policy {' '.join(named)}"
    try:
        policy = train_policy(config, pool, args.folder / "pool", args.folder, args.jobs, fold, run)
    except EgrlError as error:
        print(f"train_policy: {error}", file=sys.stderr)
        return 2
    save_policy(args.out, policy)
    print(f"wrote {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
