"""As hqp, then deeper in up to five rounds of pruning, each with one epoch of distillation from the trained model."""

from hqp.records import FineTuning, Pruning, Quantization, Ranking, Recipe, Recovery, Rounds

recipe = Recipe(
    pruning=Pruning(
        rankings=(Ranking("fisher_refit", per="mac"),),
        images=1_000,
        recovery=Recovery(),
        blocks=True,
        rounds=Rounds(share=0.05, retry=0.02, most=5, fine_tuning=FineTuning(epochs=1, teacher=0.9)),
    ),
    quantization=Quantization(by_layer=True),
    give_back=True,
    beside_dense=True,
    alpha=0.05,
)
