"""``hqp compress``: from a trained model to an artefact."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hqp.cli.application import Dataset, Json, Seed, Skip, answer, app
from hqp.errors import command

Channels = tuple[float, float, float]
TargetLatency = Annotated[
    float | None, typer.Option(help="Prune no further than to this median latency.", show_default=False)
]
TargetBytes = Annotated[
    float | None, typer.Option(help="Prune no further than to this size of the file.", show_default=False)
]
TargetMacs = Annotated[
    float | None, typer.Option(help="Prune no further than to so many multiply-adds.", show_default=False)
]
TargetSparsity = Annotated[
    float | None, typer.Option(help="Prune no further than to this share of filters, 0 to 1.", show_default=False)
]
RequireCertificate = Annotated[
    bool, typer.Option("--require-certificate", help="Exit with 1 where 'test' does not certify the artefact.")
]


@app.command()
def compress(
    model: Annotated[
        str, typer.Argument(help="resnet18, torchvision:NAME, timm:NAME or path/to/file.py:build.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Where the artefact goes: a new directory.", show_default=False)],
    dataset: Dataset = "signs",
    method: Annotated[str, typer.Option(help="The method's name.")] = "hqp",
    delta_max: Annotated[float, typer.Option(help="Δmax: how much top-1 may be lost, in absolute points.")] = 1.5,
    device: Annotated[str, typer.Option(help="The device it will run on.")] = "cpu_openvino",
    weights: Annotated[
        str | None, typer.Option(help="A weight file, or FILE:ENTRY of a checkpoint.", show_default=False)
    ] = None,
    pretrained: Annotated[bool, typer.Option("--pretrained", help="Take the weights that the library offers.")] = False,
    num_classes: Annotated[
        int | None,
        typer.Option(help="Outputs of the model; by default as its weights have.", show_default=False),
    ] = None,
    seed: Seed = 0,
    input_size: Annotated[
        int | None, typer.Option(help="Height and width in pixels, instead of the model's.", show_default=False)
    ] = None,
    mean: Annotated[Channels | None, typer.Option(help="Of the images, scaled to 0..1.", show_default=False)] = None,
    std: Annotated[Channels | None, typer.Option(help="Their standard deviation.", show_default=False)] = None,
    skip_unreadable: Skip = 0,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Layers that lose no filter: 'layer4.*'.", show_default=False),
    ] = None,
    target_latency_ms: TargetLatency = None,
    target_bytes: TargetBytes = None,
    target_macs: TargetMacs = None,
    target_sparsity: TargetSparsity = None,
    require_certificate: RequireCertificate = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the artefact in the directory.")] = False,
    json: Json = False,
) -> None:
    """Compress a trained model under the bound, and write its artefact."""

    def make() -> Any:
        from hqp.records import Reading, Targets
        from hqp.run.compress import compress as run
        from hqp.run.subject import Request
        from hqp.suite import Model

        chosen = Model(model, weights, pretrained, num_classes)
        reading = Reading(mean=mean, std=std, skip_unreadable=skip_unreadable)
        targets = Targets(target_latency_ms, target_bytes, target_macs, target_sparsity)
        kept = tuple(keep or ())
        asked = Request(chosen, dataset, method, device, delta_max, seed, input_size, reading, kept, targets)
        return run(asked, out, force=force)

    made = answer(make, json, lambda made: _made(made, device, require_certificate))
    certificate = made.sidecar.certificate
    if require_certificate and not (certificate and certificate.certified):
        raise typer.Exit(1)


def _made(artifact: Any, device: str, certified: bool) -> str:
    """What an artefact is, and what to type next; that it has no certificate only where it should be ``certified``."""
    sidecar = artifact.sidecar
    inner = "" if sidecar.inner_sparsity is None else f" ({sidecar.inner_sparsity:.1%} of the inner ones)"
    kept = f"θ {sidecar.sparsity:.1%} of {sidecar.filters:,} filters{inner}"
    kept += f", {sidecar.compression_ratio:.2f} times smaller"
    judged = f"top-1 {sidecar.compressed.top1:.2%}, FP32 {sidecar.baseline.top1:.2%} on '{sidecar.baseline.split}'"
    lines = [f"{artifact.path}: {kept}; {judged}"]
    lines += [str(sidecar.calibrated)] if sidecar.calibrated else []
    lines += sidecar.notes
    if sidecar.certificate or certified:
        lines.append(str(sidecar.certificate or f"not certified: {sidecar.method} tests nothing on 'test'"))
    if sidecar.share_of_qat is not None:
        cost = f"made in {sidecar.seconds:,.0f} s of passes, {sidecar.share_of_qat:.1%}"
        lines.append(f"{cost} of what quantisation-aware training would take")
    return "\n".join([*lines, f"next: {command('hqp', 'bench', artifact.path, '--device', device)}"])
