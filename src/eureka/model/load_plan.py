"""Where each tensor of a checkpoint goes, found out from config and file headers alone. No torch here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eureka.errors import InvalidCheckpointError
from eureka.model.adapter_layout import AdapterLayout, Source, claimed_shares
from eureka.model.adapter_resolve import AdapterOverride, ResolvedAdapter, resolve_adapter
from eureka.model.adapter_tensors import Shape
from eureka.model.config import EurekaConfig
from eureka.model.expected_shapes import adapter_shapes, backbone_shapes, encoder_shapes
from eureka.model.load_report import LoadReport
from eureka.model.stored_tensors import StoredTensors

ENCODER_PREFIX = "audio_encoder.speech_encoder."
BACKBONE_PREFIX = "backbone."
ADAPTER_PREFIX = "audio_moe_adaptor."
CTC_PREFIX = "ctc_head."
HEAD = "backbone.lm_head.weight"

KNOWN_LEFTOVERS = frozenset(
    [f"audio_ffn_adaptor.{i}.{kind}" for i in (0, 1, 3, 4) for kind in ("weight", "bias")]
    + [f"audio_out_projection.{i}.{kind}" for i in (0, 1, 3) for kind in ("weight", "bias")]
    + ["audio_embed.weight", "audio_head.weight", "lm_head.weight"]
)
"""Tensors of the released file that its model does not use; eureka-audio section 4.4 rule 2."""


class PartArrays(Mapping[str, NDArray[np.float32]]):
    """Parameters of a part by their names in it, each read when it is asked for.

    A checkpoint of 16 bits that is taken over tensor by tensor so never stands in memory at 32.

    Args:
        stored: the checkpoint's tensors.
        prefix: in front of the names there.
        names: of the part's parameters.
    """

    def __init__(self, stored: StoredTensors, prefix: str, names: Iterable[str]) -> None:
        self._stored, self._prefix = stored, prefix
        self._names = dict.fromkeys(names)

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        if name not in self._names:
            raise KeyError(name)
        return self._stored.read(self._prefix + name)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What a checkpoint holds and where each of its tensors goes; made from file headers alone.

    Attributes:
        folder: the checkpoint.
        config: with `tie_word_embeddings` as the file has it.
        stored: its tensors.
        adapter: specification and sources of the adapter.
        skipped: known leftovers in the file.
        num_ctc_classes: rows of `ctc_head`; None without one.
    """

    folder: Path
    config: EurekaConfig
    stored: StoredTensors
    adapter: ResolvedAdapter
    skipped: tuple[str, ...]
    num_ctc_classes: int | None

    def expected_shapes(self) -> dict[str, Shape]:
        """Name -> shape of every parameter of the model that the plan describes."""
        shapes = {ENCODER_PREFIX + n: s for n, s in encoder_shapes(self.config.audio_encoder).items()}
        shapes |= {ADAPTER_PREFIX + n: s for n, s in adapter_shapes(self.adapter.spec).items()}
        shapes |= {BACKBONE_PREFIX + n: s for n, s in backbone_shapes(self.config.backbone).items()}
        if self.num_ctc_classes is not None:
            width = self.config.audio_encoder.d_model
            shapes |= {CTC_PREFIX + "weight": (self.num_ctc_classes, width)}
            shapes |= {CTC_PREFIX + "bias": (self.num_ctc_classes,)}
        return shapes

    def read_encoder(self) -> PartArrays:
        """Parameters of the encoder."""
        return self._read_part(ENCODER_PREFIX)

    def read_backbone(self) -> PartArrays:
        """Parameters of the language model; no `lm_head.weight` for a tied head."""
        return self._read_part(BACKBONE_PREFIX)

    def read_adapter(self) -> dict[str, NDArray[np.float32]]:
        """Parameters of the adapter, by their names in it; experts lie stacked along the first axis."""
        sources = self.adapter.layout.sources.items()
        return {name: _materialise(self.stored, source, is_per_expert(name)) for name, source in sources}

    def report(self) -> LoadReport:
        """What there is to say about this checkpoint."""
        counts = dict.fromkeys(("audio_encoder", "audio_moe_adaptor", "backbone"), 0)
        for name, shape in self.expected_shapes().items():
            part = name.split(".")[0]
            if part in counts:
                counts[part] += math.prod(shape)
        dtypes = sorted(set(self.stored.dtypes.values()))
        return LoadReport(
            name=self.config.name,
            folder=str(self.folder),
            windowing=self.config.windowing,
            num_tensors=len(self.stored.shapes),
            num_bytes=self.stored.num_bytes,
            dtypes={d: sum(t == d for t in self.stored.dtypes.values()) for d in dtypes},
            parameters=counts,
            head="tied" if self.config.backbone.tie_word_embeddings else "separate",
            adapter=self.adapter.spec.to_dict(),
            adapter_origins=self.adapter.origins,
            adapter_roles=dict(self.adapter.layout.roles),
            unsettled=tuple(self.adapter.unsettled),
            num_ambiguous_roles=len(self.adapter.layout.alternatives),
            skipped=self.skipped,
            num_ctc_classes=self.num_ctc_classes,
        )

    def _read_part(self, prefix: str) -> PartArrays:
        names = [name for name in self.expected_shapes() if name.startswith(prefix)]
        return PartArrays(self.stored, prefix, [name.removeprefix(prefix) for name in names])


