"""Datasets: one file each.

A file defines

* ``requires``: the packages it needs;
* ``native_size``: the height and width of its images where nothing else is asked for, in pixels; ``None`` where the
  model decides;
* ``load(split: str, root: Path | None = None, reading: Reading = …) -> Samples``: one of the splits ``train``,
  ``calibration``, ``selection``, ``test``; ``selection`` and ``test`` share no image with any other by construction,
  ``calibration`` may be training images; ``root`` is the data root.

Or, where a name is followed by an argument (``image_folder:PATH``), ``argument``, which says what that is, and
``bind(argument)``, which gives an object that has these three.
"""
