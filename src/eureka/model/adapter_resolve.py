"""Settling every field of an `AdapterSpec`, from override, tensor shapes, config.json or defaults.

The first of these that tells wins; eureka-audio section 4.4, rules 3 and 5. The override file is
`adapter_override.json` in the checkpoint folder: an object of `AdapterSpec` fields, and under `roles` stem
names with their role (see `adapter_layout`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from eureka.errors import InvalidCheckpointError
from eureka.model.adapter_layout import AdapterLayout, read_layout
from eureka.model.adapter_spec import AdapterSpec
from eureka.model.adapter_tensors import Shape
from eureka.model.config import EurekaConfig

OVERRIDE_FILE = "adapter_override.json"
"""Name of the override file in a checkpoint folder."""


@dataclass(frozen=True, slots=True)
class AdapterOverride:
    """What a person, or `eureka model check`, decided about an adapter.

    Attributes:
        fields: `AdapterSpec` field -> value.
        roles: stem name -> role.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_folder(cls, folder: Path) -> AdapterOverride:
        """Read the override file; nothing is overridden where there is none.

        Raises:
            InvalidCheckpointError: the file is no JSON object or names an unknown field.
        """
        path = folder / OVERRIDE_FILE
        if not path.is_file():
            return cls()
        try:
            plain = dict(json.loads(path.read_text(encoding="utf-8")))
            roles = {str(name): str(role) for name, role in plain.pop("roles", {}).items()}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise InvalidCheckpointError(f"cannot read {path}: {error}") from error
        unknown = sorted(set(plain) - {f.name for f in fields(AdapterSpec)})
        if unknown:
            raise InvalidCheckpointError(f"{path}: unknown adapter field {unknown[0]!r}")
        return cls(plain, roles)

    def save(self, folder: Path) -> Path:
        """Write the override file into a checkpoint folder and give its path."""
        path = folder / OVERRIDE_FILE
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in self.fields.items()}
        if self.roles:
            plain["roles"] = self.roles
        path.write_text(json.dumps(plain, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        return path


@dataclass(frozen=True, slots=True)
class ResolvedAdapter:
    """A specification with the origin of each field.

    Attributes:
        spec: all fields.
        origins: field -> `override`, `shape`, `config` or `default`.
        layout: where each parameter is stored.
    """

    spec: AdapterSpec
    origins: dict[str, str]
    layout: AdapterLayout

    @property
    def unsettled(self) -> list[str]:
        """Fields that rest on a default and would change the result."""
        spec = self.spec
        matters = {
            "top_k": True,
            "routing_order": True,
            "renormalise": spec.routing_order == "softmax_then_select",
            "activation": True,
            "projection_activation": len(spec.projection_sizes) > 1,
            "shared_place": spec.num_shared_experts > 0,
            "layer_norm_eps": _uses_norm(spec, "layer_norm"),
            "rms_norm_eps": _uses_norm(spec, "rms_norm"),
        }
        return [name for name, counts in matters.items() if counts and self.origins[name] == "default"]


def resolve_adapter(
    shapes: Mapping[str, Shape], config: EurekaConfig, override: AdapterOverride
) -> ResolvedAdapter:
    """Read tensors below `audio_moe_adaptor.` (name without prefix -> shape) into a full specification.

    Raises:
        InvalidCheckpointError: the tensors fit no adapter, or config.json or the override disagrees.
    """
    layout = read_layout(shapes, config.adapter_input_size, config.backbone.hidden_size, override.roles)
    base = AdapterSpec(num_experts=layout.fields["num_experts"], top_k=1)
    told = {"override": base.replaced(override.fields), "config": base.replaced(config.adapter)}
    named = {"override": set(override.fields), "config": set(config.adapter)}
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for name in (f.name for f in fields(AdapterSpec)):
        for origin in ("override", "config"):
            if name in named[origin] and name in layout.fields:
                _compare(name, origin, getattr(told[origin], name), layout.fields[name])
        if name in named["override"]:
            values[name], origins[name] = getattr(told["override"], name), "override"
        elif name in layout.fields:
            values[name], origins[name] = layout.fields[name], "shape"
        elif name in named["config"]:
            values[name], origins[name] = getattr(told["config"], name), "config"
        else:
            values[name], origins[name] = _default(name, values), "default"
    return ResolvedAdapter(AdapterSpec(**values), origins, layout)


def _compare(name: str, origin: str, told: Any, found: Any) -> None:
    if told != found:
        raise InvalidCheckpointError(
            f"adapter field {name}: {origin} says {told!r}, the tensors' shapes say {found!r}"
        )


def _default(name: str, values: Mapping[str, Any]) -> Any:
    if name == "top_k":
        # Half of the experts, at most 4: 8/4, 16/4 and 4/2 of the adapter paper.
        return max(1, min(4, values["num_experts"] // 2))
    return AdapterSpec.__dataclass_fields__[name].default


def _uses_norm(spec: AdapterSpec, kind: str) -> bool:
    return any(getattr(spec, f.name) == kind for f in fields(spec) if f.name.endswith("_norm"))
