"""HQP is pytest for compressed neural networks."""

# What type checkers take for true. The name in `typing` would cost milliseconds in which a Ctrl-C is a traceback.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from hqp.suite import Gate, Model, Suite

__version__ = "0.1.0"

__all__ = ["Gate", "Model", "Suite", "__version__"]


def __getattr__(name: str) -> object:
    """The public classes, imported when one is asked for: numpy, which they bring, takes a third of a second."""
    if name not in __all__:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from hqp import suite

    return getattr(suite, name)
