"""What the runtime ``tensorrt`` is made of: a network parsed and built, CUDA's buffers and clocks, NVIDIA's parser."""
