"""What leaves torch: the ONNX file of a network, what it counts, and the record of its layers."""
