"""The fifty road signs of `signs`, as data: a shape, its colours, and the marks drawn on it.

Coordinates: the sign's centre is (0, 0), its radius is 1, and y points down. Lengths share that unit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

Point = tuple[float, float]
Colour = tuple[int, int, int]

RED: Colour = (200, 24, 34)
BLUE: Colour = (16, 82, 172)
YELLOW: Colour = (246, 190, 18)
BROWN: Colour = (112, 66, 32)
WHITE: Colour = (244, 244, 240)
BLACK: Colour = (20, 20, 22)
GREY: Colour = (120, 120, 122)
GREEN: Colour = (20, 140, 70)


@dataclass(frozen=True)
class Mark:
    """One stroke (`width` > 0) or one filled polygon (`width` = 0) through `points`."""

    points: tuple[Point, ...]
    colour: Colour = BLACK
    width: float = 0.0
    closed: bool = False


@dataclass(frozen=True)
class Sign:
    """One class: layers are polygons from the outside in, marks lie on the innermost."""

    name: str
    layers: tuple[tuple[tuple[Point, ...], Colour], ...]
    marks: tuple[Mark, ...] = ()


def _arc(x: float, y: float, rx: float, ry: float, start: float, stop: float) -> tuple[Point, ...]:
    """Points on an ellipse from `start` to `stop` degrees, clockwise on the screen from the right."""
    steps = max(4, int(abs(stop - start) / 10))
    angles = [math.radians(start + (stop - start) * i / steps) for i in range(steps + 1)]
    return tuple((x + rx * math.cos(a), y + ry * math.sin(a)) for a in angles)


def _disc(x: float, y: float, radius: float, colour: Colour = BLACK) -> Mark:
    return Mark(_arc(x, y, radius, radius, 0, 360), colour)


def _ring(x: float, y: float, radius: float, width: float, colour: Colour = BLACK) -> Mark:
    return Mark(_arc(x, y, radius, radius, 0, 360), colour, width, closed=True)


def _box(left: float, top: float, right: float, bottom: float, colour: Colour = BLACK) -> Mark:
    return Mark(((left, top), (right, top), (right, bottom), (left, bottom)), colour)


def _line(*points: Point, colour: Colour = BLACK, width: float = 0.13) -> Mark:
    return Mark(points, colour, width)


def _move(
    marks: Iterable[Mark], dx: float = 0.0, dy: float = 0.0, sx: float = 1.0, sy: float | None = None
) -> tuple[Mark, ...]:
    """The marks scaled by `sx` and `sy` (by default `abs(sx)`), then moved by (dx, dy)."""
    sy = abs(sx) if sy is None else sy
    return tuple(
        replace(m, points=tuple((x * sx + dx, y * sy + dy) for x, y in m.points), width=m.width * min(abs(sx), abs(sy)))
        for m in marks
    )


def _mirror(marks: Iterable[Mark]) -> tuple[Mark, ...]:
    return _move(marks, sx=-1.0)


def _tint(marks: Iterable[Mark], colour: Colour) -> tuple[Mark, ...]:
    return tuple(replace(m, colour=colour) for m in marks)


# Strokes of each character in a box of width 1 and height 2, y down. OpenCV's own fonts changed with version 5.
_GLYPHS: dict[str, tuple[tuple[Point, ...], ...]] = {
    "0": (_arc(0.5, 1, 0.5, 1, 0, 360),),
    "1": (((0.15, 0.45), (0.6, 0), (0.6, 2)),),
    "2": ((*_arc(0.5, 0.52, 0.48, 0.52, 190, 380), (0.0, 2), (1, 2)),),
    "3": (_arc(0.45, 0.5, 0.48, 0.5, 200, 450) + _arc(0.45, 1.48, 0.53, 0.52, 270, 510),),
    "4": (((0.75, 2), (0.75, 0), (0, 1.4), (1.05, 1.4)),),
    "5": (((0.95, 0), (0.15, 0), (0.08, 0.95), *_arc(0.45, 1.37, 0.53, 0.63, 235, 500)),),
    "6": ((*_arc(0.5, 1.42, 0.48, 0.58, 180, 540), (0.06, 1.1), (0.7, 0)),),
    "7": (((0, 0), (1, 0), (0.35, 2)),),
    "8": (_arc(0.5, 0.5, 0.42, 0.5, 90, 450) + _arc(0.5, 1.5, 0.5, 0.5, -90, 270),),
    "9": ((*_arc(0.5, 0.58, 0.48, 0.58, 0, 360), (0.94, 0.9), (0.3, 2)),),
    "S": (_arc(0.5, 0.5, 0.48, 0.5, -30, -270) + _arc(0.5, 1.5, 0.48, 0.5, -90, 150),),
    "T": (((0, 0), (1, 0)), ((0.5, 0), (0.5, 2))),
    "O": (_arc(0.5, 1, 0.5, 1, 0, 360),),
    "P": (((0.05, 2), (0.05, 0), (0.5, 0), *_arc(0.5, 0.55, 0.5, 0.55, -90, 90), (0.05, 1.1)),),
}


def _text(word: str, height: float, colour: Colour = BLACK, width: float = 0.13) -> tuple[Mark, ...]:
    """The word centred on the sign, `height` tall, its strokes `width` wide."""
    scale, gap = height / 2, 0.55
    span = len(word) + gap * (len(word) - 1)
    marks = []
    for place, letter in enumerate(word):
        left = place * (1 + gap) - span / 2
        for stroke in _GLYPHS[letter]:
            marks.append(Mark(tuple(((left + x) * scale, (y - 1) * scale) for x, y in stroke), colour, width))
    return tuple(marks)


def _head(x: float, y: float, angle: float, size: float, colour: Colour) -> Mark:
    """An arrow's head whose tip looks along `angle` degrees, clockwise from the right."""
    turns = ((0.0, size), (140.0, size), (220.0, size))
    points = ((math.radians(angle + a), r) for a, r in turns)
    return Mark(tuple((x + r * math.cos(a), y + r * math.sin(a)) for a, r in points), colour)


