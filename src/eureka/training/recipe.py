"""Recipes: one TOML file a stage, read strictly into frozen dataclasses.

Every stage of a run shares `run_folder`; a stage reads what the stages before it left there.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from eureka.errors import InvalidInputError
from eureka.training.optimizer import OptimizerConfig
from eureka.training.schedule import ScheduleConfig

_T = TypeVar("_T")

PARTS = ("audio_encoder", "audio_moe_adaptor", "backbone")
DTYPES = ("bfloat16", "float32")
STAGES = ("data", "encoder", "cache", "decoder", "joint", "release")


@dataclass(frozen=True, slots=True)
class DataConfig:
    """Where the feature packs lie and how many synthetic clips are made.

    `dataflux` names folders of exports of `eureka dataflux export`; together they are the kind `dataflux`.
    """

    folder: str = "runs/data"
    synthetic_clips: int = 36_000
    num_workers: int = 1
    dataflux: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LossConfig:
    """Weights of the losses beside the next token."""

    balance: float = 0.02
    phones: float = 1.0
    events: float = 1.0
    label_smoothing: float = 0.05


@dataclass(frozen=True, slots=True)
class BatchConfig:
    """Fixed batch shapes: padded lengths and the total length of a batch.

    The unit is mel frames for encoder and joint stages, positions for the decoder stage.
    """

    buckets: tuple[int, ...] = (160, 240, 320, 400, 480, 640, 800, 1000)
    rows: int = 9_600
    accumulate: int = 1


@dataclass(frozen=True, slots=True)
class AlignConfig:
    """When real clips are aligned anew: shares of the stage, and the part of worst clips dropped."""

    at: tuple[float, ...] = ()
    dropped: float = 0.06


@dataclass(frozen=True, slots=True)
class CacheConfig:
    """Cached encoder outputs: clips a kind."""

    clips: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recipe:
    """One stage of a training run.

    Attributes:
        stage: one of STAGES.
        name: folder of the stage below run_folder.
        seed: seeds weights, data and augmentation.
        starts_from: name of the stage whose weights are taken up; empty starts afresh.
        release_folder: checkpoint folder that the release stage writes.
        reads_cache: name of the stage whose cache and alignment are read.
        mix: share of each kind of sample before the first alignment (encoder) or throughout.
        mix_aligned: shares once real clips are aligned; empty keeps `mix`.
        texts: share of each kind of text among those that are glued; the generator's own mix when empty.
        encoder_rate: factor on the learning rates of the encoder in the joint stage.
        augmentation: factor on how often each step of augmentation happens; 1 is the full policy.
        frozen: those of PARTS that do not train in the joint stage.
        dtype: dtype of the working copy, bfloat16 or float32.
        average: decay of the weight average (EMA); 0 switches it off.
        save_minutes: time between saves of the resumable state.
    """

    stage: str
    name: str
    run_folder: str = "runs/nano"
    seed: int = 1
    starts_from: str = ""
    reads_cache: str = "cache"
    release_folder: str = "checkpoints/eureka-nano"
    mix: dict[str, float] = field(default_factory=dict)
    mix_aligned: dict[str, float] = field(default_factory=dict)
    texts: dict[str, float] = field(default_factory=dict)
    encoder_rate: float = 0.3
    augmentation: float = 1.0
    frozen: tuple[str, ...] = ()
    dtype: str = "bfloat16"
    average: float = 0.0
    save_minutes: float = 3.0
    num_threads: int = 2
    data: DataConfig = field(default_factory=DataConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    batch: BatchConfig = field(default_factory=BatchConfig)
    align: AlignConfig = field(default_factory=AlignConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)

    @property
    def folder(self) -> Path:
        """Folder of this stage."""
        return Path(self.run_folder) / self.name

    def alignment(self, number: int) -> Path:
        """File of alignment `number` (from 1) of the real clips."""
        return self.folder / f"alignment-{number}.jsonl"

    def sibling(self, name: str) -> Path:
        """Folder of another stage of the run."""
        return Path(self.run_folder) / name


def read_recipe(path: Path) -> Recipe:
    """Read one TOML file.

    Raises:
        InvalidInputError: it cannot be read, or holds an unknown name or a value of the wrong type.
    """
    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"cannot read recipe {path}: {error}", reason="INVALID_RECIPE") from error
    recipe = build_table(Recipe, plain, str(path))
    if recipe.stage not in STAGES:
        raise InvalidInputError(f"{path}: stage must be one of {STAGES}", reason="INVALID_RECIPE")
    if not set(recipe.frozen) <= set(PARTS):
        raise InvalidInputError(f"{path}: frozen may name {PARTS}", reason="INVALID_RECIPE")
    if recipe.dtype not in DTYPES:
        raise InvalidInputError(f"{path}: dtype must be one of {DTYPES}", reason="INVALID_RECIPE")
    return recipe


def build_table(kind: type[_T], plain: dict[str, Any], where: str) -> _T:
    """A table of a recipe as the dataclass `kind`, tables within it as its fields say.

    Raises:
        InvalidInputError: reason INVALID_RECIPE; an unknown or missing name, or a value of the wrong type.
    """
    hints = get_type_hints(kind)
    unknown = sorted(set(plain) - set(hints))
    if unknown:
        message = f"{where}: unknown names {unknown}; known are {sorted(hints)}"
        raise InvalidInputError(message, reason="INVALID_RECIPE")
    values = {name: _value(hints[name], value, f"{where}: {name}") for name, value in plain.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise InvalidInputError(f"{where}: {error}", reason="INVALID_RECIPE") from error


def _value(hint: Any, value: Any, where: str) -> Any:
    """The value as the field holds it: tables become dataclasses, lists become tuples."""
    if is_dataclass(hint) and isinstance(hint, type) and isinstance(value, dict):
        return build_table(hint, value, where)
    if get_origin(hint) is tuple and isinstance(value, list):
        return tuple(_value(get_args(hint)[0], item, where) for item in value)
    if get_origin(hint) is dict and isinstance(value, dict):
        return {name: _value(get_args(hint)[1], item, where) for name, item in value.items()}
    if hint is bool and isinstance(value, bool):
        return value
    plain_types = tuple(t for t in (get_args(hint) or (hint,)) if isinstance(t, type))
    if float in plain_types:
        plain_types += (int,)
    if get_origin(hint) in (tuple, dict) or isinstance(value, bool) or not isinstance(value, plain_types):
        raise InvalidInputError(f"{where} cannot be {value!r}", reason="INVALID_RECIPE")
    return value
