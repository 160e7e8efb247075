"""`egrl passes`: the passes over a model in their order, and the parts of a compression."""

import argparse

from egrl.cli.listing import listing
from egrl.cli.parser import Verbs


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = verbs.add_parser("passes", help="list the passes over a model")
    parser.set_defaults(command=command)


def command(args: argparse.Namespace) -> int:
    """List."""
    del args
    from egrl.compression.registry import (
        CORRECTIONS,
        MODEL_METHODS,
        PREPARATIONS,
        WEIGHT_METHODS,
    )
    from egrl.kv.registry import KV_METHODS
    from graph_ir.passes import PASSES

    print(listing(PASSES))
    print("\n--compress int4:METHOD or int8:METHOD")
    print(listing({**WEIGHT_METHODS, **MODEL_METHODS}))
    addons = {**PREPARATIONS, **CORRECTIONS}
    if addons:
        print("\nwith +ADDON")
        print(listing(addons))
    print(
        "\n--compress int8:dynamic, int8:static or int4:METHOD,activations=int8\n"
        "products of bytes: ranges while the model runs, or calibrated ones with convolutions too"
    )
    print(
        "\n--compress auto:METHOD --max-error E (or --max-bytes B)\n"
        "the precision of every product, chosen together with the placement; of convolutions\n"
        "with activations=float/int8; proposed by program and chance, or the agent (--placer egrl)"
    )
    print("\n--decode --compress METHOD,key=value: what the caches of a decoder keep")
    print(listing(KV_METHODS))
    return 0
