"""The engine that makes artefacts: it prunes under the bound, recovers, calibrates, quantises and exports.

Torch lives here. Scores and measured accuracies come in as functions: the engine knows no criterion and no runtime.
"""

requires = ("torch", "torchvision", "safetensors", "onnxruntime", "onnxscript")
