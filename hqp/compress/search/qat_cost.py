"""The other side of the cost ledger: what quantisation-aware training of the same model would take.

C_QAT ≈ N_epochs · N_train · C_grad with N_epochs = 5, against C_HQP = N_calib · C_grad + T_prune · N_val · C_inf.
Source: D. Gopalan, R. Ali, arXiv 2602.06069 (2026). C_grad is measured on plain FP32 training steps, so that slow fake
quantisation does not flatter HQP.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F

from hqp.compress.job import Job, calibration_batches
from hqp.compress.network.contract import training_logits
from hqp.compress.network.copies import copied
from hqp.compress.search.draft import Draft
from hqp.ledger import Ledger
from hqp.records import Cost

EPOCHS = 5
STEPS = 50

# Too low to matter to the time, and to let the loss go astray.
LEARNING_RATE = 1e-4


def estimate_training(draft: Draft) -> None:
    """What five epochs of training would take, from fifty steps of it; measured once for a model."""
    job = draft.job
    if job.recipe.pruning is None:
        return
    # Not by way of the candidates: what training would take is no part of what this file took.
    (steps,) = job.store.costed("training-steps", job.key, lambda folder, ledger: training_steps(job, ledger)).costs
    images = EPOCHS * job.train_images
    draft.qat = Cost("quantisation-aware training", images, EPOCHS, steps.seconds / steps.images * images)


def training_steps(job: Job, ledger: Ledger) -> None:
    """Fifty ordinary training steps of a copy of the model, on calibration images."""
    model = copied(job.model).train()
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE)
    batches = itertools.cycle(calibration_batches(job, len(job.calibration)))
    with (
        ledger.step("training steps") as tally,
        job.track("training steps, for the ledger", STEPS) as advance,
        torch.random.fork_rng(),
    ):
        tally.passes = 1
        for indices, images in itertools.islice(batches, STEPS):
            labels = torch.from_numpy(job.calibration.labels[indices.start : indices.stop])
            optimizer.zero_grad(set_to_none=True)
            logits = training_logits(model(torch.from_numpy(images)))
            F.cross_entropy(logits, labels).backward()
            optimizer.step()
            tally.images += len(indices)
            advance(1)
