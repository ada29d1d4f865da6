"""Road signs rendered on demand: fifty classes, and every image a pure function of (split, index, size).

Nothing is downloaded and nothing is stored, so each machine has the same dataset. The difficulty is
continuous: one draw per image scales its perspective, lighting, blur, occlusion and noise together.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hqp.datasets._signs_catalogue import SIGNS, Mark, Sign
from hqp.errors import HqpError
from hqp.records import DEFAULT_READING, Reading, Samples

requires = ("cv2",)
native_size = 96

VERSION = 1
"""Names the generator's output; any change of a pixel of any image needs the next number."""

COUNTS = {"train": 30_000, "calibration": 5_000, "selection": 5_000, "test": 20_000}
MEAN = (0.39, 0.36, 0.37)
STD = (0.24, 0.23, 0.23)

_SPLIT_KEYS = {"train": 1, "calibration": 2, "selection": 3, "test": 4}
_TEMPLATE_SIDES = (256, 128, 64, 32)
_TEMPLATE_RADIUS = 0.94  # of half the template's side: leaves a transparent edge for interpolation
_DRAWS = 256  # uniform numbers set aside for one scene, more than any scene uses
_NOISE_SIDE = 512
_VIEWED_FROM = 4.0  # radii of the sign: near enough for its far side to look smaller

Point3 = tuple[float, float, float]
Array = npt.NDArray[Any]
"""Images are uint8 (height, width, 3) in RGB unless said otherwise."""

_SHIFT = 4  # OpenCV's sub-pixel bits for drawing


def load(split: str, root: Path | None = None, reading: Reading = DEFAULT_READING) -> Samples:
    """The split's labels are known at once, its images are rendered when read; `root` and `reading` are not used."""
    if split not in COUNTS:
        raise HqpError(f"signs has no split {split!r}", f"one of {', '.join(COUNTS)}", "hqp list datasets")
    count = COUNTS[split]
    return Samples(
        dataset="signs",
        split=split,
        labels=np.arange(count, dtype=np.int64) % len(SIGNS),
        classes=tuple(sign.name for sign in SIGNS),
        mean=MEAN,
        std=STD,
        digest=hashlib.sha256(f"signs/{VERSION}/{split}/{count}".encode()).hexdigest(),
        read=partial(read, split),
    )


def read(split: str, indices: Sequence[int], size: int = native_size) -> Array:
    """The images at `indices` as uint8 RGB of shape (n, size, size, 3)."""
    images = np.empty((len(indices), size, size, 3), np.uint8)
    for place, index in enumerate(indices):
        images[place] = render(split, int(index), size)
    return images


def label(index: int) -> int:
    """The class at `index` in every split: classes follow one another, so any prefix is balanced."""
    return index % len(SIGNS)


class _Draws:
    """Uniform numbers of one scene, in a fixed order that no image size changes."""

    def __init__(self, split: str, index: int) -> None:
        stream = np.random.Philox(key=np.array([_SPLIT_KEYS[split], index], np.uint64))
        self._numbers: Iterator[float] = iter(np.random.Generator(stream).random(_DRAWS).tolist())

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * next(self._numbers)

    def chance(self, probability: float) -> bool:
        return next(self._numbers) < probability

    def colour(self) -> tuple[float, float, float]:
        grey = self.between(20, 235)
        return grey + self.between(-70, 70), grey + self.between(-70, 70), grey + self.between(-70, 70)

    def point(self) -> tuple[float, float]:
        x = self.between(0, 1)
        return x, self.between(0, 1)

    def below(self, count: int) -> int:
        return min(int(self.between(0, count)), count - 1)


def render(split: str, index: int, size: int = native_size) -> Array:
    """One image, uint8 RGB (size, size, 3); it depends on nothing but the arguments."""
    if not 0 <= index < COUNTS[split]:
        raise IndexError(f"signs/{split} holds images 0 to {COUNTS[split] - 1}, not {index}")
    draws = _Draws(split, index)
    hardness = draws.between(0, 1)
    canvas = _background(draws, size)
    nearest = draws.between(0.34, 0.44)
    # The harder the image, the smaller the sign.
    radius = nearest * (1 - 0.75 * hardness * draws.between(0.1, 1))
    centre = draws.between(-0.08, 0.08), draws.between(-0.08, 0.08)
    if draws.chance(0.4):
        canvas = _distractor(canvas, draws, size)
    tilt = 0.25 + 0.75 * hardness
    canvas = _paste(canvas, label(index), draws, centre, radius, tilt, size)
    if draws.chance(0.15 + 0.45 * hardness):
        _occlude(canvas, draws, centre, radius, hardness, size)
    canvas = _light(canvas, draws, hardness)
    canvas = _blur(canvas, draws, hardness, size)
    return _expose(canvas, draws, hardness, size)


