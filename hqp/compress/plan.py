"""How much work each step of the pipeline is expected to be, so that a run can say how long it will take."""

from __future__ import annotations

from hqp.compress.job import Job, calibration_count
from hqp.compress.search import dense
from hqp.records import Pruning

# One unit is an image through the trained model. The numbers below were read off the ledgers of ResNet-18 and
# MobileNetV3-Large; they foretell an hour or a minute, not seconds.

# A sample's gradients, squared, beside its logits.
SENSITIVITY = 5.0
# An image of `selection` through a pruned model, in torch, with its share of the recovery before.
CANDIDATE = 1.3
# An image through a step of training, and through a calibration pass that keeps every activation's range.
TRAINING, CALIBRATION = 3.0, 5.0
# How many candidates a galloping search judges, and how many files are made and judged on the way back and on `test`.
SEARCHED, GIVEN_BACK, CERTIFIED = 9, 2, 3
# Fifty steps of training, for what quantisation-aware training would take.
TRAINED_IMAGES = 50 * 32


def expected(job: Job) -> dict[str, float]:
    """The expected work of each step of ``pipeline.STEPS``, by its name, in passes of one image."""
    recipe, selection = job.recipe, len(job.selection)
    # To make a file and to judge it.
    file = float(selection)
    if recipe.quantization:
        file += CALIBRATION * calibration_count(job, recipe.quantization.images)
    pruning = recipe.pruning
    if pruning is None:
        return {"judge_dense": float(selection), "ship": file}
    asks_for_sensitivity = "sensitivity" in job.needs
    sensitivity = SENSITIVITY * calibration_count(job, pruning.images)
    return {
        "judge_dense": float(selection),
        "find_sensitivity": sensitivity if asks_for_sensitivity else 0.0,
        "prune_under_bound": SEARCHED * CANDIDATE * selection * len(pruning.rankings) * (2 if pruning.blocks else 1),
        "deepen": _rounds(job, pruning),
        "choose_precisions": CALIBRATION * 512 if recipe.quantization and recipe.quantization.by_layer else 0.0,
        "give_back": file * (GIVEN_BACK if recipe.give_back else 1),
        "compare_with_dense": CALIBRATION * dense.TIMED.images if recipe.beside_dense else 0.0,
        "certify": CERTIFIED * file if recipe.alpha is not None else 0.0,
        "ship": file,
        "spend": 0.0,
        "explain": 0.0,
        "estimate_training": TRAINING * TRAINED_IMAGES,
    }


def _rounds(job: Job, pruning: Pruning) -> float:
    if pruning.rounds is None:
        return 0.0
    # Where nothing ends them before, all filters are gone in the end.
    rounds = pruning.rounds.most or round(1 / pruning.rounds.share)
    training = TRAINING * pruning.rounds.fine_tuning.epochs * job.train_images
    return rounds * (training + CANDIDATE * len(job.selection))
