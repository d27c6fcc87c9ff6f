"""The sections of the settings: audio, gateway, stages, Triton, TLS, storage, local stack.

Each field has its default, its unit where it has one, and a line of meaning. `settings.py` reads them.
"""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from eureka.engine.messages import MODELS
from eureka.errors import InvalidInputError

_PACKAGE_PARENT = Path(__file__).resolve().parents[3]


def checkout_root() -> Path:
    """Root of the checkout; the current folder when the package runs from a bare wheel."""
    return _PACKAGE_PARENT if (_PACKAGE_PARENT / "pyproject.toml").is_file() else Path.cwd()


def _from_root(path: Path) -> Path:
    """Absolute path; relative ones start at the checkout, so that commands work from any folder."""
    return Path(os.path.normpath(checkout_root() / path.expanduser()))


FolderPath = Annotated[Path, AfterValidator(_from_root)]
FilePath = Annotated[Path, AfterValidator(_from_root)]
OptionalFile = Annotated[FilePath | None, BeforeValidator(lambda given: None if given == "" else given)]
"""Empty is none: so a child process can be freed of a variable of its parent."""

Host = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:%\[\]-]+$")]
"""Name or address to listen at; an IPv6 address in brackets."""

Port = Annotated[int, Field(ge=0, le=65_535)]
"""0 picks a free one."""

Target = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:,/%\[\]-]+:\d+$")]
"""host:port, several addresses with commas, or a gRPC target such as dns:///name:port."""

TargetOrNothing = Annotated[str, Field(pattern=r"^([A-Za-z0-9._:,/%\[\]-]+:\d+)?$")]
"""As `Target`, or empty."""

Endpoint = Annotated[str, Field(pattern=r"^(https?://[A-Za-z0-9._:%\[\]-]+/?)?$")]
"""URL of a server without a path, or empty."""


def _without_blanks(key: SecretStr) -> SecretStr:
    if not all("!" <= letter <= "~" for letter in key.get_secret_value()):
        raise ValueError("a key holds visible ASCII only")
    return key


VisibleSecret = Annotated[SecretStr, AfterValidator(_without_blanks)]
"""Fit for a header; never printed."""

_MODELS = tuple(model.name for model in MODELS)
_FROZEN = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class AudioSettings(BaseModel):
    """Limits on audio from outside, and where silence begins."""

    model_config = _FROZEN

    max_decoded_seconds: float = Field(21_600.0, gt=0, le=604_800)
    """Seconds of audio that one file may decode to (6 h)."""
    max_bytes: int = Field(4 << 30, gt=0)
    """Size of one file in bytes (4 GiB)."""
    max_channels: int = Field(8, ge=1, le=64)
    """Channels of one stream; they are averaged."""
    min_source_hz: int = Field(4_000, ge=1)
    """Lowest sample rate of a file."""
    max_source_hz: int = Field(384_000, ge=1)
    """Highest sample rate of a file."""
    max_wall_seconds: float = Field(600.0, gt=0)
    """Seconds that the decoding of one file may take, waits for its consumer not counted."""
    max_memory_bytes: int = Field(2 << 30, gt=0)
    """Address space of a decoding child process (2 GiB)."""
    silence_dbfs: float = Field(-70.0, ge=-200, lt=0)
    """A span is silent when every 100 ms of it lie below this level, in dB of full scale."""
    num_workers: int = Field(1, ge=1, le=64)
    """Child processes that decode; each is started before the first file."""

    def limits(self) -> dict[str, Any]:
        """Keyword arguments of `eureka.audio.decode.DecodeLimits`."""
        return self.model_dump(exclude={"silence_dbfs", "num_workers"})


