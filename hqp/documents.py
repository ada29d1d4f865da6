"""Reading and writing the JSON files that HQP keeps: validated on reading, whole or absent on writing."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import TypeAdapter, ValidationError

from hqp.errors import Damaged, HqpError
from hqp.records import SCHEMA_VERSION, Digest, digest_of

Record = TypeVar("Record")

_adapters: dict[Any, TypeAdapter[Any]] = {}


def _adapter(kind: Any) -> TypeAdapter[Any]:
    # Building one takes longer than reading a file with it.
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


def form(kind: Any) -> Digest:
    """What names the form of a record: another field, or one of another type, gives another digest."""
    return digest_of(_adapter(kind).json_schema())


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def to_json(record: Any) -> str:
    """The JSON text of a record, indented, with a final line break; the same record gives the same bytes."""
    value = _adapter(type(record)).dump_python(record, mode="json")
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(text: str, kind: type[Record], name: str, fix: str) -> Record:
    """The record that ``text`` holds; ``name`` says where it came from and ``fix`` what makes it anew.

    Raises:
        Damaged: the text is cut off, of another schema, or does not fit the record.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{name} is damaged or cut off ({error})", "complete JSON", fix) from None
    version = value.get("schema_version") if isinstance(value, dict) else None
    if "schema_version" in getattr(kind, "__annotations__", {}) and not _is_current(version, kind):
        raise Damaged(f"{name} has schema {version!r}", f"this HQP reads schema {schema_of(kind)}", fix)
    try:
        record: Record = _adapter(kind).validate_json(text, strict=True)
        return record
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise Damaged(f"{name} is damaged at '{place}': {first['msg']}", fix=fix) from None


def schema_of(kind: type) -> int:
    """The version of a document's form: its own where it has changed since the first."""
    return getattr(kind, "SCHEMA", SCHEMA_VERSION)


def _is_current(version: object, kind: type) -> bool:
    # True and 1.0 equal 1, and are no schema.
    return type(version) is int and version == schema_of(kind)


def read(path: Path, kind: type[Record], fix: str) -> Record:
    """The record in a file.

    Raises:
        Damaged: see ``from_json``; also where the file is no text.
        HqpError: there is no such file.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise HqpError(f"there is no file {path}", fix=fix) from None
    except (UnicodeDecodeError, IsADirectoryError) as error:
        raise Damaged(f"{path} is no JSON file ({error})", fix=fix) from None
    return from_json(text, kind, str(path), fix)


def require_place(path: Path, option: str) -> None:
    """Sees, before minutes are spent, that a file or a folder can be made at ``path``, and makes nothing.

    Raises:
        HqpError: it cannot; ``option`` names another place.
    """
    existing = next(place for place in path.absolute().parents if os.path.lexists(place))
    try:
        os.rmdir(tempfile.mkdtemp(dir=existing, prefix=f".{path.name}."))
    except OSError as error:
        raise HqpError(f"{path} cannot be written ({error.strerror})", "a place that can", option) from None


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """While it lasts, what the system refuses names a file: a full disk alone does not say of which."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file so that it is, at every moment and for every reader, the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with naming(path), os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write(path: Path, record: Any) -> None:
    """Writes a record as JSON, whole or not at all."""
    write_bytes(path, to_json(record).encode())


def list_to_json(records: tuple[Any, ...]) -> str:
    """The JSON text of a list of records, one after the other."""
    values = [_adapter(type(record)).dump_python(record, mode="json") for record in records]
    return json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
