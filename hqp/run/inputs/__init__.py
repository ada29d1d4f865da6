"""What a workflow starts from: the network, its checkpoint, its input, and finished artefacts."""
