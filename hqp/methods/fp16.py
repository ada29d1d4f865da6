"""The trained model in FP16, certified as hqp is: what INT8 has to beat on a device that computes in FP16."""

from hqp.records import Recipe

recipe = Recipe(precision="fp16", alpha=0.05)
