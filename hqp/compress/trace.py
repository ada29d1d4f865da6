"""Which channels of a network can only go together, found by running it on labels.

Beside every activation runs a tensor of labels of the same shape, one label to a channel. An operation that only moves
values (a view, a permutation, a concatenation, a slice) is run on the labels as it is, so that what it does to channels
need not be known. An element-wise operation joins the labels that meet in it. Convolutions, linear layers and batch
normalisations say which of their filters and inputs stand at which label. Whatever is not known to keep channels apart
holds them in place: a channel is removed only where every operation on its way was understood.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.weak import WeakIdKeyDictionary

from hqp.compress import attention

Role = Literal["filter", "norm", "input"]

# Where the code cuts a tensor through its channels, the parts may go evenly, each losing the same of its channels, as
# `chunk` and a view by numbers of groups allow; or the cut is by fixed numbers, and they stay.
Cuts = Literal["even", "fixed"]

FIXED = 0  # the label of what stays: the image, constants, the logits

MOVES = frozenset((
    "alias", "cat", "constant_pad_nd", "detach", "expand", "flip", "index_select", "permute", "pixel_shuffle",
    "pixel_unshuffle", "repeat", "roll", "select", "slice", "split", "split_with_sizes", "squeeze", "stack", "t",
    "transpose", "unbind", "unsqueeze",
))  # fmt: skip
VIEWS = frozenset(("view", "_unsafe_view", "_reshape_copy", "reshape", "_reshape_alias", "view_copy"))
COPIES = frozenset(("clone", "_to_copy", "contiguous", "lift_fresh_copy"))
PARTS = frozenset(("split", "split_with_sizes", "unbind"))
CHOICES = frozenset(("slice", "select", "index_select"))
# Element-wise, though torch does not mark them so.
ELEMENTWISE = frozenset(("hardswish", "hardswish_", "native_dropout", "log_sigmoid_forward"))
SUMS = frozenset(("add", "add_", "sub", "sub_", "rsub", "addcmul", "addcmul_", "lerp"))
# Over the positions of each channel: batch and channels come first, positions after.
OVER_POSITIONS = frozenset((
    "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_max_pool2d", "adaptive_max_pool3d", "avg_pool2d",
    "avg_pool3d", "max_pool2d_with_indices", "max_pool3d_with_indices", "reflection_pad2d", "replication_pad2d",
    "upsample_bicubic2d", "upsample_bilinear2d", "upsample_nearest2d", "_upsample_bilinear2d_aa",
    "_upsample_bicubic2d_aa",
))  # fmt: skip
# These take a tensor for its shape alone.
SHAPES = frozenset(
    ("zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full", "new_empty")
)
# Reductions, each with the place of the dimensions among its arguments.
REDUCTIONS = {"mean": 1, "sum": 1, "amax": 1, "amin": 1, "var": 1, "std": 1, "linalg_vector_norm": 2}


class Slot(NamedTuple):
    """One channel of one layer in one role; ``order`` is the layer's place in the model."""

    order: int
    role: Role
    channel: int


class Tied(NamedTuple):
    """Slots that can only go together, sorted; ``summed`` where a sum of two layers' outputs ties them."""

    slots: list[Slot]
    summed: bool


def channels(model: nn.Module, example: Tensor, parts: Mapping[Any, int], cuts: Cuts) -> list[Tied]:
    """Every set of slots that can only go together, in the order of its first filter.

    ``parts`` are the convolutions, linear layers and batch normalisations of the model, each with its place. A layer
    that the model does not call has no slots.

    Raises:
        Whatever the model raises on ``example``.
        TypeError: the model gives something other than a tensor.
    """
    tracer = _Tracer(cuts)
    with torch.no_grad(), tracer.watching(model, parts), tracer:
        output = model(example)
    if not isinstance(output, Tensor):
        raise TypeError(f"the model returns a {type(output).__name__}")
    tracer.fix(tracer.labels_of(output))
    found = (tied for tied in tracer.sets() if any(slot.role == "filter" for slot in tied.slots))
    return sorted(found, key=lambda tied: first_filter(tied.slots))


