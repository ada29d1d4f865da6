"""Pixels are those that torchvision and timm give for the same settings, whatever kind of file they come from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from hqp.datasets._pixels import pixels
from hqp.errors import Unreadable
from hqp.records import Reading, Samples

Array = npt.NDArray[np.uint8]
NOTHING = (0.0, 0.0, 0.0)
MEAN, STD = (torch.tensor(values)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def refuse(*arguments: Any) -> Any:
    raise AssertionError("no image is read")


def picture(seed: int, width: int = 30, height: int = 20) -> Image.Image:
    """Noise with smooth parts between, so that an interpolation that overshoots is seen."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    noise[: height // 2] = rng.integers(0, 2, (1, width, 3)) * 255
    return Image.fromarray(noise)


def read(path: Path, size: int, **reading: Any) -> Array:
    return pixels(str(path), partial(Image.open, path), size, Reading(**reading))


def by_torchvision(path: Path, size: int, resized: Any, interpolation: str = "bilinear") -> Array:
    """What torchvision makes of the file, by Pillow."""
    from torchvision.datasets.folder import pil_loader
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

    steps = [Resize(resized, InterpolationMode(interpolation)), CenterCrop(size)]
    return np.asarray(Compose(steps)(pil_loader(str(path))))


def by_tensors(path: Path, size: int, resized: Any, interpolation: str) -> Array:
    """What torchvision makes of the file by tensors of bytes, as its newer transforms do."""
    from torchvision.datasets.folder import pil_loader
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

    image = torch.from_numpy(np.array(pil_loader(str(path)))).permute(2, 0, 1)
    steps = [Resize(resized, InterpolationMode(interpolation), antialias=True), CenterCrop(size)]
    made: Array = Compose(steps)(image).permute(1, 2, 0).numpy()
    return made


