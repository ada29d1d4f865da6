"""From the FP32 file to the INT8 file: the ranges of its activations, and the file that has them."""
