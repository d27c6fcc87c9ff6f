"""Names and shapes of all parameters of a model, from its configuration alone. No torch here.

They are those of the torch modules' state_dict, which a test holds them to.
"""

from __future__ import annotations

from eureka.model.adapter_spec import AdapterSpec
from eureka.model.adapter_tensors import Shape
from eureka.model.config import DecoderConfig, EncoderConfig

Shapes = dict[str, Shape]


def encoder_shapes(config: EncoderConfig) -> Shapes:
    """Parameters of the audio encoder."""
    width, inner = config.d_model, config.encoder_ffn_dim
    shapes: Shapes = {
        "conv1.weight": (width, config.num_mel_bins, 3),
        "conv1.bias": (width,),
        "conv2.weight": (width, width, 3),
        "conv2.bias": (width,),
        "embed_positions.weight": (config.max_source_positions, width),
    }
    layer: Shapes = {
        **_norm("self_attn_layer_norm", width),
        **_linear("self_attn.q_proj", width, width),
        "self_attn.k_proj.weight": (width, width),
        **_linear("self_attn.v_proj", width, width),
        **_linear("self_attn.out_proj", width, width),
        **_norm("final_layer_norm", width),
        **_linear("fc1", inner, width),
        **_linear("fc2", width, inner),
    }
    for number in range(config.encoder_layers):
        shapes |= {f"layers.{number}.{name}": shape for name, shape in layer.items()}
    return shapes | _norm("layer_norm", width)


def backbone_shapes(config: DecoderConfig) -> Shapes:
    """Parameters of the language model; `lm_head.weight` only where the head is not the embedding table."""
    width, inner, head_dim = config.hidden_size, config.intermediate_size, config.head_dim
    query_width, kv_width = config.num_attention_heads * head_dim, config.num_key_value_heads * head_dim
    layer: Shapes = {
        "input_layernorm.weight": (width,),
        "self_attn.q_proj.weight": (query_width, width),
        "self_attn.k_proj.weight": (kv_width, width),
        "self_attn.v_proj.weight": (kv_width, width),
        "self_attn.o_proj.weight": (width, query_width),
        "self_attn.q_norm.weight": (head_dim,),
        "self_attn.k_norm.weight": (head_dim,),
        "post_attention_layernorm.weight": (width,),
        "mlp.gate_proj.weight": (inner, width),
        "mlp.up_proj.weight": (inner, width),
        "mlp.down_proj.weight": (width, inner),
    }
    shapes: Shapes = {"model.embed_tokens.weight": (config.vocab_size, width)}
    for number in range(config.num_hidden_layers):
        shapes |= {f"model.layers.{number}.{name}": shape for name, shape in layer.items()}
    shapes["model.norm.weight"] = (width,)
    if not config.tie_word_embeddings:
        shapes["lm_head.weight"] = (config.vocab_size, width)
    return shapes


def adapter_shapes(spec: AdapterSpec) -> Shapes:
    """Parameters of the mixture-of-experts adapter."""
    shapes = _norm_of_kind("input_norm", spec.input_norm, spec.input_size)
    shapes["router.weight"] = (spec.num_experts, spec.input_size)
    if spec.router_bias:
        shapes["router.bias"] = (spec.num_experts,)
    if spec.correction_bias:
        shapes["router.correction_bias"] = (spec.num_experts,)
    shapes |= _experts("experts", spec, spec.num_experts, spec.expert_hidden_size)
    if spec.num_shared_experts:
        shapes |= _experts("shared_experts", spec, spec.num_shared_experts, spec.shared_hidden_size)
    shapes |= _norm_of_kind("mixed_norm", spec.mixed_norm, spec.expert_output_size)
    before = spec.expert_output_size
    for number, after in enumerate(spec.projection_sizes):
        shapes[f"projection.{number}.weight"] = (after, before)
        if spec.projection_bias:
            shapes[f"projection.{number}.bias"] = (after,)
        before = after
    if len(spec.projection_sizes) > 1:
        shapes |= _norm_of_kind("projection_norm", spec.projection_norm, spec.projection_sizes[0])
    return shapes | _norm_of_kind("output_norm", spec.output_norm, spec.output_size)


def _experts(name: str, spec: AdapterSpec, count: int, hidden_size: int) -> Shapes:
    """Experts of one bank, stacked along the first axis."""
    width_in, width_out = spec.input_size, spec.expert_output_size
    shapes: Shapes = {"up_weight": (count, hidden_size, width_in)}
    if spec.expert_up_bias:
        shapes["up_bias"] = (count, hidden_size)
    if spec.is_gated:
        shapes["gate_weight"] = (count, hidden_size, width_in)
        if spec.expert_up_bias:
            shapes["gate_bias"] = (count, hidden_size)
    shapes["down_weight"] = (count, width_out, hidden_size)
    if spec.expert_down_bias:
        shapes["down_bias"] = (count, width_out)
    norms = (
        ("input_norm", spec.expert_input_norm, width_in),
        ("hidden_norm", spec.expert_hidden_norm, hidden_size),
        ("output_norm", spec.expert_output_norm, width_out),
    )
    for norm, kind, width in norms:
        if kind != "none":
            shapes[f"{norm}_weight"] = (count, width)
        if kind == "layer_norm":
            shapes[f"{norm}_bias"] = (count, width)
    return {f"{name}.{parameter}": shape for parameter, shape in shapes.items()}


def _linear(name: str, after: int, before: int) -> Shapes:
    return {f"{name}.weight": (after, before), f"{name}.bias": (after,)}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _norm_of_kind(name: str, kind: str, width: int) -> Shapes:
    if kind == "layer_norm":
        return _norm(name, width)
    return {f"{name}.weight": (width,)} if kind == "rms_norm" else {}
