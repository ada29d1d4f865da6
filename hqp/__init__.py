"""HQP is pytest for compressed neural networks."""

from hqp.suite import Gate, Suite

__version__ = "0.1.0"

__all__ = ["Gate", "Suite", "__version__"]