# --- the scene ------------------------------------------------------------------------------------


def _background(draws: _Draws, size: int) -> Array:
    """A smooth gradient with polygons, lines and blobs on it, uint8 (size, size, 3)."""
    canvas = _gradient(draws, size)
    for _ in range(draws.below(5)):
        x, y = draws.point()
        _polygon(canvas, draws, x, y, draws.between(0.1, 0.5), size)
    for _ in range(draws.below(4)):
        _line(canvas, draws, size)
    for _ in range(draws.below(4)):
        _blob(canvas, draws, size)
    return canvas


def _gradient(draws: _Draws, size: int) -> Array:
    """Four random colours, one in each corner, and what lies between them."""
    import cv2

    colours = [draws.colour() for _ in range(4)]
    corners = np.clip(colours, 0, 255).astype(np.float32).reshape(2, 2, 3)
    canvas: Array = cv2.resize(corners, (size, size), interpolation=cv2.INTER_LINEAR).astype(np.uint8)
    return canvas


def _line(canvas: Array, draws: _Draws, size: int) -> None:
    """Draws a random line onto the canvas."""
    import cv2

    ends = [draws.point(), draws.point()]
    width = max(1, round(draws.between(0.01, 0.06) * size))
    start, stop = _pixels(ends, size)
    cv2.line(canvas, start, stop, draws.colour(), width, cv2.LINE_8, _SHIFT)


def _blob(canvas: Array, draws: _Draws, size: int) -> None:
    """Draws a random disc onto the canvas."""
    import cv2

    (middle,) = _pixels([draws.point()], size)
    radius = round(draws.between(0.02, 0.14) * size * (1 << _SHIFT))
    cv2.circle(canvas, middle, radius, draws.colour(), -1, cv2.LINE_8, _SHIFT)


def _pixels(points: Sequence[tuple[float, float]], size: int) -> list[tuple[int, int]]:
    """Points of the unit frame in OpenCV's fixed-point pixels."""
    scale = size * (1 << _SHIFT)
    half = (1 << _SHIFT) // 2
    return [(round(x * scale) - half, round(y * scale) - half) for x, y in points]


def _polygon(canvas: Array, draws: _Draws, x: float, y: float, reach: float, size: int) -> None:
    """Draws a random convex polygon of three to five corners around (x, y) onto the canvas."""
    import cv2

    corners = 3 + draws.below(3)
    start = draws.between(0, 2 * math.pi)
    angles = [start + 2 * math.pi * (i + draws.between(-0.3, 0.3)) / corners for i in range(corners)]
    points = [(x + reach * math.cos(a), y + reach * math.sin(a)) for a in angles]
    cv2.fillConvexPoly(canvas, np.array(_pixels(points, size), np.int32), draws.colour(), cv2.LINE_8, _SHIFT)


def _distractor(canvas: Array, draws: _Draws, size: int) -> Array:
    """The canvas with a fragment of some other sign at its edge."""
    angle, reach = draws.between(0, 2 * math.pi), draws.between(0.55, 0.7)
    centre = reach * math.cos(angle), reach * math.sin(angle)
    return _paste(canvas, draws.below(len(SIGNS)), draws, centre, draws.between(0.2, 0.34), 0.5, size)


def _paste(
    canvas: Array,
    sign: int,
    draws: _Draws,
    centre: tuple[float, float],
    radius: float,
    tilt: float,
    size: int,
) -> Array:
    """The canvas with the sign on it; centre (from the middle) and radius are fractions of the frame."""
    import cv2

    side = next((s for s in reversed(_TEMPLATE_SIDES) if s >= 2 * radius * size), _TEMPLATE_SIDES[0])
    colour, cover = _template(sign)[side]
    matrix = _homography(draws, centre, radius, tilt, size, side)
    flags = cv2.INTER_LINEAR
    front = cv2.warpPerspective(colour, matrix, (size, size), flags=flags)
    alpha = cv2.warpPerspective(cover, matrix, (size, size), flags=flags)
    behind = cv2.multiply(canvas, cv2.bitwise_not(alpha), scale=1 / 255)
    pasted: Array = cv2.add(front, behind)
    return pasted


