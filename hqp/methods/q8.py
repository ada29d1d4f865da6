"""Post-training quantisation to INT8 only."""

from hqp.records import Quantization, Recipe

recipe = Recipe(
    summary="INT8 only, calibrated so that it stays nearest to FP32, certified as hqp is",
    quantization=Quantization(),
    alpha=0.05,
)
