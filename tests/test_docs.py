"""The pages of ``docs/`` are executed: their files are written, their commands run as they stand there.

A command stands in a block, as a step of a workflow, or as code in a sentence. Whatever cannot run here is marked: in a
block by its prompt, ``board$``, or by a comment on the page, elsewhere by ``NOT_HERE``.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image

from hqp import cli
from hqp.cli import application
from hqp.run import judge
from hqp.run.inputs import policies

DOCS = Path(__file__).parents[1] / "docs"
FILE = re.compile(r"^`(?P<name>[\w/.]+)`:\n\n```python\n(?P<text>.*?)```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^    \$ (?P<words>.+)$", re.MULTILINE)
# In a checkout without an installation, pytest has no entry point that names the plug-in.
INSTALLED = any(entry.value == "hqp.plugin" for entry in entry_points(group="pytest11"))
COLOURS = {"blue": (60, 60, 200), "green": (60, 200, 60), "red": (200, 60, 60)}

TRAIN = """
import numpy as np, torch
from nets.mine import build
from hqp import catalog
from hqp.records import Reading

reading = Reading(mean=(0.5,) * 3, std=(0.25,) * 3)
samples = catalog.load("datasets", "image_folder:photos").load("train", None, reading)
torch.manual_seed(0)
model = build(3).train()
optimizer = torch.optim.Adam(model.parameters(), 3e-3)
for step in range(30):
    chosen = np.random.default_rng(step).integers(0, len(samples), 64)
    images = torch.from_numpy(samples.normalised(samples.read(chosen, 32)))
    loss = torch.nn.functional.cross_entropy(model(images), torch.from_numpy(samples.labels[chosen]))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
torch.save({"state_dict": {f"module.{name}": value for name, value in model.state_dict().items()}}, "mine.pt")
"""


def photos(folder: Path, part: str, count: int) -> None:
    """Noise that leans to one colour, ``count`` images of each."""
    for label, (name, colour) in enumerate(COLOURS.items()):
        (folder / part / name).mkdir(parents=True)
        for index in range(count):
            noise = np.random.default_rng([label, index, len(part)]).normal(colour, 40, (32, 32, 3))
            Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(folder / part / name / f"{index:04}.bmp")


# Times a pair in one process: only the page on gates says something of time that is tested here.
HURRIED = "import one_process, sys; from hqp.cli import main; sys.exit(main(sys.argv[1:]))"


def run(words: list[str], folder: Path, codes: tuple[int, ...] = (0,), *, hurried: bool = True) -> str:
    """What a command prints."""
    if hurried and words[:2] == ["-m", "hqp"]:
        words = ["-c", HURRIED, *words[2:]]
    paths = [str(folder), str(folder.parent), *([] if INSTALLED else [str(DOCS.parent)])]
    plugins = [*(["one_process"] if hurried else []), *([] if INSTALLED else ["hqp.plugin"])]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTEST_ADDOPTS": " ".join(f"-p {plugin}" for plugin in plugins),
    }
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode in codes, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, one_process: Path) -> Path:
    """A folder for the readers' folders, with what keeps their suites short."""
    folder = tmp_path_factory.mktemp("desk")
    shutil.copy(one_process / "one_process.py", folder)
    return folder


def write_files(page: str, folder: Path) -> None:
    """The files that a page tells its reader to write."""
    for found in FILE.finditer((DOCS / page).read_text(encoding="utf-8")):
        file = folder / found["name"]
        file.parent.mkdir(exist_ok=True)
        file.write_text(found["text"], encoding="utf-8")


def follow(page: str, folder: Path, programs: list[str], *, hurried: bool = True) -> list[str]:
    """What each command of a page says, but for an installation that comes first; ``programs`` are those it names."""
    text = (DOCS / page).read_text(encoding="utf-8")
    commands = [shlex.split(found["words"]) for found in COMMAND.finditer(text)]
    typed = [words for words in commands if words[0] != "pip"]
    assert [words[0] for words in typed] == programs
    said = []
    for words in typed:
        # On a busy machine it is not shown that two runtimes are as fast.
        codes = (0, 1) if "--against-environment" in words else (0,)
        said.append(run(words[1:] if words[0] == "python" else ["-m", *words], folder, codes, hurried=hurried))
    return said


@pytest.fixture(scope="module")
def first(desk: Path) -> tuple[Path, list[str]]:
    """The folder of somebody who followed ``first-suite.md``, and what each command said."""
    folder = desk / "base"
    folder.mkdir()
    write_files("first-suite.md", folder)
    return folder, follow("first-suite.md", folder, ["hqp", "pytest", "hqp", "hqp", "pytest", "hqp"])


@pytest.fixture(scope="module")
def own_model(desk: Path) -> tuple[Path, list[str]]:
    """The folder in which the page on one's own model was followed, and what its commands said."""
    folder = desk / "own-model"
    folder.mkdir()
    write_files("own-model.md", folder)
    photos(folder / "photos", "train", 200)
    photos(folder / "photos", "val", 500)
    run(["-c", TRAIN], folder)
    return folder, follow("own-model.md", folder, ["hqp", "hqp", "python", "pytest", "pytest", "hqp"])


