"""HQP is pytest for compressed neural networks."""

# What type checkers take for true. The name in `typing` would cost milliseconds in which a Ctrl-C is a traceback.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from hqp.run.load import load
    from hqp.suite import Gate, Model, Suite

__version__ = "0.1.0"

__all__ = ["Gate", "Model", "Suite", "__version__", "load"]

# Where each public name is defined.
_HOMES = {"Gate": "hqp.suite", "Model": "hqp.suite", "Suite": "hqp.suite", "load": "hqp.run.load"}


def __getattr__(name: str) -> object:
    """The public names, imported when one is asked for: numpy, which they bring, takes a third of a second."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
