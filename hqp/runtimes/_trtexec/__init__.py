"""What NVIDIA's ``trtexec`` takes and writes, version by version: its options, its log, its JSON files.

Formats were read in NVIDIA's own sources (TensorRT OSS, samples/common, tags 8.2.1 to v11.1) and on real files of it.
"""
