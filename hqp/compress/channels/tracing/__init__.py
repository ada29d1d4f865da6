"""Which channels of a network can only go together, found by running it on labels.

Beside every activation runs a tensor of labels of the same shape, one label to a channel (``labels.py``). An operation
that only moves values (a view, a permutation, a concatenation, a slice) is run on the labels as it is, so that what it
does to channels need not be known. An element-wise operation joins the labels that meet in it. Convolutions, linear
layers and batch normalisations say which of their filters and inputs stand at which label (``tracer.py``).

What an operation of torch does to channels is a rule, one file of ``rules/`` for a family of operations. Whatever has
no rule holds channels in place: one is removed only where every operation on its way was understood.
"""