def rotated(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(1).save(path, exif=exif, quality=95)


MODES: dict[str, Callable[[Path], None]] = {
    "rgb.png": lambda path: picture(1).save(path),
    "tall.jpg": lambda path: picture(2, 19, 40).save(path),
    "grey.jpg": lambda path: picture(3).convert("L").save(path),
    "cmyk.jpg": lambda path: picture(4).convert("CMYK").save(path),
    "palette.png": lambda path: picture(5).convert("P").save(path),
    "alpha.png": lambda path: picture(6).convert("RGBA").save(path),
    "rotated.jpg": rotated,
}


@pytest.mark.parametrize("name", MODES)
@pytest.mark.parametrize(("size", "crop", "resized"), [(16, 0.875, 18), (16, 1.0, 16), (33, 0.95, 34)])
def test_every_kind_of_file_is_read_as_torchvision_reads_it(
    tmp_path: Path, name: str, size: int, crop: float, resized: int
) -> None:
    MODES[name](tmp_path / name)
    assert np.array_equal(read(tmp_path / name, size, crop=crop), by_torchvision(tmp_path / name, size, resized))


GEOMETRIES = [
    ({"crop": 1.0}, 16),
    ({"crop": 0.8}, 20),
    ({"resize": 21}, 21),
    ({"resize": "squash"}, (16, 16)),
    ({"resize": "squash", "crop": 0.8}, (20, 20)),
]
SHAPES = [(30, 20), (19, 40), (16, 16), (9, 11), (20, 300)]


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize(("reading", "resized"), GEOMETRIES)
def test_pixels_are_torchvision_s_to_the_bit(
    tmp_path: Path, reading: dict[str, Any], resized: Any, interpolation: str
) -> None:
    for width, height in SHAPES:
        picture(width, width, height).save(tmp_path / "image.png")
        mine = read(tmp_path / "image.png", 16, interpolation=interpolation, **reading)
        assert np.array_equal(mine, by_torchvision(tmp_path / "image.png", 16, resized, interpolation))


# Bicubic overshoots at an edge, which Pillow clips to bytes between its two passes and tensors after both: there they
# differ by more, on noise by up to 13 of 255. Where nothing overshoots they do not.
@pytest.mark.parametrize(("interpolation", "contrast"), [("bilinear", 1.0), ("bicubic", 0.4)])
@pytest.mark.parametrize(("reading", "resized"), GEOMETRIES)
def test_torchvision_s_tensors_are_off_by_one_of_255_at_most(
    tmp_path: Path, reading: dict[str, Any], resized: Any, interpolation: str, contrast: float
) -> None:
    for width, height in SHAPES:
        picture(width, width, height).point(lambda value: 128 + contrast * (value - 128)).save(tmp_path / "image.png")
        mine = read(tmp_path / "image.png", 16, interpolation=interpolation, **reading)
        theirs = by_tensors(tmp_path / "image.png", 16, resized, interpolation)
        assert np.abs(mine.astype(int) - theirs.astype(int)).max() <= 1


@pytest.mark.parametrize("mode", ["center", "squash"])
@pytest.mark.parametrize(("size", "share"), [(16, 0.875), (16, 1.0), (33, 0.95), (24, 0.9)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_pixels_are_timm_s_to_the_bit(tmp_path: Path, mode: str, size: int, share: float, interpolation: str) -> None:
    timm = pytest.importorskip("timm")
    from hqp.models.timm import reading

    config = {"mean": (0.5,) * 3, "std": (0.25,) * 3, "crop_pct": share, "crop_mode": mode,
              "interpolation": interpolation, "input_size": (3, size, size)}  # fmt: skip
    transform = timm.data.create_transform(**config)
    for width, height in SHAPES:
        image = picture(width, width, height)
        mine = pixels("image", image.copy, size, reading(config))
        theirs = (transform(image) * 0.25 + 0.5) * 255
        assert np.array_equal(mine, theirs.permute(1, 2, 0).round().byte().numpy())


@pytest.mark.parametrize(
    "name", ["ResNet50_Weights.IMAGENET1K_V2", "Swin_T_Weights.DEFAULT", "ViT_B_16_Weights.DEFAULT"]
)
def test_pixels_are_those_of_torchvision_s_weights_to_the_bit(name: str) -> None:
    from torchvision.models import get_weight

    from hqp.models.torchvision import reading

    transforms = get_weight(name).transforms()
    said, size = reading(transforms), transforms.crop_size[0]
    samples = Samples(
        "x", "test", np.arange(2), ("a", "b"), said.mean or NOTHING, said.std or NOTHING, "0" * 64, refuse
    )
    for width, height in ((300, 240), (200, 333)):
        image = picture(width, width, height)
        mine = pixels("image", image.copy, size, said)
        theirs = transforms(image)
        assert np.array_equal(mine, ((theirs * STD + MEAN) * 255).permute(1, 2, 0).round().byte().numpy())
        # The network's input itself: float32 rounds the two ways to it differently, by 1/255 of a byte at most.
        assert np.abs(samples.normalised(mine[None])[0] - theirs.numpy()).max() < 1 / 255 / 255


SIXTEEN = (np.arange(600, dtype=np.uint32) * 109 % 65536).astype(np.uint16).reshape(20, 30)
EIGHT = np.rint(SIXTEEN / 257).astype(np.uint8)


def portable_grey_map(path: Path) -> None:
    path.write_bytes(b"P5\n30 20\n65535\n" + SIXTEEN.astype(">u2").tobytes())


WIDE: dict[str, Callable[[Path], None]] = {
    "sixteen.png": lambda path: Image.fromarray(SIXTEEN).save(path),
    "sixteen.tif": lambda path: Image.fromarray(SIXTEEN).save(path),
    "sixteen.pgm": portable_grey_map,
}


@pytest.mark.parametrize("name", WIDE)
def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path, name: str) -> None:
    WIDE[name](tmp_path / name)
    made = read(tmp_path / name, 20)
    assert np.array_equal(made, np.repeat(EIGHT[:, 5:25, None], 3, axis=2))


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_values_of_32_bits_are_refused_since_nothing_says_their_range(tmp_path: Path, kind: Any) -> None:
    Image.fromarray(SIXTEEN.astype(kind)).save(tmp_path / "wide.tif")
    with pytest.raises(Unreadable, match=r"wide\.tif cannot be read as an image \(its values have 32 bits"):
        read(tmp_path / "wide.tif", 16)


def test_colours_of_sixteen_bits_are_within_one_of_the_eight(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    colours = np.random.default_rng(0).integers(0, 65536, (16, 16, 3), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "colours.png"), colours[:, :, ::-1])
    made = read(tmp_path / "colours.png", 16)
    assert np.abs(made - colours / 257).max() <= 1
