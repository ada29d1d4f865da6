"""Labels: which channels have met, and which of them stay."""

from __future__ import annotations

import torch

from hqp.compress.channels.tracing.labels import FIXED, Cuts, Labels, differs, thinned

CUTS = Cuts(even_parts=True, even_views=True)


def test_fresh_labels_are_sets_of_their_own() -> None:
    labels = Labels(CUTS)
    assert labels.fresh(3).tolist() == [1, 2, 3] and labels.fresh(2).tolist() == [4, 5]
    assert labels.roots(torch.tensor([5, 1, FIXED])).tolist() == [5, 1, FIXED]


def test_joined_sets_are_represented_by_the_least_root_also_through_others() -> None:
    labels = Labels(CUTS)
    every = labels.fresh(6)
    labels.join(every[[4, 2]], every[[2, 0]])
    assert labels.roots(every).tolist() == [1, 2, 1, 4, 1, 6]
    labels.join(every[[5]], every[[4]])
    assert labels.roots(every).tolist() == [1, 2, 1, 4, 1, 1]


def test_what_is_fixed_takes_all_that_it_met_with_it() -> None:
    labels = Labels(CUTS)
    every = labels.fresh(4)
    labels.join(every[:2], every[2:])
    labels.fix(every[[2]])
    assert labels.roots(every).tolist() == [FIXED, 2, FIXED, 2]


def test_a_sum_ties_only_what_was_apart() -> None:
    labels = Labels(CUTS)
    one, other = labels.fresh(2), labels.fresh(2)
    labels.sum(one, one)
    assert labels.summed() == set()
    labels.sum(one, other)
    assert labels.summed() == {1, 2} and labels.roots(other).tolist() == [1, 2]


def test_a_tensor_keeps_its_labels_and_an_unknown_one_is_fixed() -> None:
    labels = Labels(CUTS)
    known, unknown = torch.zeros(1, 2, 3, 3), torch.zeros(1, 2)
    labels.put(known, labels.fresh(2)[None, :, None, None])
    assert labels.knows(known) and not labels.knows(unknown)
    assert labels.of(known)[0, :, 2, 1].tolist() == [1, 2]
    assert labels.of(unknown).tolist() == [[FIXED, FIXED]]


def test_along_a_dimension() -> None:
    labels = Labels(CUTS)
    every = labels.fresh(3)[None, :]
    assert labels.varies(every, 1) and not labels.varies(every, 0)
    labels.even_out(every, 1)
    assert not labels.varies(every, 1) and labels.roots(every).tolist() == [[1, 1, 1]]

    apart = labels.fresh(2)[None, :]
    assert labels.collapsed(apart, [1]).tolist() == [[4]], "and what differed stays"
    assert labels.roots(apart).tolist() == [[FIXED, FIXED]]


def test_repetitions_of_an_expansion_are_seen_once() -> None:
    expanded = torch.arange(2)[:, None].expand(2, 1000)
    assert thinned(expanded).shape == (2, 1)
    assert differs(expanded, 0) and not differs(expanded, 1)
