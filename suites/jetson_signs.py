"""Road signs on Jetson boards, with nothing to download: HQP loses at most 1.5 points and is no slower than FP32."""

from hqp import Gate, Suite

suite = Suite(
    models=("mobilenet_v3_large", "resnet18"),
    dataset="signs",
    devices=("jetson_nano", "jetson_xavier_nx", "jetson_orin_nano"),
    methods=("fp32", "fp16", "q8", "magnitude", "bn_gamma", "hqp"),
    delta_max_pp=1.5,
    test_images=5_000,
    gates=(
        Gate("accuracy_drop", methods="hqp", max_pp=1.5),
        Gate("speedup", methods="hqp", min_ratio=1.0),
        Gate("latency_budget", methods="hqp", max_p99_ms=16.0),  # 60 images a second
        Gate("size", methods="hqp", max_ratio=0.5),  # on a Nano INT8 becomes FP16
    ),
)
