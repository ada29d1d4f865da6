"""Every check of this project, each in an environment that it makes itself: ``pip install nox``, then ``nox``."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.error_on_missing_interpreters = True

RESULTS = Path(".hqp", "results")
PYTHON_FILES = ("hqp", "tests", "suites", "noxfile.py", "conftest.py")
# What boards measure is made elsewhere: a folder for each device, and in it one for each case.
ARTEFACTS = Path("artefacts")
BOARDS = ("jetson_nano", "jetson_xavier_nx", "jetson_orin_nano")
BOARD_MODELS = ("mobilenet_v3_large", "resnet18")
BOARD_METHODS = ("fp32", "fp16", "q8", "magnitude", "bn_gamma", "hqp")
# The embedded checkpoints, as `hqp train` makes them.
TRAINED = ("resnet18", "mobilenet_v3_large", "mobilenet_v3_small")
# What `nox -s perf -- peers` measures beside HQP; without their dependencies, which are there or are not asked for.
PEERS = ("nncf>=3.4",)
# The Python interfaces that the runtime has to speak, and the tests that ask NVIDIA.
TENSORRT_BINDINGS = (
    "tensorrt-bindings==8.6.1",
    "tensorrt-cu13-bindings==10.16.1.11",
    "tensorrt-cu13-bindings==11.4.0.106",
)
TENSORRT_CONTRACT = (
    "tests/runtimes/test_tensorrt_mutants.py",
    "tests/runtimes/test_tensorrt_engines.py",
    "tests/runtimes/test_tensorrt_bindings.py",
    "tests/run/test_tensorrt_methods.py",
)
# What mypy needs to know of the dependencies; torch and the runtimes count as untyped (see pyproject.toml).
TYPED = ("mypy>=1.14", "nox", "types-psutil", "types-tabulate", "pytest-benchmark", "hypothesis")

# The environment session, which every session that needs torch requires, notes here where its commands are: an
# environment with torch is several GB, so there is one for all of them.
environment_commands: list[str] = []


@nox.session
def lint(session: nox.Session) -> None:
    """Style and format."""
    session.install("ruff>=0.9")
    session.run("ruff", "check", *PYTHON_FILES)
    session.run("ruff", "format", "--check", *PYTHON_FILES)


@nox.session
def types(session: nox.Session) -> None:
    """Types, strictly."""
    session.install("-e", ".", *TYPED)
    session.run("mypy", "hqp", "noxfile.py")


@nox.session(reuse_venv=True, default=False)
def environment(session: nox.Session) -> None:
    """The built wheel with everything it can use."""
    wheel = _wheel(session)
    session.install(f"hqp[all,dev] @ {wheel.as_uri()}")
    # An installed wheel of the same version would stand.
    session.install("--no-deps", "--force-reinstall", str(wheel))
    environment_commands[:] = [session.bin]


@nox.session(requires=["environment"], venv_backend="none")
def tests(session: nox.Session) -> None:
    """The test suite, on the built wheel; `nox -s tests -- tests/stats` for a part of it."""
    _run(session, "pytest", *session.posargs)


@nox.session(name="tensorrt-contract", requires=["environment"], default=False)
def tensorrt_contract(session: nox.Session) -> None:
    """What NVIDIA's own parser, builder and Python bindings say of our files and of our words; needs no GPU."""
    extras = nox.project.load_toml("pyproject.toml")["project"]["optional-dependencies"]
    session.install("pip", *extras["tensorrt-contract"])
    packages = _packages(session)
    wheels = Path(session.cache_dir, session.name).absolute()
    for requirement in TENSORRT_BINDINGS:
        words = ("download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(wheels), requirement)
        # A version that has no wheel for this Python is skipped by its test, with that reason.
        session.run("python", "-m", "pip", *words, success_codes=[0, 1])
    found = {"PYTHONPATH": packages, "HQP_TENSORRT_BINDINGS": str(wheels)}
    _run(session, "pytest", *TENSORRT_CONTRACT, *session.posargs, env=found)


@nox.session(requires=["environment"], default=False)
def gpu(session: nox.Session) -> None:
    """The whole way on a real NVIDIA GPU, within 8 minutes: engine, clock, energy, and the sensitivity pass."""
    extras = nox.project.load_toml("pyproject.toml")["project"]["optional-dependencies"]
    # It has the same module as onnxruntime, whose place it takes by coming first.
    session.install(*extras["cuda"])
    _run(session, "pytest", "tests/gpu", "-rs", *session.posargs, env={"PYTHONPATH": _packages(session)})


@nox.session(requires=["environment"], venv_backend="none", default=False)
def bench(session: nox.Session) -> None:
    """Compress, measure and judge: the embedded default, on the built wheel."""
    _run(session, "pytest", "suites/signs.py", "--junitxml", str(RESULTS / "junit.xml"), *session.posargs)


@nox.session(requires=["environment"], venv_backend="none", default=False)
def baseline(session: nox.Session) -> None:
    """The baseline of a suite, from two runs that agree: `nox -s baseline -- suites/pull_request.py`."""
    suite = Path(session.posargs[0])
    for _ in range(2):
        # What this state fails at is its own matter; what it measured is what the next is compared with.
        _run(session, "pytest", str(suite), success_codes=[0, 1])
    _run(session, "hqp", "baseline", "update", str(RESULTS / f"{suite.stem}.json"))


@nox.session(requires=["environment"], venv_backend="none", default=False)
def regression(session: nox.Session) -> None:
    """A suite beside the baselines of another checkout: `nox -s regression -- SUITE ../base/baselines`."""
    suite, baselines = session.posargs
    _run(session, "pytest", suite, "--hqp-baselines", baselines, "--junitxml", str(RESULTS / "junit.xml"))


@nox.session(name="regression-check", requires=["environment"], venv_backend="none", default=False)
def regression_check(session: nox.Session) -> None:
    """Whether CI passes a branch that changes nothing and fails one that is 10% slower; `-- --runs 20` shows it."""
    _run(session, "python", "-m", "hqp.run.studies.regression_check", *session.posargs)


@nox.session(requires=["environment"], venv_backend="none", default=False)
def compress(session: nox.Session) -> None:
    """Artefacts of the road-sign networks for boards, on a workstation: `nox -s compress -- jetson_nano …`."""
    for device in session.posargs or BOARDS:
        for model in BOARD_MODELS:
            for method in BOARD_METHODS:
                out = ARTEFACTS / device / f"{model}-{method}"
                words = ("--dataset", "signs", "--device", device, "--method", method, "--out", str(out))
                _run(session, "hqp", "compress", model, *words)


# A board's own TensorRT is a package of its system.
@nox.session(name="jetson-bench", venv_params=["--system-site-packages"], default=False)
def jetson_bench(session: nox.Session) -> None:
    """Measure and judge artefacts on a board: on it, or `-- --host user@nano`, several hosts side by side."""
    session.install(".")
    hosts, words = _hosts(session.posargs)
    folders = session.bin_paths
    python = str(Path(folders[0], "python")) if folders else sys.executable
    # Each in a process of its own; what one board does is no matter to another.
    processes = [subprocess.Popen([python, "-m", "hqp", *_bench_words(host, words)]) for host in hosts or [""]]
    worst = max(process.wait() for process in processes)
    if worst:
        # A verdict that is no pass is 1, a mistake 2, as everywhere; nox itself knows 1 alone.
        raise SystemExit(worst)


def _hosts(words: list[str]) -> tuple[list[str], list[str]]:
    """The hosts that ``--host`` names, and the other words."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--host", action="append", default=[])
    given, others = parser.parse_known_args(words)
    return given.host, others


def _bench_words(host: str, words: list[str]) -> list[str]:
    name = re.sub(r"[^\w.-]", "_", host) or "here"
    given = words or [str(ARTEFACTS), "--suite", "suites/jetson_signs.py"]
    there = ["--host", host] if host else []
    return ["bench", *given, *there, "--results", str(RESULTS / f"jetson-{name}.json")]


@nox.session(requires=["environment"], venv_backend="none", default=False)
def train(session: nox.Session) -> None:
    """The embedded checkpoints, or `nox -s train -- MODEL …`."""
    for model in session.posargs or TRAINED:
        _run(session, "hqp", "train", model, "--dataset", "signs", "--out", "fixtures")


@nox.session(requires=["environment"], venv_backend="none", default=False)
def zoo(session: nox.Session) -> None:
    """Every CNN of torchvision, 42 of timm, two transformers; `nox -s zoo -- small`, `large`, or models."""
    for part in session.posargs or ("small", "large"):
        _run(session, "python", "-m", "hqp.run.studies.zoo", part)


@nox.session(requires=["environment"], venv_backend="none", default=False)
def selftest(session: nox.Session) -> None:
    """How often the gate on slow-downs is wrong here; `nox -s selftest -- --runs 50 --minutes 600` gathers more."""
    _run(session, "hqp", "selftest", *session.posargs)


@nox.session(requires=["environment"], venv_backend="none", default=False)
def perf(session: nox.Session) -> None:
    """What the engine costs and gains, in one run; `-- ablation MODEL DATASET` tells criteria apart, `-- peers`."""
    env = {"PYTHONPATH": _peers(session)} if session.posargs[:1] == ["peers"] else None
    _run(session, "python", "-m", "hqp.run.studies.perf", *session.posargs, env=env)


@nox.session(requires=["environment"], venv_backend="none", default=False)
def results(session: nox.Session) -> None:
    """The pages of ``docs/results/``, of results files: `nox -s results -- FILE …`, by default of all that are here."""
    _run(session, "python", "-m", "hqp.run.studies.pages", "pages", *session.posargs)


@nox.session(requires=["environment"], venv_backend="none", default=False)
def picture(session: nox.Session) -> None:
    """The README's picture of the report, ``docs/report.png``, of `.hqp/results/signs.json` or `-- FILE`."""
    _run(session, "python", "-m", "hqp.run.studies.pages", "picture", *session.posargs)


def _peers(session: nox.Session) -> str:
    """The folder with the tools that HQP is measured beside, which its own environment does not take in."""
    folder = str(Path(session.cache_dir, "peers").absolute())
    install = ("-m", "pip", "install", "--quiet", "--upgrade", "--target", folder, "--no-deps")
    _run(session, "python", *install, *PEERS)
    return folder


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """The pages of ``docs/`` as a site in ``.hqp/site``; a link that leads nowhere is an error."""
    session.install("mkdocs>=1.6")
    session.run("mkdocs", "build", "--strict", *session.posargs)


@nox.session(default=False)
def minimums(session: nox.Session) -> None:
    """The test suite with the lowest allowed version of every direct dependency."""
    wheel = _wheel(session)
    session.install("uv")
    install = ("python", "-m", "uv", "pip", "install")
    # Read from pyproject.toml, not from the wheel: of a wheel, the requirements would not count as direct ones.
    extras = ("--extra", "all", "--extra", "dev")
    session.run(*install, "--resolution", "lowest-direct", "-r", "pyproject.toml", *extras)
    session.run(*install, "--no-deps", str(wheel))
    session.run("pytest", *session.posargs)


def _packages(session: nox.Session) -> str:
    """The folder in which the packages of the session's own environment are."""
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return str(session.run("python", "-c", where, silent=True)).strip()


def _wheel(session: nox.Session) -> Path:
    folder = Path(session.cache_dir, session.name).absolute()
    session.install("build", "hatchling>=1.27")
    for old in folder.glob("*.whl"):
        old.unlink()
    session.run("python", "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), silent=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def _run(
    session: nox.Session,
    command: str,
    *words: str,
    env: dict[str, str] | None = None,
    success_codes: Sequence[int] = (0,),
) -> None:
    (folder,) = environment_commands
    session.run(str(Path(folder, command)), *words, external=True, env=env, success_codes=success_codes)
