"""The variant of Algorithm 1 that ranks anew and trains two epochs after every 5% of the filters, then INT8."""

from hqp.records import FineTuning, Pruning, Quantization, Ranking, Recipe, Rounds

recipe = Recipe(
    pruning=Pruning(
        rankings=(Ranking("fisher", per="layer"),),
        search="none",
        confidence=None,
        rounds=Rounds(share=0.05, retry=0.02, fine_tuning=FineTuning(epochs=2, learning_rate=0.1)),
    ),
    quantization=Quantization(),
    objective="sparsity",
)
