"""``hqp compress`` and ``hqp bench`` on a user's own network: whole artefacts, refused mistakes, no torch needed."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest

from hqp.measure import environment

COMPRESS = ("-m", "hqp", "compress", "squarenet", "--dataset", "squares", "--device", "cpu_openvino")

# What the store holds of times: measured again, they may choose otherwise where two files take as long.
MEASURED = ("latency-model", "precisions", "saved by blocks", "speedup", "timed")

METHODS = ("fp32", "fp16", "hqp", "hqp_paper", "pruned", "hqp_distilled", "hqp_finetuned")

EXACT = '''
"""Is it INT8?"""

from hqp import Suite

suite = Suite(
    ("squarenet",), "squares", ("half_board",), ("q8",), gates=(), exact_precision=True
)
'''

WITHOUT_TORCH = """
import importlib.machinery, sys

class Without(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        absent = name.partition(".")[0] in ("torch", "torchvision", "torch_pruning", "safetensors")
        return None if absent else super().find_spec(name, path, target)

sys.meta_path[:] = [Without if finder is importlib.machinery.PathFinder else finder for finder in sys.meta_path]
import one_process
from hqp.cli import main
code = main(sys.argv[1:])
assert "torch" not in sys.modules
sys.exit(code)
"""


@pytest.fixture(scope="module")
def artefacts(project: Path, run_all: Any) -> dict[str, Path]:
    """Artefact directories by method."""
    made = {method: project / "out" / method for method in METHODS}
    lines = []
    for method, out in made.items():
        device = ["--device", "half_board"] if method == "fp16" else []
        lines.append(" ".join([*COMPRESS[2:], *device, "--method", method, "--delta-max", "3", "--out", str(out)]))
    for done in run_all(*lines):
        assert done.returncode == 0, done.stderr
    return made


@pytest.fixture(scope="module")
def hurried(project: Path, run: Any, one_process: Path) -> Any:
    """Runs ``hqp`` in the repository; a pair is timed in one process."""
    shutil.copy(one_process / "one_process.py", project)
    return lambda *words: run(
        "-c", "import one_process, sys; from hqp.cli import main; sys.exit(main(sys.argv[1:]))", *words
    )


def test_an_artefact_is_a_model_its_sidecar_and_its_layers(artefacts: dict[str, Path]) -> None:
    for method, out in artefacts.items():
        sidecar = json.loads((out / "hqp.json").read_text())
        policy = {"policy.json"} if sidecar["settings"]["recipe"]["quantization"] else set()
        files = {"model.onnx", "hqp.json", "layers.json", "weights.safetensors"} | policy
        assert {path.name for path in out.iterdir()} == files
        assert (sidecar["settings"]["method"], sidecar["settings"]["delta_max_pp"]) == (method, 3.0)
        assert sidecar["file"]["size_bytes"] == (out / "model.onnx").stat().st_size
        dense = sidecar["choices"]["dense"]
        # BF16 is timed too where the processor has it.
        timed = set(dense["dense_ms"]) - {"bf16"} if dense else set()
        assert timed == ({"int8", "fp32"} if method in ("hqp", "hqp_distilled") else set()), method
        fp32, shipped = sidecar["accuracy"]["fp32"], sidecar["accuracy"]["shipped"]
        spent = sidecar["budget"]["spent_pp"].values() if sidecar["budget"] else ()
        lost_pp = 100 * (fp32["correct"] - shipped["correct"]) / fp32["total"]
        # A file in FP32 is judged in PyTorch and in the runtime, which may differ in an image.
        assert sum(spent) == pytest.approx(lost_pp, abs=0.05 if method == "pruned" else 1e-9), method
        layers = json.loads((out / "layers.json").read_text())
        kept = sum(layer["kept_channels"] for layer in layers[:-1])
        filters = sidecar["filters"]
        assert (kept, sum(layer["channels"] for layer in layers[:-1])) == (filters["kept"], filters["total"])
        inner = [layer for layer in layers if layer["layer"].endswith("conv1")]  # the rest hang together by their sums
        inner_kept = sum(layer["kept_channels"] for layer in inner)
        nothing_pruned = method in ("fp32", "fp16")
        assert (filters["inner"], filters["inner_kept"]) == ((0, 0) if nothing_pruned else (32, inner_kept))


def test_an_fp16_artefact_is_the_trained_model_with_every_number_in_fp16(artefacts: dict[str, Path]) -> None:
    plain, half = (json.loads((artefacts[method] / "hqp.json").read_text()) for method in ("fp32", "fp16"))
    types = {tensor.data_type for tensor in onnx.load(artefacts["fp16"] / "model.onnx").graph.initializer}
    assert types - {onnx.TensorProto.INT64} == {onnx.TensorProto.FLOAT16}
    assert 0.4 < half["file"]["size_bytes"] / plain["file"]["size_bytes"] < 0.6
    assert all(half["file"][counted] == plain["file"][counted] for counted in ("parameters", "macs"))
    assert [made["settings"]["recipe"]["precision"] for made in (half, plain)] == ["fp16", "fp32"]
    correct, fp32_correct = (made["accuracy"]["shipped"]["correct"] for made in (half, plain))
    assert abs(correct - fp32_correct) <= 0.01 * plain["accuracy"]["shipped"]["total"]
    assert half["certificate"]["certified"]


def test_int8_becomes_fp16_on_a_device_that_says_so_and_everyone_is_told(
    project: Path, run: Any, hurried: Any, tmp_path: Path, artefacts: dict[str, Path]
) -> None:
    out = tmp_path / "half"
    done = run(*COMPRESS, "--device", "half_board", "--method", "q8", "--delta-max", "3", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "q8 on half_board: FP16 for INT8, since the device lacks that" in done.stderr
    assert "\nFP16 for INT8, since half_board lacks that\n" in done.stdout
    recipe = json.loads((out / "hqp.json").read_text())["settings"]["recipe"]
    assert (recipe["precision"], recipe["instead_of"], recipe["quantization"]) == ("fp16", "int8", None)
    assert (out / "model.onnx").read_bytes() == (artefacts["fp16"] / "model.onnx").read_bytes()

    shown = hurried("bench", str(out), "--device", "half_board", "--json")
    assert shown.returncode == 0, shown.stderr
    (tmp_path / "results.json").write_text(shown.stdout)
    for form in ("table", "markdown", "html"):
        report = run("-m", "hqp", "report", str(tmp_path / "results.json"), "--format", form).stdout
        assert "q8 (FP16 for INT8)" in report
    (tmp_path / "exact.py").write_text(EXACT)
    refused = run("-m", "hqp", "bench", str(out), "--device", "half_board", "--suite", str(tmp_path / "exact.py"))
    assert (refused.returncode, refused.stdout) == (2, "")
    wrong = f"{out} is FP16 for INT8; a device that has it, or exact_precision=False"
    assert refused.stderr.endswith(f"hqp: error: {wrong}\n")

    line = run("-m", "hqp", "report", str(tmp_path / "results.json"), "--format", "csv").stdout.splitlines()[1]
    assert line.startswith("squarenet,q8,half_board,fp16,int8,")


def test_a_precision_that_a_device_lacks_is_refused_before_the_work(run: Any, tmp_path: Path) -> None:
    done = run(*COMPRESS, "--method", "fp16", "--out", str(tmp_path / "out"))
    has = "FP32, BF16, INT8" if "bf16" in environment.instructions() else "FP32, INT8"
    wrong = f"device 'cpu_openvino' has no FP16, which method 'fp16' asks for; a method in {has}"
    assert (done.returncode, done.stderr) == (2, f"hqp: error: {wrong}; try: hqp list methods\n")
    assert not (tmp_path / "out").exists()


def test_an_artefact_in_a_precision_that_a_device_lacks_is_not_measured_there(
    artefacts: dict[str, Path], run: Any
) -> None:
    done = run("-m", "hqp", "bench", str(artefacts["hqp"]), "--device", "half_board")
    wrong = f"{artefacts['hqp']} is INT8, which device 'half_board' lacks; an artefact that was made for it"
    assert (done.returncode, done.stderr) == (
        2,
        f"hqp: error: {wrong}; try: hqp compress squarenet --device half_board --out DIR\n",
    )


def test_algorithm_1_ends_within_the_bound(artefacts: dict[str, Path]) -> None:
    accuracy = json.loads((artefacts["hqp_paper"] / "hqp.json").read_text())["accuracy"]
    assert accuracy["fp32"]["correct"] - accuracy["pruned"]["correct"] <= 0.03 * accuracy["fp32"]["total"]


def test_rounds_with_training_go_deeper_and_say_what_they_took(artefacts: dict[str, Path]) -> None:
    sidecars = {method: json.loads((out / "hqp.json").read_text()) for method, out in artefacts.items()}
    kept = {method: sidecar["filters"]["kept"] for method, sidecar in sidecars.items()}
    # Of so few images none is sure enough for a round to hold: it ends where the search without training does.
    assert kept["hqp_distilled"] <= kept["hqp"]
    assert kept["hqp_finetuned"] < kept["hqp_paper"]
    for method, epochs in (("hqp_distilled", 1), ("hqp_finetuned", 2)):
        baseline, pruned = (sidecars[method]["accuracy"][which] for which in ("fp32", "pruned"))
        assert baseline["correct"] - pruned["correct"] <= 0.03 * baseline["total"]
        (cost,) = (one for one in sidecars[method]["spent"]["steps"] if one["step"] == "training")
        assert cost["images"] == 512 * cost["passes"] and cost["passes"] % epochs == 0 < cost["passes"]


def test_a_certificate_that_is_required_and_missing_is_exit_code_1(run_all: Any, tmp_path: Path) -> None:
    expected = {
        "--method q8 --delta-max 3": (0, "certified: with probability 95% the drop is within 3.00 pp"),
        "--method q8 --delta-max 0.01": (1, "not certified: measured"),
        "--method fp32": (1, "not certified: fp32 tests nothing on 'test'"),
    }
    asked = " ".join([*COMPRESS[2:], "--require-certificate", "--out"])
    lines = [f"{asked} {tmp_path / str(place)} {words}" for place, words in enumerate(expected)]
    for place, (done, (code, said)) in enumerate(zip(run_all(*lines), expected.values(), strict=True)):
        assert done.returncode == code, done.stderr
        last = "exit code 1: --require-certificate" if code else "next: hqp bench"
        assert f"\n{said}" in done.stdout and f"\n{last}" in done.stdout
        out = tmp_path / str(place)
        assert (out / "model.onnx").is_file(), "the artefact is written all the same"
        certificate = json.loads((out / "hqp.json").read_text())["certificate"]
        assert (certificate is not None and certificate["certified"]) == (code == 0)


def test_measuring_needs_no_torch(artefacts: dict[str, Path], run: Any, hurried: Any) -> None:
    words = [str(artefacts[method]) for method in ("fp32", "hqp")]
    done = run("-c", WITHOUT_TORCH, "bench", *words, "--device", "cpu_openvino", "--json")
    assert done.returncode == 0, done.stderr
    fp32, hqp = json.loads(done.stdout)["measurements"]
    assert hqp["fp32_accuracy"] == fp32["accuracy"]
    assert hqp["latency"]["reference_sha256"] == fp32["sidecar"]["file"]["sha256"]


def test_compressing_without_torch_says_what_to_install(project: Path, run: Any, hurried: Any) -> None:
    done = run("-c", WITHOUT_TORCH, *COMPRESS[2:], "--method", "q8", "--out", "out/none")
    assert done.returncode == 2
    assert "needs torch" in done.stderr and "pip install 'hqp[compress]'" in done.stderr
    assert not (project / "out/none").exists()


def test_a_changed_model_is_not_measured(artefacts: dict[str, Path], project: Path, run: Any) -> None:
    changed = project / "out" / "changed"
    changed.mkdir()
    for file in artefacts["fp32"].iterdir():
        (changed / file.name).write_bytes(file.read_bytes())
    model = changed / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1])
    done = run("-m", "hqp", "bench", str(changed), "--device", "cpu_openvino")
    assert done.returncode == 2
    assert "is not the file that hqp.json describes" in done.stderr and done.stdout == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--delta-max", "0"), "Δmax is 0.0 points; above 0 and at most 100"),
        (("--delta-max", "nan"), "Δmax is nan points"),
        (("--input-size", "4"), "the input size is 4 pixels"),
        (("--method", "hpq"), "unknown method 'hpq'; did you mean"),
        (("--weights", "none.pt"), "none.pt"),
        (("--out", "suites"), "suites exists and is no artefact; a new directory; try: --out suites-2"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(project: Path, run: Any, words: tuple[str, ...], said: str) -> None:
    before = set(project.iterdir())
    done = run(*COMPRESS, *(() if "--out" in words else ("--out", "refused")), *words)
    assert done.returncode == 2
    assert said in done.stderr and done.stderr.count("\n") == 1 and done.stdout == ""
    assert set(project.iterdir()) == before


# A process that was started in the background of a shell ignores interrupts.
KILLED = """
import importlib, os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from hqp.cli import main
module = importlib.import_module("hqp.compress.{module}")
real, calls = module.{function}, []
def counted(*arguments):
    calls.append(arguments)
    if len(calls) == {call}:
        os.kill(os.getpid(), {signal})
    return real(*arguments)
module.{function} = counted
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(
    ("method", "place", "stops"),
    [
        ("hqp", "channels.groups.remove", ((3, "SIGINT", 130), (1, "SIGKILL", -9))),
        # The second epoch of the second round.
        ("hqp_finetuned", "training.course._train_epoch", ((4, "SIGKILL", -9),)),
    ],
)
def test_a_killed_run_goes_on_and_ends_in_the_same_bytes(
    artefacts: dict[str, Path],
    project: Path,
    run: Any,
    method: str,
    place: str,
    stops: tuple[tuple[int, str, int], ...],
) -> None:
    """``stops`` are the call at which each run is stopped, by which signal, and its exit code."""
    folder = project / f"killed-{method}"
    folder.mkdir()
    (folder / "fixtures").symlink_to(project / "fixtures")
    for measured in (project / ".hqp" / kind for kind in MEASURED):
        if measured.is_dir():
            shutil.copytree(measured, folder / ".hqp" / measured.name)
    words = (*COMPRESS[2:], "--method", method, "--delta-max", "3", "--out", "out")
    module, _, function = place.rpartition(".")
    for call, name, code in stops:
        script = KILLED.format(module=module, function=function, call=call, signal=int(signal.Signals[name]))
        done = run("-c", f"import os; os.chdir({str(folder)!r})" + script, *words)
        assert done.returncode == code, done.stderr
        assert code == -9 or "the same command goes on where it stopped" in done.stderr
        assert not (folder / "out").exists()
    what_the_next_epoch_needs = [*folder.glob(".hqp/train/*.pt")]
    assert len(what_the_next_epoch_needs) == (1 if module == "training.course" else 0)
    done = run("-c", MAIN.format(str(folder)), *words)
    assert done.returncode == 0, done.stderr
    assert not [*folder.glob(".hqp/train/*.pt")]
    assert (folder / "out/model.onnx").read_bytes() == (artefacts[method] / "model.onnx").read_bytes()


MAIN = "import os, sys; os.chdir({!r}); from hqp.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture
def beside(artefacts: dict[str, Path], project: Path, tmp_path: Path) -> Path:
    """Another folder of the same weights, with a copy of the store that all artefacts left."""
    shutil.copytree(project / ".hqp", tmp_path / ".hqp", ignore=shutil.ignore_patterns("running"))
    (tmp_path / "fixtures").symlink_to(project / "fixtures")
    return tmp_path


def entries_by_method(folder: Path) -> dict[str, Path]:
    """The store's artefacts that the fixture made: other tests of this file leave some of another Δmax."""
    settings = {
        file.parent: json.loads(file.read_text())["settings"] for file in folder.glob(".hqp/artifacts/*/hqp.json")
    }
    return {asked["method"]: entry for entry, asked in settings.items() if asked["delta_max_pp"] == 3}


def test_an_artefact_in_the_place_of_another_is_not_shipped(artefacts: dict[str, Path], beside: Path, run: Any) -> None:
    entries = entries_by_method(beside)
    shutil.copytree(entries["hqp"], entries["fp32"], dirs_exist_ok=True)
    done = run("-c", MAIN.format(str(beside)), *COMPRESS[2:], "--method", "fp32", "--delta-max", "3", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert f"{entries['fp32'].relative_to(beside)} is damaged (it is the entry artifacts/" in done.stderr
    assert (beside / "out/model.onnx").read_bytes() == (artefacts["fp32"] / "model.onnx").read_bytes()


def damage(file: Path) -> None:
    """Cuts a JSON file short; in another one bit is wrong, far behind its beginning."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content[:-3] if file.suffix == ".json" else content)


def test_whatever_is_damaged_in_the_store_is_made_anew_and_the_same_bytes_are_shipped(
    artefacts: dict[str, Path], beside: Path, run: Any
) -> None:
    made = entries_by_method(beside)["hqp"]
    sidecar = (made / "hqp.json").read_text()
    (made / "hqp.json").write_text(sidecar.replace('"kept": ', '"kept": 9'))
    for file in beside.glob(".hqp/*/*/*"):
        kind = file.parent.parent.name
        if file.is_file() and file.name != "entry.json" and kind not in ("artifacts", *MEASURED):
            damage(file)
    done = run("-c", MAIN.format(str(beside)), *COMPRESS[2:], "--method", "hqp", "--delta-max", "3", "--out", "out")
    assert done.returncode == 0, done.stderr
    told = re.findall(r"\.hqp/(\w+)/\w+ is damaged \(.*\); it is made anew\n", done.stderr)
    needed = {"artifacts", "images", "sensitivity", "shown", "exported", "ranges", "quantized", "validation", "judged"}
    assert needed <= set(told)
    for file in ("model.onnx", "layers.json", "weights.safetensors"):
        assert (beside / "out" / file).read_bytes() == (artefacts["hqp"] / file).read_bytes()
    assert json.loads((beside / "out/hqp.json").read_text())["filters"] == json.loads(sidecar)["filters"]
