"""A process that opens a checkpoint, answers once, and says so: `python ready.py FOLDER NUMERICS GRAPHS`.

Started afresh by `start.py`, which takes the time until the line is there. It imports no torch, as the local
commands do not.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from eureka.engine.audio_embedder import AudioEmbedder
from eureka.engine.choice import BackendChoice, open_backend
from eureka.engine.engine import Engine
from eureka.engine.request import Request
from eureka.model.load_plan import plan_load
from eureka.text.prompts import PromptBuilder
from eureka.text.tokenizer import Tokenizer
from eureka.types import SAMPLE_RATE_HZ, SamplingParams

NUM_SLOTS = 8


def answer(folder: Path, choice: BackendChoice) -> int:
    """Open everything and say one word about a second of silence; tokens of the answer."""
    plan = plan_load(folder)
    tokenizer = Tokenizer.from_folder(folder)
    embedder = AudioEmbedder.open(plan, choice)
    engine = Engine(open_backend(plan, choice, NUM_SLOTS), tokenizer.end_id)
    rows = embedder.embed([np.zeros(SAMPLE_RATE_HZ, dtype=np.float32)])
    prompt = PromptBuilder(tokenizer, plan.config).transcribe(len(rows))
    sampling = SamplingParams(max_new_tokens=1)
    request = Request("ready", prompt.prompt_ids, prompt.token_type_ids, rows, sampling=sampling)
    return sum(len(delta.token_ids) for delta in engine.submit(request))


def main() -> None:
    folder, numerics, graphs = sys.argv[1:]
    choice = BackendChoice(numerics="fast" if numerics == "fast" else "exact", cache_folder=Path(graphs))
    answer(Path(folder), choice)
    print("ready, torch imported:", "torch" in sys.modules, flush=True)


if __name__ == "__main__":
    main()
