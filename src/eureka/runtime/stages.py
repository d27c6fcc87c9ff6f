"""Clients of the stages that the settings name."""

from __future__ import annotations

import grpc

from eureka.clients.channels import ChannelConfig, open_channel
from eureka.clients.stages import StageClients
from eureka.runtime.settings import Settings
from eureka.runtime.tls import channel_tls
from eureka.spans import NO_TRACER, Tracer


def open_stages(settings: Settings, tracer: Tracer = NO_TRACER) -> StageClients:
    """Clients for the event loop that runs; the gateway's section says where the stages are."""
    section = settings.gateway
    return _clients(settings, section.encoder_target, section.adapter_target, section.decoder_target, tracer)


def open_canary(settings: Settings, tracer: Tracer = NO_TRACER) -> StageClients | None:
    """Clients of the stages that serve a second checkpoint; None where the settings name none."""
    section = settings.gateway
    if not section.canary_decoder_target:
        return None
    encoder, adapter = section.canary_encoder_target, section.canary_adapter_target
    # With the fused path nobody calls an adapter.
    return _clients(settings, encoder, adapter or encoder, section.canary_decoder_target, tracer)


def _clients(settings: Settings, encoder: str, adapter: str, decoder: str, tracer: Tracer) -> StageClients:
    def channel(target: str) -> grpc.aio.Channel:
        return open_channel(ChannelConfig(target, channel_tls(settings.tls), settings.max_message_bytes))

    path = settings.gateway.embedding_path
    return StageClients(channel(encoder), channel(adapter), channel(decoder), path, tracer)
