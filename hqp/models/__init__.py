"""Models: one file each.

A file defines

* ``requires``: the packages it needs, e.g. ``("torch", "torchvision")``;
* ``build(num_classes: int) -> torch.nn.Module``: the architecture, randomly initialised, in training mode;
* ``input_size``: the height and width it was designed for, in pixels;
* ``weights``: how its library names the pretrained weights, or ``None``.
"""
