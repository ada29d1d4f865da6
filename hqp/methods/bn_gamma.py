"""Batch-norm scale pruning under the same bound with the same INT8."""

from hqp.records import Pruning, Quantization, Ranking, Recipe

recipe = Recipe(
    summary="pruned by batch-norm scale, INT8, verified as hqp is",
    pruning=Pruning(rankings=(Ranking("bn_gamma"),)),
    quantization=Quantization(),
    give_back=True,
)
