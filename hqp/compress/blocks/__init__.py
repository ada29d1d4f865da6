"""Whole blocks that go: gates over channels become their mean, residual blocks become their shortcut."""