_CAR = (
    _box(-0.5, -0.05, 0.5, 0.28),
    Mark(((-0.38, -0.05), (-0.24, -0.34), (0.24, -0.34), (0.38, -0.05))),
    _box(-0.44, 0.2, -0.24, 0.44),
    _box(0.24, 0.2, 0.44, 0.44),
)
_BICYCLE = (
    _ring(-0.36, 0.2, 0.25, 0.09),
    _ring(0.36, 0.2, 0.25, 0.09),
    _line((-0.36, 0.2), (-0.12, -0.18), (0.24, -0.18), (0.0, 0.2), (-0.36, 0.2), width=0.09),
    _line((0.36, 0.2), (0.2, -0.36), (0.36, -0.4), width=0.09),
    _line((-0.12, -0.18), (-0.18, -0.34), width=0.09),
    _line((-0.28, -0.34), (-0.08, -0.34), width=0.1),
)
_WALKER = (
    _disc(0.04, -0.46, 0.13),
    _line((0.0, -0.28), (-0.04, 0.1), width=0.22),
    _line((-0.04, 0.1), (-0.26, 0.54), width=0.13),
    _line((-0.02, 0.1), (0.14, 0.32), (0.24, 0.54), width=0.13),
    _line((-0.3, 0.08), (-0.02, -0.22), (0.28, 0.04), width=0.1),
)
_SNOW = (
    *tuple(
        _line((-0.45 * math.cos(a), -0.45 * math.sin(a)), (0.45 * math.cos(a), 0.45 * math.sin(a)), width=0.1)
        for a in (math.pi / 6, math.pi / 2, 5 * math.pi / 6)
    ),
    _ring(0, 0, 0.2, 0.07),
)
_CURVE_RIGHT = (_line((-0.22, 0.5), (-0.22, 0.1), (0.14, -0.2), width=0.16), _head(0.2, -0.25, -40, 0.26, BLACK))
_DOUBLE_CURVE = (
    _line((0.0, 0.52), (0.22, 0.28), (-0.2, 0.02), (0.02, -0.24), width=0.15),
    _head(0.06, -0.32, -55, 0.22, BLACK),
)
_TURN_RIGHT = (_line((-0.25, 0.5), (-0.25, -0.1), (0.2, -0.1), width=0.2), _head(0.28, -0.1, 0, 0.34, BLACK))
_BUMPS = (
    Mark(_arc(-0.25, 0.3, 0.25, 0.3, 180, 360)),
    Mark(_arc(0.27, 0.3, 0.25, 0.3, 180, 360)),
    _box(-0.56, 0.3, 0.56, 0.42),
)
_NARROWING = (
    _line((-0.34, 0.5), (-0.34, 0.14), (-0.12, -0.1), (-0.12, -0.42), width=0.13),
    _line((0.34, 0.5), (0.34, 0.14), (0.12, -0.1), (0.12, -0.42), width=0.13),
)
_TWO_WAY = (
    _line((-0.2, -0.3), (-0.2, 0.3), width=0.15),
    _head(-0.2, 0.3, 90, 0.24, BLACK),
    _line((0.2, 0.44), (0.2, -0.1), width=0.15),
    _head(0.2, -0.14, -90, 0.24, BLACK),
)
_LIGHTS = (_disc(0, -0.36, 0.16, RED), _disc(0, 0.02, 0.16, YELLOW), _disc(0, 0.4, 0.16, GREEN))
_SKID = (
    *_move(_CAR, dy=-0.14, sx=0.75),
    _line((-0.3, 0.24), (-0.16, 0.36), (-0.34, 0.46), (-0.2, 0.58), width=0.08),
    _line((0.24, 0.24), (0.38, 0.36), (0.2, 0.46), (0.34, 0.58), width=0.08),
)
_AHEAD = (_line((0, 0.6), (0, -0.2), colour=WHITE, width=0.22), _head(0, -0.28, -90, 0.38, WHITE))
_KEEP_RIGHT = (_line((-0.4, -0.4), (0.2, 0.2), colour=WHITE, width=0.22), _head(0.26, 0.26, 45, 0.38, WHITE))
_AHEAD_OR_RIGHT = (
    _line((-0.18, 0.6), (-0.18, -0.3), colour=WHITE, width=0.18),
    _head(-0.18, -0.36, -90, 0.3, WHITE),
    _line((-0.18, 0.15), (0.3, 0.15), colour=WHITE, width=0.18),
    _head(0.34, 0.15, 0, 0.3, WHITE),
)
_ROUNDABOUT = tuple(
    part
    for turn in (0, 120, 240)
    for part in (
        Mark(_arc(0, 0, 0.46, 0.46, turn, turn + 80), WHITE, 0.17),
        _head(
            0.46 * math.cos(math.radians(turn + 88)), 0.46 * math.sin(math.radians(turn + 88)), turn + 180, 0.25, WHITE
        ),
    )
)
_TENT = (
    Mark(((-0.6, 0.42), (0, -0.5), (0.6, 0.42)), WHITE),
    Mark(((-0.2, 0.42), (0, 0.04), (0.2, 0.42)), BROWN),
)
_SLASH = (_line((-0.6, -0.6), (0.6, 0.6), colour=RED, width=0.17),)

