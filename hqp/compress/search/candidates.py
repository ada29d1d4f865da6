"""The owner of what is made of candidates: modules, files and accuracies, each made once.

Nothing else reads the store for them, enters in the ledger what they took, or remembers them. The ledger has what this
candidate and all others of the run took when they were made, in this run or another: it does not depend on what was
found in the store, nor on the order in which is asked. A module is not stored; one that is made again, since only the
last is kept, is not entered again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor, nn

from hqp import typings
from hqp.compress.blocks import standing_in
from hqp.compress.channels import groups, recover
from hqp.compress.channels.groups import Removal, Removed
from hqp.compress.channels.recover import Reference
from hqp.compress.exporting import export
from hqp.compress.job import Job, calibration_count, spread_images
from hqp.compress.network import tensors, weights
from hqp.compress.network.plain import is_as_torch_has_it
from hqp.compress.quantisation import int8
from hqp.compress.ranking.collect import Sensitivities
from hqp.compress.search import passes, recovery, tuning
from hqp.compress.search.bases import WEIGHTS, Bases, Blocks, Channels
from hqp.compress.search.bound import Bound
from hqp.compress.search.candidate import TRAINED, Candidate, Quantised, Tuning
from hqp.compress.search.passes import Validation
from hqp.compress.search.recovery import Aim, Whole
from hqp.ledger import Ledger, Tally
from hqp.records import Accuracy, Calibrated, Group, Judged, Recovered, Recovery, digest_of
from hqp.store import STATES, Entry, sha256_of

Record = TypeVar("Record")

REFERENCE, FILE = "reference.safetensors", "model.onnx"

# On how many calibration images an exported file is compared with its module: one for each of some classes, in about
# the time that the export itself takes.
COMPARED = 16

# On how many calibration images weights are rounded, where nearest values are too coarse.
ROUNDED_BY = 256


@dataclass(frozen=True)
class Latencies:
    """The latencies of several files, in ms."""

    ms: tuple[float, ...]


class Candidates:
    """What is made of the candidates of a job; its methods are asked for what is wanted, in any order."""

    def __init__(self, job: Job) -> None:
        self.job, self.ledger = job, Ledger()
        self._entered: set[Path] = set()
        self._entered_modules: set[Candidate] = set()
        # Modules and references are large: of each the last is kept.
        self._module: tuple[Candidate, nn.Module] | None = None
        self._reference: tuple[Recovery, Blocks, Reference] | None = None
        self._bases = Bases(job, self._entry)
        self._files: dict[Candidate, Path] = {}
        self._sensitivities: dict[Candidate, Sensitivities] = {}
        self._accuracies: dict[tuple[str, Candidate], Accuracy] = {}

    def base(self, candidate: Candidate = TRAINED) -> nn.Module:
        """What a candidate's channels are taken from."""
        return self._bases.network(candidate.replaced)

    def channels(self, candidate: Candidate = TRAINED) -> Channels:
        """Which channels of a candidate's base may go."""
        return self._bases.channels(candidate.replaced)

    def groups(self, candidate: Candidate = TRAINED) -> tuple[Group, ...]:
        """The groups of a candidate's base that may lose channels."""
        return self.channels(candidate).groups

    def removed(self, candidate: Candidate) -> Removed:
        """What is gone of each layer of a candidate's base."""
        return groups.removed(self.groups(candidate), candidate.removal)

    def filters_gone(self, candidate: Candidate) -> dict[str, frozenset[int]]:
        """The filters of the trained model that are gone, by layer; of a layer within a replaced block all are."""
        gone = {layer: filters for (layer, role), filters in self.removed(candidate).items() if role == "filter"}
        for block in candidate.replaced:
            within = standing_in.filters_within(self.job.model, block)
            gone |= {layer: frozenset(range(filters)) for layer, filters in within.items()}
        return gone

    def filters_removed(self, candidate: Candidate) -> int:
        """How many of the trained model's filters are gone: the numerator of θ."""
        return sum(len(gone) for gone in self.filters_gone(candidate).values())

    def without(self, removal: Removal, trained: Tuning | None = None, replaced: Blocks = ()) -> Candidate:
        """The candidate without these channels and blocks, recovered and quantised as the recipe says."""
        recipe = self.job.recipe
        how = recipe.pruning.recovery if recipe.pruning else None
        quantised = Quantised(recipe.quantization, self.job.policy) if recipe.quantization else None
        return Candidate.without(removal, how, trained, quantised, recipe.precision, replaced)

    # --- modules --------------------------------------------------------------------------------------------------

    def module(self, candidate: Candidate) -> nn.Module:
        """The module of a candidate, in float32; the one made last is kept."""
        wanted = candidate.in_fp32
        if self._module is None or self._module[0] != wanted:
            self._module = wanted, self._made(wanted)
        return self._module[1]

    def _made(self, candidate: Candidate) -> nn.Module:
        if candidate.tuning is not None:
            return self._with_weights(candidate, self._weights(candidate, candidate.tuning))
        if not candidate.gone:
            # What loses nothing needs no copy, which not every network has.
            return self.base(candidate)
        if candidate.recovery is None:
            return groups.shrunk(self.base(candidate), self.removed(candidate))
        chosen = self.recovered(candidate)
        assert chosen is not None
        if self._module is not None and self._module[0] == candidate:
            return self._module[1]
        # Which variant is nearest is known: it alone is made again.
        how = replace(candidate.recovery, variants=(chosen.variant,))
        return self._recover(candidate, how, Ledger())[0]

    def recovered(self, candidate: Candidate) -> Recovered | None:
        """By which variant a candidate is recovered; ``None`` where nothing is gone, or where it was trained."""
        wanted = candidate.in_fp32
        how = wanted.recovery
        if how is None or wanted.tuning is not None:
            return None

        def choose(ledger: Ledger) -> Recovered:
            module, chosen = self._recover(wanted, how, ledger)
            self._module = wanted, module
            return chosen

        # Asked for first, so that it is entered also where the store knows what was chosen.
        self._reference_file(how, wanted.replaced)
        return self.record("recovered", self.key(wanted), Recovered, choose)

    def _recover(self, candidate: Candidate, how: Recovery, ledger: Ledger) -> tuple[nn.Module, Recovered]:
        assert candidate.recovery is not None
        # Measured as the whole recipe wants it, also where one of its variants is made again.
        reference = self.reference(candidate.recovery, candidate.replaced)
        whole = Whole(self.base(candidate), self.groups(candidate), reference)
        return recovery.recovered(self.job, whole, candidate.removal, how, ledger)

    def reference(self, how: Recovery, replaced: Blocks = ()) -> Reference:
        """What the trained model without these blocks gives on calibration images, for recovery to hold to."""
        if self._reference is None or self._reference[:2] != (how, replaced):
            from safetensors.torch import load_file

            self._reference = how, replaced, recover.unpacked(load_file(self._reference_file(how, replaced)))
        return self._reference[2]

    def _reference_file(self, how: Recovery, replaced: Blocks) -> Path:
        base, found = self._bases.network(replaced), self._bases.channels(replaced).groups

        def build(folder: Path, ledger: Ledger) -> None:
            # Fitted to the trained network, so that what blocks cost is made up for as far as may be.
            whole = recovery.measured(self.job, found, base, how, ledger, Aim(self.job.model, replaced))
            tensors.save(recover.packed(whole.reference), folder / REFERENCE)

        key = {
            **self.job.key,
            "replaced": [asdict(block) for block in replaced],
            "layers": recover.losing(base, found),
            "images": how.images,
            "compared": how.compared,
            "grams": recovery.needs_grams(how),
            "moments": recovery.moves_moments(how),
            "outputs": "sequential" in how.variants,
        }
        return self._entry("shown", key, build) / REFERENCE

    def grown(self, candidate: Candidate) -> nn.Module:
        """A candidate's module in the shape of the trained model: zeros stand for what is gone."""
        return groups.grown(self.base(candidate), self.module(candidate), self.removed(candidate))

    def _weights(self, candidate: Candidate, trained: Tuning) -> Path:
        """The file with the weights of a candidate that was trained."""
        key = self.key(candidate)
        # Beside the entries: it outlives a run that is killed while it builds one.
        state = self.job.store.root / STATES / f"{digest_of(key)[:24]}.pt"

        def build(folder: Path, ledger: Ledger) -> None:
            model = self._untrained(candidate, trained, ledger)
            tuning.train(self.job, model, trained.how, state, ledger)
            weights.write(folder / WEIGHTS, model.state_dict())

        place = self._entry("tuned", key, build)
        state.unlink(missing_ok=True)
        return place / WEIGHTS

    def _untrained(self, candidate: Candidate, trained: Tuning, ledger: Ledger) -> nn.Module:
        """What a training starts from: the weights of the candidate before, without what goes now, recovered."""
        base, how = self.grown(trained.before), candidate.recovery
        if how is None:
            return groups.shrunk(base, self.removed(candidate))
        whole = recovery.measured(self.job, self.groups(candidate), base, how, ledger, Aim(base))
        return recovery.recovered(self.job, whole, candidate.removal, how, ledger)[0]

    def _with_weights(self, candidate: Candidate, file: Path) -> nn.Module:
        return weights.filled(groups.shrunk(self.base(candidate), self.removed(candidate)), file)

    # --- files ----------------------------------------------------------------------------------------------------

    def fp32(self, candidate: Candidate) -> Path:
        """The FP32 file of a candidate."""
        wanted = candidate.in_fp32
        if wanted not in self._files:
            self._enter_module(wanted)
            self._files[wanted] = self._exported(wanted)
        return self._files[wanted]

    def _exported(self, candidate: Candidate) -> Path:
        def build(folder: Path, ledger: Ledger) -> None:
            images = spread_images(self.job, COMPARED)
            export.export(self.module(candidate), self.job.input_size, folder / FILE, images)

        with self.job.track("export", 0):
            return self._entry("exported", self.key(candidate), build) / FILE

    def file(self, candidate: Candidate) -> Path:
        """The file that is shipped of a candidate."""
        if candidate not in self._files:
            self._files[candidate] = self._shipped(candidate)
        return self._files[candidate]

    def _shipped(self, candidate: Candidate) -> Path:
        if candidate.quantised is not None:
            return self._int8(candidate, candidate.quantised)
        if candidate.precision == "fp32":
            return self.fp32(candidate)
        return self._halved(candidate)

    def _halved(self, candidate: Candidate) -> Path:
        """The file of a candidate that is FP16 or BF16 throughout."""
        plain, floats = self.fp32(candidate), candidate.precision

        def build(folder: Path, ledger: Ledger) -> None:
            if floats == "fp16":
                typings.typed(plain, folder / FILE)
            else:
                typings.marked(plain, folder / FILE, floats)

        return self._entry("halved", {**self.key(candidate), "precision": floats}, build) / FILE

    def _int8(self, candidate: Candidate, quantised: Quantised) -> Path:
        job, how, policy, plain = self.job, quantised.how, quantised.policy, self.fp32(candidate)
        key = {**self.key(candidate), "quantised": asdict(quantised)}
        # Ranges are of the file alone; which calibration is nearest also of the device that runs it.
        ranged = int8.ranged_by(plain, policy)
        seen = {**key, "quantised": asdict(replace(quantised, policy=ranged))}
        ranges = self.record("ranges", seen, int8.CalibratedRanges, partial(int8.ranges, job, how, ranged, plain))
        seen_by = partial(self._seen_by, candidate)
        write = partial(int8.write_nearest, job, how, policy, plain, ranges, seen_by)
        return self._entry("quantized", {**key, "device": job.device}, write) / int8.FILE

    def _seen_by(self, candidate: Candidate, layers: Collection[str], tally: Tally) -> dict[str, Tensor]:
        """The Gram matrices of what these layers of a candidate's module see, for its weights to be rounded by.

        Those of a layer that may pad as it does not declare are left out: rounding needs them less than an answer.
        """
        run = recovery.CalibrationPasses(self.job, tally)
        module = run.lay_out(self.module(candidate))
        shown = [name for name in recover.fitted(module, layers) if is_as_torch_has_it(module.get_submodule(name))]
        return run.over(ROUNDED_BY, partial(recover.grams, module, shown))

    def calibrated(self, candidate: Candidate) -> Calibrated | None:
        """By which calibration a candidate's file is quantised; ``None`` where it is not."""
        if candidate.quantised is None:
            return None
        return self.job.store.read(self.file(candidate).with_name(int8.CHOICE), Calibrated)

    def latencies_ms(self, candidates: Sequence[Candidate]) -> tuple[float, ...]:
        """The latencies of the candidates' files on the device, timed in turn, once."""
        files = [self.file(candidate) for candidate in candidates]

        def timed(ledger: Ledger) -> Latencies:
            with ledger.step("latency") as tally:
                tally.passes = len(files)
                return Latencies(tuple(self.job.latencies_ms(files)))

        key = {"files": [sha256_of(file) for file in files], "device": self.job.device}
        return self.record("timed", key, Latencies, timed).ms

    # --- accuracies -----------------------------------------------------------------------------------------------

    def on_selection(self, candidate: Candidate) -> Accuracy:
        """The accuracy of a candidate's file on ``selection``, in the device's runtime."""
        return self._judged("verification", candidate, self.job.evaluate)

    def on_test(self, candidate: Candidate) -> Accuracy:
        """The accuracy of a candidate's file on ``test``, in the device's runtime."""
        return self._judged("certificate", candidate, self.job.test)

    def _judged(self, step: str, candidate: Candidate, judge: Callable[[Path], Judged]) -> Accuracy:
        known = step, candidate
        if known not in self._accuracies:
            judged = judge(self.file(candidate))
            self.ledger.add(replace(judged.cost, step=step))
            self._accuracies[known] = judged.accuracy
        return self._accuracies[known]

    @functools.cached_property
    def trained_on_selection(self) -> Accuracy:
        """The accuracy of the trained model's FP32 file on ``selection``.

        It is in no ledger: every method is compared with it, and none has to pay for it.
        """
        return self.job.evaluate(self.fp32(TRAINED)).accuracy

    @functools.cached_property
    def trained_on_test(self) -> Accuracy:
        """The accuracy of the trained model's FP32 file on ``test``, in no ledger either."""
        return self.job.test(self.fp32(TRAINED)).accuracy

    def validated(self, candidate: Candidate, bound: Bound | None = None) -> Accuracy | None:
        """The accuracy of a candidate's module on ``selection``; ``None`` where it hardly keeps the bound.

        With a bound it is of the images after which that was clear. Without one it is of all.
        """
        wanted = candidate.in_fp32
        self._enter_module(wanted)

        def judge(ledger: Ledger) -> Validation:
            return passes.validation(self.job, self.module(wanted), bound, ledger)

        limits = (bound.floor, bound.confidence, bound.looks, bound.guesses, bound.delta_max_pp) if bound else None
        key = {**self.key(wanted), "bound": limits}
        return self.record("validation", key, Validation, judge).accuracy

    def sensitivities(self, candidate: Candidate) -> Sensitivities:
        """The sensitivities of every filter of a candidate's module: one pass over images of ``calibration``."""
        wanted = candidate.in_fp32
        if wanted not in self._sensitivities:
            self._enter_module(wanted)
            self._sensitivities[wanted] = self._measured(wanted)
        return self._sensitivities[wanted]

    def _measured(self, candidate: Candidate) -> Sensitivities:
        pruning = self.job.recipe.pruning
        images = calibration_count(self.job, pruning.images if pruning else None)

        def build(folder: Path, ledger: Ledger) -> None:
            module = self.module(candidate)
            passes.save(passes.sensitivities(self.job, module, images, ledger), folder)

        key = {**self.key(candidate), "images": images}
        return passes.load(self._entry("sensitivity", key, build))

    # --- the store and the ledger ---------------------------------------------------------------------------------

    def key(self, candidate: Candidate) -> dict[str, Any]:
        """What names the module of a candidate in the store."""
        wanted = candidate.in_fp32
        # Asked only where there was a training: it reads the images of ``train``.
        trained = tuning.key(self.job, wanted.tuning.how) if wanted.tuning else None
        return {**self.job.key, "candidate": asdict(wanted), "training": trained}

    def record(
        self, kind: str, key: Mapping[str, Any], of: type[Record], compute: Callable[[Ledger], Record]
    ) -> Record:
        """A record of the store; what it took when it was made is entered once."""
        record, entry = self.job.store.costed_record(kind, key, of, compute)
        self._enter(entry)
        return record

    def _entry(self, kind: str, key: Mapping[str, Any], build: Callable[[Path, Ledger], object]) -> Path:
        """The folder of an entry of the store; what it took when it was made is entered once."""
        entry = self.job.store.costed(kind, key, build)
        self._enter(entry)
        return entry.folder

    def _enter(self, entry: Entry) -> None:
        if entry.folder not in self._entered:
            self._entered.add(entry.folder)
            self.ledger.add(*entry.costs)

    def _enter_module(self, candidate: Candidate) -> None:
        """Enters what a module took, also where it need not be made, since the store has what was made of it."""
        if candidate in self._entered_modules:
            return
        if candidate.tuning is not None:
            self._enter_module(candidate.tuning.before.in_fp32)
            self._weights(candidate, candidate.tuning)
        else:
            self.recovered(candidate)
        self._entered_modules.add(candidate)
