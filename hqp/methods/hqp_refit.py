"""As hqp, with every layer that lost inputs fitted anew by least squares, without labels or epochs."""

from hqp.records import Pruning, Quantization, Ranking, Recipe, Recovery

recipe = Recipe(
    summary="pruned by Fisher sensitivity, refitted by least squares, INT8, verified under the bound",
    pruning=Pruning(rankings=(Ranking("fisher"),), recovery=Recovery()),
    quantization=Quantization(),
    give_back=True,
)
