"""Photographs here: HQP loses at most 1.5 points of top-1 on CIFAR-10 at 64x64, and takes a fifth of the bytes."""

from hqp import Gate, Suite

suite = Suite(
    models=("resnet18", "mobilenet_v3_small", "mobilenet_v3_large"),
    dataset="cifar10",
    devices=("cpu_openvino", "cpu_onnxruntime"),
    methods=("fp32", "q8", "magnitude", "bn_gamma", "hqp"),
    delta_max_pp=1.5,
    gates=(
        Gate("accuracy_drop", methods="hqp", max_pp=1.5),
        Gate("size", methods="q8", max_ratio=0.34),
        Gate("size", methods="hqp", max_ratio=0.2),  # not to be had by INT8 alone
        Gate("latency_regression", margin=0.05),
    ),
)
