"""What HQP asks of a network, and the form in which it works on it: weights, layers, modes, batches, accuracy."""
