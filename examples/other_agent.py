"""Another library's agent learns to place a model: PPO of stable-baselines3.

The environment is an ordinary gymnasium environment, so any agent that knows gymnasium can be
trained on it. One step says where everything goes, and the reward says what that is worth.

    pip install "egrl[examples]"
    python examples/other_agent.py MODEL.onnx --target nnp-i --steps 10000
"""

import argparse
from pathlib import Path

import gymnasium
import numpy as np
import torch
from gymnasium.wrappers import FilterObservation, FlattenObservation
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from accelerator_sim.engine import evaluate
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.units import seconds_text
from egrl.cli.values import extents
from egrl.compilation import prepare
from egrl.environment import ENVIRONMENT_ID

MAPS_AT_ONCE = 64


def make_environment(problem: PlacementProblem) -> gymnasium.Env:
    """Of the observation a plain network needs the ops; the edges never change."""
    env = gymnasium.make(ENVIRONMENT_ID, problem=problem)
    return FlattenObservation(FilterObservation(env, ["nodes"]))


def make_agent(problem: PlacementProblem, seed: int) -> PPO:
    """An episode is one step: nothing is discounted, and a rollout is a batch of maps.

    Many environments beside each other cost hardly more than one: the network answers them all.
    """
    return PPO(
        "MlpPolicy",
        DummyVecEnv([lambda: make_environment(problem)] * MAPS_AT_ONCE),
        n_steps=4,
        batch_size=64,
        n_epochs=4,
        learning_rate=1e-3,
        gamma=0.0,
        gae_lambda=0.0,
        seed=seed,
        device="cpu",
    )


def placement_of(agent: PPO, env: gymnasium.Env) -> tuple[np.ndarray, bool]:
    """Where the agent puts everything when it does not explore, and whether that fitted."""
    observation, _ = env.reset(seed=0)
    action, _ = agent.predict(observation, deterministic=True)
    *_, info = env.step(action)
    # A map that does not fit is rectified: tensors are moved outwards until it does.
    return info["homes"], info["valid"]


def main() -> None:
    """Train, and compare what the agent does before and after."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, metavar="MODEL.onnx")
    parser.add_argument("--target", default="nnp-i", metavar="NAME|FILE.toml")
    parser.add_argument("--dim", action="append", default=[], metavar="NAME=NUMBER")
    parser.add_argument("--steps", type=int, default=10_000, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    args = parser.parse_args()

    torch.set_num_threads(1)
    problem = prepare(args.model, args.target, None, extents(args.dim)).problem
    env = make_environment(problem)
    native_s = env.unwrapped.judge.reference_s
    agent = make_agent(problem, args.seed)
    print(f"{args.model.stem} on {args.target}: {problem.op_count} ops")
    print(f"native            {seconds_text(native_s)}")
    for when, steps in (("before training", 0), (f"after {args.steps} steps", args.steps)):
        if steps:
            agent.learn(steps)
        homes_T, fitted = placement_of(agent, env)
        latency_s, _ = evaluate(problem, homes_T)
        rectified = "" if fitted else ", rectified"
        print(
            f"{when:<17} {seconds_text(latency_s)}, speed-up {native_s / latency_s:.3f}{rectified}"
        )


if __name__ == "__main__":
    main()
