"""The results file itself: every raw sample and count, from which all other reports can be made anew."""

from __future__ import annotations

from hqp import documents
from hqp.records import Results

suffix = ".json"


def render(results: Results) -> str:
    """The results as one JSON document, as ``hqp report`` reads it."""
    return documents.to_json(results)