class GatewaySettings(BaseModel):
    """The public server."""

    model_config = _FROZEN

    host: Host = Field("127.0.0.1")
    """Where it listens; beyond loopback only with keys_file, or with open."""
    port: Port = Field(50_050)
    """gRPC port."""
    metrics_host: Host = Field("127.0.0.1")
    """Where the metrics are shown, without keys; 0.0.0.0 inside a cluster, for its Prometheus."""
    metrics_port: Port = Field(0)
    """HTTP port of the metrics."""
    encoder_target: Target = Field("127.0.0.1:50051")
    """The encoder service."""
    adapter_target: Target = Field("127.0.0.1:50052")
    """The adapter service; used with two_stage."""
    decoder_target: Target = Field("127.0.0.1:50053")
    """The decoder service."""
    embedding_path: Literal["fused", "two_stage"] = Field("fused")
    """fused: the encoder service embeds in one call; two_stage: encoder, then adapter, pools apart."""
    canary_encoder_target: TargetOrNothing = Field("")
    """The encoder service of a second checkpoint; empty with canary_decoder_target: there is none."""
    canary_adapter_target: TargetOrNothing = Field("")
    """Its adapter service; used with two_stage."""
    canary_decoder_target: TargetOrNothing = Field("")
    """Its decoder service."""
    canary_percent: int = Field(0, ge=0, le=100)
    """Of the calls that name no model, the share that it answers; who names one gets it."""
    max_concurrent: int = Field(256, ge=1)
    """Calls that run at a time; the next ones wait."""
    max_waiting: int = Field(256, ge=0)
    """Calls that may wait for that; beyond them RESOURCE_EXHAUSTED at once."""
    max_inline_bytes: int = Field(32 << 20, gt=0)
    """Bytes of audio inside a message (32 MiB); larger files go by Upload."""
    max_tenant_upload_bytes: int = Field(16 << 30, gt=0)
    """Bytes of all uploads that one tenant has at a time (16 GiB)."""
    max_tenant_uploads: int = Field(8, ge=1)
    """Uploads that one tenant sends at a time; the next one gets RESOURCE_EXHAUSTED."""
    min_free_upload_bytes: int = Field(1 << 30, ge=0)
    """Bytes that uploads leave free on their disk (1 GiB); beyond that RESOURCE_EXHAUSTED."""
    max_upload_bytes: int = Field(4 << 30, gt=0)
    """Bytes of one upload (4 GiB)."""
    upload_folder: FolderPath = Field(Path(".eureka/uploads"), validate_default=True)
    """Where uploads are kept; a relative path starts at the checkout."""
    upload_ttl_seconds: float = Field(3_600.0, gt=0)
    """Seconds after which an upload is deleted (1 h)."""
    keys_file: FilePath | None = Field(None, validate_default=True)
    """Hashed API keys, see `python -m eureka.runtime.keys`; without one nobody needs a key."""
    open: bool = Field(False)
    """Listen beyond loopback although there is no keys_file."""
    max_window_audio_seconds: float = Field(300.0, gt=0)
    """Audio seconds of one Transcribe or Caption; beyond them AUDIO_TOO_LONG."""
    drain_seconds: float = Field(0.0, ge=0)
    """Seconds between readiness off and refusing calls, for balancers to notice; 5 in a cluster."""
    grace_seconds: float = Field(30.0, ge=0)
    """Seconds that running calls get at a stop."""
    shares_port: bool = Field(False)
    """Let a process that takes over listen at the same ports, which must not be 0, and listen only once
    ready; the local stack sets it, for `eureka restart`."""


class StageSettings(BaseModel):
    """What every stage service has."""

    model_config = _FROZEN

    host: Host = Field("127.0.0.1")
    """Where it listens; stages have no keys and belong inside a cluster."""
    port: Port = Field(0)
    """gRPC port."""
    metrics_port: Port = Field(0)
    """HTTP port of the metrics."""
    triton_target: Target = Field("127.0.0.1:8001")
    """gRPC address of its Triton."""
    transport: Literal["inline", "shared_memory"] = Field("inline")
    """How tensors reach Triton; shared_memory needs both on one host."""
    max_concurrent: int = Field(64, ge=1)
    """Calls at a time; the next one gets RESOURCE_EXHAUSTED."""
    idle_timeout_seconds: float = Field(10.0, gt=0)
    """Seconds without a word from Triton after which a call counts as lost."""
    busy_timeout_seconds: float = Field(10.0, gt=0)
    """Seconds without an answer, while calls run, after which a silent model is loaded again; above the
    longest single inference."""
    drain_seconds: float = Field(0.0, ge=0)
    """Seconds between readiness off and refusing calls."""
    grace_seconds: float = Field(30.0, ge=0)
    """Seconds that running calls get at a stop."""
    shares_port: bool = Field(False)
    """Let a process that takes over listen at the same ports, which must not be 0, and listen only once
    ready; the local stack sets it, for `eureka restart`."""