def plan_load(folder: Path, override: AdapterOverride | None = None) -> LoadPlan:
    """Read config and file headers of a checkpoint and check that everything fits; strictly.

    Raises:
        InvalidCheckpointError: anything is missing, left over, of the wrong shape or in disagreement.
    """
    config = EurekaConfig.from_folder(folder)
    stored = StoredTensors(folder)
    is_tied = HEAD not in stored.shapes
    config = replace(config, backbone=replace(config.backbone, tie_word_embeddings=is_tied))
    stored_adapter = {
        name.removeprefix(ADAPTER_PREFIX): shape
        for name, shape in stored.shapes.items()
        if name.startswith(ADAPTER_PREFIX)
    }
    adapter = resolve_adapter(stored_adapter, config, override or AdapterOverride.from_folder(folder))
    skipped = tuple(sorted(KNOWN_LEFTOVERS & set(stored.shapes)))
    plan = LoadPlan(folder, config, stored, adapter, skipped, _ctc_classes(config, stored.shapes))
    expected = plan.expected_shapes()
    _check_adapter(adapter.layout, stored_adapter, expected)
    _check_plain(stored.shapes, expected, skipped)
    return plan


def _materialise(stored: StoredTensors, source: Source, has_experts: bool) -> NDArray[np.float32]:
    parts = []
    for piece in source.bundle.pieces:
        array = stored.read(ADAPTER_PREFIX + piece.tensor)
        array = array if piece.index is None else array[piece.index]
        array = array.swapaxes(-1, -2) if source.is_transposed else array
        parts.append(array if source.half is None else np.split(array, 2)[source.half])
    return np.stack(parts) if has_experts else np.ascontiguousarray(parts[0])


def is_per_expert(parameter: str) -> bool:
    """Whether a parameter of the adapter holds all experts along its first axis."""
    return parameter.startswith(("experts.", "shared_experts."))


def _ctc_classes(config: EurekaConfig, shapes: Mapping[str, Shape]) -> int | None:
    shape = shapes.get(CTC_PREFIX + "weight")
    return shape[0] if config.ctc_head and shape else None


def _check_adapter(layout: AdapterLayout, stored: Mapping[str, Shape], expected: Mapping[str, Shape]) -> None:
    """Parameters and sources match, and every stored adapter tensor is used exactly once."""
    wanted = {n.removeprefix(ADAPTER_PREFIX) for n in expected if n.startswith(ADAPTER_PREFIX)}
    odd = sorted(wanted ^ set(layout.sources))
    if odd:
        where = "has no tensor" if odd[0] in wanted else "is stored but not part of the adapter"
        raise InvalidCheckpointError(f"adapter parameter {odd[0]} {where}")
    used: dict[str, float] = dict.fromkeys(stored, 0.0)
    pieces = {name: 1 for name in stored}
    for source in layout.sources.values():
        for piece in source.bundle.pieces:
            if piece.index is not None:
                pieces[piece.tensor] = stored[piece.tensor][0]
    for tensor, share in claimed_shares(layout):
        used[tensor] += share / pieces[tensor]
    for tensor, share in used.items():
        if abs(share - 1) > 1e-6:
            raise InvalidCheckpointError(f"adapter tensor {tensor} is used {share:g} times instead of once")


def _check_plain(
    stored: Mapping[str, Shape], expected: Mapping[str, Shape], skipped: tuple[str, ...]
) -> None:
    """Every other tensor matches the model by name and shape, apart from known leftovers."""
    plain = {name: shape for name, shape in expected.items() if not name.startswith(ADAPTER_PREFIX)}
    for name, shape in plain.items():
        if name not in stored:
            raise InvalidCheckpointError(f"tensor {name} {list(shape)} is missing")
        if stored[name] != shape:
            raise InvalidCheckpointError(
                f"tensor {name} has shape {list(stored[name])}, config.json asks for {list(shape)}"
            )
    for name in sorted(stored):
        if name not in plain and name not in skipped and not name.startswith(ADAPTER_PREFIX):
            raise InvalidCheckpointError(f"unexpected tensor {name} {list(stored[name])}")
