"""Which tensor of an expert is which: up, gate, down and norms, told apart by shape, then by name.

Shapes decide wherever they can. Where two readings fit the same shapes, names and order choose one and the
other is kept as an alternative, which `eureka model check` tries.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from eureka.errors import InvalidCheckpointError
from eureka.model.adapter_tensors import Shape, Stem

_MATRIX_READINGS: dict[int, tuple[tuple[str, ...], ...]] = {
    2: (("up", "down"), ("gate_up", "down"), ("up_gate", "down")),
    3: (("gate", "up", "down"),),
}
_NAME_HINTS = {
    "up": r"up|fc1|w3|lin.*1|_in$",
    "gate": r"gate|w1",
    "gate_up": r"gate_?up|fc1|w1?3|_in$",
    "up_gate": r"up_?gate",
    "down": r"down|fc2|w2|lin.*2|_?out|c_proj",
}
_NORM_HINTS = {"input_norm": r"pre|_in|input", "hidden_norm": r"mid|hidden|inner", "output_norm": r"post|out"}


@dataclass(frozen=True, slots=True)
class ExpertReading:
    """One way to read an expert's tensors.

    Attributes:
        matrices: role (up, gate, gate_up, up_gate, down) -> linear.
        is_transposed: matrices are stored as (in, out).
        hidden_size: width inside the expert.
        output_size: width that it gives.
    """

    matrices: Mapping[str, Stem]
    is_transposed: bool
    hidden_size: int
    output_size: int

    @property
    def is_gated(self) -> bool:
        """Whether the expert multiplies two branches."""
        return len(self.matrices) == 3 or "up" not in self.matrices

    @property
    def roles(self) -> dict[str, str]:
        """Stem name -> role."""
        return {stem.name: role for role, stem in self.matrices.items()}


def read_matrices(
    stems: list[Stem], input_size: int, output_sizes: set[int], forced: Mapping[str, str]
) -> list[ExpertReading]:
    """All readings of an expert's linears that fit their shapes, the likeliest first.

    Args:
        stems: everything that one kind of expert holds.
        input_size: width of the token.
        output_sizes: widths that what follows can take.
        forced: stem name -> role, as an override gives them.

    Raises:
        InvalidCheckpointError: no reading fits.
    """
    matrices = [stem for stem in stems if stem.is_matrix]
    fitting = [
        reading
        for roles in _MATRIX_READINGS.get(len(matrices), ())
        for order in itertools.permutations(matrices)
        for reading in _readings_of(dict(zip(roles, order, strict=True)), input_size)
        if reading.output_size in output_sizes
        and all(reading.roles.get(name, role) == role for name, role in forced.items())
    ]
    if not fitting:
        shapes = ", ".join(f"{stem.name} {list(stem.shape)}" for stem in matrices) or "none"
        raise InvalidCheckpointError(
            f"no expert of input width {input_size} can be read from its matrices: {shapes}"
        )
    return sorted(fitting, key=_likelihood, reverse=True)


def _readings_of(matrices: dict[str, Stem], input_size: int) -> Iterator[ExpertReading]:
    for is_transposed in (False, True):
        shapes = {role: _oriented(stem.shape, is_transposed) for role, stem in matrices.items()}
        output_size, hidden_size = shapes.pop("down")
        widths = {role: (2 if "_" in role else 1) * hidden_size for role in shapes}
        if all(shapes[role] == (widths[role], input_size) for role in shapes):
            yield ExpertReading(matrices, is_transposed, hidden_size, output_size)


def _oriented(shape: Shape, is_transposed: bool) -> tuple[int, int]:
    rows, columns = shape
    return (columns, rows) if is_transposed else (rows, columns)


def _likelihood(reading: ExpertReading) -> tuple[bool, int, bool]:
    hits = sum(
        bool(re.search(_NAME_HINTS[role], _last_word(stem.name))) for role, stem in reading.matrices.items()
    )
    return not reading.is_transposed, hits, "up_gate" not in reading.matrices


def _last_word(name: str) -> str:
    words = [part for part in name.lower().split(".") if not part.isdigit() and part != "*"]
    return words[-1] if words else ""


def assign_norms(
    stems: list[Stem], widths: Mapping[str, int], linears: Mapping[str, Stem], forced: Mapping[str, str]
) -> list[dict[str, str]]:
    """All ways to put norms into places of their width, the likeliest first.

    Args:
        stems: vector weights, in natural order.
        widths: place -> width there, in the order of computation.
        linears: place -> the linear right behind it; module numbers are compared with its own.
        forced: stem name -> place, as an override gives them.

    Returns:
        Assignments stem name -> place, never empty.

    Raises:
        InvalidCheckpointError: a norm has no place.
    """
    order = list(widths)
    wishes = {stem.name: _norm_places(stem, widths, linears) for stem in stems}
    for name in wishes:
        if name in forced:
            wishes[name] = [place for place in wishes[name] if place == forced[name]]
    ways = [
        dict(zip(wishes, places, strict=True))
        for places in itertools.product(*wishes.values())
        if len(set(places)) == len(places)
    ]
    if not ways:
        listed = ", ".join(f"{stem.name} {list(stem.shape)}" for stem in stems)
        raise InvalidCheckpointError(f"norms without a place of their width among {dict(widths)}: {listed}")

    def cost(way: dict[str, str]) -> tuple[int, int]:
        places = [order.index(place) for place in way.values()]
        swaps = sum(a > b for a, b in itertools.combinations(places, 2))
        return sum(wishes[name].index(place) for name, place in way.items()), swaps

    return sorted(ways, key=cost)


def _norm_places(stem: Stem, widths: Mapping[str, int], linears: Mapping[str, Stem]) -> list[str]:
    fitting = [place for place, width in widths.items() if (width,) == stem.shape]
    number, parent = _module_number(stem.name)
    for place in fitting:
        if number is not None and place in linears and _is_before(number, parent, linears[place].name):
            return [place, *(other for other in fitting if other != place)]
    word = _last_word(stem.name)
    return sorted(reversed(fitting), key=lambda place: not re.search(_NORM_HINTS.get(place, "(?!)"), word))


def _module_number(name: str) -> tuple[int | None, str]:
    parent, _, last = name.rpartition(".")
    return (int(last), parent) if last.isdigit() else (None, parent)


def _is_before(number: int, parent: str, linear: str) -> bool:
    other_number, other_parent = _module_number(linear)
    return other_parent == parent and other_number is not None and number < other_number
