"""Where a run's numbers come from: what the artefacts cost, and the machine and versions that measured them."""

from __future__ import annotations

from hqp.records import Measurement, Results, Spent
from hqp.reports._layout import ABSENT, Section, number


def cost(measurements: tuple[Measurement, ...]) -> Section:
    """What making each artefact took, beside what training would have."""
    # One artefact may be measured on several devices: its cost is told once.
    by_artefact: dict[tuple[str, str, Spent], list[Measurement]] = {}
    for measurement in measurements:
        key = (measurement.case.model, measurement.case.method, measurement.sidecar.spent)
        by_artefact.setdefault(key, []).append(measurement)
    rows = []
    for (model, method, spent), found in by_artefact.items():
        devices = dict.fromkeys(measurement.case.device for measurement in found)
        rows.append((model, method, ", ".join(devices), *_spent(spent)))

    training = {(model, spent.qat) for model, _, spent in by_artefact if spent.qat}
    lines = ["images: seen over all passes"]
    for model, cost in sorted(training, key=lambda pair: pair[0]):
        epochs = f"{number(cost.images, 0)} images in {cost.passes} epochs"
        seconds = f"{number(cost.seconds, 0)} s, estimated from FP32 training steps"
        lines.append(f"QAT: quantisation-aware training of {model}, {epochs}, would take {seconds}")

    return Section(
        "cost of making the artefacts",
        ("model", "method", "devices", "steps, s", "images", "passes", "seconds", "of QAT"),
        tuple(rows),
        tuple(lines),
        texts=4,
        ranks={"passes": 3, "images": 2, "steps, s": 1},
    )


def _spent(spent: Spent) -> tuple[str, ...]:
    """What making an artefact took: by step, in images and passes, in seconds, and of training."""
    by_step = ", ".join(f"{cost.step} {number(cost.seconds, 1)}" for cost in spent.steps)
    images = sum(cost.images for cost in spent.steps)
    passes = sum(cost.passes for cost in spent.steps)
    share = spent.share_of_qat
    return (
        by_step or ABSENT,
        number(images, 0),
        number(passes, 0),
        number(spent.seconds, 1),
        ABSENT if share is None else f"{100 * share:.1f}%",
    )


def compared_with(results: Results) -> str:
    """What the numbers of a run were held against: FP32 in the same run, and baselines by commit, device and date."""
    fp32 = f"FP32 in the same run, {results.date}"
    stored = "; ".join(map(str, results.against))
    return f"{fp32}, and the baseline of {stored}" if stored else f"{fp32}; no baseline is stored for these devices"


def origin(results: Results) -> Section:
    """The machine, the versions and the command of a run."""
    environments = {row.case.device: row.environment.digest for row in results.measurements}
    told = {
        **results.machine,
        "made with": _made_with(results.measurements),
        "environments": ", ".join(f"{device} {digest}" for device, digest in environments.items()),
        "baselines": "; ".join(map(str, results.against)),
        "HQP": results.hqp_version,
        "date": results.date,
        "command": results.command,
    }
    rows = [(key, text) for key, text in told.items() if text]
    return Section("where this comes from", rows=tuple(rows))


def _made_with(measurements: tuple[Measurement, ...]) -> str:
    """The versions of the packages that made the artefacts, several where artefacts are of several."""
    versions: dict[str, dict[str, None]] = {}
    for measurement in measurements:
        for package, version in measurement.sidecar.origin.versions.items():
            versions.setdefault(package, {})[version] = None
    return ", ".join(f"{package} {' and '.join(found)}" for package, found in sorted(versions.items()))