def test_one_s_own_model_is_compressed_and_gated(own_model: tuple[Path, list[str]]) -> None:
    folder, said = own_model
    assert "exported as openvino" in said[0] and "next: hqp bench out/mine" in said[0]
    assert said[2].startswith("Net(")
    assert "gates: 1 passed" in said[3] and (folder / "baselines").is_dir()


def test_gates_are_tried_selected_and_compared(own_model: tuple[Path, list[str]]) -> None:
    folder, _ = own_model
    python = folder / "old-venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    author = ("-c", "user.name=a", "-c", "user.email=a@localhost")
    for words in (("init", "-q"), ("add", "baselines"), (*author, "commit", "-q", "-m", "baselines")):
        subprocess.run(["git", *words], cwd=folder, check=True)
    said = follow("gates.md", folder, ["python", "hqp", "hqp", "pytest", "hqp", "hqp"], hurried=False)
    assert said[0].startswith("| one arm hit in ") and "the same file: false alarms" in said[2]
    assert "gates: 1 passed, 0 failed" in said[3] and re.search(": (pass|fail|inconclusive): ", said[4])
    assert said[5] == "no difference\n"


def test_a_first_suite_passes_and_is_reported(first: tuple[Path, list[str]]) -> None:
    folder, said = first
    assert "accuracy_drop" in said[0] and "gates: 2 passed, 0 failed" in said[1]
    assert "gates: 2 passed, 0 failed" in said[2] and said[3].startswith("model,method,device,")
    assert len(list((folder / "baselines" / "files").glob("*.onnx"))) == 2


# --- every other command --------------------------------------------------------------------------------------------

# Pages whose blocks are followed from the first to the last command, by the tests above.
FOLLOWED = ("first-suite.md", "own-model.md", "gates.md")
# Their examples are files of a copy of the package, in tests/test_extending.py.
EXTENDING = "extending.md"

PROGRAMS = "hqp|pytest|nox|pip|python3?|ssh|sudo"
FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
MARKED = re.compile(r"^<!-- not run by the tests: .+ -->\n\n(?P<block>(?: {4}.*\n|\n)+)", re.MULTILINE)
IN_BLOCK = re.compile(rf"^ {{4,}}(?:(?P<prompt>\w*)\$ |(?=(?:{PROGRAMS}) ))(?P<words>.+)$", re.MULTILINE)
IN_WORKFLOW = re.compile(r"^- run: (?P<words>.+)$", re.MULTILINE)
IN_SENTENCE = re.compile(rf"`(?P<words>(?:{PROGRAMS}) [^`]+)`")

# What a program does that no test may: it installs, logs in, or makes environments of several GB.
NEVER = ("nox", "pip", "python", "python3", "ssh", "sudo")

NOT_HERE = {
    "hqp --install-completion": "changes the shell of whoever runs the tests; tests/cli/test_application.py completes",
    "hqp init": "the folder has a first suite; tests/run/test_init.py runs it",
    "hqp profile MODEL": "takes minutes; the tests of hqp profile run it on a small network",
    "hqp train MODEL --dataset signs": "trains for ten minutes; tests/run/test_train.py trains",
    "hqp train MODEL --size 224": "trains for an hour; tests/run/test_train.py trains",
    "hqp train nets/mine.py:build --dataset image_folder:photos": "the photographs are of another page",
    "hqp selftest --runs 50 --minutes 600": "takes ten hours",
    "hqp selftest --device cpu_onnxruntime --percent 0 --percent 5 --percent 10 --runs 60": "takes half an hour",
    "hqp baseline update .hqp/results/signs.json": "needs two runs of 20 minutes",
    "pytest suites/signs.py": "takes 20 minutes",
    "pytest --hqp-partial": "an option of another command",
}

# A command in a sentence, `hqp compress --alpha 0.01`, may leave out what it must be given.
UNFINISHED = ("MissingParameter", "BadOptionUsage")

# What a reader puts in who has followed the page on the first suite.
PUT_IN = {"RESULTS": ".hqp/results/first.json", "OLD": ".hqp/results/first.json", "NEW": ".hqp/results/first.json"}


