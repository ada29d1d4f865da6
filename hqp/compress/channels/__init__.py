"""Channels: which can only go together, and how they go, physically, with what stands around them made up for."""