def _homography(draws: _Draws, centre: tuple[float, float], radius: float, tilt: float, size: int, side: int) -> Array:
    """The matrix that maps template pixels to image pixels: the sign turned about all three axes, in perspective."""
    across, down = _turned_axes(draws, tilt)
    scale = _VIEWED_FROM * radius * size
    rows = []
    for axis in (0, 1):
        middle = (0.5 + centre[axis]) * size - 0.5
        horizontally = scale * across[axis] + middle * across[2]
        vertically = scale * down[axis] + middle * down[2]
        rows.append([horizontally, vertically, middle * _VIEWED_FROM])
    # The third row is the depth, by which the other two are divided.
    rows.append([across[2], down[2], _VIEWED_FROM])
    matrix: Array = np.array(rows) @ _to_unit_plane(side)
    return matrix


def _turned_axes(draws: _Draws, tilt: float) -> tuple[Point3, Point3]:
    """Where the sign's horizontal and vertical axes point after a random yaw, pitch and roll."""
    limit = math.radians(50) * tilt
    yaw = draws.between(-limit, limit)
    pitch = draws.between(-limit, limit) * 0.7
    roll = draws.between(-1, 1) * math.radians(16) * tilt

    cos_yaw, sin_yaw = math.cos(yaw), math.sin(yaw)
    cos_pitch, sin_pitch = math.cos(pitch), math.sin(pitch)
    cos_roll, sin_roll = math.cos(roll), math.sin(roll)
    across = (
        cos_roll * cos_yaw - sin_roll * sin_pitch * sin_yaw,
        sin_roll * cos_yaw + cos_roll * sin_pitch * sin_yaw,
        -cos_pitch * sin_yaw,
    )
    down = (-sin_roll * cos_pitch, cos_roll * cos_pitch, sin_pitch)
    return across, down


def _to_unit_plane(side: int) -> Array:
    """The matrix that maps a template's pixels to the sign's plane, whose radius is 1."""
    unit = 2 / (side * _TEMPLATE_RADIUS)
    middle = (side - 1) / 2 * unit
    return np.array([[unit, 0, -middle], [0, unit, -middle], [0, 0, 1]])


def _occlude(
    canvas: Array, draws: _Draws, centre: tuple[float, float], radius: float, hardness: float, size: int
) -> None:
    """Draws a polygon over the sign, from beside it; the harder the image, the further it reaches in."""
    angle, reach = draws.between(0, 2 * math.pi), draws.between(0.25, 0.6) * radius
    away = radius + reach * (0.8 - 1.45 * hardness * draws.between(0, 1))
    x, y = 0.5 + centre[0] + away * math.cos(angle), 0.5 + centre[1] + away * math.sin(angle)
    _polygon(canvas, draws, x, y, reach, size)


# --- the camera -----------------------------------------------------------------------------------


def _light(canvas: Array, draws: _Draws, hardness: float) -> Array:
    """The canvas under another light: a gain, a gamma, haze and a colour cast, as one table per channel."""
    import cv2

    dark = draws.chance(0.65)
    strength = hardness * draws.between(0, 1)
    gain = 1 - 0.88 * strength if dark else 1 + 0.7 * strength
    haze = draws.between(0, 0.45) * hardness if draws.chance(0.3) else 0.0
    gamma = math.exp(draws.between(-0.35, 0.35))
    cast = np.array([gain * (1 + draws.between(-0.2, 0.2)) for _ in range(3)])

    curve = (np.arange(256)[:, None] / 255) ** gamma
    # Haze is the light itself, so it is no brighter than the light.
    haze_level = haze * min(gain, 1.0) * 0.8
    levels = curve * cast * (1 - haze) + haze_level
    table = np.clip(levels * 255, 0, 255).astype(np.uint8)
    lit: Array = cv2.LUT(canvas, table.reshape(1, 256, 3))
    return lit


