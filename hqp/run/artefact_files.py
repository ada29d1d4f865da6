"""Where the artefacts of baselines lie: a folder of ``<sha256>.onnx``, or an address below which these are served.

Wherever a file comes from, it is taken by its digest alone.
"""

from __future__ import annotations

import http.client
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from hqp import baselines
from hqp.errors import HqpError, command
from hqp.records import Digest
from hqp.store import Store, fault_of_file

SCHEMES = ("https://", "http://")

# An address that answers nothing for so long is taken as gone; no ONNX file has more bytes.
TIMEOUT_S, MOST_BYTES, CHUNK = 60.0, 2_000_000_000, 1 << 20


def is_address(place: str) -> bool:
    """Whether a place is an address, and no folder."""
    return place.startswith(SCHEMES)


def artefact(store: Store, place: str, sha256: Digest) -> Path:
    """The file of a digest: of the folder, of the store that made it, or of the address.

    Raises:
        HqpError: no place holds it as it was recorded; says what brings it.
    """
    name = baselines.file_name(sha256)
    if not is_address(place) and fault_of_file(Path(place) / name, sha256) is None:
        return Path(place) / name
    kept = store.kept(sha256)
    if kept is not None:
        return kept
    if is_address(place):
        return _downloaded(store, f"{place.rstrip('/')}/{name}", sha256)
    raise _missing(Path(place) / name)


def _missing(file: Path) -> HqpError:
    checkout = command("git", "checkout", "--", file)
    if file.is_file():
        return HqpError(f"{file} is another file than its name says", fix=f"git lfs pull, or {checkout}")
    return HqpError(f"there is no {file}", fix=f"{checkout}, or git add it where the baseline was recorded")


def _downloaded(store: Store, address: str, sha256: Digest) -> Path:
    store.root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=store.root, prefix=".download.") as folder:
        file = Path(folder) / "file"
        try:
            _fetch(address, file)
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            upload = "its upload from where the baseline was recorded, or --hqp-artefacts with where it is"
            raise HqpError(f"{address} cannot be read ({error})", fix=upload) from None
        if fault_of_file(file, sha256) is not None:
            raise HqpError(f"{address} is another file than its name says", fix="its upload anew")
        return store.keep(file, sha256)


def _fetch(address: str, file: Path) -> None:
    left = MOST_BYTES
    with urllib.request.urlopen(address, timeout=TIMEOUT_S) as answer, file.open("wb") as copy:
        while left > 0 and (chunk := answer.read(min(CHUNK, left))):
            copy.write(chunk)
            left -= len(chunk)
