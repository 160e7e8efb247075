import numpy as np
import pytest

from egrl.compression.runner import OnnxRuntimeRunner
from egrl.kv.rotations import ROWS, _rotation, measure_rotations, rotated
from graph_ir.errors import InputError
from graph_ir.kv.scoring import Rotation
from tests.decoder.tiny import tiny_decoder


def test_a_decoders_rotation_is_found():
    decoder = tiny_decoder(layers=2, head_width=16)
    for context in (3, 100, 9000):
        found = measure_rotations(decoder, OnnxRuntimeRunner(), context)
        assert found[0] is found[1]
        assert [pair[:2] for pair in found[0].pairs] == [(i, i + 8) for i in range(8)]
        angles = [pair[2] for pair in found[0].pairs]
        expected = 100.0 ** (-2 * np.arange(8) / 16)
        np.testing.assert_allclose(angles, expected, rtol=0, atol=1e-2 / context)


def test_without_rotation_there_is_none():
    decoder = tiny_decoder(layers=1, rope=False)
    assert measure_rotations(decoder, OnnxRuntimeRunner(), 64) == (Rotation(8),)
    assert measure_rotations(tiny_decoder(layers=1), OnnxRuntimeRunner(), 1) == (Rotation(8),)


def drawn(rotation, positions=(1, 2, 4, 8, 16, 32, 63), seed=0):
    rows = np.random.default_rng(seed).standard_normal((ROWS, rotation.width))
    return rows, [(position, rotated(rotation, rows, position)) for position in positions]


@pytest.mark.parametrize(
    "pairs",
    [
        ((0, 1, 0.7), (2, 3, 0.05)),  # next to one another, as GPT-J has them
        ((0, 2, -2.0), (1, 3, 0.3)),  # the other way round
        ((1, 4, 0.01),),  # of some channels only
    ],
)
def test_planes_are_found_wherever_they_are(pairs):
    rotation = Rotation(6, pairs)
    found = _rotation(0, *drawn(rotation))
    assert [pair[:2] for pair in found.pairs] == [pair[:2] for pair in pairs]
    np.testing.assert_allclose([p[2] for p in found.pairs], [p[2] for p in pairs], atol=1e-9)


def test_positions_that_are_added_are_no_rotation():
    rows, after = drawn(Rotation(6))
    rng = np.random.default_rng(1)
    added = [(position, then + rng.standard_normal(6)) for position, then in after]
    assert _rotation(0, rows, added) == Rotation(6)


def test_another_dependence_is_refused():
    rows, after = drawn(Rotation(6, ((0, 1, 0.5),)))
    changed = [(position, then[:, [1, 2, 0, 3, 4, 5]]) for position, then in after]
    with pytest.raises(InputError, match="attention 3: expected queries that are rotated"):
        _rotation(3, rows, changed)