@dataclass(frozen=True)
class Command:
    """A command of a page; ``marked`` where the page itself says that it is not run here."""

    page: str
    text: str
    place: str
    marked: bool = False

    def __str__(self) -> str:
        return f"{self.page}: {self.text}"

    @property
    def program(self) -> str:
        return self.text.split()[0]

    @property
    def words(self) -> list[str]:
        """The words of the command line, as a reader types them, up to where its output goes."""
        words = shlex.split(self.text.replace("SUITE", "first"), comments=True)
        words = words[: words.index(">")] if ">" in words else words
        return [PUT_IN.get(word, word) for word in words]

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left out of it."""
        return self.program != "hqp" or not usage_error(self.words[1:])


def commands(file: Path) -> Iterator[Command]:
    """Every command of a page."""
    text = file.read_text(encoding="utf-8")
    marked = "".join(found["block"] for found in MARKED.finditer(text))
    for fence in FENCE.finditer(text):
        for found in IN_WORKFLOW.finditer(fence["text"]):
            yield Command(file.name, found["words"], "workflow")
    prose = FENCE.sub("", text)
    for found in IN_BLOCK.finditer(prose):
        yield Command(file.name, found["words"], "block", bool(found["prompt"]) or found[0] in marked)
    for found in IN_SENTENCE.finditer(IN_BLOCK.sub("", prose)):
        yield Command(file.name, " ".join(found["words"].split()), "sentence")


def usage_error(words: list[str]) -> str:
    """What kind of mistake a command line of HQP is; empty where it is none. Nothing is run."""
    cli.main(["--version"])  # which makes the commands known
    command: Any = typer.main.get_command(application.app)
    context, rest = command.make_context("hqp", ["list"]), words
    try:
        while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
            name, command, rest = command.resolve_command(context, list(rest))
            context = command.make_context(name, list(rest)) if not hasattr(command, "commands") else context
    except typer.exceptions.TyperException as error:
        return type(error).__name__
    return ""


PAGES = sorted(DOCS.glob("*.md"))
ALL = [command for page in PAGES for command in commands(page)]
FOLLOWED_TEXTS = {command.text for command in ALL if command.page in FOLLOWED and command.place == "block"}


def runs_here(command: Command) -> bool:
    """Whether a command is one to be run by the test below: not yet by the tests above, and not marked."""
    if command.marked or command.program in NEVER or command.text in NOT_HERE:
        return False
    if command.page in FOLLOWED and command.place == "block":
        return False
    parts = {shlex.join(Command("", part, "").words) for part in command.text.replace(" || true", "").split("; ")}
    return not parts <= FOLLOWED_TEXTS and command.is_finished


# Each text once, wherever it stands.
HERE = {command.text: command for command in reversed(ALL) if runs_here(command)}


@pytest.mark.parametrize("command", tuple(HERE.values()), ids=str)
def test_a_command_of_a_page_runs(
    command: Command,
    first: tuple[Path, list[str]],
    desk: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    base, _ = first
    folder = base
    if "../base" in command.text:
        folder = desk / "change"
        shutil.copytree(base / ".hqp", folder / ".hqp")
        write_files("first-suite.md", folder)
    if command.program == "pytest":
        assert "0 failed" in run(["-m", *command.words], folder)
        return
    monkeypatch.chdir(folder)
    capsys.readouterr()
    assert cli.main(command.words[1:]) == 0
    assert capsys.readouterr().out


def test_every_command_of_hqp_on_a_page_is_one() -> None:
    """Those that are not run here, too."""
    named = [*ALL, *commands(DOCS.parent / "README.md")]
    wrong = {
        str(command): usage_error(command.words[1:])
        for command in named
        if command.program == "hqp" and usage_error(command.words[1:]) not in ("", *UNFINISHED)
    }
    assert wrong == {}
    assert len(named) > 100


def test_every_session_of_nox_on_a_page_is_one() -> None:
    source = (DOCS.parent / "noxfile.py").read_text(encoding="utf-8")
    sessions = {name.replace("_", "-") for name in re.findall(r"^def (\w+)\(session", source, re.MULTILINE)}
    for page in [*PAGES, DOCS.parent / "README.md"]:
        for given in re.findall(r"nox -s ([\w -]+?)(?= -- | {2,}|`|\n|$)", page.read_text(encoding="utf-8")):
            assert set(given.split()) <= sessions, f"{page.name}: nox -s {given}"


def test_what_is_marked_stands_on_a_page_and_each_snippet_is_run() -> None:
    assert {command.text for command in ALL} >= NOT_HERE.keys()
    written = {page.name for page in PAGES if "```python" in page.read_text(encoding="utf-8")}
    assert written <= {*FOLLOWED, EXTENDING, "formats.md"}


def test_the_snippets_of_the_page_on_files_are_what_they_say(
    quantised: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    openvino = pytest.importorskip("openvino")
    fences = {found["language"]: found["text"] for found in FENCE.finditer((DOCS / "formats.md").read_text("utf-8"))}
    assert fences.keys() == {"json", "python"}
    monkeypatch.chdir(tmp_path)
    Path("policy.json").write_text(fences["json"], encoding="utf-8")
    assert policies.read(Path("policy.json")).floats == "bf16"
    shutil.copy(quantised.with_name("fp32.onnx"), "model.onnx")
    written: dict[str, Any] = {"openvino": openvino}
    exec(fences["python"], written)
    assert len(written["compiled"].outputs) == 1


def test_the_suite_of_the_readme_is_one() -> None:
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    found = re.search(r'^    """Road signs.*?^    \)$', readme, re.MULTILINE | re.DOTALL)
    assert found is not None
    written: dict[str, Any] = {}
    exec(textwrap.dedent(found[0]), written)
    assert judge.resolve_gates(written["suite"])
