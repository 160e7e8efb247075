"""What NVDLA's spreadsheet assumes of its three networks and does not show in a row.

Where tensors live beside the second memory, how many images are batched there, what pooling leaves
of an output, and the formulas that its networks do not share. These are the sheet's choices, not
the hardware's, so they are listed here and put into the reference machine.
"""

from dataclasses import dataclass
from typing import Literal

NETWORKS = ("AlexNet", "GoogLeNet", "ResNet50")

Memory = Literal["DRAM", "SRAM"]


@dataclass(frozen=True, slots=True)
class Options:
    """Formulas that differ between the networks.

    Attributes:
        order: what stays in the convolution buffer.
        spare_lines: input lines in it beyond the kernel's height.
        images_apart: every image of a batch reads the weights again.
        output_channel_quantum: output channels are rounded up to this.
        winograd_weight_ratio: transformed weights over plain ones.
    """

    order: str
    spare_lines: int = 1
    images_apart: bool = False
    output_channel_quantum: int = 16
    winograd_weight_ratio: float = 16 / 9


@dataclass(frozen=True, slots=True)
class Stay:
    """Where the tensors of a layer live beside the second memory.

    Attributes:
        source: of its input.
        weights: of its weights.
        result: of its output. What the sheet writes to both memories is in DRAM here: that takes
            longer.
        images: that share one fetch of the weights.
        staged: the weights are brought to the second memory and read there by every image;
            otherwise they come from DRAM straight into the convolution buffer.
    """

    source: Memory
    weights: Memory
    result: Memory
    images: int
    staged: bool = False


# Extent of the output after the pooling that follows, by network and layer.
POOLED: dict[tuple[str, str], int] = {
    ("AlexNet", "1"): 27,
    ("AlexNet", "2"): 13,
    ("AlexNet", "5"): 6,
    ("GoogLeNet", "conv1"): 56,
    ("GoogLeNet", "conv2"): 28,
    ("GoogLeNet", "inception 3b pool proj"): 14,
    ("GoogLeNet", "inception 4e pool proj"): 7,
    ("GoogLeNet", "inception 5b pool proj"): 1,
    ("ResNet50", "Conv1 + bn + scale + Relu + Pooling"): 56,
    ("ResNet50", "Res5c_branch2c + bn + scale + Elwise + relu"): 1,
}

# Images whose features fit the second memory beside the weights of the layers that the sheet looks
# at: by network (and part of it), then by bytes of a feature and of a weight.
BATCHES: dict[str, dict[tuple[int, int], int]] = {
    "AlexNet": {(1, 1): 18, (1, 2): 9, (2, 1): 9, (2, 2): 4},
    "GoogLeNet": {(1, 1): 11, (1, 2): 5, (2, 1): 5, (2, 2): 2},
    "GoogLeNet conv": {(1, 1): 6, (1, 2): 6, (2, 1): 3, (2, 2): 3},
}

# The first group of this layer is batched with no more images than the fully connected layers.
FIRST_GROUP = ("AlexNet", "2")

# Weights of GoogLeNet's 3 x 3 kernels are counted as transformed in these layers only.
TRANSFORMED = ("conv2", "inception 3a 3x3")

# ResNet-50 keeps its features in the second memory up to here.
RESNET_IN_SRAM = ("Res2a", "Res2b_branch2a")

GOOGLENET_FC_IMAGES = 16
GOOGLENET_LAST_IMAGES = 2


def options(network: str, layer: str, second_memory: bool) -> Options:
    """The formulas of a layer."""
    plain = network == "GoogLeNet" and layer not in TRANSFORMED
    ratio = 1.0 if plain else 16 / 9
    if second_memory or network == "AlexNet":
        return Options("single-pass", winograd_weight_ratio=ratio)
    if network == "GoogLeNet":
        return Options("kernel-group", images_apart=True, winograd_weight_ratio=ratio)
    return Options("smaller-operand", 0, True, 128, ratio)


def stay(network: str, layer: str, is_fc: bool, types: tuple[int, int], fc_batch: int) -> Stay:
    """Where the sheet keeps the tensors of a layer beside the second memory.

    Args:
        network: one of `NETWORKS`.
        layer: its name in the sheet.
        is_fc: a fully connected layer.
        types: bytes of a feature and of a weight, 1 or 2.
        fc_batch: images of a batch on fully connected layers.
    """
    if is_fc:
        images = GOOGLENET_FC_IMAGES if network == "GoogLeNet" else fc_batch
        return Stay("DRAM", "DRAM", "SRAM", images)
    if network == "AlexNet":
        first, last = layer == "1", layer == "5"
        images = BATCHES[network][types]
        return Stay("DRAM" if first else "SRAM", "DRAM", "DRAM" if last else "SRAM", images)
    if network == "ResNet50":
        if layer.startswith("Conv1"):
            return Stay("DRAM", "DRAM", "SRAM", 1)
        early = layer.startswith(RESNET_IN_SRAM)
        return Stay("SRAM", "DRAM", "SRAM" if early else "DRAM", 1)
    return _googlenet(layer, types)


def _googlenet(layer: str, types: tuple[int, int]) -> Stay:
    images = BATCHES["GoogLeNet"][types]
    if layer in ("conv1", "conv2"):
        images = BATCHES["GoogLeNet conv"][types]
        first = layer == "conv1"
        return Stay("DRAM" if first else "SRAM", "DRAM", "SRAM" if first else "DRAM", images)
    module, part = layer.split()[1], layer.split()[2]
    if module == "3b":
        # All weights are there already.
        first = part == "1x1"
        return Stay("DRAM" if first else "SRAM", "SRAM", "SRAM" if first else "DRAM", 1)
    if module in ("5a", "5b"):
        if part == "1x1":
            return Stay("DRAM", "DRAM", "SRAM", GOOGLENET_LAST_IMAGES)
        return Stay("SRAM", "DRAM", "DRAM", images)
    if part == "1x1":
        return Stay("SRAM", "DRAM", "SRAM", images)
    spilled = module == "3a" and part != "3x3"
    return Stay("SRAM", "DRAM", "DRAM" if spilled else "SRAM", images, staged=True)
