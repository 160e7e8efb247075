"""MobileNetV2 1.0 at 224 x 224 as the operations that an Ethos-U executes.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", table 2.
"""

from egrl.validation.vela_layers import VelaLayer

# Expansion, channels, blocks and the stride of the first of them.
BLOCKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet_v2() -> list[VelaLayer]:
    """All operations in order, weights at a byte each."""
    size, channels = 112, 32
    layers = [_conv("conv", 224, 3, 112, 32, 3, model_input=True)]
    for expansion, filters, count, first_stride in BLOCKS:
        for block in range(count):
            stride = first_stride if block == 0 else 1
            smaller, hidden = size // stride, channels * expansion
            if expansion > 1:
                layers.append(_conv("conv", size, channels, size, hidden, 1))
            layers.append(_conv("depthwise", size, hidden, smaller, hidden, 3))
            layers.append(_conv("conv", smaller, hidden, smaller, filters, 1))
            if stride == 1 and channels == filters:
                image = (smaller, smaller, filters)
                layers.append(VelaLayer("add", image, image, model_input=False, model_output=False))
            size, channels = smaller, filters
    layers.append(_conv("conv", size, channels, size, 1280, 1))
    pooled = VelaLayer(
        "avgpool", (7, 7, 1280), (1, 1, 1280), (7, 7), model_input=False, model_output=False
    )
    classes = VelaLayer(
        "fc", (1, 1, 1280), (1, 1, 1000), weight_bytes=1280 * 1000, model_input=False
    )
    return [*layers, pooled, classes]


def _conv(
    kind: str,
    size: int,
    channels: int,
    smaller: int,
    filters: int,
    taps: int,
    model_input: bool = False,
) -> VelaLayer:
    stride = size // smaller
    return VelaLayer(
        kind,
        (size, size, channels),
        (smaller, smaller, filters),
        (taps, taps),
        (stride, stride),
        taps * taps * filters * (channels if kind == "conv" else 1),
        model_input,
        model_output=False,
    )
