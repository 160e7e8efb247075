"""The memory placement problem as a gymnasium environment, registered when this is imported."""

import gymnasium

ENVIRONMENT_ID = "egrl/MemoryPlacement-v0"

if ENVIRONMENT_ID not in gymnasium.registry:
    gymnasium.register(
        ENVIRONMENT_ID, entry_point="egrl.environment.memory_placement:MemoryPlacement"
    )
