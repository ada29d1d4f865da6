"""Scales of weights for all channels at once are onnxruntime's own, to the bit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto
from onnxruntime.quantization.quant_utils import compute_data_quant_params

from hqp.compress.quantisation.qdq import LEAST_WIDTH
from hqp.compress.quantisation.weight_scales import STEPS, channel_scales

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 4))
WEIGHTS = arrays.arrays(np.float32, SHAPES, elements=st.floats(-8, 8, width=32))


@settings(deadline=None)
@given(weights=WEIGHTS, bits=st.sampled_from(sorted(STEPS)))
def test_they_are_those_that_onnxruntime_takes_channel_by_channel(weights: npt.NDArray[np.float32], bits: int) -> None:
    theirs = [
        compute_data_quant_params(channel, TensorProto.INT8, True, bits == 7, LEAST_WIDTH)[1] for channel in weights
    ]
    mine = channel_scales(weights, STEPS[bits], LEAST_WIDTH)
    assert mine.tobytes() == np.array(theirs, dtype=np.float32).tobytes()