_CIRCLE = _arc(0, 0, 1, 1, 0, 360)
_UP = tuple((1.0 * math.cos(math.radians(a)), 0.16 + 1.1 * math.sin(math.radians(a))) for a in (-90, 30, 150))
_DOWN = tuple((x, -y) for x, y in _UP)
_DIAMOND = ((0.0, -1.0), (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0))
_OCTAGON = tuple((math.cos(math.radians(22.5 + 45 * i)), math.sin(math.radians(22.5 + 45 * i))) for i in range(8))
_SQUARE = ((-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85))
_RECTANGLE = ((-1.0, -0.7), (1.0, -0.7), (1.0, 0.7), (-1.0, 0.7))


def _shrunk(shape: tuple[Point, ...], by: float, dy: float = 0.0) -> tuple[Point, ...]:
    return tuple((x * by, y * by + dy) for x, y in shape)


def _prohibited(name: str, marks: tuple[Mark, ...] = (), fill: Colour = WHITE, rim: Colour = RED) -> Sign:
    return Sign(name, ((_CIRCLE, rim), (_shrunk(_CIRCLE, 0.8), fill)), marks)


def _warning(name: str, marks: tuple[Mark, ...]) -> Sign:
    return Sign(name, ((_UP, RED), (_shrunk(_UP, 0.74, 0.045), WHITE)), _move(marks, dy=0.2, sx=0.72))


def _mandatory(name: str, marks: tuple[Mark, ...]) -> Sign:
    return Sign(name, ((_CIRCLE, WHITE), (_shrunk(_CIRCLE, 0.94), BLUE)), marks)


