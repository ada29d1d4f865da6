"""What a suite file may say: data that reads like a requirement."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hqp.errors import HqpError
from hqp.records import Case, Interpolation, Limit, Reading

# What follows a weight file's path to name a state dict in it.
ENTRY = re.compile(r"(?<=.):([A-Za-z_]\w*)$")

Names = str | tuple[str, ...] | None

# A file that declares a suite.
DECLARES = re.compile(r"^suite\b[^=\n]*=\s*(hqp\.)?Suite\(", re.MULTILINE)
# What a number of a suite or of a model may be; those that may be left open are None then.
NUMBERS = {
    "num_classes": Limit(1, 1_000_000, "outputs", whole=True),
    "delta_max_pp": Limit(0.01, 100, "absolute points of top-1"),
    # Less takes more images than a test split has, more certifies nothing.
    "alpha": Limit(1e-6, 0.5, "how often a certificate may be wrong"),
    "input_size": Limit(8, 10_000, "pixels", whole=True),
    "expect_top1": Limit(1, 100, "percent"),
    "skip_unreadable": Limit(0, 1_000_000_000, "images", whole=True),
    "test_images": Limit(1, 1_000_000_000, "images", whole=True),
    "seed": Limit(0, 2**32 - 1, "what random choices start from", whole=True),
    "rounds": Limit(2, 10_000, "blocks, two in each process; more never end", whole=True),
}
OPEN = ("num_classes", "alpha", "input_size", "expect_top1", "test_images")


def _refuse_to_be_a_script() -> None:
    """Ends ``python suites/x.py``, which would do nothing, with how a suite is run; a script that runs it goes on."""
    frame = sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back
    file = frame.f_globals.get("__file__")
    # What is typed at a prompt or piped to Python is no file.
    if frame.f_globals.get("__name__") != "__main__" or file is None or not Path(file).is_file():
        return
    text = Path(file).read_text(encoding="utf-8", errors="replace")
    if DECLARES.search(text) and "__main__" not in text:
        sys.stderr.write(f"hqp: error: {sys.argv[0]} is a suite, which pytest runs; try: pytest {sys.argv[0]}\n")
        sys.exit(2)


def _names(value: Names) -> tuple[str, ...] | None:
    return (value,) if isinstance(value, str) else value


@dataclass(frozen=True)
class Gate:
    """A gate by name, the cases it binds (all where nothing is said), and its limits.

    ``Gate("speedup", methods="hqp", models="resnet18", min_ratio=2.5)``
    """

    name: str
    methods: tuple[str, ...] | None
    models: tuple[str, ...] | None
    devices: tuple[str, ...] | None
    limits: tuple[tuple[str, float], ...]

    def __init__(
        self, name: str, *, methods: Names = None, models: Names = None, devices: Names = None, **limits: float
    ) -> None:
        set_field = object.__setattr__
        set_field(self, "name", name)
        set_field(self, "methods", _names(methods))
        set_field(self, "models", _names(models))
        set_field(self, "devices", _names(devices))
        set_field(self, "limits", tuple(sorted(limits.items())))

    def binds(self, case: Case) -> bool:
        """Whether the gate's verdict on ``case`` passes or fails the suite."""
        chosen = ((self.methods, case.method), (self.models, case.model), (self.devices, case.device))
        return all(names is None or name in names for names, name in chosen)


@dataclass(frozen=True)
class Model:
    """A model with weights of one's own: ``Model("nets/mine.py:build", weights="mine.safetensors", name="mine")``.

    ``source`` says what builds it, as on the command line; ``name``, by default ``source``, stands in tests and gates.
    Of a checkpoint with several state dicts one is named, ``weights="mine.pt:state_dict_ema"``. Without ``weights`` or
    ``pretrained``, the weights are those that ``hqp train`` wrote. ``num_classes`` is the number of outputs, where it
    is neither the dataset's number of classes nor can be read from the weights. ``input_size`` and what is said of the
    images, from ``crop`` to ``std``, come before what the suite says of all models: see ``Reading``. ``expect_top1`` is
    about what its top-1 is known to be, in percent: where it is another, the case errs.
    """

    source: str
    weights: str | None = None
    pretrained: bool = False
    num_classes: int | None = None
    name: str = ""
    input_size: int | None = None
    crop: float | None = None
    resize: int | Literal["shorter", "squash"] | None = None
    interpolation: Interpolation | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    expect_top1: float | None = None

    def __post_init__(self) -> None:
        if self.weights is not None and self.pretrained:
            raise HqpError(f"{self.source} is to have weights of a file and pretrained ones", "one of them")
        _require_numbers(self, "model")
        if not self.name:
            object.__setattr__(self, "name", self.source)

    @property
    def file(self) -> Path | None:
        """The weight file that was named."""
        return Path(ENTRY.sub("", self.weights)) if self.weights is not None else None

    @property
    def entry(self) -> str:
        """The entry of the weight file that was named, or ''."""
        named = ENTRY.search(self.weights or "")
        return named[1] if named else ""

    @property
    def reading(self) -> Reading:
        """What is said of the images of this model."""
        return Reading(self.mean, self.std, self.crop, self.interpolation, resize=self.resize)


