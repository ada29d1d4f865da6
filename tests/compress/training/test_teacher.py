"""The loss that a teacher gives is the divergence from its softened probabilities."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from hqp.compress.training.teacher import TEMPERATURE, Teacher


def test_who_says_what_the_teacher_says_has_nothing_to_learn() -> None:
    model = nn.Linear(3, 4)
    inputs = torch.rand(5, 3)
    teacher = Teacher(model, share=0.5)
    assert float(teacher.loss(inputs, model(inputs).detach())) == pytest.approx(0, abs=1e-6)


def test_the_divergence_is_that_of_hand_and_scaled_by_the_temperature() -> None:
    certain = nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        # Softened by the temperature, odds of 3 to 1.
        certain.weight.copy_(torch.tensor([[TEMPERATURE * math.log(3)], [0.0]]))
    loss = Teacher(certain, share=1.0).loss(torch.ones(1, 1), torch.zeros(1, 2))
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert float(loss) == pytest.approx(TEMPERATURE**2 * expected, rel=1e-5)


def test_the_teacher_learns_nothing() -> None:
    model, outputs = nn.Linear(2, 2), torch.zeros(1, 2, requires_grad=True)
    Teacher(model, share=1.0).loss(torch.ones(1, 2), outputs).backward()
    assert model.weight.grad is None and outputs.grad is not None
