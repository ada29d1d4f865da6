"""onnxruntime's quantiser with the scales of its weights computed for all channels at once.

It takes them channel by channel in Python, which is half of what it needs for a file of MobileNetV3-Large. Here they
come from the same formula over whole arrays, to the bit, and are handed to it as overrides, its public way of naming a
scale. Should a version of onnxruntime no longer call the method in which that is done, its own scales are as good.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import numpy_helper
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

# Of symmetric signed weights, by how many bits they have: the distance of the highest from the lowest.
STEPS = {8: 254, 7: 128}
# Of activations, over their whole range.
ACTIVATION_STEPS = 255


class Quantizer(QDQQuantizer):
    """The quantiser of QDQ files; its weights are INT8, per channel and symmetric."""

    def _calc_initializer_quant_params(self) -> Any:
        weights = {tensor.name: tensor for tensor in self.model.initializer()}
        steps = STEPS[7 if self.reduce_range else 8]
        for name, info in self.tensors_to_quantize.items():
            if info.axis is None or name not in weights:
                continue
            array = numpy_helper.to_array(weights[name])
            scales = channel_scales(np.moveaxis(array, info.axis, 0), steps, self.min_real_range)
            self.tensor_quant_overrides[name] = [
                {"axis": info.axis, "scale": scale, "zero_point": 0, "quant_type": QuantType.QInt8} for scale in scales
            ]
        return super()._calc_initializer_quant_params()


def channel_scales(weights: npt.NDArray[np.float32], steps: int, least_width: float) -> npt.NDArray[np.float32]:
    """The scale of each channel of ``weights``, (channels, …): its range around 0 over the number of steps.

    After ``compute_scale_zp`` of onnxruntime/quantization/quant_utils.py, in its precision and its order.
    """
    rows = weights.reshape(len(weights), -1)
    lowest = np.minimum(rows.min(axis=1), np.float32(0))
    highest = np.maximum(rows.max(axis=1), np.float32(0))
    highest = np.maximum(highest, lowest + np.float32(least_width))
    farthest = np.maximum(np.abs(lowest), np.abs(highest)).astype(np.float64)
    scales: npt.NDArray[np.float32] = ((farthest + farthest) / steps).astype(np.float32)
    return scales