def first_filter(slots: Sequence[Slot]) -> Slot:
    """The filter after which a set is named."""
    return next(slot for slot in slots if slot.role == "filter")


class _Labels:
    """Labels from 0, joined two by two; ``FIXED`` stays the root of its set."""

    def __init__(self) -> None:
        self._parents = torch.zeros(1, dtype=torch.int64)

    def fresh(self, count: int) -> Tensor:
        """As many new labels, int64 (count,)."""
        start = len(self._parents)
        new = torch.arange(start, start + count)
        self._parents = torch.cat([self._parents, new])
        return new

    def roots(self, labels: Tensor) -> Tensor:
        """The label that stands for the set of each."""
        return self._parents[labels]

    def join(self, one: Tensor, other: Tensor) -> None:
        """Puts the sets of each pair of labels into one, represented by the lesser root."""
        pairs = torch.stack([self.roots(one).flatten(), self.roots(other).flatten()], 1)
        for left, right in torch.unique(pairs, dim=0).tolist():
            low, high = sorted((int(self._parents[left]), int(self._parents[right])))
            if low != high:
                self._parents[self._parents == high] = low


class _Tracer(TorchDispatchMode):
    """Carries labels along while a model runs."""

    def __init__(self, cuts: Cuts) -> None:
        super().__init__()
        self._cuts = cuts
        self._known = _Labels()
        self._labels: WeakIdKeyDictionary = WeakIdKeyDictionary()
        self._slots: dict[Slot, int] = {}
        self._sums: list[Tensor] = []
        self._heads: list[int] = []
        self._inside = 0

    # --- what is known of a tensor ---

    def labels_of(self, tensor: Tensor) -> Tensor:
        """The labels of a tensor, of its shape; of one that nothing is known of, fixed ones."""
        found = self._labels.get(tensor)
        return torch.full_like(tensor, FIXED, dtype=torch.int64) if found is None else self._known.roots(found)

    def fix(self, labels: Tensor) -> None:
        """Holds channels in place."""
        self._known.join(labels, torch.zeros_like(labels))

    def sets(self) -> Iterator[Tied]:
        """The slots of each set that can go."""
        found: defaultdict[int, list[Slot]] = defaultdict(list)
        for slot, label in self._slots.items():
            found[int(self._known.roots(torch.tensor(label)))].append(slot)
        summed = {root for labels in self._sums for root in self._known.roots(labels).unique().tolist()}
        return (Tied(sorted(slots), root in summed) for root, slots in found.items() if root != FIXED)

    # --- layers ---

    @contextmanager
    def watching(self, model: nn.Module, parts: Mapping[Any, int]) -> Iterator[None]:
        """While it lasts, layers report what stands at which label, and attention how many heads it has."""
        with ExitStack() as hooks:
            for module in model.modules():
                number = attention.heads(module)
                if number is not None:
                    hooks.enter_context(module.register_forward_pre_hook(lambda *_, n=number: self._heads.append(n)))
                    hooks.enter_context(module.register_forward_hook(lambda *_: self._leave_heads()))
            for part, order in parts.items():
                hooks.enter_context(part.register_forward_pre_hook(self._enter))
                hooks.enter_context(part.register_forward_hook(partial(self._leave, order)))
            yield

    def _leave_heads(self) -> None:
        self._heads.pop()  # and gives nothing: what a hook gives would take the place of the output

    def _enter(self, part: nn.Module, inputs: Any) -> None:
        self._inside += 1

    def _leave(self, order: int, part: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        given = self.labels_of(inputs[0])
        axis = given.ndim - 1 if isinstance(part, nn.Linear) else 1
        seen = self._collapsed(given, [dim for dim in range(given.ndim) if dim != axis]).flatten()
        if isinstance(part, _BatchNorm):
            self._stand(order, "norm", seen)
            self._label(output, given)
        else:
            self._stand(order, "input", seen)
            filters = self._known.fresh(part.weight.shape[0])
            self._stand(order, "filter", filters)
            self._tie_groups(part, filters, seen)
            shape = [len(filters) if dim == axis else 1 for dim in range(output.ndim)]
            self._label(output, filters.reshape(shape).expand(output.shape))
        self._inside -= 1

    def _stand(self, order: int, role: Role, labels: Tensor) -> None:
        """A layer called twice has its slots at two labels, which join."""
        for channel, label in enumerate(labels.tolist()):
            slot = Slot(order, role, channel)
            first = self._slots.setdefault(slot, label)
            if first != label:
                self._known.join(torch.tensor([first]), torch.tensor([label]))

    def _tie_groups(self, part: Any, filters: Tensor, inputs: Tensor) -> None:
        """Each convolution group of a grouped convolution goes as a whole, inputs and outputs."""
        groups = getattr(part, "groups", 1)
        if groups > 1:
            members = torch.cat([filters.reshape(groups, -1), inputs.reshape(groups, -1)], 1)
            self._known.join(members, members[:, :1].expand_as(members))

    # --- operations ---

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        if not self._inside and any(tensor in self._labels for tensor in _tensors((args, kwargs))):
            self._follow(func, args, kwargs, output)
        return output

    def _follow(self, func: Any, args: Any, kwargs: Any, output: Any) -> None:
        name = func.overloadpacket.__name__
        if name in SHAPES:
            return
        if name in COPIES:
            self._label(output, self.labels_of(args[0]))
        elif name in VIEWS:
            self._label(output, self._cut_evenly(self.labels_of(args[0]), output.shape))
        elif name in MOVES:
            self._move(func, name, args, kwargs, output)
        elif torch.Tag.pointwise in func.tags or name in ELEMENTWISE:
            self._join(_tensors((args, kwargs)), _tensors(output), sums=name in SUMS)
        elif name in OVER_POSITIONS:
            seen = self._collapsed(self.labels_of(args[0]), list(range(2, args[0].ndim)))
            for tensor in _tensors(output):
                self._label(tensor, seen.expand(tensor.shape))
        elif name in REDUCTIONS and isinstance(output, Tensor):
            dims = args[REDUCTIONS[name]] if len(args) > REDUCTIONS[name] else kwargs.get("dim")
            self._reduce(self.labels_of(args[0]), dims, output)
        elif name in ("_softmax", "_log_softmax"):
            self._even_out(self.labels_of(args[0]), args[1])
            self._label(output, self.labels_of(args[0]))
        elif name.startswith("_scaled_dot_product"):
            self._attend(args[:3], _tensors(output))
        elif name == "copy_":
            self._copy(args[0], args[1])
        else:
            self._hold(_tensors((args, kwargs)), _tensors(output))

    def _label(self, tensor: Tensor, labels: Tensor) -> None:
        self._labels[tensor] = labels

    def _hold(self, given: Iterable[Tensor], made: Iterable[Tensor]) -> None:
        """An operation that is not known mixes channels, for all that can be said."""
        for tensor in given:
            if tensor in self._labels:
                self.fix(self.labels_of(tensor))
        for tensor in made:
            self._label(tensor, torch.full_like(tensor, FIXED, dtype=torch.int64))

    def _move(self, func: Any, name: str, args: Any, kwargs: Any, output: Any) -> None:
        given = self.labels_of(args[0]) if isinstance(args[0], Tensor) else None
        if name in CHOICES and given is not None:
            dim = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % given.ndim
            if name != "slice" or output.shape[dim] != given.shape[dim]:
                self._fix_along(given, dim)
        if name == "index_select":
            made = func(given, *args[1:], **kwargs)
        elif name == "constant_pad_nd":
            made = func(given, args[1], FIXED)
        else:
            words, named = tree_map_only(Tensor, self.labels_of, (args, kwargs))
            made = func(*words, **named)
        for tensor, labels in zip(_tensors(output), _tensors(made), strict=True):
            self._label(tensor, labels)
        if name in PARTS and given is not None:
            place = 1 if name == "unbind" else 2
            self._part(_tensors(made), args[place] if len(args) > place else kwargs.get("dim", 0), given)

    def _part(self, parts: list[Tensor], dim: int, given: Tensor) -> None:
        if not _varies(given, dim % given.ndim):
            return
        even = self._cuts == "even" and all(part.shape == parts[0].shape for part in parts)
        for part in parts:
            self._known.join(part, parts[0]) if even else self.fix(part)

    def _cut_evenly(self, given: Tensor, shape: Sequence[int]) -> Tensor:
        """The labels in their new shape; where that cuts channels into several dimensions, they go evenly.

        What remains apart are the places along the last of these, or in attention the heads.
        """
        made = given.reshape(shape)
        cut = [dim for dim in range(made.ndim) if _varies(made, dim)]
        by_head = len(cut) > 1 and self._heads and made.shape[cut[-2]] == self._heads[-1]
        apart = cut[-2:-1] if by_head else cut[-1:]
        for dim in cut:
            if dim in apart:
                continue
            self._even_out(made, dim) if self._cuts == "even" else self.fix(made)
        return self._known.roots(made)

    def _even_out(self, labels: Tensor, dim: int) -> None:
        """What lies along a dimension goes together."""
        self._known.join(labels, labels.narrow(dim, 0, 1).expand_as(labels))

    def _fix_along(self, labels: Tensor, dim: int) -> None:
        if _varies(labels, dim):
            self.fix(labels)

    def _join(self, given: list[Tensor], made: list[Tensor], *, sums: bool) -> None:
        """Channels that meet in an element-wise operation go together; constants that differ along them hold them."""
        shape = made[0].shape
        labelled = [self.labels_of(tensor).expand(shape) for tensor in given if tensor in self._labels]
        thin = [_thinned(labels) for labels in labelled]
        for labels in thin[1:]:
            pair = torch.broadcast_tensors(thin[0], labels)
            if sums:
                self._sums.append(pair[0][self._known.roots(pair[0]) != self._known.roots(pair[1])])
            self._known.join(*pair)
        for tensor in given:
            if tensor not in self._labels:
                for dim in range(-tensor.ndim, 0):
                    if tensor.shape[dim] > 1:
                        self._fix_along(self._known.roots(labelled[0]), dim % len(shape))
        for tensor in made:
            self._label(tensor, self._known.roots(labelled[0]))

    def _attend(self, given: Sequence[Tensor], made: list[Tensor]) -> None:
        """Queries, keys and values (n, heads, tokens, channels) of a head go together."""
        labelled = [self.labels_of(tensor) for tensor in given]
        for labels in labelled:
            self._even_out(labels, -1)
            self._known.join(labels[:1, :, :1, :1], labelled[0][:1, :, :1, :1])
        self._hold((), made[1:])
        self._label(made[0], self._known.roots(labelled[2][..., :1, :1]).expand(made[0].shape))

    def _reduce(self, given: Tensor, dims: int | Sequence[int] | None, output: Tensor) -> None:
        over = [dims] if isinstance(dims, int) else dims or range(given.ndim)
        self._label(output, self._collapsed(given, [dim % given.ndim for dim in over]).reshape(output.shape))

    def _copy(self, target: Tensor, source: Tensor) -> None:
        """Writes the labels of what is written; through a view they reach the whole that it is a view of."""
        if target not in self._labels:
            self.fix(self.labels_of(source))
            return
        self._known.join(self._labels[target], self.labels_of(source).expand(target.shape))

    def _collapsed(self, labels: Tensor, dims: list[int]) -> Tensor:
        """The labels with these dimensions of length 1; what differed along them is held in place."""
        thin = _thinned(labels, dims)
        if dims:
            low, high = thin.amin(dims, keepdim=True), thin.amax(dims, keepdim=True)
            mixed = (low != high).expand_as(thin)
            if mixed.any():
                self.fix(thin[mixed])
            thin = low
        return self._known.roots(thin)


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _thinned(labels: Tensor, dims: Iterable[int] | None = None) -> Tensor:
    """The labels without the repetitions that an expansion made, each such dimension of length 1."""
    for dim in range(labels.ndim) if dims is None else dims:
        if labels.stride(dim) == 0 and labels.shape[dim] > 1:
            labels = labels.narrow(dim, 0, 1)
    return labels


def _varies(labels: Tensor, dim: int) -> bool:
    """Whether channels change along a dimension."""
    thin = _thinned(labels)
    return bool((thin != thin.narrow(dim, 0, 1)).any())
