"""EfficientNet-Lite0 with its trained weights, as a graph built from the state dict.

Tan and Le, "EfficientNet" (2019), the Lite variant: no squeeze-and-excitation, ReLU6, stem and
head of fixed width. Batch norms stay nodes of their own, as they were trained. The input is
`(x - 127) / 128` of an RGB picture, 224 x 224.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from model_set.cache import Cache
from model_set.graph import Graph
from model_set.sources import EFFICIENTNET

SIDE = 224
EPSILON = 1e-3


class Stage(NamedTuple):
    """Blocks of one width; only the first has the stride."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


class Builder:
    """The graph under construction and the side of its current feature map."""

    def __init__(self, state: dict[str, np.ndarray]) -> None:
        self.state = state
        self.side = SIDE
        self.graph = Graph("efficientnet-lite0", opset=17)
        self.graph.weight("relu6.min", np.array(0.0, np.float32))
        self.graph.weight("relu6.max", np.array(6.0, np.float32))

    def conv(self, source: str, name: str, norm: str, stride: int = 1, relu6: bool = True) -> str:
        """Convolution padded as TensorFlow's SAME, batch norm, and ReLU6 where asked."""
        weight = self.state[f"{name}.weight"]
        channels, per_group, kernel, _ = weight.shape
        side = -(-self.side // stride)
        padding = max((side - 1) * stride + kernel - self.side, 0)
        before, after = padding // 2, padding - padding // 2
        self.side = side
        conv = self.graph.node(
            "Conv",
            [source, self.graph.weight(f"{name}.weight", weight)],
            name,
            {
                "kernel_shape": [kernel, kernel],
                "strides": [stride, stride],
                "pads": [before, before, after, after],
                "group": channels if per_group == 1 else 1,
            },
        )
        parts = [
            self.graph.weight(f"{norm}.{part}", self.state[f"{norm}.{part}"])
            for part in ("weight", "bias", "running_mean", "running_var")
        ]
        out = self.graph.node("BatchNormalization", [conv, *parts], norm, {"epsilon": EPSILON})
        if relu6:
            out = self.graph.node("Clip", [out, "relu6.min", "relu6.max"], f"{norm}.relu6")
        return out

    def block(self, source: str, name: str, stride: int, expansion: int, residual: bool) -> str:
        """Inverted bottleneck: expand, depthwise, project."""
        out = source
        if expansion != 1:
            out = self.conv(out, f"{name}._expand_conv", f"{name}._bn0")
        out = self.conv(out, f"{name}._depthwise_conv", f"{name}._bn1", stride)
        out = self.conv(out, f"{name}._project_conv", f"{name}._bn2", relu6=False)
        if residual:
            out = self.graph.node("Add", [out, source], f"{name}.add")
        return out


def load_state(path: Path) -> dict[str, np.ndarray]:
    """Reads the weights; `weights_only` refuses anything in the file that is not a tensor."""
    state = torch.load(path, weights_only=True, map_location="cpu")
    return {name: tensor.numpy() for name, tensor in state.items()}


def build(cache: Cache, name: str) -> None:
    """Writes `efficientnet-lite0.onnx`."""
    (member,) = EFFICIENTNET.members
    builder = Builder(load_state(cache.fetch(EFFICIENTNET) / member))
    graph = builder.graph
    out = builder.conv(graph.add_input("image", [1, 3, SIDE, SIDE]), "_conv_stem", "_bn0", 2)
    index = 0
    channels = 32
    for stage in STAGES:
        for repeat in range(stage.repeats):
            stride = stage.stride if repeat == 0 else 1
            residual = stride == 1 and channels == stage.channels
            out = builder.block(out, f"_blocks.{index}", stride, stage.expansion, residual)
            channels = stage.channels
            index += 1
    out = builder.conv(out, "_conv_head", "_bn1")
    out = graph.node("GlobalAveragePool", [out], "pool")
    out = graph.node("Flatten", [out], "flatten", {"axis": 1})
    head = [
        graph.weight(f"_fc.{part}", builder.state[f"_fc.{part}"]) for part in ("weight", "bias")
    ]
    graph.node("Gemm", [out, *head], "_fc", {"transB": 1}, output="logits")
    graph.add_output("logits", [1, 1000])
    with cache.writing(cache.model_path(name)) as path:
        graph.save(path)
