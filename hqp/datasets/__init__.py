"""Datasets: one file each.

A file defines

* ``requires``: the packages it needs;
* ``native_size``: the height and width of its images where nothing else is asked for, in pixels;
* ``load(split: str, root: Path | None = None) -> Samples``: one of the splits ``train``, ``calibration``,
  ``selection``, ``test``, which are disjoint by construction.
"""
