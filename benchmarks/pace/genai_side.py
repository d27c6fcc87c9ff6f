"""The peer onnxruntime-genai: graphs of our decoder by its own builder, stepped through its generator.

Imports onnxruntime_genai, which `make bench-peers` installs beside the environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import onnxruntime_genai

from eureka.model.decoder import Decoder
from pace.transformers_side import qwen_of


def write_graphs(decoder: Decoder, scratch: Path, packages: Path) -> Path:
    """Build float32 graphs for the CPU below `scratch`, one thread each; their folder.

    Args:
        packages: where onnxruntime-genai is installed, for its builder is a program of its own.
    """
    source, graphs = scratch / "transformers", scratch / "graphs"
    qwen = qwen_of(decoder)
    qwen.config.architectures = [type(qwen).__name__]
    qwen.save_pretrained(source)
    command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-i", str(source)]
    command += ["-o", str(graphs), "-p", "fp32", "-e", "cpu"]
    environment = {**os.environ, "PYTHONPATH": str(packages)}
    done = subprocess.run(command, env=environment, cwd=scratch, capture_output=True, text=True)
    assert done.returncode == 0, f"its builder failed: {done.stderr.strip().splitlines()[-1:]}"
    _set_threads(graphs / "genai_config.json")
    return graphs


def _set_threads(path: Path) -> None:
    config = json.loads(path.read_text(encoding="utf-8"))
    options = config["model"]["decoder"].setdefault("session_options", {})
    options |= {"intra_op_num_threads": 1, "inter_op_num_threads": 1}
    path.write_text(json.dumps(config), encoding="utf-8")


class GenaiDecoder:
    """One sequence on one thread.

    Args:
        folder: of the graphs.
        context_tokens: longest sequence; its memory is taken at once.
    """

    def __init__(self, folder: Path, context_tokens: int) -> None:
        self._model = onnxruntime_genai.Model(str(folder))
        self._context_tokens = context_tokens

    def generate(self, prompt_ids: Sequence[int], num_tokens: int) -> tuple[list[int], float]:
        """Exactly so many greedy ids, and processor seconds of a step behind the prompt."""
        params = onnxruntime_genai.GeneratorParams(self._model)
        # Below its least length an answer cannot end.
        length = self._context_tokens
        params.set_search_options(max_length=length, min_length=length, do_sample=False)
        generator = onnxruntime_genai.Generator(self._model, params)
        generator.append_tokens(list(prompt_ids))
        ids = [self._next(generator)]
        started = time.process_time()
        ids += [self._next(generator) for _ in range(num_tokens - 1)]
        return ids, (time.process_time() - started) / (num_tokens - 1)

    def _next(self, generator: onnxruntime_genai.Generator) -> int:
        generator.generate_next_token()
        return int(generator.get_next_tokens()[0])
