"""Batch-norm scale pruning under the same bound with the same recovery and the same INT8."""

from hqp.records import Pruning, Quantization, Ranking, Recipe, Recovery

recipe = Recipe(
    summary="pruned by batch-norm scale, recovered, INT8, certified as hqp is",
    pruning=Pruning(rankings=(Ranking("bn_gamma"),), recovery=Recovery()),
    quantization=Quantization(),
    give_back=True,
    alpha=0.05,
)
