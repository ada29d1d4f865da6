"""How a model is trained, from what its file, its dataset's file and the defaults say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from hqp.errors import HqpError, UnknownName

if TYPE_CHECKING:
    from hqp.compress.training import TrainingRecipe

FINITE = ConfigDict(allow_inf_nan=False)
# Pixels: images of such sizes can be halved four times.
STEP = 16


def recipe_of(model: Any, dataset: Any, name: str) -> TrainingRecipe:
    """The default recipe, changed by ``training`` of the model, of the dataset, and ``training_on`` of this pair.

    ``name`` is the dataset's, by which ``training_on`` knows it.

    Raises:
        HqpError: one of them is no dict, or a field's name or type is wrong.
    """
    from hqp.compress.training import TrainingRecipe

    own, of_pair = getattr(model, "training", {}), getattr(model, "training_on", {})
    places = {
        "training of the model": own,
        "training of the dataset": getattr(dataset, "training", {}),
        "training_on of the model": of_pair.get(name, {}) if isinstance(of_pair, Mapping) else of_pair,
    }
    fields: dict[str, Any] = {}
    for place, stated in places.items():
        fields |= _fields(place, stated)
    return TrainingRecipe(**fields)


def at_size(recipe: TrainingRecipe, size: int) -> TrainingRecipe:
    """The recipe that ends at ``size`` pixels; the phases before grow alike."""
    last, _ = recipe.phases[-1]
    sizes = [max(1, round(before * size / last / STEP)) * STEP for before, _ in recipe.phases[:-1]]
    epochs = [count for _, count in recipe.phases]
    return replace(recipe, phases=tuple(zip([*sizes, size], epochs, strict=True)))


def last_phase(recipe: TrainingRecipe) -> TrainingRecipe:
    """The recipe for weights that are trained already: its last phase alone."""
    return replace(recipe, phases=recipe.phases[-1:])


def _fields(place: str, stated: Any) -> dict[str, Any]:
    """Fields of a recipe that a model or a dataset states, in the types that they have there.

    Raises:
        HqpError: they are no dict, a name is unknown, or a value is of another type.
    """
    from hqp.compress.training import TrainingRecipe

    types = get_type_hints(TrainingRecipe)
    if not isinstance(stated, Mapping):
        raise HqpError(f"{place} is {stated!r}", "a dict of fields and values", 'training = {"phases": ((48, 5),)}')
    for name in stated:
        if name not in types:
            raise UnknownName(f"field in {place}:", str(name), types, fix="")
    fields = {}
    for name, value in stated.items():
        try:
            fields[name] = TypeAdapter(types[name], config=FINITE).validate_python(value)
        except ValidationError as error:
            reason = error.errors(include_url=False, include_input=False)[0]["msg"]
            default = TrainingRecipe.__dataclass_fields__[name].default
            raise HqpError(f"{name} in {place} is {value!r} ({reason})", f"{default!r}, say") from None
    return fields
