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

    def channel(target: str) -> grpc.aio.Channel:
        return open_channel(ChannelConfig(target, channel_tls(settings.tls), settings.max_message_bytes))

    return StageClients(
        channel(section.encoder_target),
        channel(section.adapter_target),
        channel(section.decoder_target),
        section.embedding_path,
        tracer,
    )
