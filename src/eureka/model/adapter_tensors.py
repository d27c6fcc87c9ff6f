"""Stored adapter tensors, grouped: which weight and bias belong together, and which are one per expert.

Names below `audio_moe_adaptor.` are not published, so nothing here depends on them beyond common habits: a
last part `weight` or `bias`, and numbers that count modules.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """One stored tensor, or with `index` one entry along its first axis."""

    tensor: str
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Bundle:
    """The same parameter of one module, or of each expert in a row.

    Attributes:
        shape: of one module's parameter.
        pieces: where each module's parameter is stored.
    """

    shape: Shape
    pieces: tuple[Piece, ...]

    def part(self, start: int, stop: int) -> Bundle:
        """The modules from start to stop."""
        return replace(self, pieces=self.pieces[start:stop])


@dataclass(frozen=True, slots=True)
class Stem:
    """A weight and the bias next to it; `*` in the name stands for the number of the expert."""

    name: str
    weight: Bundle | None = None
    bias: Bundle | None = None

    @property
    def shape(self) -> Shape:
        """Shape of the weight, or of the bias when it stands alone."""
        bundle = self.weight or self.bias
        assert bundle is not None, "a stem is made from at least one tensor"
        return bundle.shape

    @property
    def count(self) -> int:
        """Number of modules that the stem spans."""
        bundle = self.weight or self.bias
        return len(bundle.pieces) if bundle else 0

    @property
    def is_matrix(self) -> bool:
        """Whether this is a linear layer."""
        return self.weight is not None and len(self.weight.shape) == 2

    @property
    def norm_kind(self) -> str:
        """The norm that a vector weight is: a bias next to it makes a LayerNorm."""
        return "rms_norm" if self.bias is None else "layer_norm"

    def part(self, start: int, stop: int) -> Stem:
        """The modules from start to stop."""
        cut = [b.part(start, stop) if b else None for b in (self.weight, self.bias)]
        return Stem(self.name, *cut)


def split_name(name: str) -> tuple[str, bool]:
    """The stem of a tensor's name and whether the tensor is a bias.

    `a.weight` and `a.bias`, `a_weight` and `a_bias`, `w1` and `b1` share a stem; any other name is its own.
    """
    match = re.fullmatch(r"(.+)[._](weight|bias)", name)
    if match:
        return match[1], match[2] == "bias"
    match = re.fullmatch(r"(.*\.)?b(\d*)", name)
    if match:
        return f"{match[1] or ''}w{match[2]}", True
    return name, False


def natural_key(name: str) -> list[tuple[int, int | str]]:
    """Sort key that puts `layer.10` behind `layer.9`."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(p)) if p.isdigit() else (1, p) for p in parts if p]


def group_single(shapes: Mapping[str, Shape]) -> list[Stem]:
    """Stems of tensors that belong to one module each, in natural order of their names."""
    return _pair({name: Bundle(shape, (Piece(name),)) for name, shape in shapes.items()})


def group_numbered(shapes: Mapping[str, Shape], minimum: int) -> list[Stem]:
    """Stems that repeat with equal shapes under the numbers 0, 1, ..., at least `minimum` times.

    The leftmost number that fits counts the modules; each must hold a weight, biases follow theirs.
    """
    bundles: dict[str, Bundle] = {}
    taken: set[str] = set()
    for pattern, members in sorted(_families(shapes).items(), key=lambda item: item[0].index("*")):
        names = [members[i] for i in range(len(members)) if i in members]
        fits = len(names) == len(members) >= minimum and len({shapes[n] for n in names}) == 1
        if fits and not taken & set(names):
            bundles[pattern] = Bundle(shapes[names[0]], tuple(Piece(n) for n in names))
            taken |= set(names)
    return [stem for stem in _pair(bundles) if stem.weight]


def group_stacked(shapes: Mapping[str, Shape], minimum: int) -> list[Stem]:
    """Stems whose tensors hold all experts along a first axis of at least `minimum` entries.

    Three axes make a stack of matrices; beside such a stack, two axes with the same first one make a stack of
    vectors.
    """
    counts = {shape[0] for shape in shapes.values() if len(shape) == 3 and shape[0] >= minimum}
    return _pair(
        {
            name: Bundle(shape[1:], tuple(Piece(name, i) for i in range(shape[0])))
            for name, shape in shapes.items()
            if len(shape) in (2, 3) and shape[0] in counts
        }
    )


def tensors_of(stems: list[Stem]) -> set[str]:
    """Names of all stored tensors that the stems cover."""
    bundles = [b for stem in stems for b in (stem.weight, stem.bias) if b]
    return {piece.tensor for bundle in bundles for piece in bundle.pieces}


def _families(shapes: Mapping[str, Shape]) -> dict[str, dict[int, str]]:
    families: dict[str, dict[int, str]] = {}
    for name in shapes:
        parts = name.split(".")
        for place, part in enumerate(parts):
            if part.isdigit():
                pattern = ".".join([*parts[:place], "*", *parts[place + 1 :]])
                families.setdefault(pattern, {})[int(part)] = name
    return families


def _pair(bundles: Mapping[str, Bundle]) -> list[Stem]:
    stems: dict[str, Stem] = {}
    for name in sorted(bundles, key=natural_key):
        stem_name, is_bias = split_name(name)
        stem = stems.get(stem_name, Stem(stem_name))
        bundle = bundles[name]
        stems[stem_name] = replace(stem, bias=bundle) if is_bias else replace(stem, weight=bundle)
    return sorted(stems.values(), key=lambda stem: natural_key(stem.name))
