"""Road signs here: HQP loses at most 1.5 points of top-1, takes a fifth of the bytes, and is faster than FP32."""

from hqp import Gate, Suite

suite = Suite(
    models=("mobilenet_v3_large", "resnet18"),
    dataset="signs",
    devices=("cpu_openvino", "cpu_onnxruntime"),
    methods=("fp32", "q8", "magnitude", "bn_gamma", "hqp"),
    delta_max_pp=1.5,
    gates=(
        Gate("accuracy_drop", methods="hqp", max_pp=1.5),
        Gate("speedup", methods="hqp", models="resnet18", min_ratio=2.0),
        Gate("size", methods="q8", max_ratio=0.3),
        Gate("size", methods="hqp", max_ratio=0.2),  # not to be had by INT8 alone
        Gate("latency_regression", margin=0.05),
    ),
)
