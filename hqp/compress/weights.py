"""Trained weights in files and in models: data only, never code."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hqp.errors import Damaged, HqpError

# Where training scripts put the state dict, and what DataParallel puts before its names.
ENTRY, PREFIX = "state_dict", "module."

# A count that only training reads; torch wrote none before 0.4.1.
UNUSED = "num_batches_tracked"


def read(path: Path) -> dict[str, Tensor]:
    """The tensors in a weight file: safetensors, or a state dict saved by torch, alone or as ``state_dict`` of more.

    Raises:
        HqpError: there is no such file, it is a pickle that holds code, or it holds something else.
        Damaged: it is cut off, or no weight file.
    """
    if not path.is_file():
        raise HqpError(f"there is no weight file {path}", fix="hqp train MODEL --dataset DATASET")
    try:
        if path.suffix == ".safetensors":
            return _tensors(load_file(path), path)
        with warnings.catch_warnings():
            # Of unusual pickles torch warns before it refuses them; the refusal says it all.
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise HqpError(
            f"{path} is a pickle that holds more than tensors, and HQP runs no code from files",
            "a state dict or safetensors",
            "torch.save(model.state_dict(), 'weights.pt')",
        ) from None
    except (SafetensorError, RuntimeError, EOFError, OSError) as error:
        raise Damaged(f"{path} is damaged or no weight file ({str(error).splitlines()[0]})") from None
    return _tensors(state, path)


def _tensors(state: object, path: Path) -> dict[str, Tensor]:
    """The state dict in what was saved: itself, or a checkpoint's entry; names without the prefix of DataParallel.

    Raises:
        HqpError: it is something else; the message says what.
    """
    if isinstance(state, dict) and isinstance(state.get(ENTRY), dict):
        state = state[ENTRY]
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        names = ", ".join(map(str, list(state)[:6])) if isinstance(state, dict) else ""
        held = f"a dict of {names or 'nothing'}" if isinstance(state, dict) else type(state).__name__
        raise HqpError(
            f"{path} holds {held}",
            f"names and tensors, or such a state dict under '{ENTRY}'",
            "torch.save(model.state_dict(), 'weights.pt')",
        )
    prefixed = all(name.startswith(PREFIX) for name in state)
    return {name.removeprefix(PREFIX) if prefixed else name: value for name, value in state.items()}


def write(path: Path, state: Mapping[str, Tensor]) -> None:
    """Writes a state dict as safetensors, each tensor with memory of its own."""
    save_file({name: value.detach().cpu().clone().contiguous() for name, value in state.items()}, path)


def fill(model: nn.Module, state: dict[str, Tensor], name: str) -> None:
    """Loads ``state`` into ``model``, in the model's own precision; ``name`` says where it came from.

    Raises:
        HqpError: names or shapes do not fit, or a weight is NaN or infinite.
    """
    expected = model.state_dict()
    absent = expected.keys() - state.keys()
    wrong = [f"{key} is missing" for key in absent if not key.endswith(UNUSED)]
    wrong += [f"{key} is not in the model" for key in state.keys() - expected.keys()]
    wrong += [
        f"{key} is {tuple(state[key].shape)}, not {tuple(expected[key].shape)}"
        for key in expected.keys() & state.keys()
        if state[key].shape != expected[key].shape
    ]
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise HqpError(f"{name} does not fit the model: {min(wrong)}{more}", "weights of the same model and classes")
    for key, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise HqpError(
                f"{name} holds NaN or infinity in {key}", "finite weights", "hqp train MODEL --dataset DATASET"
            )
    model.load_state_dict({**{key: expected[key] for key in absent}, **state})
    model.eval()
