"""Words on the command line become a call of ``run/``, what it returns becomes text and an exit code.

0 is success, 1 a gate that failed, 2 a mistake that one line on standard error explains, 130 an interrupted run.
With ``--json``, standard output is one JSON document and nothing else; progress is on standard error.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from typer.exceptions import TyperException

from hqp.errors import HqpError

MISTAKE, INTERRUPTED = 2, 130

Answer = TypeVar("Answer")

app = typer.Typer(
    name="hqp",
    help="pytest for compressed neural networks.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
baseline_app = typer.Typer(help="Stored baselines: what regression is judged against.")
app.add_typer(baseline_app, name="baseline")

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, and nothing else.")]
Dataset = Annotated[str, typer.Option(help="The dataset's name; `image_folder:PATH` is one of your own.")]
Skip = Annotated[int, typer.Option(metavar="N", help="Leave out up to N unreadable images of each split, and say so.")]
Channels = tuple[float, float, float]
Baselines = Annotated[Path, typer.Option(help="Where baselines are kept.")]
ResultsFile = Annotated[Path, typer.Argument(metavar="RESULTS", help="A results file.", show_default=False)]


def main(words: Sequence[str] | None = None) -> int:
    """The exit code of a command line, by default that of this process."""
    try:
        return _exit_code(app(args=words, prog_name="hqp", standalone_mode=False))
    except HqpError as error:
        return _mistake(error)
    except TyperException as error:
        return _mistake(_usage_error(error))
    except OSError as error:
        return _mistake(HqpError(f"{error.filename or 'the system'}: {error.strerror or error}"))
    except KeyboardInterrupt:
        return _exit_code(INTERRUPTED)


def _exit_code(code: int | None) -> int:
    if code == INTERRUPTED:
        print("hqp: stopped; finished steps are kept, the same command goes on where it stopped", file=sys.stderr)
    return code or 0


def _usage_error(error: TyperException) -> HqpError:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "hqp"
    return HqpError(error.format_message().rstrip("."), fix=f"{command} --help")


def _mistake(error: HqpError) -> int:
    print(f"hqp: error: {error}", file=sys.stderr)
    return MISTAKE


def _answer(make: Callable[[], Answer], json: bool, text: Callable[[Answer], str]) -> Answer:
    """Prints what ``make`` returns, at once and whole; what libraries print meanwhile goes to standard error."""
    with redirect_stdout(sys.stderr):
        answer = make()
        shown = _to_json(answer) if json else text(answer)
    sys.stdout.write(shown if shown.endswith("\n") else shown + "\n")
    sys.stdout.flush()
    return answer


def _to_json(answer: Any) -> str:
    from hqp import documents

    return documents.list_to_json(answer) if isinstance(answer, tuple) else documents.to_json(answer)


def _table(rows: Sequence[Sequence[str]]) -> str:
    from tabulate import tabulate

    return str(tabulate(rows, tablefmt="plain", disable_numparse=True))


def _print_version(wanted: bool) -> None:
    if wanted:
        from hqp import __version__

        print(f"hqp {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """pytest for compressed neural networks."""


@app.command("list")
def list_plugins(
    kind: Annotated[str | None, typer.Argument(help="models, datasets, methods, …", show_default=False)] = None,
    json: Json = False,
) -> None:
    """Show the plug-ins there are."""
    from hqp.run.listing import listing

    def text(found: Any) -> str:
        names = [f"{one.name}:{one.argument}" if one.argument else one.name for one in found]
        return _table([(one.kind, name, one.summary or "") for one, name in zip(found, names, strict=True)])

    _answer(lambda: listing(kind), json, text)


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
        str | None, typer.Option(help="A weight file, instead of what `hqp train` wrote.", show_default=False)
    ] = None,
    pretrained: Annotated[bool, typer.Option("--pretrained", help="Take the weights that the library offers.")] = False,
    num_classes: Annotated[
        int | None,
        typer.Option(help="Outputs of the model; by default as its weights have.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="The seed of whatever is random.")] = 0,
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
    target_latency_ms: Annotated[
        float | None, typer.Option(help="Prune no further than to this median latency.", show_default=False)
    ] = None,
    target_bytes: Annotated[
        float | None, typer.Option(help="Prune no further than to this size of the file.", show_default=False)
    ] = None,
    target_macs: Annotated[
        float | None, typer.Option(help="Prune no further than to so many multiply-adds.", show_default=False)
    ] = None,
    target_sparsity: Annotated[
        float | None, typer.Option(help="Prune no more than this share of all filters, 0 to 1.", show_default=False)
    ] = None,
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
        return run(Request(chosen, dataset, method, device, delta_max, seed, input_size, reading, kept, targets), out)

    _answer(make, json, lambda made: _made(made, device))


def _made(artifact: Any, device: str) -> str:
    """What an artefact is, and what to type next."""
    sidecar = artifact.sidecar
    inner = "" if sidecar.inner_sparsity is None else f" ({sidecar.inner_sparsity:.1%} of the inner ones)"
    kept = f"θ {sidecar.sparsity:.1%} of {sidecar.filters:,} filters{inner}"
    kept += f", {sidecar.compression_ratio:.2f} times smaller"
    judged = f"top-1 {sidecar.compressed.top1:.2%}, FP32 {sidecar.baseline.top1:.2%} on '{sidecar.baseline.split}'"
    lines = [f"{artifact.path}: {kept}; {judged}"]
    lines += [str(sidecar.certificate)] if sidecar.certificate else []
    if sidecar.share_of_qat is not None:
        cost = f"made in {sidecar.seconds:,.0f} s of passes, {sidecar.share_of_qat:.1%}"
        lines.append(f"{cost} of what quantisation-aware training would take")
    return "\n".join([*lines, f"next: hqp bench {artifact.path} --device {device}"])


@app.command()
def bench(
    artefacts: Annotated[list[Path], typer.Argument(metavar="ARTEFACT...", help="Artefact directories.")],
    device: Annotated[str, typer.Option(help="The device to measure on.", show_default=False)],
    dataset: Annotated[str | None, typer.Option(help="The artefacts' dataset.", show_default=False)] = None,
    json: Json = False,
) -> int:
    """Measure finished artefacts on a device."""

    def make() -> Any:
        from hqp.run.bench import bench_artifacts

        return bench_artifacts(artefacts, device, dataset=dataset)

    return _gated(_answer(make, json, lambda results: _rendered("table", results)))


def _gated(results: Any) -> int:
    """1 where a gate that binds its case did not pass."""
    verdicts = [one.verdict for one in results.judgements if one.bound and one.verdict is not None]
    return int(any(verdict.outcome != "pass" for verdict in verdicts))


@app.command()
def train(
    model: Annotated[str, typer.Argument(help="The model's name.", show_default=False)],
    dataset: Dataset = "signs",
    out: Annotated[Path, typer.Option(help="Where OUT/DATASET/MODEL.safetensors and its card go.")] = Path("fixtures"),
    seed: Annotated[int, typer.Option(help="The seed of the start, the order and the augmentation.")] = 0,
    skip_unreadable: Skip = 0,
    json: Json = False,
) -> None:
    """Train a checkpoint; the same command goes on where it was stopped."""

    def make() -> Any:
        from hqp.run.train import train as run

        return run(model, dataset, out, seed=seed, skip_unreadable=skip_unreadable)

    def text(card: Any) -> str:
        from hqp.run.fixtures import trained

        return f"{trained(out, model, dataset)}\nnext: hqp compress {model} --dataset {dataset} --out out/mine"

    _answer(make, json, text)


@app.command()
def report(
    results: ResultsFile,
    form: Annotated[str, typer.Option("--format", help="The report's name.")] = "table",
    json: Json = False,
) -> None:
    """Show results as a report, whose names `hqp list reports` shows."""
    from hqp.run.baseline import read_results

    _answer(lambda: read_results(results), json, lambda read: _rendered(form, read))


def _rendered(form: str, results: Any) -> str:
    from hqp import catalog

    return str(catalog.load("reports", form).render(results))


@baseline_app.command("update")
def update_baseline(results: ResultsFile, baselines: Baselines = Path("baselines"), json: Json = False) -> None:
    """Make a run's measurements the baselines of its suite."""
    from hqp.run.baseline import update

    _answer(lambda: update(results, baselines), json, "\n".join)


@baseline_app.command("diff")
def diff_baseline(results: ResultsFile, baselines: Baselines = Path("baselines"), json: Json = False) -> None:
    """Show in what a run differs from the baselines of its suite."""
    from hqp.run.baseline import diff

    def text(found: Any) -> str:
        rows = [(str(one.case), one.what, str(one.old), "->", str(one.new)) for one in found]
        return _table(rows) if rows else "no difference"

    _answer(lambda: diff(results, baselines), json, text)


@app.command()
def doctor(json: Json = False) -> None:
    """Show what is usable here and, for what is not, the command that makes it so."""
    from hqp.run.doctor import doctor as examine

    def text(found: Any) -> str:
        return _table([("+" if one.usable else "-", one.kind, one.name, one.state, one.fix or "") for one in found])

    _answer(examine, json, text)
