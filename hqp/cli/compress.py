"""``hqp compress``: from a trained model to an artefact."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from hqp.cli import images
from hqp.cli.application import Dataset, Json, Names, Seed, Skip, answer, app
from hqp.errors import command

# What is estimated to take less is too short to be compared with.
LEAST_QAT_SECONDS = 10.0

Source = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="A name, torchvision:NAME, timm:NAME, FILE.py:build.", show_default=False),
]
Out = Annotated[Path, typer.Option(metavar="DIR", help="The artefact's directory, a new one.", show_default=False)]
Method = Annotated[str, typer.Option(metavar="NAME", help="The method's name.", autocompletion=Names("methods"))]
DeltaMax = Annotated[float, typer.Option(metavar="POINTS", help="Δmax: points of top-1 that may go.")]
Device = Annotated[
    str, typer.Option(metavar="NAME", help="The device it will run on.", autocompletion=Names("devices"))
]
Weights = Annotated[
    str | None, typer.Option(metavar="FILE", help="A weight file, or FILE:ENTRY of a checkpoint.", show_default=False)
]
Pretrained = Annotated[bool, typer.Option("--pretrained", help="Take the weights that the library offers.")]
NumClasses = Annotated[
    int | None,
    typer.Option(metavar="N", help="Outputs of the model; default: as its weights have.", show_default=False),
]
InputSize = Annotated[
    int | None, typer.Option(metavar="PIXELS", help="Height and width, instead of the model's.", show_default=False)
]
ExpectTop1 = Annotated[
    float | None,
    typer.Option(
        metavar="PERCENT",
        help="Stop where the trained model's top-1 is another.",
        show_default=False,
    ),
]
Keep = Annotated[
    list[str] | None,
    typer.Option(metavar="PATTERN", help="Layers that lose no filter: 'layer4.*'.", show_default=False),
]
TargetLatency = Annotated[
    float | None, typer.Option(metavar="MS", help="Prune no further than to this median latency.", show_default=False)
]
TargetBytes = Annotated[
    float | None, typer.Option(metavar="N", help="Prune no further than to this size of the file.", show_default=False)
]
TargetMacs = Annotated[
    float | None, typer.Option(metavar="N", help="Prune no further than to so many multiply-adds.", show_default=False)
]
TargetSparsity = Annotated[
    float | None,
    typer.Option(metavar="SHARE", help="Prune no further than to this share of filters.", show_default=False),
]
Export = Annotated[
    str | None,
    typer.Option(metavar="NAMES", help="Other formats to write beside it: openvino.", show_default=False),
]
PolicyPath = Annotated[
    Path | None,
    typer.Option("--policy", metavar="FILE", help="What may become of each layer: a policy.json.", show_default=False),
]
Alpha = Annotated[
    float | None,
    typer.Option(metavar="SHARE", help="How often a certificate may be wrong.", show_default=False),
]
RequireCertificate = Annotated[
    bool, typer.Option("--require-certificate", help="Exit with 1 where 'test' does not certify it.")
]


@app.command(
    cls=images.ImagesCommand,
    epilog="Example: hqp compress resnet18 --dataset signs --out out/resnet18",
)
def compress(
    model: Source,
    out: Out,
    dataset: Dataset = "signs",
    method: Method = "hqp",
    delta_max: DeltaMax = 1.5,
    device: Device = "cpu_openvino",
    weights: Weights = None,
    pretrained: Pretrained = False,
    num_classes: NumClasses = None,
    seed: Seed = 0,
    input_size: InputSize = None,
    crop: images.Crop = None,
    resize: images.Resize = None,
    interpolation: images.Interpolation = None,
    mean: images.Mean = None,
    std: images.Std = None,
    expect_top1: ExpectTop1 = None,
    skip_unreadable: Skip = 0,
    keep: Keep = None,
    target_latency_ms: TargetLatency = None,
    target_bytes: TargetBytes = None,
    target_macs: TargetMacs = None,
    target_sparsity: TargetSparsity = None,
    export: Export = None,
    alpha: Alpha = None,
    policy: PolicyPath = None,
    require_certificate: RequireCertificate = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the artefact in the directory.")] = False,
    json: Json = False,
) -> None:
    """Compress a trained model under the bound."""

    def make() -> Any:
        from hqp.records import Targets
        from hqp.run.compress import compress as run
        from hqp.run.inputs import policies
        from hqp.run.inputs.request import Request
        from hqp.suite import Model

        chosen = Model(model, weights, pretrained, num_classes)
        reading = images.reading(mean, std, crop, resize, interpolation, skip_unreadable)
        targets = Targets(target_latency_ms, target_bytes, target_macs, target_sparsity)
        kept = tuple(keep or ())
        names = tuple(name.strip() for name in (export or "").split(",") if name.strip())
        asked = (chosen, dataset, method, device, delta_max, seed, input_size, reading, kept, targets)
        given = policies.read(policy) if policy else None
        request = Request(*asked, expect_top1=expect_top1, alpha=alpha, policy=given)
        return run(request, out, force=force, exports=names)

    made = answer(make, json, lambda made: _made(made, device, require_certificate))
    certificate = made.sidecar.certificate
    if require_certificate and not (certificate and certificate.certified):
        raise typer.Exit(1)


def _made(artifact: Any, device: str, certified: bool) -> str:
    """What an artefact is, and what to type next; that it has no certificate only where it should be ``certified``."""
    sidecar = artifact.sidecar
    lines = [f"{artifact.path}: {_kept(sidecar)}; {_judged(sidecar.accuracy)}"]
    replaced = sidecar.settings.recipe.replaced
    lines += [f"{replaced}, since {device} lacks that"] if replaced else []
    lines += [str(sidecar.budget)] if sidecar.budget else []

    choices = sidecar.choices
    made = (choices.recovered, choices.calibrated, choices.precisions, choices.dense)
    lines += [str(choice) for choice in made if choice]
    lines += [_exported(one) for one in sidecar.exports]
    lines += sidecar.notes

    if sidecar.certificate:
        lines.append(str(sidecar.certificate))
    elif certified:
        lines.append(f"not certified: {sidecar.settings.method} tests nothing on 'test'")

    lines += _cost(sidecar.spent)

    if certified and not (sidecar.certificate and sidecar.certificate.certified):
        lines.append("exit code 1: --require-certificate, and there is none; the artefact is written")
    else:
        lines.append(f"next: {command('hqp', 'bench', artifact.path, '--device', device)}")
    return "\n".join(lines)


def _kept(sidecar: Any) -> str:
    filters = sidecar.filters
    kept = f"θ {filters.sparsity:.1%} of {filters.total:,} filters"
    if filters.inner_sparsity is not None:
        kept += f" ({filters.inner_sparsity:.1%} of the inner ones)"
    return f"{kept}, {_size(sidecar.compression_ratio)}"


def _judged(accuracy: Any) -> str:
    fp32 = accuracy.fp32
    return f"top-1 {accuracy.shipped.top1:.2%}, FP32 {fp32.top1:.2%} on '{fp32.split}'"


def _cost(spent: Any) -> list[str]:
    """The share of quantisation-aware training; no line where that takes too little to be worth comparing."""
    if spent.qat is None or spent.qat.seconds < LEAST_QAT_SECONDS:
        return []
    cost = f"made in {spent.seconds:,.0f} s of passes, {spent.share_of_qat:.1%}"
    return [f"{cost} of what quantisation-aware training would take"]


def _exported(export: Any) -> str:
    if export.agreement is None:
        return f"written as {export.name}, and compared with nothing: its runtime is not on {sys.platform}"
    cosine = f"cosine {export.cosine:.4f}"
    return f"exported as {export.name}: top-1 as {export.agreement:.0%} of {export.images} images have it, {cosine}"


def _size(ratio: float) -> str:
    return f"{ratio:.2f} times smaller" if ratio >= 1 else f"{1 / ratio:.2f} times larger"
