"""Errors that name an option of the command line, as a suite's author reads them."""

from __future__ import annotations

import pytest

from hqp.errors import HqpError
from hqp.run import suite_words


@pytest.mark.parametrize(
    ("option", "suite"),
    [
        ("--weights FILE, or --pretrained", 'Model(…, weights="FILE"), or Model(…, pretrained=True)'),
        ("--weights FILE:entry", 'Model(…, weights="FILE:entry")'),
        ("--delta-max 1.5", "delta_max_pp=1.5"),
        ("--delta-max with more points, or --method hqp_paper, which takes the drop as it is",
         'delta_max_pp with more points, or methods=("hqp_paper",), which takes the drop as it is'),
        ("--input-size SMALLER", "input_size=SMALLER"),
        ("--mean 0.5 0.5 0.5", "mean=(0.5, 0.5, 0.5)"),
        ("--mean 0.5,0.5,0.5", "mean=(0.5, 0.5, 0.5)"),
        ("--crop 0.875", "crop=0.875"),
        ("--resize squash", 'resize="squash"'),
        ("--expect-top1 81", "expect_top1=81"),
        ("--keep 'layer4.*'", 'keep=("layer4.*",)'),
        ("--dataset image_folder:PATH", "dataset=image_folder:PATH".replace("=", '="') + '"'),
        ("--skip-unreadable 1", "skip_unreadable=1"),
        # A command's options stay, and so do those that are no suite's.
        ("hqp train mine --dataset signs", "hqp train mine --dataset signs"),
        ("--hqp-store DIR", "--hqp-store DIR"),
        ("suites cannot run under --forked", "suites cannot run under --forked"),
    ],
)  # fmt: skip
def test_an_option_becomes_what_a_suite_says(option: str, suite: str) -> None:
    assert suite_words.told(HqpError("it is wrong", fix=option)) == f"it is wrong; try: {suite}"
    assert suite_words.told(HqpError(option, option)) == f"{suite}; {suite}"


def test_every_field_is_one_of_a_suite_or_a_model() -> None:
    from dataclasses import fields

    from hqp import Model, Suite

    said = {field.name for kind in (Suite, Model) for field in fields(kind)}
    assert set(suite_words.FIELDS.values()) <= said
