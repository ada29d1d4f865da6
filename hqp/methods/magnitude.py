"""Magnitude pruning under the same bound with the same recovery and INT8: best of L1 and L2, raw and per layer."""

from hqp.records import Pruning, Quantization, Ranking, Recipe, Recovery

recipe = Recipe(
    pruning=Pruning(
        rankings=(
            # The likely winners first: a ranking that cannot beat the best so far is given up after one pass.
            Ranking("magnitude", norm="l2", per_layer=True),
            Ranking("magnitude", norm="l1", per_layer=True),
            Ranking("magnitude", norm="l2", per_layer=False),
            Ranking("magnitude", norm="l1", per_layer=False),
        ),
        recovery=Recovery(),
    ),
    quantization=Quantization(),
    give_back=True,
    alpha=0.05,
)
