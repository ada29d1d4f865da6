"""Fisher pruning only, in FP32."""

from hqp.records import Pruning, Ranking, Recipe

recipe = Recipe(
    summary="pruned by Fisher sensitivity under the bound, FP32",
    pruning=Pruning(rankings=(Ranking("fisher"),)),
)
