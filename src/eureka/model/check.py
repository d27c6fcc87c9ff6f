"""Settling what an adapter's shapes leave open, by the loss on a recording whose transcript is known.

eureka-audio section 4.4 rule 5: every open field and every role told by name only is tried; the combination
under which the model finds the known transcript most likely wins and is written to the override file.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from eureka.errors import InvalidCheckpointError
from eureka.model.adapter import MoeAdapter
from eureka.model.adapter_resolve import AdapterOverride, ResolvedAdapter
from eureka.model.adapter_spec import ACTIVATIONS, SHARED_PLACES
from eureka.model.eureka_audio import EurekaAudio
from eureka.model.load_plan import ADAPTER_PREFIX, LoadPlan, plan_load
from eureka.model.weights import load_checkpoint, read_adapter

MAX_EXHAUSTIVE_TRIALS = 96
"""Up to this many combinations all are tried; beyond, one choice at a time is improved until none helps."""

MAX_ROUNDS = 4
"""Rounds over all choices when they are improved one at a time."""

_EPS = {"layer_norm_eps": (1e-5, 1e-6), "rms_norm_eps": (1e-6, 1e-5, torch.finfo(torch.float32).eps)}
_ACTIVATION_CHOICES = tuple(name for name in ACTIVATIONS if name != "none")


@dataclass(frozen=True, slots=True)
class KnownPair:
    """A recording and its transcript, ready for the model.

    Attributes:
        log_mels: windows (M, F), as for `EurekaAudio.encode_windows`.
        num_audio_tokens: audio tokens of each window.
        prompt_ids: (L,) int64, the transcription prompt up to where the answer starts.
        is_audio: (L,) bool.
        target_ids: (N,) int64, the transcript and the end token.
    """

    log_mels: tuple[Tensor, ...]
    num_audio_tokens: tuple[int, ...]
    prompt_ids: Tensor
    is_audio: Tensor
    target_ids: Tensor


@dataclass(frozen=True, slots=True)
class Setting:
    """One value of one choice.

    Attributes:
        fields: `AdapterSpec` fields.
        roles: stem name -> role.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trial:
    """A combination and its mean loss per token of the transcript, in nats."""

    override: AdapterOverride
    loss: float


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Outcome of a check.

    Attributes:
        best: the trial with the lowest loss.
        trials: all, best first.
        path: the override file that was written, None when nothing was open.
    """

    best: Trial
    trials: tuple[Trial, ...]
    path: Path | None

    def to_dict(self) -> dict[str, Any]:
        """Plain object for JSON."""
        return {
            "loss": self.best.loss,
            "fields": self.best.override.fields,
            "roles": self.best.override.roles,
            "num_trials": len(self.trials),
            "override_file": str(self.path) if self.path else None,
        }


def check_checkpoint(
    folder: Path,
    pair: KnownPair,
    dtype: torch.dtype = torch.float32,
    on_trial: Callable[[Trial], None] | None = None,
) -> CheckResult:
    """Try what the shapes leave open and write the best combination to `adapter_override.json`.

    What an override file or config.json already says is kept.

    Args:
        folder: the checkpoint.
        pair: the known recording.
        dtype: of the computation.
        on_trial: is told each trial as it is done.

    Raises:
        InvalidCheckpointError: the checkpoint does not load, or gives no finite loss at all.
    """
    given = AdapterOverride.from_folder(folder)
    model, _ = load_checkpoint(folder, dtype, override=given)
    plan = plan_load(folder, given)
    judge = _Judge(folder, given, model, pair, on_trial)
    best = _search(open_choices(plan.adapter), judge)
    if not math.isfinite(best.loss):
        raise InvalidCheckpointError(f"{folder}: no combination of adapter fields gives a finite loss")
    is_open = best.override != given
    path = best.override.save(folder) if is_open else None
    trials = tuple(sorted(judge.trials.values(), key=lambda trial: trial.loss))
    return CheckResult(best, trials, path)


def open_choices(adapter: ResolvedAdapter) -> list[list[Setting]]:
    """The choices that neither shapes nor config settle; the first setting of each is the default."""
    names = set(adapter.unsettled)
    choices = [_routing(adapter, names), _simple("top_k", adapter, range(1, adapter.spec.num_experts + 1))]
    choices += [
        _simple("activation", adapter, _ACTIVATION_CHOICES),
        _simple("projection_activation", adapter, ACTIVATIONS),
        _simple("shared_place", adapter, SHARED_PLACES),
        *(_simple(name, adapter, values) for name, values in _EPS.items()),
    ]
    choices = [choice for choice in choices if len(choice) > 1 and set(choice[0].fields) & names]
    roles = [[Setting(roles=way) for way in ways] for ways in adapter.layout.alternatives]
    return choices + roles


def _simple(name: str, adapter: ResolvedAdapter, values: Iterable[Any]) -> list[Setting]:
    default = getattr(adapter.spec, name)
    return [Setting({name: value}) for value in dict.fromkeys([default, *values])]


def _routing(adapter: ResolvedAdapter, names: set[str]) -> list[Setting]:
    """Orders of softmax and selection; with no correction bias the first and the last are one function."""
    late = [
        {"routing_order": "softmax_then_select", "renormalise": False},
        {"routing_order": "softmax_then_select", "renormalise": True},
    ]
    if "routing_order" in names and adapter.origins["renormalise"] == "default":
        early = {"routing_order": "select_then_softmax", "renormalise": True}
        kinds = [early, *(late if adapter.spec.correction_bias else late[:1])]
        return [Setting(kind) for kind in kinds]
    if "routing_order" in names:
        return _simple("routing_order", adapter, ("select_then_softmax", "softmax_then_select"))
    return _simple("renormalise", adapter, (True, False))


class _Judge:
    """Measures combinations; encoder frames and prompt are computed once."""

    def __init__(
        self,
        folder: Path,
        given: AdapterOverride,
        model: EurekaAudio,
        pair: KnownPair,
        on_trial: Callable[[Trial], None] | None,
    ) -> None:
        self.trials: dict[str, Trial] = {}
        self._folder, self._given, self._model = folder, given, model
        self._on_trial = on_trial
        self._target_ids = pair.target_ids
        count = len(pair.target_ids) - 1
        self._ids = torch.cat([pair.prompt_ids, pair.target_ids[:count]])
        self._is_audio = functional.pad(pair.is_audio, (0, count))
        dtype = model.backbone.model.norm.weight.dtype
        with torch.inference_mode():
            windows = [log_mel.to(dtype) for log_mel in pair.log_mels]
            self._tokens = model.encode_windows(windows, pair.num_audio_tokens)

    def measure(self, settings: Iterable[Setting]) -> Trial:
        """The trial of one setting per choice."""
        fields, roles = dict(self._given.fields), dict(self._given.roles)
        for setting in settings:
            fields |= setting.fields
            roles |= setting.roles
        override = AdapterOverride(fields, roles)
        key = repr(override)
        if key not in self.trials:
            self.trials[key] = Trial(override, self._loss(override))
            if self._on_trial:
                self._on_trial(self.trials[key])
        return self.trials[key]

    def _loss(self, override: AdapterOverride) -> float:
        try:
            plan = plan_load(self._folder, override)
        except InvalidCheckpointError:
            return math.inf  # two choices of roles that exclude each other
        with torch.inference_mode():
            embeddings = self._adapter(plan)(self._tokens)
            prompt = self._model.embed_prompt(self._ids, self._is_audio, embeddings)
            hidden = self._model.backbone(prompt[None])[0, -len(self._target_ids) :]
            logits = self._model.backbone.logits(hidden).float()
            loss = functional.cross_entropy(logits, self._target_ids).item()
        return loss if math.isfinite(loss) else math.inf

    def _adapter(self, plan: LoadPlan) -> MoeAdapter:
        with torch.device("meta"):
            adapter = MoeAdapter(plan.adapter.spec)
        tensors = read_adapter(plan.stored, plan.adapter.layout, self._tokens.dtype)
        adapter.load_state_dict(
            {name.removeprefix(ADAPTER_PREFIX): tensor for name, tensor in tensors.items()}, assign=True
        )
        return adapter.eval()


def _search(choices: list[list[Setting]], judge: _Judge) -> Trial:
    """The best combination: among all when they are few, else by improving one choice at a time."""
    if math.prod(len(choice) for choice in choices) <= MAX_EXHAUSTIVE_TRIALS:
        trials = [judge.measure(settings) for settings in itertools.product(*choices)]
        return min(trials, key=lambda trial: trial.loss)
    current = [choice[0] for choice in choices]
    best = judge.measure(current)
    for _ in range(MAX_ROUNDS):
        before = best.loss
        for place, choice in enumerate(choices):
            for setting in choice:
                changed = [*current[:place], setting, *current[place + 1 :]]
                trial = judge.measure(changed)
                if trial.loss < best.loss:
                    best, current = trial, changed
        if best.loss >= before:
            break
    return best
