"""An artefact is read with its model, or refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from hqp import documents
from hqp.errors import Damaged, HqpError
from hqp.records import Sidecar
from hqp.run.inputs import artifacts


@pytest.fixture
def folder(tmp_path: Path, make_sidecar: Callable[..., Sidecar]) -> Path:
    (tmp_path / "model.onnx").write_bytes(b"a model")
    digest = hashlib.sha256(b"a model").hexdigest()
    documents.write(tmp_path / "hqp.json", make_sidecar(file__sha256=digest))
    return tmp_path


def test_what_lies_in_a_folder_is_read(folder: Path) -> None:
    made = artifacts.read(folder)
    assert made.path == str(folder) and made.sidecar.settings.method == "hqp"


@pytest.mark.parametrize("content", [b"another", None])
def test_another_model_or_none_is_refused(folder: Path, content: bytes | None) -> None:
    model = folder / "model.onnx"
    model.unlink() if content is None else model.write_bytes(content)
    with pytest.raises(Damaged, match=r"model\.onnx is not the file that hqp\.json describes"):
        artifacts.read(folder)


def test_a_sidecar_of_an_older_form_is_refused_with_what_makes_it_anew(folder: Path) -> None:
    file = folder / "hqp.json"
    file.write_text(file.read_text().replace('"schema_version": 2', '"schema_version": 1'))
    with pytest.raises(Damaged, match="has schema 1; this HQP reads schema 2; try: hqp compress MODEL"):
        artifacts.read(folder)


def test_the_name_of_a_file_is_answered_with_its_folder(folder: Path) -> None:
    with pytest.raises(HqpError, match=f"is a file of an artefact; the artefact's directory; try: {folder}"):
        artifacts.read(folder / "model.onnx")
