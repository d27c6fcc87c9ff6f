"""The root of DataFlux: settings and a recipe become store, source, model and roles."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from eureka.dataflux.budget import Ledger
from eureka.dataflux.ears import Ear, GatewayEar, PipelineEar
from eureka.dataflux.endpoint import Endpoint, EndpointConfig
from eureka.dataflux.open_run import RoleParts, open_roles, open_source
from eureka.dataflux.recipe import FluxRecipe, parse_flux_recipe, read_flux_recipe
from eureka.dataflux.roles import Roles
from eureka.dataflux.sources import FolderSource
from eureka.dataflux.stages import ItemPipeline, RunPlan
from eureka.dataflux.store import RecordStore
from eureka.errors import InvalidInputError, NotFoundError
from eureka.runtime.settings import Settings
from eureka.runtime.storage import open_store
from eureka.runtime.tls import channel_tls
from eureka.storage.local import LocalObjectStore

IN_STORE = "store:"
"""A recipe's folder of this name puts records into the object store of the settings."""

CALL_SECONDS = 600.0
"""Of one call at a gateway, retries included."""


@dataclass(frozen=True, slots=True)
class FluxRun:
    """A run as views and workers need it: its recipe, its records, its ledger."""

    recipe: FluxRecipe
    text: str
    records: RecordStore
    ledger: Ledger

    @property
    def folder(self) -> Path:
        """Where report and export go by default."""
        base = self.recipe.folder if self.recipe.folder != IN_STORE else "runs/dataflux"
        return Path(base) / self.recipe.name


@dataclass(frozen=True, slots=True)
class Where:
    """Where `gateway` roles are answered: a gateway, or this process with a checkpoint (None: as set)."""

    gateway: str | None = None
    checkpoint: Path | None = None


def read_run(path: Path, settings: Settings) -> FluxRun:
    """The run of a recipe file.

    Raises:
        InvalidInputError: reason INVALID_RECIPE.
        EurekaError: the store is away.
    """
    read_flux_recipe(path)  # its errors name the file
    return run_of(path.read_text(encoding="utf-8"), str(path), settings)


def run_of(text: str, where: str, settings: Settings) -> FluxRun:
    """The run of a recipe's text; errors as of `read_run`."""
    recipe = parse_flux_recipe(text, where)
    in_store = recipe.folder == IN_STORE
    objects = open_store(settings.storage) if in_store else LocalObjectStore(Path(recipe.folder) / "records")
    records = RecordStore(objects, recipe.name)
    return FluxRun(recipe, text, records, Ledger(objects, records.spend_folder, recipe.budget))


@contextmanager
def open_pipeline(
    run: FluxRun, settings: Settings, where: Where
) -> Iterator[tuple[ItemPipeline, FolderSource]]:
    """The stages of a run, its models opened where roles need them.

    Raises:
        EurekaError: data, checkpoint or gateway cannot be used.
    """
    source, weakness = open_source(run.recipe, settings.data_folder)
    with ExitStack() as opened:
        ears: list[Ear] = []

        def ear() -> Ear:
            if not ears:
                ears.append(opened.enter_context(_open_ear(settings, where)))
            return ears[0]

        endpoints: list[Endpoint] = []

        def endpoint() -> Endpoint:
            if not endpoints:
                endpoints.append(opened.enter_context(closing(_open_endpoint(run, settings))))
            return endpoints[0]

        model = settings.dataflux.model
        roles: Roles = open_roles(RoleParts(run.recipe, source, weakness, ear, endpoint, model))
        yield ItemPipeline(source, roles, run.records), source


def _open_endpoint(run: FluxRun, settings: Settings) -> Endpoint:
    """The endpoint of the settings.

    Raises:
        InvalidInputError: reason NO_ENDPOINT; they name none.
    """
    chosen = settings.dataflux
    if not chosen.base_url:
        message = "a role is by openai; set EUREKA_DATAFLUX__BASE_URL to its endpoint, with /v1 at the end"
        raise InvalidInputError(message, reason="NO_ENDPOINT")
    config = EndpointConfig(
        chosen.base_url,
        chosen.api_key.get_secret_value(),
        chosen.timeout_seconds,
        chosen.max_attempts,
        chosen.first_pause_seconds,
        chosen.requests_per_minute,
        chosen.audio_tokens_per_second,
    )
    return Endpoint(config, run.ledger)


@contextmanager
def _open_ear(settings: Settings, where: Where) -> Iterator[Ear]:
    if where.gateway is not None:
        from eureka.clients.gateway import GatewayClient
        from eureka.types import Priority

        key = settings.api_key.get_secret_value() or None
        tls = channel_tls(settings.tls)
        with GatewayClient(
            where.gateway, key=key, tls=tls, timeout_seconds=CALL_SECONDS, priority=Priority.BULK
        ) as client:
            yield GatewayEar(client)
        return
    from eureka.cli.local import checkpoint_folder, open_local

    invariant = settings.model_copy(update={"batch_invariant": True})
    with open_local(invariant, where.checkpoint) as local:
        weights = _weights_digest(checkpoint_folder(settings, where.checkpoint))
        identity = ["local", local.config.name, weights, invariant.numerics, invariant.dtype]
        yield PipelineEar(local.embedder, local.decoder, identity)


def _weights_digest(folder: Path) -> str:
    """What tells one checkpoint's answers from another's."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def plan_of(run: FluxRun) -> RunPlan:
    """The plan that the run was started with last.

    Raises:
        NotFoundError: reason RUN_NOT_FOUND.
    """
    return RunPlan.of_plain(run.records.start()["plan"])


def remember(run: FluxRun, recipe: Path, plan: RunPlan, settings: Settings) -> None:
    """Keep what was started: beside the records, and as the last run of this checkout."""
    run.records.write_start({"recipe": run.text, "plan": plan.to_plain()})
    settings.stack.folder.mkdir(parents=True, exist_ok=True)
    _last_file(settings).write_text(json.dumps({"recipe": str(recipe.resolve())}), encoding="utf-8")


def last_recipe(settings: Settings) -> Path:
    """The recipe of the last run.

    Raises:
        NotFoundError: reason RUN_NOT_FOUND.
    """
    try:
        return Path(json.loads(_last_file(settings).read_text(encoding="utf-8"))["recipe"])
    except (OSError, ValueError, KeyError) as error:
        message = "no run of DataFlux was started here; name a recipe"
        raise NotFoundError(message, reason="RUN_NOT_FOUND") from error


def _last_file(settings: Settings) -> Path:
    return settings.stack.folder / "dataflux.json"