def _require_numbers(owner: object, kind: str) -> None:
    for field, limit in NUMBERS.items():
        value = getattr(owner, field, None)
        left_open = value is None and (field in OPEN or not hasattr(owner, field))
        if not left_open:
            limit.require(f"{field} of a {kind}", value)


def _require_word(field: str, value: object, words: tuple[str, ...]) -> None:
    if value not in words:
        raise HqpError(f"{field} of a suite is {value!r}", f"one of {', '.join(words)}", f'{field}="{words[0]}"')


def _require_names(field: str, value: object) -> None:
    if not isinstance(value, tuple) or not value or not all(isinstance(one, str | Model) for one in value):
        raise HqpError(f"{field} of a suite is {value!r}", "a tuple of names is right", f'{field}=("…",)')
    names = tuple(one.name if isinstance(one, Model) else one for one in value)
    if len(set(names)) < len(names):
        raise HqpError(f"{field} of a suite names one twice: {names}", "each name once")


@dataclass(frozen=True)
class Suite:
    """Models x devices x methods on one dataset, and the gates that judge them.

    A model is a name, or a ``Model`` with weights of its own. What an image becomes, from ``crop`` to ``std``, is
    explained at ``Reading``; where nothing is said, model, weights and dataset decide. ``skip_unreadable`` images of a
    split may be unreadable. ``expect_top1`` is what the top-1 of every trained model is about, in percent.
    ``delta_max_pp`` is the bound under which methods prune, in absolute points of top-1, and ``alpha`` how often their
    certificates may be wrong, by default as often as the methods' recipes say. ``test_images`` of the split
    ``test``, its first ones, judge accuracy; all of them where nothing is said. A case is timed in at
    most ``rounds`` blocks, two in each of fresh processes, and in fewer where its verdicts are clear before. Blocks in
    which other processes used the measured cores are ``dropped``, or ``kept``, which widens the intervals on a machine
    that is never idle. A verdict that is ``inconclusive`` fails its test, or skips it. ``keep`` are name patterns of
    layers that lose no filter. ``exact_precision`` refuses a device that would run a method in another precision than
    the method's own. Paths start at pytest's rootdir, wherever pytest is started.
    """

    models: tuple[str | Model, ...]
    dataset: str
    devices: tuple[str, ...]
    methods: tuple[str, ...]
    gates: tuple[Gate, ...]
    delta_max_pp: float = 1.5
    alpha: float | None = None
    keep: tuple[str, ...] = ()
    exact_precision: bool = False
    input_size: int | None = None
    crop: float | None = None
    resize: int | Literal["shorter", "squash"] | None = None
    interpolation: Interpolation | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    expect_top1: float | None = None
    skip_unreadable: int = 0
    test_images: int | None = None
    seed: int = 0
    rounds: int = 40
    disturbed: Literal["dropped", "kept"] = "dropped"
    inconclusive: Literal["fail", "skip"] = "fail"

    def __post_init__(self) -> None:
        _refuse_to_be_a_script()
        for field in ("models", "devices", "methods"):
            _require_names(field, getattr(self, field))
        if not isinstance(self.gates, tuple) or not all(isinstance(gate, Gate) for gate in self.gates):
            raise HqpError(f"gates of a suite is {self.gates!r}", "a tuple of gates is right", "gates=(Gate(…),)")
        if not isinstance(self.keep, tuple) or not all(isinstance(name, str) for name in self.keep):
            raise HqpError(f"keep of a suite is {self.keep!r}", "a tuple of layers' names", 'keep=("stem.*",)')
        _require_numbers(self, "suite")
        _require_word("disturbed", self.disturbed, ("dropped", "kept"))
        _require_word("inconclusive", self.inconclusive, ("fail", "skip"))

    def cases(self) -> Iterator[Case]:
        """Every case, model by model, the methods of one model in the order in which they are declared."""
        for model in self.named_models:
            for method in self.methods:
                for device in self.devices:
                    yield Case(model, method, device)

    @property
    def named_models(self) -> dict[str, Model]:
        """The models by the names that stand in their cases."""
        models = (Model(one) if isinstance(one, str) else one for one in self.models)
        return {model.name: model for model in models}

    @property
    def reading(self) -> Reading:
        """What is said of the images of every model."""
        return Reading(
            self.mean,
            self.std,
            self.crop,
            self.interpolation,
            skip_unreadable=self.skip_unreadable,
            resize=self.resize,
        )
