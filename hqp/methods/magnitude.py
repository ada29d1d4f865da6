"""Magnitude pruning under the same bound with the same INT8: the best of L1 and L2, raw and scaled per layer."""

from hqp.records import Pruning, Quantization, Ranking, Recipe

recipe = Recipe(
    summary="pruned by weight magnitude (best of L1 and L2, raw and per layer), INT8, verified as hqp is",
    pruning=Pruning(
        rankings=(
            # The likely winners first: a ranking that cannot beat the best so far is given up after one pass.
            Ranking("magnitude", norm="l2", per_layer=True),
            Ranking("magnitude", norm="l1", per_layer=True),
            Ranking("magnitude", norm="l2", per_layer=False),
            Ranking("magnitude", norm="l1", per_layer=False),
        ),
    ),
    quantization=Quantization(),
    give_back=True,
)
