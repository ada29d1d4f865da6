"""What the engine costs, gains and takes: the workflows behind ``nox -s perf`` and ``nox -s zoo``."""
