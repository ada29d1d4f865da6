"""A change beside its base on one machine: artefacts are no slower, no less accurate, and a third of FP32's size."""

from hqp import Gate, Suite

suite = Suite(
    models=("mobilenet_v3_small",),
    dataset="signs",
    devices=("cpu_onnxruntime", "cpu_openvino"),
    methods=("fp32", "q8"),
    test_images=2_000,
    gates=(
        Gate("latency_regression", margin=0.05),
        Gate("accuracy_regression", max_pp=1.0),
        Gate("size", methods="q8", max_ratio=0.34),
    ),
)
