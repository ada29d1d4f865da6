"""Datasets: one file each.

A file defines

* ``requires``: the packages it needs;
* ``native_size``: the height and width of its images in pixels, where neither the user nor the weights nor the model
  say one; ``None`` where they have none of their own;
* ``own``: a ``Reading``, how its photographs become an input where neither the user nor the weights say; a dataset
  that makes its images at the size that is asked for has none, and nothing of them is resized or cropped;
* ``load(split: str, root: Path | None = None, reading: Reading = …) -> Samples``: one of the splits ``train``,
  ``calibration``, ``selection``, ``test``; ``selection`` and ``test`` share no image with any other by construction,
  ``calibration`` may be training images; ``root`` is the data root;
* ``require_there(root)``, where its images may be missing: raises then, before anything is made of them.

Or, where a name is followed by an argument (``image_folder:PATH``), ``argument``, which says what that is, and
``bind(argument)``, which gives an object that has these four.
"""
