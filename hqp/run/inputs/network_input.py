"""What a network takes: at which size and how images become its input, and who says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from hqp.errors import HqpError
from hqp.records import DEFAULT_READING, WHOLE, Reading, Samples, triple_text

# What ImageNet classifiers take, where nothing says otherwise.
DEFAULT_SIZE = 224


@dataclass(frozen=True)
class Source:
    """What one source, the user or the weights say, tells of a network's input; it may leave all of it open."""

    who: str
    size: int | None = None
    reading: Reading = DEFAULT_READING


NOBODY = Source("by default", DEFAULT_SIZE, WHOLE)


@dataclass(frozen=True)
class NetworkInput:
    """The height and width of a network's input in pixels, how images become one, and the sources that were asked.

    ``sources`` come in the order in which they are believed.
    """

    size: int
    reading: Reading
    sources: tuple[Source, ...]

    def shown(self, samples: Samples) -> str:
        """What becomes of the images of a dataset, in one line: each thing with who said so, and who said otherwise."""
        how = self.reading.shown(self.size)
        cut = self._who(lambda reading: reading.crop or reading.resize or reading.interpolation, samples.dataset)
        normalised = self._who(lambda reading: reading.mean, samples.dataset)
        return (
            f"images: {self.size}x{self.size} ({'; '.join(self._sizes())}); {how} ({cut});"
            f" mean {triple_text(samples.mean)}, deviation {triple_text(samples.std)} ({normalised})"
        )

    def _sizes(self) -> Iterator[str]:
        """Who said the size, and who but the default would have said another; none but the user where he said it."""
        asked, *others, _ = self.sources
        if asked.size is not None:
            yield asked.who
            return
        yield next(source.who for source in self.sources if source.size is not None)
        for other in others:
            if other.size not in (None, self.size):
                yield f"{other.who} says {other.size}"

    def _who(self, says: Callable[[Reading], object], otherwise: str) -> str:
        return next((source.who for source in self.sources if says(source.reading)), otherwise)


def settled(asked: Source, others: Sequence[Source], draws: bool) -> NetworkInput:
    """The input that a network takes: as ``asked`` for, where that leaves it open as the first of ``others`` says.

    ``draws``: the dataset makes its images at any size, so that there is nothing to resize and to crop.

    Raises:
        HqpError: what is asked for contradicts itself or the dataset.
    """
    sources = (asked, *others, NOBODY)
    if draws:
        _refuse_geometry(asked.reading)
        sources = tuple(replace(source, reading=_normalising(source.reading)) for source in sources)
    size = next(source.size for source in sources if source.size is not None)
    reading = DEFAULT_READING
    for source in sources:
        reading = reading.over(source.reading)
    reading.resized(size)
    return NetworkInput(size, reading, sources)


def _refuse_geometry(asked: Reading) -> None:
    if asked.crop or asked.resize or asked.interpolation:
        raise HqpError("the dataset draws its images at the input's size", "no crop, no resize and no interpolation")


def _normalising(reading: Reading) -> Reading:
    return replace(reading, crop=None, resize=None, interpolation=None)
