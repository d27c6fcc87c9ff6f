"""How channels are secured, by the settings; for roots, and for the supervisor of the local stack."""

from __future__ import annotations

from eureka.clients.channels import ChannelTls
from eureka.runtime.settings_sections import TlsSettings


def channel_tls(tls: TlsSettings) -> ChannelTls | None:
    """TLS where the settings name whom to trust or who we are; None is plain text."""
    if tls.root_ca is None and tls.certificate is None:
        return None
    return ChannelTls(tls.root_ca, tls.key, tls.certificate)


def own_servers_tls(tls: TlsSettings) -> ChannelTls | None:
    """How the servers of this machine are reached: they speak TLS only with a certificate."""
    return None if tls.certificate is None else channel_tls(tls)
