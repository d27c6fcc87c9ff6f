"""The network in torch (encoder, MoE adapter, decoder) and its checkpoints."""