def _blur(canvas: Array, draws: _Draws, hardness: float, size: int) -> Array:
    """The canvas out of focus and in motion: one Gaussian that is longer along the motion."""
    import cv2

    focus = (0.003 + 0.03 * hardness * draws.between(0, 1)) * size
    motion = 0.07 * hardness * draws.between(0, 1) ** 2 * size
    angle = draws.between(0, math.pi)
    along = math.hypot(focus, motion)
    kernel = _elongated_gaussian(along, focus, angle)
    blurred: Array = cv2.filter2D(canvas, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    return blurred


def _elongated_gaussian(along: float, across: float, angle: float) -> Array:
    """A Gaussian whose deviation is ``along`` pixels in the direction of ``angle`` and ``across`` at right angles."""
    # Beyond 2.2 deviations there is nothing left that a byte shows.
    reach = max(1, math.ceil(2.2 * along))
    offsets = np.arange(-reach, reach + 1, dtype=np.float32)
    x, y = offsets[None, :], offsets[:, None]
    lengthwise = x * math.cos(angle) + y * math.sin(angle)
    crosswise = y * math.cos(angle) - x * math.sin(angle)
    weights = np.exp(-0.5 * ((lengthwise / along) ** 2 + (crosswise / across) ** 2))
    kernel: Array = weights / weights.sum()
    return kernel


def _expose(canvas: Array, draws: _Draws, hardness: float, size: int) -> Array:
    """The image as the sensor gives it: a shadow across it, then noise that grows with the light."""
    import cv2

    deepest = 0.15 + 0.55 * hardness
    corners = np.array([1 - draws.between(0, deepest) for _ in range(4)], np.float32)
    shade = cv2.resize(corners.reshape(2, 2), (size, size), interpolation=cv2.INTER_LINEAR)
    light = canvas * shade[:, :, None]

    sigma = (1.5 + 34 * hardness * draws.between(0, 1)) * draws.between(0.4, 1)
    # Shot noise grows with the root of the light; the rest of the noise is the same everywhere.
    shot = draws.between(0, 0.6)
    spread = sigma * (1 - shot) + sigma * shot / 16 * cv2.sqrt(light)
    light += spread * _noise(draws, size)
    exposed: Array = np.clip(light, 0, 255, out=light).astype(np.uint8)
    return exposed


def _noise(draws: _Draws, size: int) -> Array:
    """Standard normal noise, float32 (size, size, 3): a window at a random place of one fixed field."""
    field = _noise_field(size + _NOISE_SIDE)
    top, left = draws.below(_NOISE_SIDE), draws.below(_NOISE_SIDE)
    window: Array = field[top : top + size, left : left + size]
    return window


# --- what is made once ----------------------------------------------------------------------------


@lru_cache(maxsize=4)
def _noise_field(side: int) -> Array:
    """Standard normal noise, float32 (side, side, 3)."""
    return np.random.Generator(np.random.Philox(key=[0, side])).standard_normal((side, side, 3), np.float32)


@cache
def _template(sign: int) -> dict[int, tuple[Array, Array]]:
    """The sign by side in pixels: its colour times its cover, and its cover, both uint8 (side, side, 3)."""
    import cv2

    large = 2 * _TEMPLATE_SIDES[0]
    colour, cover = _draw(SIGNS[sign], large)
    levels = {}
    for side in _TEMPLATE_SIDES:
        small = [cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) for image in (colour, cover)]
        levels[side] = (small[0], small[1])
    return levels


def _draw(sign: Sign, side: int) -> tuple[Array, Array]:
    """The sign's colour on black, and where it covers its background, both uint8 (side, side, 3)."""
    import cv2

    colour, cover = np.zeros((side, side, 3), np.uint8), np.zeros((side, side, 3), np.uint8)
    outline = _template_pixels(sign.layers[0][0], side)
    cv2.fillPoly(cover, [outline], (255, 255, 255), cv2.LINE_8, _SHIFT)
    for points, paint in sign.layers:
        cv2.fillPoly(colour, [_template_pixels(points, side)], paint, cv2.LINE_8, _SHIFT)
    for mark in sign.marks:
        _draw_mark(colour, mark, side)
    return cv2.bitwise_and(colour, cover), cover


def _draw_mark(colour: Array, mark: Mark, side: int) -> None:
    import cv2

    points = _template_pixels(mark.points, side)
    if not mark.width:
        cv2.fillPoly(colour, [points], mark.colour, cv2.LINE_8, _SHIFT)
        return
    width = max(1, round(mark.width * _TEMPLATE_RADIUS * side / 2))
    cv2.polylines(colour, [points], mark.closed, mark.colour, width, cv2.LINE_8, _SHIFT)


def _template_pixels(points: Sequence[tuple[float, float]], side: int) -> Any:
    """Points of the sign's plane in OpenCV's fixed-point pixels of a template."""
    array = np.asarray(points) * (_TEMPLATE_RADIUS * side / 2) + (side - 1) / 2
    return np.round(array * (1 << _SHIFT)).astype(np.int32)
