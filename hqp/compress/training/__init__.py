"""Training from scratch: deterministic for a seed, resumable at each epoch, in phases of growing image size."""

from hqp.compress.training.course import Step, count_correct, device, fingerprint, fit, gpu_name, start
from hqp.compress.training.images import TrainingImages
from hqp.compress.training.recipe import TrainingRecipe
from hqp.compress.training.teacher import Teacher

__all__ = [
    "Step",
    "Teacher",
    "TrainingImages",
    "TrainingRecipe",
    "count_correct",
    "device",
    "fingerprint",
    "fit",
    "gpu_name",
    "start",
]
