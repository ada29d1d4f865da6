"""Reading trained weights into a model: data only, never code."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from hqp.errors import Damaged, HqpError


def read(path: Path) -> dict[str, Tensor]:
    """The tensors in a weight file: safetensors, or a state dict saved by torch.

    Raises:
        HqpError: there is no such file, or it is a pickle that holds more than tensors.
        Damaged: it is cut off, or no weight file.
    """
    if not path.is_file():
        raise HqpError(f"there is no weight file {path}", fix="hqp train MODEL --dataset DATASET")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
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
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise HqpError(
            f"{path} holds no state dict", "names and tensors", "torch.save(model.state_dict(), 'weights.pt')"
        )
    return state


def fill(model: nn.Module, state: dict[str, Tensor], name: str) -> None:
    """Loads ``state`` into ``model``, in the model's own precision; ``name`` says where it came from.

    Raises:
        HqpError: names or shapes do not fit, or a weight is NaN or infinite.
    """
    expected = model.state_dict()
    wrong = [f"{key} is missing" for key in expected.keys() - state.keys()]
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
    model.load_state_dict(state)
    model.eval()
