"""The engine that takes samples: it is handed what it opens and knows no runtime and no device by name."""

from __future__ import annotations

# Part of every environment: raised whenever the meaning of a measured number changes, so that older ones are refused.
PROTOCOL = "2"
