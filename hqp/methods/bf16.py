"""The trained model in BF16, certified as hqp is: what INT8 has to beat on a processor that computes in BF16."""

from hqp.records import Recipe

recipe = Recipe(precision="bf16", alpha=0.05)
