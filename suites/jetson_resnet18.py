"""ResNet-18 on ImageNet, on a Jetson Xavier NX: HQP loses at most 1.5 points and is 2.51 times as fast as FP32."""

from hqp import Gate, Model, Suite

suite = Suite(
    models=(Model("resnet18", pretrained=True),),
    dataset="imagenet",
    devices=("jetson_xavier_nx",),
    methods=("fp32", "fp16", "q8", "magnitude", "bn_gamma", "hqp"),
    delta_max_pp=1.5,
    input_size=224,
    gates=(
        Gate("accuracy_drop", methods="hqp", max_pp=1.5),
        Gate("speedup", methods="hqp", min_ratio=2.51),  # arXiv 2602.06069, table 1
        Gate("speedup_over_fp16", methods="hqp", min_ratio=1.0),  # or FP16 alone would do
        Gate("latency_budget", methods="hqp", max_p99_ms=33.0),  # 30 images a second
        Gate("size", methods="hqp", max_ratio=0.25),
    ),
)
