"""Post-training quantisation to INT8 only."""

from hqp.records import Quantization, Recipe

recipe = Recipe(
    quantization=Quantization(),
    alpha=0.05,
)
