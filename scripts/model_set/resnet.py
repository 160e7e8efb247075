"""ResNet-50 and ResNet-101 (v1.5) with seeded random weights, for placement only.

He et al., "Deep Residual Learning" (2016), with the stride in the 3 x 3 convolution; batch norms
already folded, as exporters leave them. Weights are He-normal; the last convolution of each
residual branch is scaled down so that activations keep their magnitude through the depth.
"""

import numpy as np

from model_set.cache import Cache
from model_set.graph import Attributes, Graph

DEPTHS = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}
WIDTHS = (64, 128, 256, 512)
EXPANSION = 4
BRANCH_SCALE = 0.25
SEED = 0


class Builder:
    """The graph under construction and the generator of its weights."""

    def __init__(self, name: str) -> None:
        self.graph = Graph(name, opset=17)
        self.random = np.random.default_rng(SEED)

    def conv(
        self,
        source: str,
        name: str,
        shape: tuple[int, int, int],
        stride: int = 1,
        scale: float = 1.0,
        relu: bool = True,
    ) -> str:
        """Convolution of `shape` (out, in, kernel) with bias, and ReLU where asked."""
        channels, inputs, kernel = shape
        deviation = scale * np.sqrt(2.0 / (inputs * kernel * kernel))
        weight = self.random.standard_normal((channels, inputs, kernel, kernel), np.float32)
        bias = self.random.standard_normal(channels, np.float32)
        padding = kernel // 2
        out = self.graph.node(
            "Conv",
            [
                source,
                self.graph.weight(f"{name}.weight", (weight * deviation).astype(np.float32)),
                self.graph.weight(f"{name}.bias", bias * np.float32(0.01)),
            ],
            name,
            {
                "kernel_shape": [kernel, kernel],
                "strides": [stride, stride],
                "pads": [padding] * 4,
            },
        )
        return self.graph.node("Relu", [out], f"{name}.relu") if relu else out

    def bottleneck(self, source: str, name: str, inputs: int, width: int, stride: int) -> str:
        """1 x 1, 3 x 3, 1 x 1 and the shortcut, projected where the shape changes."""
        channels = width * EXPANSION
        out = self.conv(source, f"{name}.conv1", (width, inputs, 1))
        out = self.conv(out, f"{name}.conv2", (width, width, 3), stride)
        out = self.conv(out, f"{name}.conv3", (channels, width, 1), 1, BRANCH_SCALE, relu=False)
        shortcut = source
        if inputs != channels:
            shape = (channels, inputs, 1)
            shortcut = self.conv(source, f"{name}.downsample", shape, stride, relu=False)
        out = self.graph.node("Add", [out, shortcut], f"{name}.add")
        return self.graph.node("Relu", [out], f"{name}.relu")


def build(cache: Cache, name: str) -> None:
    """Writes `resnet50.onnx` or `resnet101.onnx`."""
    builder = Builder(name)
    graph = builder.graph
    out = builder.conv(graph.add_input("image", [1, 3, 224, 224]), "stem", (64, 3, 7), 2)
    pooling: Attributes = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    out = graph.node("MaxPool", [out], "stem.pool", pooling)
    channels = 64
    for stage, (depth, width) in enumerate(zip(DEPTHS[name], WIDTHS, strict=True), start=1):
        for index in range(depth):
            stride = 2 if stage > 1 and index == 0 else 1
            out = builder.bottleneck(out, f"layer{stage}.{index}", channels, width, stride)
            channels = width * EXPANSION
    out = graph.node("GlobalAveragePool", [out], "pool")
    out = graph.node("Flatten", [out], "flatten", {"axis": 1})
    weight = builder.random.standard_normal((1000, channels), np.float32)
    head = [
        graph.weight("fc.weight", weight / np.float32(np.sqrt(channels))),
        graph.weight("fc.bias", np.zeros(1000, np.float32)),
    ]
    graph.node("Gemm", [out, *head], "fc", {"transB": 1}, output="logits")
    graph.add_output("logits", [1, 1000])
    with cache.writing(cache.model_path(name)) as path:
        graph.save(path)
