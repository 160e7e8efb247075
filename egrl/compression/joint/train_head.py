"""`python -m egrl.compression.joint.train_head`: train the precision head from a seed."""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch

import egrl
from egrl.agents.egrl.checkpoint import load_policy
from egrl.compression.joint.head import SHIPPED, Head, Provenance, save_head
from egrl.compression.joint.head_training import (
    HeadTraining,
    HeadTrainingConfig,
    build_lesson,
)
from egrl.compression.joint.head_view import FEATURES
from graph_ir.errors import EgrlError

TOLD_EVERY = 25


def train_head(config: HeadTrainingConfig, run: str) -> Head:
    """Train to the end.

    Args:
        config: hyper-parameters.
        run: how the run is named in the head.

    Raises:
        EgrlError: the training diverged.
    """
    torch.set_num_threads(1)
    policy, began = load_policy(), time.monotonic()
    lessons = [
        build_lesson(policy, config.seed, index, config.op_range)
        for index in range(config.exercises)
    ]
    print(f"{len(lessons)} exercises, {time.monotonic() - began:.0f} s", flush=True)
    training, reached = HeadTraining(config, lessons), []
    while training.step < config.steps:
        reached.append(training.advance())
        if training.step % TOLD_EVERY == 0 or training.step == config.steps:
            print(
                f"step {training.step} of {config.steps}: samples are "
                f"{100 * -np.expm1(np.mean(reached)):.2f} % faster than their incumbents, "
                f"{time.monotonic() - began:.0f} s",
                flush=True,
            )
            reached = []
    return Head(
        training.weights(),
        Provenance(
            run=run,
            seed=config.seed,
            steps=config.steps,
            exercises=len(lessons),
            tool_version=egrl.__version__,
            features=FEATURES,
            width=lessons[0].product_SD.shape[1],
        ),
    )


def main(arguments: list[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="train_precision_head", description="Trains the precision head that the package ships."
    )
    default = HeadTrainingConfig()
    parser.add_argument("-o", "--out", type=Path, default=SHIPPED, help="head to write")
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--exercises", type=int, default=default.exercises)
    parser.add_argument("--steps", type=int, default=default.steps)
    args = parser.parse_args(arguments)
    config = HeadTrainingConfig(steps=args.steps, exercises=args.exercises, seed=args.seed)
    run = (
        f"scripts/train_precision_head --seed {args.seed} --exercises {args.exercises} "
        f"--steps {args.steps}"
    )
    try:
        save_head(args.out, train_head(config, run))
    except EgrlError as error:
        print(f"train_precision_head: {error}", file=sys.stderr)
        return 2
    print(f"wrote {args.out}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
