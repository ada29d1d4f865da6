"""What the engine costs, as ratios, each pair side by side in one run: `nox -s perf`.

The sensitivity pass beside one ordinary forward and backward pass, in time and in peak memory; how well the latency of
pruned networks is foretold; of every suite that was run here, θ of hqp beside that of the other criteria, and its cost
beside that of quantisation-aware training.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from hqp import catalog, documents, transport
from hqp.measure import environment
from hqp.probes import peak_memory
from hqp.records import Measurement, Results
from hqp.run.studies import ablation, latency, peers

# Model, input size, batch, and the most that the two ratios may be.
CASES = (
    ("torchvision:resnet18", 64, 64, 1.15, 1.3),
    ("torchvision:resnet18", 224, 16, 1.3, 1.3),
    ("torchvision:mobilenet_v3_large", 224, 16, 1.2, 1.3),
)

OURS, OTHERS = "hqp", ("magnitude", "bn_gamma")
LIMIT_S = 300.0

Row = tuple[str, ...]


def sensitivity_rows() -> Iterator[Row]:
    """Time and memory of the sensitivity pass over those of an ordinary one."""
    from hqp.compress.studies.pace import pace

    for name, size, batch, slowest, largest in CASES:
        found = pace(catalog.load("models", name).build, size, batch, environment.usable_cores())
        grown = [_growth(name, size, batch, what) for what in ("ordinary", "sensitivity")]
        case = (name, f"{size}x{size}", str(batch))
        yield (
            *case,
            f"{found.ordinary_seconds:.2f}",
            f"{found.sensitivity_seconds:.2f}",
            f"{found.ratio:.2f} (at most {slowest})",
            f"{grown[1] / grown[0]:.2f} (at most {largest})",
        )


def _growth(name: str, size: int, batch: int, what: str) -> int:
    """By how many bytes a fresh process grew in one pass."""
    words = [sys.executable, "-m", "hqp.run.studies.perf", "memory", name, str(size), str(batch), what]
    return int(transport.run(words, timeout_s=LIMIT_S).stdout)


def _print_growth(name: str, size: int, batch: int, what: str) -> None:
    from hqp.compress.studies.pace import once

    build = catalog.load("models", name).build
    once(build, 32, 2, what)  # loads what is loaded late
    before = peak_memory.peak_rss_bytes()
    once(build, size, batch, what)
    print(peak_memory.peak_rss_bytes() - before)


def pruning_rows(results: Results) -> Iterator[Row]:
    """θ of hqp over the best of the others, and what it took over C_QAT, by model and device."""
    measured = {(row.case.model, row.case.device, row.case.method): row for row in results.measurements}
    for (model, device, method), mine in measured.items():
        if method != OURS:
            continue
        others = [measured[model, device, other] for other in OTHERS if (model, device, other) in measured]
        best = max(others, key=_sparsity, default=None)
        yield (results.suite, model, device, _percent(_sparsity(mine)), *_beside(mine, best), _of_qat(mine))


def _sparsity(measurement: Measurement) -> float:
    return float(measurement.sidecar.filters.sparsity)


def _beside(mine: Measurement, best: Measurement | None) -> tuple[str, str]:
    if best is None:
        return "–", "–"
    ours, theirs = _sparsity(mine), _sparsity(best)
    ratio = f"{ours / theirs:.2f}" if theirs else "∞"
    return f"{_percent(theirs)} {best.case.method}", f"{ratio} (at least 1.5)"


def _of_qat(mine: Measurement) -> str:
    share = mine.sidecar.spent.share_of_qat
    return "–" if share is None else f"{_percent(share)} (at most 10.0%)"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def main(words: Sequence[str]) -> int:
    """Prints the tables; with other words, what one of its processes does, or another study."""
    if words[:1] == ["memory"]:
        name, size, batch, what = words[1:]
        _print_growth(name, int(size), int(batch), what)
        return 0
    if words[:1] == ["ablation"]:
        return ablation.main(*words[1:])
    if words[:1] == ["peers"]:
        return peers.main(*words[1:])
    if words[:1] == ["latency"]:
        return latency.main(*words[1:])
    _print_sensitivity()
    print()
    latency.main()
    print()
    _print_pruning()
    return 0


def _print_sensitivity() -> None:
    from tabulate import tabulate

    machine = ", ".join(f"{key} {value}" for key, value in environment.machine().items())
    print(f"the sensitivity pass over one forward and backward pass, on {machine}")
    headers = ("model", "input", "batch", "ordinary s", "sensitivity s", "time", "peak memory")
    print(tabulate(list(sensitivity_rows()), headers, disable_numparse=True))


def _print_pruning() -> None:
    from tabulate import tabulate

    rows: list[Row] = []
    for file in sorted(Path(".hqp", "results").glob("*.json")):
        results = documents.read(file, Results, fix="run its suite anew")
        rows += pruning_rows(results)
    if not rows:
        print("no suite was run here: nox -s bench")
        return
    headers = ("suite", "model", "device", "θ hqp", "θ of the best other", "ratio", "of QAT")
    print(tabulate(rows, headers, disable_numparse=True))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
