"""HQP is pytest for compressed neural networks."""

from hqp.suite import Gate, Model, Suite

__version__ = "0.1.0"

__all__ = ["Gate", "Model", "Suite", "__version__"]