class EncoderSettings(StageSettings):
    """The encoder service."""

    port: Port = Field(50_051)
    """gRPC port."""
    max_audio_seconds: float = Field(300.0, gt=0)
    """Audio seconds of one call; beyond them AUDIO_TOO_LONG."""


class AdapterSettings(StageSettings):
    """The adapter service."""

    port: Port = Field(50_052)
    """gRPC port."""


class DecoderSettings(StageSettings):
    """The decoder service."""

    port: Port = Field(50_053)
    """gRPC port."""


class TritonSettings(BaseModel):
    """The model server. It has no keys: the local stack has it on loopback, whatever host says."""

    model_config = _FROZEN

    host: Host = Field("127.0.0.1")
    """Where an image or a pod listens for gRPC and HTTP: loopback, or a network of stages only."""
    metrics_host: Host = Field("127.0.0.1")
    """Where an image or a pod shows its metrics, without keys."""
    http_port: Port = Field(8_000)
    """HTTP port."""
    grpc_port: Port = Field(8_001)
    """gRPC port."""
    metrics_port: Port = Field(8_002)
    """HTTP port of its metrics."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where models compute; auto takes a GPU that Triton has."""
    num_slots: int = Field(8, ge=1, le=1_024)
    """Requests that the decoder runs at a time; health probes have a slot more."""
    max_waiting: int = Field(64, ge=1)
    """Requests that wait for a slot; beyond them RESOURCE_EXHAUSTED."""
    start_timeout_seconds: float = Field(120.0, gt=0)
    """Seconds until all models must answer."""
    models: str = Field(",".join(_MODELS), pattern=rf"^({'|'.join(_MODELS)})(,({'|'.join(_MODELS)}))*$")
    """What an image or a pod loads; audio_frontend needs audio_encoder and moe_adapter before it."""
    grace_seconds: int = Field(30, ge=0)
    """Seconds that running answers get at a stop of an image or a pod."""


class TlsSettings(BaseModel):
    """PEM files for every server and channel; without them all is plain text."""

    model_config = _FROZEN

    certificate: OptionalFile = Field(None, validate_default=True)
    """Certificate chain of the servers, and of clients where client_ca asks for it."""
    key: OptionalFile = Field(None, validate_default=True)
    """Private key of the certificate."""
    root_ca: OptionalFile = Field(None, validate_default=True)
    """Whose servers channels trust."""
    client_ca: OptionalFile = Field(None, validate_default=True)
    """Whose clients servers let in; without it any."""


