"""How much work each step of the pipeline is expected to be, so that a run can say how long it will take."""

from __future__ import annotations

from hqp.compress.job import Job, calibration_count
from hqp.compress.search import dense, redundant
from hqp.records import Pruning

# One unit is an image through the trained model. The numbers below were read off the ledgers of ResNet-18 and
# MobileNetV3-Large on signs; they foretell an hour or a minute, not seconds.

# A sample's gradients, squared, beside its logits; and an image's share of the order of channels, mostly wide layers'.
SENSITIVITY, ORDER = 4.0, 20.0
# An image of `selection` through a pruned model, in torch, with its share of the recovery before, which takes longer.
CANDIDATE = 1.0
# An image through a step of training, and through a calibration pass that keeps every activation's range.
TRAINING, CALIBRATION = 3.0, 1.5
# An image through a quantised file.
QUANTISED = 0.25
# How many candidates a galloping search judges, and how many without blocks, which takes a fit of all layers each.
SEARCHED, WITHOUT_BLOCKS = 6, 4
# How many files are made and judged on the way back; and on `test` three, each for a recovery and more images, and the
# trained model.
GIVEN_BACK, CERTIFIED = 2, 16
# Fifty steps of training, for what quantisation-aware training would take.
TRAINED_IMAGES = 50 * 32


def expected(job: Job) -> dict[str, float]:
    """The expected work of each step of ``pipeline.STEPS``, by its name, in passes of one image."""
    recipe, selection = job.recipe, len(job.selection)
    # To make a file and to judge it.
    file = float(selection)
    if recipe.quantization:
        file = QUANTISED * selection + CALIBRATION * calibration_count(job, recipe.quantization.images)
    pruning = recipe.pruning
    if pruning is None:
        return {"judge_dense": float(selection), "ship": file}
    return {
        "judge_dense": float(selection),
        "prune_under_bound": _ranking(job, pruning) + _search(job, pruning),
        "deepen": _rounds(job, pruning),
        "choose_precisions": CALIBRATION * 512 if recipe.quantization and recipe.quantization.by_layer else 0.0,
        "give_back": file * (GIVEN_BACK if recipe.give_back else 1),
        "compare_with_dense": CALIBRATION * dense.TIMED.images if recipe.beside_dense else 0.0,
        "certify": CERTIFIED * file if recipe.alpha is not None else 0.0,
        # The module, too, before it is quantised.
        "ship": file + CANDIDATE * selection,
        "spend": 0.0,
        "explain": 0.0,
        "estimate_training": TRAINING * TRAINED_IMAGES,
    }


def _ranking(job: Job, pruning: Pruning) -> float:
    """What the criteria measure before the search."""
    work = 0.0
    if "sensitivity" in job.needs:
        work += SENSITIVITY * calibration_count(job, pruning.images)
    if "redundancy" in job.needs:
        work += ORDER * calibration_count(job, redundant.IMAGES)
    return work


def _search(job: Job, pruning: Pruning) -> float:
    candidates = SEARCHED * len(pruning.rankings) + (WITHOUT_BLOCKS if pruning.blocks else 0)
    return candidates * CANDIDATE * len(job.selection)


def _rounds(job: Job, pruning: Pruning) -> float:
    if pruning.rounds is None:
        return 0.0
    # Where nothing ends them before, all filters are gone in the end.
    rounds = pruning.rounds.most or round(1 / pruning.rounds.share)
    training = TRAINING * pruning.rounds.fine_tuning.epochs * job.train_images
    return rounds * (training + CANDIDATE * len(job.selection))
