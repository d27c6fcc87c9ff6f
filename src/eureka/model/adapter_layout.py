"""Reading an adapter's layout out of the shapes of its tensors; eureka-audio section 4.4.

The result says which fields of an `AdapterSpec` the shapes determine, and for every parameter of `MoeAdapter`
where it is stored. Roles: `router`, `router.correction_bias`, `input_norm`, `mixed_norm`, `projection.0`,
`projection.1`, `projection_norm`, `output_norm`, and below `experts.` and `shared_experts.`: `up`, `gate`,
`gate_up`, `up_gate` (fused, in this order), `down`, `input_norm`, `hidden_norm`, `output_norm`. A file whose
stems all bear these names, as our own checkpoints do, is read by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from eureka.errors import InvalidCheckpointError
from eureka.model.adapter_tensors import (
    Bundle,
    Shape,
    Stem,
    group_numbered,
    group_single,
    group_stacked,
    split_name,
    tensors_of,
)
from eureka.model.expert_roles import ExpertReading, assign_norms, read_matrices

Roles = Mapping[str, str]
"""Stem name -> role name."""


_EXPERT_ROLES = ("up", "gate", "gate_up", "up_gate", "down", "input_norm", "hidden_norm", "output_norm")

ROLE_NAMES = frozenset(
    ["router", "router.correction_bias", "input_norm", "mixed_norm", "projection.0", "projection.1"]
    + ["projection_norm", "output_norm"]
    + [f"{kind}.{role}" for kind in ("experts", "shared_experts") for role in _EXPERT_ROLES]
)
"""All roles that a stem can have."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where one parameter of the adapter is stored.

    Attributes:
        bundle: the stored tensors, one entry per expert.
        is_transposed: the stored matrix is (in, out).
        half: 0 or 1 when the tensor holds two branches along its output axis.
    """

    bundle: Bundle
    is_transposed: bool = False
    half: int | None = None


@dataclass(slots=True)
class AdapterLayout:
    """What tensor shapes tell about an adapter.

    Attributes:
        fields: `AdapterSpec` fields that the shapes determine.
        sources: parameter name of `MoeAdapter` -> where it is stored.
        roles: stem name -> role, for every stem.
        alternatives: groups of role maps that fit the same shapes; the first of each group is in use.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    alternatives: list[list[dict[str, str]]] = field(default_factory=list)


def read_layout(
    shapes: Mapping[str, Shape], input_size: int, output_size: int, forced: Roles | None = None
) -> AdapterLayout:
    """Read the layout of the tensors below `audio_moe_adaptor.`.

    Args:
        shapes: name (without the prefix) -> shape.
        input_size: width of a stacked audio token.
        output_size: width of the decoder.
        forced: roles by stem name, from an override.

    Raises:
        InvalidCheckpointError: a part is missing, fits nowhere, or fits in two places.
    """
    stems = {split_name(name)[0] for name in shapes}
    forced = {stem: stem for stem in stems} if stems <= ROLE_NAMES else dict(forced or {})
    return _Reader(dict(shapes), input_size, output_size, forced).read()