class StorageSettings(BaseModel):
    """Where objects lie: audio, plans and results of jobs."""

    model_config = _FROZEN

    kind: Literal["local", "s3"] = Field("local")
    """A folder of this machine, or a bucket of any server that speaks plain S3."""
    folder: FolderPath = Field(Path(".eureka/objects"), validate_default=True)
    """Folder of the local store; a relative path starts at the checkout."""
    endpoint: Endpoint = Field("")
    """Where the S3 server is, http://host:port or https://host:port; needed with s3."""
    bucket: str = Field("eureka", pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    """Bucket of all objects."""
    access_key: str = Field("", pattern=r"^[!-~]*$")
    """Id of the credentials; needed with s3."""
    secret_key: VisibleSecret = Field(SecretStr(""))
    """Secret of the credentials; needed with s3, never printed."""
    region: str = Field("us-east-1", pattern=r"^[A-Za-z0-9-]+$")
    """Region that requests are signed for."""
    public_endpoint: Endpoint = Field("")
    """What links name, where callers reach the server by another address; empty is endpoint."""
    public_region: str = Field("", pattern=r"^[A-Za-z0-9-]*$")
    """Region that links are signed for; empty is region."""
    path_style: bool = Field(True)
    """The bucket stands in the path of a request; false: in the host name."""
    ca_file: OptionalFile = Field(None, validate_default=True)
    """PEM of who signed the certificate of the server; without it the usual authorities."""
    create_bucket: bool = Field(False)
    """Make a missing bucket at start, and set its rules of expiry; else both are the operator's."""
    expire_days: str = Field("", pattern=r"^([^=,]+=[1-9]\d{0,3}(,[^=,]+=[1-9]\d{0,3})*)?$")
    """Prefixes and the days after which the server removes what lies below: uploads/=7,events/=30; used with
    create_bucket."""
    connect_timeout_seconds: float = Field(5.0, gt=0)
    """Seconds until a connection to the server must stand."""
    read_timeout_seconds: float = Field(30.0, gt=0)
    """Seconds between two pieces of an answer."""
    max_attempts: int = Field(6, ge=1, le=20)
    """Attempts of one request, with growing pauses; then STORE_UNAVAILABLE."""


class StackSettings(BaseModel):
    """The local stack: all components of one machine, as children of one supervisor."""

    model_config = _FROZEN

    folder: FolderPath = Field(Path(".eureka"), validate_default=True)
    """Where stack.json, the lock and the logs lie; a relative path starts at the checkout."""
    decoders: int = Field(1, ge=1, le=8)
    """Decoder services; calls go round among them."""
    workers: int = Field(1, ge=0, le=64)
    """Workers for jobs; 0 runs the stack without jobs."""
    redis_port: Port = Field(6_390)
    """Port of the stack's own Redis, on loopback."""
    start_timeout_seconds: float = Field(180.0, gt=0)
    """Seconds until a real inference must have come through the gateway."""
    grace_seconds: float = Field(35.0, ge=0)
    """Seconds that a component gets to end before it is killed; above the grace of the services."""


def check_exposure(gateway: GatewaySettings) -> None:
    """Refuse a gateway that would listen beyond loopback for everybody by accident.

    Raises:
        InvalidInputError: reason OPEN_WITHOUT_KEYS.
    """
    if is_loopback(gateway.host) or gateway.keys_file is not None or gateway.open:
        return
    raise InvalidInputError(
        f"the gateway would listen at {gateway.host} without keys. Set EUREKA_GATEWAY__KEYS_FILE (make keys "
        "with `python -m eureka.runtime.keys new`), listen at 127.0.0.1, or set EUREKA_GATEWAY__OPEN=true "
        "to let everybody in",
        reason="OPEN_WITHOUT_KEYS",
    )


def check_canary(gateway: GatewaySettings) -> None:
    """Refuse half a canary.

    Raises:
        InvalidInputError: reason INCOMPLETE_CANARY.
    """
    targets = {"ENCODER": gateway.canary_encoder_target, "DECODER": gateway.canary_decoder_target}
    if gateway.embedding_path == "two_stage":
        targets["ADAPTER"] = gateway.canary_adapter_target
    missing = [f"EUREKA_GATEWAY__CANARY_{name}_TARGET" for name, target in targets.items() if not target]
    if missing and (len(missing) < len(targets) or gateway.canary_percent):
        message = f"the second checkpoint is served by all stages or by none; set {', '.join(missing)}"
        raise InvalidInputError(message, reason="INCOMPLETE_CANARY")


def check_tls(tls: TlsSettings) -> None:
    """Refuse half a TLS setting.

    Raises:
        InvalidInputError: reason INCOMPLETE_TLS.
    """
    if (tls.certificate is None) is not (tls.key is None):
        message = "EUREKA_TLS__CERTIFICATE and EUREKA_TLS__KEY go together; only one is set"
        raise InvalidInputError(message, reason="INCOMPLETE_TLS")
    if tls.client_ca is not None and tls.certificate is None:
        message = "EUREKA_TLS__CLIENT_CA needs EUREKA_TLS__CERTIFICATE and EUREKA_TLS__KEY"
        raise InvalidInputError(message, reason="INCOMPLETE_TLS")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
