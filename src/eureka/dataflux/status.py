"""How far a run is: what is kept and discarded, and what each stage let through."""

from __future__ import annotations

from typing import Any

from eureka.dataflux.budget import Spent
from eureka.dataflux.dataset import Dataset
from eureka.dataflux.records import Stage


def status_of(dataset: Dataset, spent: Spent) -> dict[str, Any]:
    """The plain object of `dataflux status --format json`.

    Args:
        dataset: assembled of the records that there are.
        spent: by roles that cost something.
    """
    outcomes = list(dataset.outcomes.values())
    reasons = dataset.reasons
    gave_up = [outcome.discarded for outcome in outcomes if outcome.discarded is not None]
    stages = {
        "items": {"total": dataset.num_items, "begun": len(outcomes)},
        "caption": {"done": sum(o.caption is not None for o in outcomes)},
        "questions": {"written": sum(len(o.questions) for o in outcomes)},
        "answers": {"answered": sum(len(o.answered) for o in outcomes)},
        "verdicts": {
            "judged": sum(len(o.verdicts) for o in outcomes),
            "accepted": sum(v.is_kept for o in outcomes for v in o.verdicts),
        },
        "dataset": {"kept": len(dataset.kept)},
    }
    for stage in Stage:
        stages[stage.value]["items_given_up"] = sum(given[0] is stage for given in gave_up)
    return {
        "kept": len(dataset.kept),
        "discarded": len(dataset.discarded),
        "stages": stages,
        "reasons": dict(sorted(reasons.items())),
        "complete": dataset.is_complete,
        "items_done": sum(o.is_done for o in outcomes),
        "cost": {"tokens": spent.tokens, "usd": round(spent.usd, 6)},
    }


def status_text(status: dict[str, Any]) -> str:
    """The same for people."""
    stages = status["stages"]
    lines = [
        f"items      {status['items_done']} of {stages['items']['total']} done",
        f"questions  {stages['questions']['written']} written",
        f"answers    {stages['answers']['answered']} answered",
        f"verdicts   {stages['verdicts']['accepted']} of {stages['verdicts']['judged']} accepted",
        f"kept       {status['kept']}",
        f"discarded  {status['discarded']}"
        + "".join(f"\n  {reason:<20} {count}" for reason, count in status["reasons"].items()),
    ]
    cost = status["cost"]
    if cost["tokens"]:
        lines.append(f"cost       {cost['tokens']} tokens, {cost['usd']:.4f} US dollars")
    return "\n".join(lines)
