"""Accuracy by a model whose answers are known, and the exactness of giving up early."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from hqp.compress.network.accuracy import Early, accuracy
from hqp.errors import HqpError
from hqp.records import Accuracy, Samples

torch.set_num_threads(1)

CLASSES = 7


class Painted(nn.Module):
    """Answers with the class that the first pixel's red value names; dropout would spoil it in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(255.0))
        self.dropout = nn.Dropout(0.99)

    def forward(self, x: Tensor) -> Tensor:
        named = (self.dropout(x)[:, 0, 0, 0] * self.scale).round()
        return -(torch.arange(CLASSES) - named[:, None]).abs()


class Reader:
    """Images whose first pixel is the answer to give, and a record of what was read."""

    def __init__(self, answers: Sequence[int]) -> None:
        self.answers, self.read_indices, self.sizes = answers, list[int](), set[int]()

    def __call__(self, indices: Sequence[int], size: int) -> npt.NDArray[np.uint8]:
        self.read_indices += indices
        self.sizes.add(size)
        images = np.zeros((len(indices), size, size, 3), np.uint8)
        images[:, 0, 0, 0] = [self.answers[index] for index in indices]
        return images


def samples_of(labels: Sequence[int], reader: Reader) -> Samples:
    names = tuple(map(str, range(CLASSES)))
    return Samples("painted", "selection", np.array(labels, np.int64), names, (0, 0, 0), (1, 1, 1), "d" * 64, reader)


def test_counts_top1_top5_and_which_images() -> None:
    reader = Reader([0, 1, 2, 6, 4])
    found = accuracy(Painted(), samples_of([0, 1, 3, 0, 4], reader), 8, batch_size=2)
    assert found is not None
    assert (found.correct, found.correct_top5, found.total) == (3, 4, 5)
    assert found.correct_images.tolist() == [True, True, False, False, True]
    assert (found.split, found.split_digest) == ("selection", "d" * 64)
    assert reader.read_indices == [0, 1, 2, 3, 4] and reader.sizes == {8}


def test_it_gives_up_once_the_floor_is_out_of_reach() -> None:
    reader, done = Reader([1, 1, 0, 0, 0, 0, 0, 0, 0]), list[int]()
    samples = samples_of([0] * 9, reader)
    assert accuracy(Painted(), samples, 4, batch_size=2, floor_correct=8, advance=done.append) is None
    assert reader.read_indices == [0, 1] and done == [2]


@given(
    st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=12),
    st.integers(0, 12),
    st.integers(1, 5),
)
def test_giving_up_is_exact(pairs: list[tuple[int, int]], floor: int, batch_size: int) -> None:
    reader, done = Reader([answer for answer, _ in pairs]), list[int]()
    samples = samples_of([label for _, label in pairs], reader)
    correct = sum(answer == label for answer, label in pairs)
    found = accuracy(Painted(), samples, 2, batch_size=batch_size, floor_correct=floor, advance=done.append)
    assert (found is not None) == (correct >= floor)
    assert found is None or (found.correct == correct and sum(done) == len(pairs))
    assert reader.read_indices == list(range(sum(done)))


@pytest.mark.parametrize(
    ("answers", "read"),
    [
        ({2: None, 4: None}, 6),  # never clear
        ({2: None, 4: True}, 4),
        ({2: True}, 2),
        ({2: None, 4: False}, 4),
    ],
)
def test_a_look_that_is_clear_ends_the_pass(answers: dict[int, bool | None], read: int) -> None:
    reader, looked = Reader([0, 0, 1, 0, 0, 0]), list[tuple[int, int]]()

    def holds(so_far: Accuracy) -> bool | None:
        looked.append((so_far.total, so_far.correct))
        return answers[so_far.total]

    found = accuracy(Painted(), samples_of([0] * 6, reader), 2, batch_size=2, early=Early((1, 3), holds))
    assert reader.read_indices == list(range(read))
    # After the batch in which so many images are reached.
    assert looked == [(2, 2), (4, 3)][: len(answers)]
    if answers[looked[-1][0]] is False:
        assert found is None
    else:
        assert found is not None and (found.total, found.correct) == (read, read - (read > 2))


def test_a_norm_without_statistics_sees_each_image_alone_as_the_file_does() -> None:
    class Normed(Painted):
        """Of a batch of one colour nothing is left, of two colours something; the answer is which of them."""

        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(3, track_running_stats=False)

        def forward(self, x: Tensor) -> Tensor:
            left = self.norm(x[:, :, :1, :1].expand(-1, -1, 2, 2))[:, 0, 0, 0].abs() > 0.5
            return torch.stack([left, ~left], 1) * self.scale

    answers = [0, 6, 0, 6]
    found = accuracy(Normed(), samples_of([1, 1, 1, 1], Reader(answers)), 4, batch_size=4)
    assert found is not None and found.correct == 4


def test_the_training_mode_is_restored() -> None:
    model = Painted().train()
    assert accuracy(model, samples_of([1], Reader([1])), 2) is not None
    assert model.training and model.dropout.training


def test_an_empty_split_is_refused() -> None:
    with pytest.raises(HqpError, match="split 'selection' of 'painted' is empty"):
        accuracy(Painted(), samples_of([], Reader([])), 2)