class _Reader:
    """One reading: takes stems out of `rest` until nothing is left."""

    def __init__(
        self, shapes: dict[str, Shape], input_size: int, output_size: int, forced: dict[str, str]
    ) -> None:
        self.rest = shapes
        self.input_size, self.output_size, self.forced = input_size, output_size, forced
        self.layout = AdapterLayout(fields={"input_size": input_size, "output_size": output_size})

    def read(self) -> AdapterLayout:
        router = self._take_router()
        num_experts = router.shape[0]
        stems = group_stacked(self.rest, num_experts) + group_numbered(self.rest, num_experts)
        self._drop(stems)
        self._take_router_biases(router, num_experts)
        shared = self._take_shared(stems, num_experts)
        linears = [stem for stem in group_single(self.rest) if stem.is_matrix]
        reading = self._read_experts("experts", [s.part(0, num_experts) for s in stems], linears)
        if shared:
            self._read_shared(shared, reading, linears)
        self._read_projection(linears, reading.output_size)
        self._refuse_rest()
        self._refuse_unused_roles()
        return self.layout

    def _take_router(self) -> Stem:
        stacked = {name for name, shape in self.rest.items() if len(shape) == 3}
        candidates = [
            stem
            for stem in group_single(self.rest)
            if stem.is_matrix and stem.shape[1] == self.input_size and self._count_experts(stem, stacked)
        ]
        forced = [stem for stem in candidates if self.forced.get(stem.name) == "router"]
        named = [stem for stem in candidates if re.search(r"rout|gate(?!.*up)|wg", stem.name)]
        for choice in (forced, candidates, named):
            if len(choice) == 1:
                self.layout.roles[choice[0].name] = "router"
                self.layout.fields |= {"num_experts": choice[0].shape[0]}
                self._put("router", choice[0])
                self._drop(choice)
                return choice[0]
        found = ", ".join(stem.name for stem in candidates) or "none"
        raise InvalidCheckpointError(
            f"the router is one matrix of {self.input_size} columns with a row per expert; found: {found}"
        )

    def _count_experts(self, router: Stem, stacked: set[str]) -> bool:
        """Whether there are as many experts as the router has rows, or more."""
        rows = router.shape[0]
        others = {name: shape for name, shape in self.rest.items() if name not in tensors_of([router])}
        if rows < 2:
            return False
        if any(self.rest[name][0] >= rows and self.input_size in self.rest[name][1:] for name in stacked):
            return True
        return any(s.is_matrix and self.input_size in s.shape for s in group_numbered(others, rows))

    def _take_router_biases(self, router: Stem, num_experts: int) -> None:
        self.layout.fields |= {"router_bias": router.bias is not None, "correction_bias": False}
        for stem in group_single(self.rest):
            if stem.shape != (num_experts,):
                continue
            role = self.forced.get(stem.name, "router.correction_bias")
            if role not in ("router.correction_bias", "router.bias"):
                continue
            bundle = stem.bias or stem.weight
            assert bundle is not None, "a stem holds a tensor"
            self._claim(role, Source(bundle))
            self.layout.fields["correction_bias" if "correction" in role else "router_bias"] = True
            self.layout.roles[stem.name] = role
            self._drop([stem])

    def _take_shared(self, stems: list[Stem], num_experts: int) -> list[Stem]:
        """Experts without a router row: behind the routed ones in their list, or in modules of their own."""
        behind = [s.part(num_experts, s.count) for s in stems if s.count > num_experts]
        stacked = group_stacked(self.rest, 1)
        inner = stacked or [s for s in group_single(self.rest) if self._is_shared_input(s)]
        if behind and inner:
            raise InvalidCheckpointError(f"shared experts stand in two places; one is {inner[0].name}")
        if behind or not inner:
            return behind
        if stacked:
            self._drop(stacked)
            return stacked
        parent = self._shared_parent(inner[0])
        below = {n: s for n, s in self.rest.items() if n.startswith(parent)}
        is_list = all(re.match(r"\d+\.", name.removeprefix(parent)) for name in below)
        own = group_numbered(below, 1) if is_list else group_single(below)
        self._drop(own)
        return own

    def _is_shared_input(self, stem: Stem) -> bool:
        if self.forced.get(stem.name, "").startswith("projection"):
            return False
        return stem.shape[1:] == (self.input_size,) and (
            "shared" in stem.name or self.input_size not in self._mixed_widths()
        )

    def _mixed_widths(self) -> set[int]:
        """Widths that the routed sum may have: what the first projection takes, or the output itself."""
        return {s.shape[1] for s in group_single(self.rest) if s.is_matrix} - {self.input_size} | {
            self.output_size
        }

    def _shared_parent(self, stem: Stem) -> str:
        """The module, up from a shared input projection, that holds the output projection as well."""
        parts = stem.name.split(".")
        for depth in range(len(parts) - 1, 0, -1):
            parent = ".".join(parts[:depth]) + "."
            members = group_single({n: s for n, s in self.rest.items() if n.startswith(parent)})
            if any(m.is_matrix and self.input_size not in m.shape for m in members):
                return re.sub(r"\d+\.$", "", parent)
        raise InvalidCheckpointError(f"no output projection stands beside {stem.name}")

    def _read_experts(
        self, prefix: str, stems: list[Stem], linears: list[Stem], only: int | None = None
    ) -> ExpertReading:
        forced = self._forced_below(prefix)
        widths = {s.shape[1] for s in linears} if only is None else {only}
        readings = read_matrices(stems, self.input_size, widths | {self.output_size}, forced)
        reading = readings[0]
        alike = [r.roles for r in readings if r.is_transposed == reading.is_transposed]
        self._note_alternatives(prefix, alike)
        for role, stem in reading.matrices.items():
            self.layout.roles[stem.name] = f"{prefix}.{role}"
            self._put_expert_linear(prefix, role, stem, reading.is_transposed)
        vectors = [s for s in stems if not s.is_matrix]
        places = {
            "input_norm": self.input_size,
            "hidden_norm": reading.hidden_size,
            "output_norm": reading.output_size,
        }
        first = next(stem for role, stem in reading.matrices.items() if role != "down")
        before = {"input_norm": first, "hidden_norm": reading.matrices["down"]}
        norms = self._read_norms(prefix + ".", vectors, places, before, separator="_")
        biases = {role: stem.bias is not None for role, stem in reading.matrices.items()}
        up_biases = {has for role, has in biases.items() if role != "down"}
        if len(up_biases) > 1:
            raise InvalidCheckpointError(f"of the input projections of {prefix} only some have a bias")
        found: dict[str, Any] = {
            "is_gated": reading.is_gated,
            "expert_up_bias": up_biases.pop(),
            "expert_down_bias": biases["down"],
        } | {f"expert_{place}": kind for place, kind in norms.items()}
        if prefix == "experts":
            found |= {
                "expert_hidden_size": reading.hidden_size,
                "expert_output_size": reading.output_size,
            }
            self.layout.fields |= found | {"num_shared_experts": 0, "shared_hidden_size": 0}
        else:
            self._compare_shared(found)
        return reading

    def _read_shared(self, stems: list[Stem], routed: ExpertReading, linears: list[Stem]) -> None:
        reading = self._read_experts("shared_experts", stems, linears, only=routed.output_size)
        self.layout.fields |= {
            "num_shared_experts": stems[0].count,
            "shared_hidden_size": reading.hidden_size,
        }
        if routed.output_size != self.output_size:
            is_late = reading.output_size == self.output_size
            self.layout.fields["shared_place"] = "after_projection" if is_late else "before_projection"

    def _compare_shared(self, found: dict[str, Any]) -> None:
        for name, value in found.items():
            if self.layout.fields[name] != value:
                raise InvalidCheckpointError(
                    f"shared experts differ from routed ones in {name}:"
                    f" {value} against {self.layout.fields[name]}"
                )

    def _read_projection(self, linears: list[Stem], mixed_size: int) -> None:
        chain = self._chain(linears, mixed_size)
        self._drop(chain)
        places = {"input_norm": self.input_size, "mixed_norm": mixed_size}
        if len(chain) > 1:
            places["projection_norm"] = chain[0].shape[0]
        places["output_norm"] = self.output_size
        before = dict(zip(("mixed_norm", "projection_norm"), chain, strict=False))
        vectors = [s for s in group_single(self.rest) if s.weight and len(s.shape) == 1]
        norms = self._read_norms("", vectors, places, before)
        self._drop(vectors)
        biases = {stem.bias is not None for stem in chain}
        if len(biases) > 1:
            raise InvalidCheckpointError("of the projection's linears only some have a bias")
        self.layout.fields |= {"projection_norm": "none"} | norms
        self.layout.fields |= {
            "projection_sizes": tuple(stem.shape[0] for stem in chain),
            "projection_bias": biases.pop() if biases else True,
        }
        for index, stem in enumerate(chain):
            self.layout.roles[stem.name] = f"projection.{index}"
            self._put(f"projection.{index}", stem)

    def _chain(self, linears: list[Stem], width: int) -> list[Stem]:
        """Linears in the order in which their widths join `width` to the output; names break ties."""
        wanted = {role: name for name, role in self.forced.items() if role.startswith("projection.")}
        chain: list[Stem] = []
        remaining = list(linears)
        while remaining:
            name = wanted.get(f"projection.{len(chain)}")
            fits = [s for s in remaining if s.shape[1] == width and name in (None, s.name)]
            # A square one leads nowhere new: it goes first, so that the other still fits.
            fits.sort(key=lambda s: s.shape[0] != width)
            if not fits:
                raise InvalidCheckpointError(
                    f"{remaining[0].name} {list(remaining[0].shape)} takes no width that the adapter has"
                    f" behind its experts ({width})"
                )
            chain.append(fits[0])
            remaining.remove(fits[0])
            width = fits[0].shape[0]
        if width != self.output_size or len(chain) > 2:
            raise InvalidCheckpointError(
                f"the adapter's {len(chain)} projections end at width {width},"
                f" the decoder takes {self.output_size}"
            )
        return chain

    def _read_norms(
        self,
        prefix: str,
        stems: list[Stem],
        places: Mapping[str, int],
        before: Mapping[str, Stem],
        separator: str = ".",
    ) -> dict[str, str]:
        forced = self._forced_below(prefix.rstrip(".")) if prefix else self.forced
        lone = next((s.name for s in stems if s.weight is None), None)
        if lone:
            raise InvalidCheckpointError(f"bias {lone} stands beside no weight")
        ways = assign_norms(stems, places, before, forced)
        self._note_alternatives(prefix.rstrip("."), ways)
        kinds = dict.fromkeys(places, "none")
        for stem in stems:
            place = ways[0][stem.name]
            kinds[place] = stem.norm_kind
            self.layout.roles[stem.name] = prefix + place
            self._put(prefix + place, stem, separator)
        return kinds

    def _put_expert_linear(self, prefix: str, role: str, stem: Stem, is_transposed: bool) -> None:
        for half, part in enumerate(role.split("_")):
            is_fused = "_" in role
            for kind, bundle in (("weight", stem.weight), ("bias", stem.bias)):
                if bundle:
                    is_turned = is_transposed and kind == "weight"
                    source = Source(bundle, is_turned, half if is_fused else None)
                    self._claim(f"{prefix}.{part}_{kind}", source)

    def _put(self, module: str, stem: Stem, separator: str = ".") -> None:
        for kind, bundle in (("weight", stem.weight), ("bias", stem.bias)):
            if bundle:
                self._claim(f"{module}{separator}{kind}", Source(bundle))

    def _claim(self, parameter: str, source: Source) -> None:
        if parameter in self.layout.sources:
            first, second = (s.bundle.pieces[0].tensor for s in (self.layout.sources[parameter], source))
            raise InvalidCheckpointError(f"both {first} and {second} would be {parameter}")
        self.layout.sources[parameter] = source

    def _note_alternatives(self, prefix: str, ways: list[dict[str, str]]) -> None:
        named = [{n: f"{prefix}.{r}" if prefix else r for n, r in way.items()} for way in ways]
        if len(named) > 1:
            self.layout.alternatives.append(named)

    def _forced_below(self, prefix: str) -> dict[str, str]:
        start = prefix + "."
        return {n: role.removeprefix(start) for n, role in self.forced.items() if role.startswith(start)}

    def _drop(self, stems: list[Stem]) -> None:
        for name in tensors_of(stems):
            self.rest.pop(name, None)

    def _refuse_rest(self) -> None:
        for name, shape in sorted(self.rest.items()):
            raise InvalidCheckpointError(f"adapter tensor {name} {list(shape)} has no place in the adapter")

    def _refuse_unused_roles(self) -> None:
        for name, role in self.forced.items():
            if self.layout.roles.get(name) != role:
                raise InvalidCheckpointError(f"override gives {name} the role {role}, which does not fit")


def claimed_shares(layout: AdapterLayout) -> Iterator[tuple[str, float]]:
    """(tensor, share that one parameter takes), to check that every tensor is used exactly once."""
    for source in layout.sources.values():
        share = 1.0 if source.half is None else 0.5
        for piece in source.bundle.pieces:
            yield piece.tensor, share
