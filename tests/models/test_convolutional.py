"""The convolutional networks that are written by hand."""

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from model_set import efficientnet, resnet
from model_set.cache import Cache


def test_resnet50_is_the_one_of_the_paper_and_reproducible(tmp_path):
    digests = []
    for folder in ("a", "b"):
        cache = Cache(tmp_path / folder)
        resnet.build(cache, "resnet50")
        digests.append(hash(cache.model_path("resnet50").read_bytes()))
    assert digests[0] == digests[1]
    path = Cache(tmp_path / "a").model_path("resnet50")
    onnx.checker.check_model(path, full_check=True)
    counts = Counter(node.op_type for node in onnx.load(path).graph.node)
    pools = counts["MaxPool"] + counts["GlobalAveragePool"]
    assert (counts["Conv"], counts["Gemm"], pools, counts["Add"]) == (53, 1, 2, 16)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    running = onnxruntime.InferenceSession(path, options)
    image = np.random.default_rng(0).standard_normal((1, 3, 224, 224), np.float32)
    logits = running.run(None, {"image": image})[0]
    assert logits.shape == (1, 1000)
    assert 0.1 < logits.std() < 100


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2), (1, 1)])
def test_efficientnet_convolution_equals_torch_with_same_padding(tmp_path, kernel, stride):
    random = np.random.default_rng(kernel)
    state = {"c.weight": random.standard_normal((6, 1, kernel, kernel), np.float32)}
    for part in ("weight", "bias", "running_mean", "running_var"):
        state[f"n.{part}"] = random.uniform(0.5, 1.5, 6).astype(np.float32)
    builder = efficientnet.Builder(state)
    builder.side = 12
    out = builder.conv(builder.graph.add_input("x", [1, 6, 12, 12]), "c", "n", stride)
    assert builder.side == 12 // stride
    builder.graph.add_output(out, [1, 6, builder.side, builder.side])
    builder.graph.save(tmp_path / "c.onnx")
    image = random.standard_normal((1, 6, 12, 12), np.float32) * 4
    got = onnxruntime.InferenceSession(tmp_path / "c.onnx").run(None, {"x": image})[0]

    total = max((12 // stride - 1) * stride + kernel - 12, 0)
    pads = (total // 2, total - total // 2) * 2
    padded = torch.nn.functional.pad(torch.from_numpy(image), pads)
    conv = torch.nn.functional.conv2d(
        padded, torch.from_numpy(state["c.weight"]), stride=stride, groups=6
    )
    norm = [torch.from_numpy(state[f"n.{p}"]) for p in ("running_mean", "running_var")]
    affine = [torch.from_numpy(state[f"n.{p}"]) for p in ("weight", "bias")]
    expected = torch.nn.functional.batch_norm(conv, *norm, *affine, eps=efficientnet.EPSILON)
    np.testing.assert_allclose(got, torch.nn.functional.relu6(expected), rtol=1e-5, atol=1e-5)


def test_efficientnet_has_sixteen_blocks():
    assert sum(stage.repeats for stage in efficientnet.STAGES) == 16
