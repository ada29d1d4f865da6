"""How much work each step of the pipeline is expected to be, so that a run can say how long it will take."""

from __future__ import annotations

from hqp.compress.job import Job, taken
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
# Fifty steps of training, for the other side of the ledger.
LEDGER_IMAGES = 50 * 32


def expected(job: Job) -> dict[str, float]:
    """The expected work of each step of ``pipeline.STEPS``, by its name, in passes of one image."""
    selection, pruning = len(job.selection), job.recipe.pruning
    works = {"judge_dense": float(selection), "ship": float(selection)}
    if job.recipe.quantization:
        works["ship"] += CALIBRATION * taken(job, job.recipe.quantization.images)
    if pruning is None:
        return works
    file = works["ship"]
    works["find_sensitivity"] = SENSITIVITY * taken(job, pruning.images) if "sensitivity" in job.needs else 0.0
    works["prune_under_bound"] = SEARCHED * CANDIDATE * selection * len(pruning.rankings)
    works["deepen"] = _rounds(job, pruning)
    works["give_back"] = file * (GIVEN_BACK if job.recipe.give_back else 1)
    works["certify"] = CERTIFIED * file if job.recipe.alpha is not None else 0.0
    works["explain"] = 0.0
    works["estimate_training"] = TRAINING * LEDGER_IMAGES
    return works


def _rounds(job: Job, pruning: Pruning) -> float:
    if pruning.rounds is None:
        return 0.0
    rounds = pruning.rounds.most or round(1 / pruning.rounds.share)
    return rounds * (TRAINING * pruning.rounds.fine_tuning.epochs * job.train_images + CANDIDATE * len(job.selection))