def _speed(limit: int) -> Sign:
    word = str(limit)
    marks = _text(word, 0.72, width=0.14) if len(word) == 2 else _move(_text(word, 0.72, width=0.14), sx=0.8, sy=0.95)
    return _prohibited(f"speed_{limit}", marks)


def _priority(name: str, marks: tuple[Mark, ...] = ()) -> Sign:
    return Sign(name, ((_DIAMOND, WHITE), (_shrunk(_DIAMOND, 0.72), YELLOW)), marks)


_END_STRIPES = tuple(
    _line((-0.5 + d, 0.5 + d), (0.5 + d, -0.5 + d), colour=GREY, width=0.07) for d in (-0.12, 0.0, 0.12)
)

SIGNS: tuple[Sign, ...] = (
    *(_speed(limit) for limit in range(20, 140, 10)),
    Sign("no_entry", ((_CIRCLE, RED),), (_box(-0.68, -0.18, 0.68, 0.18, WHITE),)),
    _prohibited("no_vehicles"),
    _prohibited("no_overtaking", _move(_tint(_CAR, RED), dx=-0.34, sx=0.58) + _move(_CAR, dx=0.34, sx=0.58)),
    _prohibited("no_bicycles", _move(_BICYCLE, dy=0.05, sx=0.92)),
    _prohibited("no_pedestrians", _move(_WALKER, sx=0.95)),
    _prohibited("no_left_turn", _mirror(_move(_TURN_RIGHT, sx=0.85)) + _SLASH),
    _prohibited("no_right_turn", _move(_TURN_RIGHT, sx=0.85) + _SLASH),
    _prohibited("no_parking", _SLASH, fill=BLUE),
    _prohibited("no_stopping", _SLASH + _mirror(_SLASH), fill=BLUE),
    Sign("end_of_limits", ((_CIRCLE, GREY), (_shrunk(_CIRCLE, 0.94), WHITE)), _END_STRIPES),
    Sign("stop", ((_OCTAGON, WHITE), (_shrunk(_OCTAGON, 0.93), RED)), _text("STOP", 0.56, WHITE, 0.1)),
    Sign("yield", ((_DOWN, RED), (_shrunk(_DOWN, 0.68, -0.05), WHITE))),
    _priority("priority_road"),
    _priority("end_of_priority", (_line((-0.48, 0.48), (0.48, -0.48), width=0.16),)),
    _warning("danger", (_line((0, -0.45), (0, 0.15), width=0.2), _disc(0, 0.46, 0.14))),
    _warning("curve_left", _mirror(_CURVE_RIGHT)),
    _warning("curve_right", _CURVE_RIGHT),
    _warning("double_curve", _DOUBLE_CURVE),
    _warning("bumps", _BUMPS),
    _warning("narrowing", _NARROWING),
    _warning("pedestrians", _WALKER),
    _warning("bicycles", _BICYCLE),
    _warning("snow", _SNOW),
    _warning("traffic_lights", _LIGHTS),
    _warning(
        "crossroads", (_line((-0.38, -0.38), (0.38, 0.38), width=0.17), _line((-0.38, 0.38), (0.38, -0.38), width=0.17))
    ),
    _warning("slippery", _SKID),
    _warning("two_way", _TWO_WAY),
    _mandatory("ahead", _AHEAD),
    _mandatory("turn_right", _tint(_TURN_RIGHT, WHITE)),
    _mandatory("turn_left", _mirror(_tint(_TURN_RIGHT, WHITE))),
    _mandatory("ahead_or_right", _AHEAD_OR_RIGHT),
    _mandatory("ahead_or_left", _mirror(_AHEAD_OR_RIGHT)),
    _mandatory("keep_right", _KEEP_RIGHT),
    _mandatory("keep_left", _mirror(_KEEP_RIGHT)),
    _mandatory("roundabout", _ROUNDABOUT),
    Sign("parking", ((_SQUARE, WHITE), (_shrunk(_SQUARE, 0.94), BLUE)), _text("P", 1.0, WHITE, 0.2)),
    Sign(
        "crossing",
        ((_SQUARE, WHITE), (_shrunk(_SQUARE, 0.94), BLUE)),
        (Mark(((0, -0.62), (0.66, 0.56), (-0.66, 0.56)), WHITE), *_move(_WALKER, dy=0.14, sx=0.66)),
    ),
    Sign("campsite", ((_RECTANGLE, WHITE), (_shrunk(_RECTANGLE, 0.93), BROWN)), _TENT),
)
