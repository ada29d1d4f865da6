"""The command line: words, one line for a mistake, an exit code; with ``--json`` one document and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import hqp
from hqp import catalog, cli
from hqp.cli import application, bench
from hqp.run import doctor
from hqp.run.inputs import checkpoints
from hqp.run.listing import listing

Captured = pytest.CaptureFixture[str]


def run(folder: Path, *words: str, hide: tuple[str, ...] = (), **variables: str) -> subprocess.CompletedProcess[str]:
    """``python -m hqp`` in a folder, in an environment that does not have the packages in ``hide``."""
    blocked = f"import sys\nsys.modules.update(dict.fromkeys({hide!r}))\n"
    start = "from hqp.cli import main\nsys.exit(main())"
    how = ["-c", blocked + start] if hide else ["-m", "hqp"]
    environment = {**os.environ, "PYTHONPATH": str(Path(hqp.__file__).parents[1]), **variables}
    command = [sys.executable, *how, *words]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


MISTAKES = {
    "": "Missing command; try: hqp --help",
    "lits": "No such command 'lits'. Did you mean 'list'?; try: hqp --help",
    "list criterea": "unknown kind of plug-in 'criterea'; did you mean criteria?; try: hqp list",
    "compress resnet18": "Missing option '--out'; try: hqp compress --help",
    "compress resnet18 --out x --delt 2": (
        "No such option: --delt (Possible options: --delta-max, --help); try: hqp compress --help"
    ),
    "compress resnet81 --out x": "unknown model 'resnet81'; did you mean resnet18?; try: hqp list",
    "compress resnet18 --out x --dataset sings": "unknown dataset 'sings'; did you mean signs?; try: hqp list",
    "compress resnet18 --out x --method hpq": "unknown method 'hpq'; did you mean hqp?; try: hqp list",
    "compress resnet18 --out x --device cpu_openvin": "unknown device 'cpu_openvin'; did you mean cpu_openvino",
    "compress resnet18 --out x --seed one": "Invalid value for '--seed': ",
    "compress resnet18 --out x --method q8 --target-sparsity 0.3": (
        "q8 removes no filters to reach a target; a method that prunes; try: --method hqp"
    ),
    "compress resnet18 --out x --target-sparsity 1.5": "--target-sparsity is 1.5; above 0 and below 1",
    "compress resnet18 --out x --target-latency-ms 0": "--target-latency-ms is 0; a finite number above 0",
    "compress resnet18 --out x --target-latency-ms nan": "--target-latency-ms is nan; a finite number above 0",
    "compress resnet18 --out x --target-macs inf": "--target-macs is inf; a finite number above 0",
    "compress resnet18 --out x --target-sparsity nan": "--target-sparsity is nan; above 0 and below 1",
    "compress resnet18 --out x --input-size 100000": "the input size is 100000 pixels; from 8 to 4096",
    "compress resnet18 --out x --seed -3": "Invalid value for '--seed': ",
    "train resnet18 --seed -3": "Invalid value for '--seed': ",
    "bench --device cpu_openvino": "Missing argument 'ARTEFACT...'; try: hqp bench --help",
    "bench nowhere --device cpu_openvino": "there is no file nowhere/hqp.json",
    "train resnet81": "unknown model 'resnet81'; did you mean resnet18?",
    "report nowhere.json": "there is no file nowhere.json",
    "baseline updat x": "No such command 'updat'. Did you mean 'update'?; try: hqp baseline --help",
    "baseline diff nowhere.json": "there is no file nowhere.json",
}


@pytest.mark.parametrize(("words", "expected"), MISTAKES.items(), ids=[words or "nothing" for words in MISTAKES])
def test_a_mistake_is_one_line_and_exit_code_2(
    words: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(words.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"hqp: error: {expected}")
    assert err.count("\n") == 1 and err.endswith("\n")
    assert not list(tmp_path.iterdir())


def test_the_process_ends_with_the_exit_code_and_one_line(tmp_path: Path) -> None:
    done = run(tmp_path, "list", "reprots", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    meant = "did you mean reports or exports or probes?"
    assert done.stderr == f"hqp: error: unknown kind of plug-in 'reprots'; {meant}; try: hqp list\n"


def test_version(capsys: Captured) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"hqp {hqp.__version__}\n"


def test_list_names_every_plugin(capsys: Captured) -> None:
    assert cli.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [tuple(line.split()[:2]) for line in lines if not line.startswith(" ")]
    assert [(kind, name.partition(":")[0]) for kind, name in rows] == [
        (kind, name) for kind in catalog.KINDS for name in catalog.names(kind)
    ]
    assert ("datasets", "image_folder:PATH") in rows


def test_list_as_json_is_one_document(capsys: Captured) -> None:
    assert cli.main(["list", "criteria", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found] == list(catalog.names("criteria"))
    assert all(one["kind"] == "criteria" and one["summary"].endswith(".") for one in found)


def test_listing_takes_the_first_sentence_of_the_file() -> None:
    (fp32,) = (one for one in listing("methods") if one.name == "fp32")
    assert fp32.summary == "The trained model, exported as it is: what every other method is compared with."


def test_what_libraries_print_is_not_on_standard_output(capsys: Captured) -> None:
    def noisy() -> tuple[str, ...]:
        print("a library's greeting")
        return ("one", "two")

    application.answer(noisy, True, "\n".join)
    out, err = capsys.readouterr()
    assert json.loads(out) == ["one", "two"]
    assert err == "a library's greeting\n"


def test_an_interrupt_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "doctor", interrupted)
    assert cli.main(["doctor", "--json"]) == 130
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "hqp: stopped; finished steps are kept, the same command goes on where it stopped\n"


def test_a_file_that_may_not_be_read_is_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    assert cli.main(["report", "file/results.json"]) == 2
    assert capsys.readouterr().err == "hqp: error: there is no file file/results.json; try: pytest suites\n"


def test_a_file_of_an_artefact_is_no_artefact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("out/q8").mkdir(parents=True)
    Path("out/q8/model.onnx").touch()
    assert cli.main(["bench", "out/q8/model.onnx", "--device", "cpu_onnxruntime"]) == 2
    said = "hqp: error: out/q8/model.onnx is a file of an artefact; the artefact's directory; try: out/q8\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("bound", "outcome", "expected"),
    [(True, "pass", 0), (True, "fail", 1), (True, "inconclusive", 1), (False, "fail", 0), (True, None, 0)],
)
def test_only_a_binding_gate_that_does_not_pass_fails(bound: bool, outcome: str | None, expected: int) -> None:
    verdict = SimpleNamespace(outcome=outcome) if outcome else None
    results: Any = SimpleNamespace(judgements=(SimpleNamespace(bound=bound, verdict=verdict),))
    assert bench._gated(results) == expected


@pytest.mark.parametrize("words", ["list", "doctor"])
@pytest.mark.parametrize("width", [80, 100])
def test_tables_fit_the_terminal(tmp_path: Path, words: str, width: int) -> None:
    done = run(tmp_path, words, COLUMNS=str(width))
    # The folder of the checkpoints is the machine's, and there is no right place to break a path.
    lines = [line for line in done.stdout.splitlines() if "fixtures" not in line]
    assert len(lines) > 20
    assert max(map(len, lines)) <= width


def test_doctor_tells_each_command_once_on_a_line_of_its_own(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    fix = "pip install 'hqp[jetson]'"
    found = (
        doctor.Finding("package", "numpy", True, "2.4"),
        doctor.Finding("package", "tensorrt", False, "not installed", fix),
        doctor.Finding("package", "pycuda", False, "not installed", fix),
    )
    monkeypatch.setattr(doctor, "doctor", lambda: found)
    assert cli.main(["doctor"]) == 0
    assert capsys.readouterr().out == (
        "+  package  numpy     2.4\n-  package  tensorrt  not installed\n-  package  pycuda    not installed\n"
        "\nwhat makes the rest usable:\n  pip install 'hqp[jetson]'\n"
    )


def test_doctor_works_without_torch_and_without_any_runtime(tmp_path: Path) -> None:
    hidden = ("torch", "torchvision", "openvino", "onnxruntime")
    done = run(tmp_path, "doctor", "--json", hide=hidden)
    assert (done.returncode, done.stderr) == (0, "")
    found = {(one["kind"], one["name"]): one for one in json.loads(done.stdout)}
    for kind, name, extra in [
        ("runtime", "openvino", "openvino"),
        ("device", "cpu_openvino", "openvino"),
        ("runtime", "onnxruntime", "onnxruntime"),
        ("model", "resnet18", "compress"),
    ]:
        assert not found[kind, name]["usable"]
        assert found[kind, name]["fix"] == f"pip install 'hqp[{extra}]'"
    assert found["dataset", "signs"]["usable"]


def test_a_checkpoint_of_the_working_directory_comes_before_the_embedded_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    embedded = checkpoints.folder() / "signs" / "resnet18.safetensors"
    assert checkpoints.checkpoint("resnet18", "signs") == embedded
    own = Path("fixtures/signs/resnet18.safetensors")
    own.parent.mkdir(parents=True)
    own.write_bytes(b"")
    assert checkpoints.checkpoint("resnet18", "signs") == own
    assert (
        checkpoints.checkpoint("mobilenet_v3_small", "signs")
        == checkpoints.folder() / "signs/mobilenet_v3_small.safetensors"
    )
