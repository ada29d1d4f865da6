"""Images that judge a network and were trained on as well."""

from __future__ import annotations

from collections.abc import Sequence

from hqp.datasets._trees import Tree, content_digest
from hqp.records import Leak

# Of the images that judge. Each is compared with the training images of its size in bytes, so that with few of them
# few of a million training images have to be read.
LOOKED_AT = 2_000


def leaked(judging: Tree, images: Sequence[int], train: Tree, trained_on: Sequence[int]) -> Leak:
    """How many of the first images that judge have the bytes of a training image, whatever the two are called."""
    looked_at = images[:LOOKED_AT]
    sizes = {judging.marks[index] for index in looked_at}
    known = {content_digest(train, index) for index in trained_on if train.marks[index] in sizes} - {None}
    shared = sum(content_digest(judging, index) in known for index in looked_at)
    return Leak(shared, len(looked_at))
