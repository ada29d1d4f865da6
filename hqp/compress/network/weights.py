"""Trained weights in models: what fits, and what is no weight."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from hqp.compress.network import tensors, wrappers
from hqp.compress.network.layers import give_biases, norms
from hqp.errors import HqpError

# Counts that only training reads: of batch normalisation, which torch wrote none of before 0.4.1, and of AveragedModel.
COUNTS = ("num_batches_tracked", "n_averaged")

# Of other kinds of number the values are not the weights: INT8 has a scale elsewhere, a complex number a second half.
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def write(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Writes a state dict as safetensors, each tensor with memory of its own, with text beside them."""
    owned = {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}
    tensors.save(owned, path, metadata)


def filled(model: nn.Module, path: Path) -> nn.Module:
    """The model, in place, with what ``write`` wrote of it, which may have biases that the model lacks."""
    state = load_file(path)
    give_biases(model, state)
    model.load_state_dict(state)
    return model


def named_as(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict by the model's names: what wrappers put before them is dropped where that makes them fit."""
    expected = model.state_dict().keys()
    named: dict[str, Tensor] = {}
    for name, value in state.items():
        fitting = next((one for one in wrappers.names(name) if one in expected), name)
        if fitting in named:  # of two that fit one name, neither is known to be right
            return dict(state)
        named[fitting] = value
    return named


def outputs(model: nn.Module, state: Mapping[str, Tensor]) -> int | None:
    """How many classes the weights are for, where that is all that keeps them from fitting the model.

    Then every tensor of another shape has another length, one and the same, in its first dimension.
    """
    given = named_as(model, state)
    # None stands for a shape that differs in more than its first dimension.
    lengths: set[int | None] = set()
    for name, values in model.state_dict().items():
        theirs = given.get(name, values)
        if theirs.shape == values.shape:
            continue
        only_longer = theirs.ndim == values.ndim and theirs.shape[1:] == values.shape[1:]
        lengths.add(theirs.shape[0] if only_longer else None)
    return lengths.pop() if len(lengths) == 1 else None


def fill(model: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Loads ``state`` into ``model``, in the model's own precision; ``name`` says where it came from.

    Raises:
        HqpError: names or shapes do not fit, or a value is no weight: NaN, infinite, of an integer or complex kind.
    """
    expected = model.state_dict()
    named = named_as(model, state)
    given = {key: value for key, value in named.items() if key in expected or not _is_count(key)}
    given |= _twins(expected, given)
    _require_fit(expected, given, name)
    for key, value in given.items():
        _require_numbers(key, value, expected[key], name)
    # Of what is absent, which are counts that only training reads, the model keeps its own.
    model.load_state_dict({**expected, **given})
    _require_variances(model, name)
    model.eval()


def _require_variances(model: nn.Module, name: str) -> None:
    for layer, norm in norms(model).items():
        if norm.running_var is not None and bool((norm.running_var < 0).any()):
            key = f"{layer}.running_var"
            raise HqpError(f"{name} holds a negative variance in {key}", "variances of 0 and more")


def _twins(expected: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that are not given under their own name, but under another that the model has for the same memory.

    So ``safetensors.torch.save_model`` writes weights that two layers share.
    """
    by_memory = {_memory(expected[name]): value for name, value in given.items() if name in expected}
    twins = {}
    for name in expected.keys() - given.keys():
        memory = _memory(expected[name])
        if memory in by_memory:
            twins[name] = by_memory[memory]
    return twins


def _memory(values: Tensor) -> tuple[int, torch.Size]:
    return values.data_ptr(), values.shape


def _is_count(key: str) -> bool:
    return key.endswith(COUNTS)


def _require_fit(expected: Mapping[str, Tensor], given: Mapping[str, Tensor], name: str) -> None:
    wrong = [f"{key} is missing" for key in expected.keys() - given.keys() if not _is_count(key)]
    wrong += [f"{key} is not in the model" for key in given.keys() - expected.keys()]
    for key in expected.keys() & given.keys():
        found, right = tuple(given[key].shape), tuple(expected[key].shape)
        if found != right:
            wrong.append(f"{key} is {found}, not {right}")
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise HqpError(f"{name} does not fit the model: {min(wrong)}{more}", "weights of the same model and classes")


def _require_numbers(key: str, value: Tensor, expected: Tensor, name: str) -> None:
    if value.layout != torch.strided or value.is_meta:
        raise HqpError(f"{name} holds no plain tensor in {key} ({value.layout}, {value.device})", "a dense tensor")
    kind = str(value.dtype).removeprefix("torch.")
    if expected.is_floating_point() and value.dtype not in FLOATS:
        raise HqpError(f"{name} holds {kind} in {key}", "float weights, before any quantisation")
    if not expected.is_floating_point() and value.is_complex() != expected.is_complex():
        raise HqpError(f"{name} holds {kind} in {key}", str(expected.dtype).removeprefix("torch."))
    if (value.is_floating_point() or value.is_complex()) and not bool(torch.isfinite(value).all()):
        raise HqpError(f"{name} holds NaN or infinity in {key}", "finite weights", "hqp train MODEL --dataset DATASET")
