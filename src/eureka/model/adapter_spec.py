"""What a sparse MoE adapter looks like: the fields that its module is built from.

eureka-audio section 4. Reading a specification out of a checkpoint's tensor shapes is in `adapter_layout`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from eureka.errors import InvalidCheckpointError
from eureka.model.config import EurekaConfig

NORM_KINDS = ("none", "layer_norm", "rms_norm")
ACTIVATIONS = ("silu", "gelu", "relu", "none")
ROUTING_ORDERS = ("select_then_softmax", "softmax_then_select")
SHARED_PLACES = ("before_projection", "after_projection")


@dataclass(frozen=True, slots=True)
class AdapterSpec:
    """Counts, widths and order of operations; defaults as eureka-audio section 4.1.

    Attributes:
        input_size: width of one stacked audio token.
        output_size: width of the decoder.
        num_experts: routed experts, E.
        top_k: experts that serve one token.
        expert_hidden_size: width inside one routed expert.
        expert_output_size: width that experts give and the projection takes.
        is_gated: experts compute down(act(gate(x)) * up(x)) instead of down(act(up(x))).
        expert_up_bias: biases at the expert's first projections.
        expert_down_bias: bias at the expert's last projection.
        expert_input_norm: norm of each expert on its input.
        expert_hidden_norm: norm of each expert behind the activation.
        expert_output_norm: norm of each expert on its output.
        num_shared_experts: experts that serve every token without a gate.
        shared_hidden_size: width inside one shared expert.
        shared_place: where the shared sum is added.
        activation: inside experts.
        router_bias: the router is a linear with a bias.
        correction_bias: a bias per expert that decides selection and leaves the gates alone.
        routing_order: softmax over the selected logits, or selection from the softmax over all.
        renormalise: gates of the selected sum to 1 (softmax_then_select only).
        input_norm: norm of the stacked token, before router and experts.
        mixed_norm: norm of the weighted sum, before the projection.
        projection_sizes: output widths of the linears behind the sum; empty for no projection.
        projection_bias: these linears have biases.
        projection_activation: between these linears.
        projection_norm: norm between two linears, behind the activation.
        output_norm: the last step.
        layer_norm_eps: of every LayerNorm.
        rms_norm_eps: of every RMSNorm.
    """

    input_size: int = 5120
    output_size: int = 2048
    num_experts: int = 8
    top_k: int = 4
    expert_hidden_size: int = 1280
    expert_output_size: int = 2048
    is_gated: bool = False
    expert_up_bias: bool = True
    expert_down_bias: bool = True
    expert_input_norm: str = "none"
    expert_hidden_norm: str = "none"
    expert_output_norm: str = "none"
    num_shared_experts: int = 0
    shared_hidden_size: int = 0
    shared_place: str = "before_projection"
    activation: str = "silu"
    router_bias: bool = False
    correction_bias: bool = False
    routing_order: str = "select_then_softmax"
    renormalise: bool = True
    input_norm: str = "none"
    mixed_norm: str = "none"
    projection_sizes: tuple[int, ...] = (2048,)
    projection_bias: bool = True
    projection_activation: str = "none"
    projection_norm: str = "none"
    output_norm: str = "layer_norm"
    layer_norm_eps: float = 1e-5
    rms_norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        """Refuse values that no adapter can have."""
        choices = {
            "shared_place": SHARED_PLACES,
            "activation": ACTIVATIONS,
            "routing_order": ROUTING_ORDERS,
            "projection_activation": ACTIVATIONS,
        } | {f.name: NORM_KINDS for f in fields(self) if f.name.endswith("_norm")}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise InvalidCheckpointError(
                    f"adapter field {name} must be one of {', '.join(allowed)}, not {getattr(self, name)!r}"
                )
        if not 1 <= self.top_k <= self.num_experts:
            raise InvalidCheckpointError(
                f"adapter field top_k must lie in 1..{self.num_experts} (num_experts), not {self.top_k}"
            )

    @classmethod
    def from_config(cls, config: EurekaConfig) -> AdapterSpec:
        """The specification of a new adapter: fields of `config.adapter`, else widths of the two neighbours.

        Raises:
            InvalidCheckpointError: an unknown field or a bad value.
        """
        width = config.backbone.hidden_size
        start = cls(
            input_size=config.adapter_input_size,
            output_size=width,
            expert_output_size=width,
            projection_sizes=(width,),
        )
        return start.replaced(config.adapter)

    def replaced(self, values: dict[str, Any]) -> AdapterSpec:
        """A copy with `values` put in, as read from JSON (lists become tuples).

        Raises:
            InvalidCheckpointError: an unknown field, a value of the wrong type or one out of range.
        """
        unknown = sorted(set(values) - {f.name for f in fields(self)})
        if unknown:
            raise InvalidCheckpointError(f"unknown adapter field {unknown[0]!r}")
        changes: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        for name, value in changes.items():
            if not _is_like(value, getattr(self, name)):
                raise InvalidCheckpointError(f"adapter field {name} cannot be {value!r}")
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain object for JSON."""
        return asdict(self) | {"projection_sizes": list(self.projection_sizes)}


def _is_like(value: Any, example: Any) -> bool:
    """Whether a value read from JSON has the type of a field."""
    if isinstance(value, bool) or isinstance(example, bool):
        return isinstance(value, bool) and isinstance(example, bool)
    if isinstance(example, tuple):
        return isinstance(value, tuple) and all(isinstance(v, int) and v > 0 for v in value)
    if isinstance(example, float):
        return isinstance(value, int | float) and value > 0
    if isinstance(example, int):
        return isinstance(value, int) and value >= 0
    return isinstance(value, type(example))
