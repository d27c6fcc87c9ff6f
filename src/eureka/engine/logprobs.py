"""Log-probabilities beside chosen tokens, for requests that ask for them."""

from __future__ import annotations

import numpy as np

from eureka.engine.request import Floats
from eureka.engine.scoring import log_softmax
from eureka.types import TokenLogprobs


def token_logprobs(logits: Floats, token_id: int, num_top: int) -> TokenLogprobs:
    """Log-probability of the chosen token and of the `num_top` best at its place; of equals lower ids first.

    Args:
        logits: (V,) as the backend gave them, before temperature and penalties.
        token_id: the chosen token; it need not be among the best.
        num_top: 1 or more; all V where it is larger.
    """
    logs = log_softmax(logits)
    num_top = min(num_top, logs.shape[0])
    least = np.partition(logs, -num_top)[-num_top]
    candidates = np.flatnonzero(logs >= least)
    best = candidates[np.argsort(-logs[candidates], kind="stable")][:num_top]
    return TokenLogprobs(token_id, float(logs[token_id]), tuple(best.tolist()), tuple(logs[best].tolist()))
