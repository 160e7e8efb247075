"""Low-rank correction: the best factors, beside a product that is still fused."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st

from egrl.compression.compress import Compression, compress
from egrl.compression.runner import OnnxRuntimeRunner
from graph_ir.compression.grid import Grid
from graph_ir.compression.lorc import Lorc, low_rank
from graph_ir.compression.method import Data
from graph_ir.compression.methods.rtn import Rtn
from graph_ir.compression.statistics import input_statistics
from graph_ir.errors import InputError
from graph_ir.load import load_model
from graph_ir.save import save_model
from tests.compression.decoders import Decoder, ids, loaded, logits
from tests.compression.products import product_model


def slow_low_rank(error_KN, gram_KK, rank):
    """Truncated singular value decomposition of `S^T E`, brought back through S."""
    inner = len(gram_KK)
    lower_KK = np.linalg.cholesky(gram_KK + np.eye(inner) * 0.01 * np.trace(gram_KK) / inner)
    u, s, vt = np.linalg.svd(lower_KK.T @ error_KN, full_matrices=False)
    return np.linalg.solve(lower_KK.T, (u[:, :rank] * s[:rank]) @ vt[:rank])


@given(st.integers(4, 40), st.integers(4, 40), st.integers(1, 4), st.integers(0, 999))
def test_factors_are_those_of_the_decomposition(inner, columns, rank, seed):
    rng = np.random.default_rng(seed)
    error_KN = rng.standard_normal((inner, columns)).astype(np.float32)
    x_RK = rng.standard_normal((3 * inner, inner)) * rng.uniform(0.2, 3, inner)
    gram_KK = input_statistics([x_RK]).gram_KK
    a_Kr, b_rN = low_rank(error_KN, gram_KK, rank)
    assert (a_Kr.shape, b_rN.shape) == ((inner, rank), (rank, columns))
    wanted = slow_low_rank(error_KN, gram_KK, rank)
    left = [np.linalg.norm(x_RK @ (error_KN - part)) for part in (a_Kr @ b_rN, wanted)]
    assert left[0] <= left[1] * 1.0001 + 1e-4


def test_no_error_has_no_correction():
    a_Kr, b_rN = low_rank(np.zeros((8, 6), np.float32), np.eye(8), 2)
    assert not (a_Kr @ b_rN).any()


@pytest.mark.parametrize("gemm", [False, True])
@pytest.mark.parametrize("store", ["int8", "fp16"])
def test_product_is_still_fused_and_closer(tmp_path, gemm, store):
    onnx.save(product_model(100, 48, gemm=gemm), tmp_path / "m.onnx")
    errors = {}
    for text in ("int4:rtn", f"int4:rtn+lorc,rank=12,store={store}"):
        model = load_model(tmp_path / "m.onnx")
        errors[text] = compress(
            model,
            Compression((text,)),
        ).error
    assert errors[text] < 0.8 * errors["int4:rtn"]
    save_model(model.graph_model, tmp_path, "c")
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    options.log_severity_level = 4
    session = ort.InferenceSession(tmp_path / "c.onnx", options)
    kinds = [n.op_type for n in onnx.load(tmp_path / "fused.onnx").graph.node]
    assert kinds.count("MatMulNBits") == 1
    assert not {"DequantizeLinear", "Cast"} & set(kinds)
    assert session.get_outputs()[0].name == "y"


def test_more_rank_is_closer(tmp_path):
    source = loaded(Decoder(32), tmp_path).graph_model
    before = logits(source, ids())
    errors = []
    for rank in (1, 4, 12):
        model = loaded(Decoder(32), tmp_path)
        compress(model, Compression((f"int4:rtn+lorc,group=16,rank={rank},store=fp16",)))
        errors.append(np.linalg.norm(logits(model.graph_model, ids()) - before))
    assert errors[0] > errors[1] > errors[2]


def test_inputs_that_are_not_finite_are_named(tmp_path):
    decoder = Decoder(32)
    source = decoder.model()
    decoder.weights["table"][:] = np.inf
    for tensor in source.graph.initializer:
        tensor.CopyFrom(onnx.numpy_helper.from_array(decoder.weights[tensor.name], tensor.name))
    model = loaded(decoder, tmp_path, source).graph_model
    weight_KN = np.ones((32, 32), np.float32)
    pairs = {"query": (weight_KN, Rtn().quantize(weight_KN, Grid(group=16)))}
    data = Data(ids(), OnnxRuntimeRunner(), 0, True)
    with pytest.raises(InputError, match=r"lorc: value attention_norm\.out: expected finite"):
        Lorc(rank=2).correct(model, model, pairs, data)


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("rank=0", "rank=0: expected 1 to 1024"),
        ("store=fp8", "store=fp8: expected one of int8, fp16"),
    ],
)
def test_wrong_options_are_one_line(tmp_path, option, reason):
    with pytest.raises(InputError, match=reason):
        compress(loaded(Decoder(32), tmp_path), Compression((f"int4:rtn+lorc,{option}",)))
