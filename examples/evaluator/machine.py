"""A made-up machine that times a plan, with nothing but the standard library.

Every op reads and writes its tensors where the plan put them. Memories are a little slower and
less even than data sheets say, and a memory that is asked for two tensors at once loses time to
conflicts: none of which the compiler knows.

    python3 machine.py NAME.plan.json
"""

import json
import sys
import zlib
from pathlib import Path

# Bytes a second of the outermost memory, of the next one, and so on.
BYTES_PER_S = (40e9, 400e9, 3e12)
CONFLICT_SHARE = 0.15
LAUNCH_S = 1e-6


def latency_s(plan: dict) -> float:
    """Seconds of one inference."""
    tiers = [tier["name"] for tier in plan["tiers"]]
    tensors = {tensor["name"]: tensor for tensor in plan["tensors"]}
    total_s = 0.0
    for op in plan["ops"]:
        seconds = [0.0] * len(tiers)
        streams = [0] * len(tiers)
        for name in [*op["reads"], *op["writes"]]:
            tensor = tensors[name]
            # A view lies where the tensor lies whose memory it shares.
            while tensor["alias_of"] is not None:
                tensor = tensors[tensor["alias_of"]]
            tier = tiers.index(tensor["residences"][0]["tier"])
            # Some tensors fall on slow banks.
            luck = 0.8 + 0.4 * (zlib.crc32(f"{name} in {tier}".encode()) % 1000) / 1000
            seconds[tier] += luck * tensors[name]["size_bytes"] / BYTES_PER_S[min(tier, 2)]
            streams[tier] += 1
        conflicts = [1 + CONFLICT_SHARE * max(0, count - 1) for count in streams]
        total_s += LAUNCH_S + max(s * c for s, c in zip(seconds, conflicts, strict=True))
    return total_s


if __name__ == "__main__":
    print(latency_s(json.loads(Path(sys.argv[1]).read_text("utf-8"))))
