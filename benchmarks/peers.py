"""Speed against other engines that run our weights: `make bench-peers`.

Installs each engine into a folder of its own beside the environment, which stays as it is. One that does not
install, or does not run here, is a skipped row with its reason. Rows are merged into benchmarks/results.json.

    python benchmarks/peers.py [--only llama,genai] [--quick] [--output FILE]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from pace.figures import Row, Skipped, compare, in_turns
from pace.results import REPOSITORY, RESULTS, add_rows, read_report, to_markdown
from pace.same_ids import judge
from pace.sides import Asked, NotThereError, Numerics, Side, engine_step_seconds, torch_model
from pace.suite import Suite

from eureka.engine.reference import ReferenceBackend
from eureka.runtime.settings import Settings
from eureka.text.prompts import Prompt

PEERS = REPOSITORY / ".cache" / "peers"
PACKAGES = {
    "llama": ("llama-cpp-python==0.3.36", "gguf==0.19.0", "diskcache==5.6.3"),
    "genai": ("onnxruntime-genai==0.18.0", "onnx-ir==1.1.0"),
}
INSTALL_SECONDS = 3600
"""llama.cpp is built from source: 25 minutes on two busy cores."""

PROMPT_TOKENS, NUM_TOKENS, NUM_ROUNDS = 400, 64, 9
CONTEXT_TOKENS = 1024


class Peer(Protocol):
    """Another engine, on one thread."""

    def generate(self, prompt_ids: Sequence[int], num_tokens: int) -> tuple[list[int], float]:
        """Exactly so many greedy ids, and processor seconds of a step behind the prompt."""
        ...


def install(name: str) -> None:
    """Put the packages of a peer where this process finds them.

    Raises:
        NotThereError: they do not install.
    """
    folder = PEERS / name
    if not (folder / ".ready").exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade"]
        command += ["--target", str(folder), *PACKAGES[name]]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise NotThereError(f"{PACKAGES[name][0]} was not installed in {INSTALL_SECONDS} s") from error
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or ["no message"]
            raise NotThereError(f"{PACKAGES[name][0]} does not install: {last[0]}")
        (folder / ".ready").touch()
    sys.path.append(str(folder))


def llama(suite: Suite) -> Iterator[Row]:
    """llama.cpp: Q8_0 against fast numerics, and F32 against exact ones."""
    install("llama")
    for name, kind, numerics in (("C2", "Q8_0", "fast"), ("C2_exact", "F32", "exact")):
        with tempfile.TemporaryDirectory(prefix="eureka-bench-") as scratch:
            yield _llama_row(suite, name, kind, numerics, Path(scratch) / f"{kind}.gguf")


def _llama_row(suite: Suite, name: str, kind: str, numerics: Numerics, path: Path) -> Row:
    from pace.llama_side import LlamaDecoder, write_gguf

    write_gguf(torch_model(suite.checkpoint).backbone, path, kind)
    peer = LlamaDecoder(path, CONTEXT_TOKENS)
    return row_against(suite, name, numerics, peer, f"llama.cpp {kind}, step and argmax")


def genai(suite: Suite) -> Iterator[Row]:
    """onnxruntime-genai: its own graphs of our decoder, float32."""
    install("genai")
    from pace.genai_side import GenaiDecoder, write_graphs

    with tempfile.TemporaryDirectory(prefix="eureka-bench-") as scratch:
        folder = write_graphs(torch_model(suite.checkpoint).backbone, Path(scratch), PEERS / "genai")
        peer = GenaiDecoder(folder, CONTEXT_TOKENS)
        yield row_against(suite, "genai", "exact", peer, "onnxruntime-genai float32")


def row_against(suite: Suite, name: str, numerics: Numerics, peer: Peer, what: str) -> Row:
    """Our engine and a peer in turns on the same prompt."""
    asked, count = token_prompt(suite), suite.size(NUM_TOKENS, 8)
    prompt_ids = asked.prompt.prompt_ids.tolist()
    side = Side(suite.checkpoint, numerics)
    engine = side.engine(num_slots=1)
    sides: dict[str, Callable[[], float]] = {
        "own": lambda: engine_step_seconds(engine, [asked], count),
        "peer": lambda: peer.generate(prompt_ids, count)[1],
    }
    spent = in_turns(sides, suite.rounds(NUM_ROUNDS))
    same = _share_of_reference(suite, asked, peer.generate(prompt_ids, count)[0])
    note = f"{side.name} against {what}; {PROMPT_TOKENS} ids before; processor time, 1 thread; {same:.0%} of"
    note += " its ids are the reference's, led along"
    return Row(name, compare(spent["own"], spent["peer"], "ms a step", 1000.0), note)


def token_prompt(suite: Suite) -> Asked:
    """Ids alone, so that peers without a way for embeddings take the same prompt; drawn."""
    config = torch_model(suite.checkpoint).config.backbone
    ids = np.random.default_rng(0).integers(config.vocab_size, size=PROMPT_TOKENS)
    return Asked(Prompt(ids, np.zeros_like(ids)), np.zeros((0, config.hidden_size), dtype=np.float32))


def _share_of_reference(suite: Suite, asked: Asked, ids: Sequence[int]) -> float:
    """How many of a peer's ids the reference would have chosen, too: a peer that computes nonsense shows."""
    reference = ReferenceBackend(torch_model(suite.checkpoint).backbone, 1)
    steps = judge(reference, asked, ids, penalty=1.0)
    return (steps.num_same + steps.num_tied) / steps.num_all


PARTS: dict[str, tuple[tuple[str, ...], Callable[[Suite], Iterator[Row]]]] = {
    "llama": (("C2", "C2_exact"), llama),
    "genai": (("genai",), genai),
}
"""Name of a part -> its rows, and what makes them."""


def run_part(name: str, suite: Suite) -> list[Row]:
    """Rows of a peer; skipped ones where it does not install or run."""
    names, part = PARTS[name]
    rows: list[Row] = []
    try:
        rows.extend(part(suite))
    except NotThereError as error:
        reason = str(error)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
    done = {row.name for row in rows}
    return rows + [Row(name, Skipped(reason)) for name in names if name not in done]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="speed against other engines that run our weights")
    parser.add_argument("--only", default=",".join(PARTS), help=f"peers out of {','.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="few rounds, and nothing in results.json")
    parser.add_argument("--checkpoint", type=Path, help="folder; the settings' otherwise")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    settings = Settings()
    suite = Suite(arguments.checkpoint or settings.checkpoint, settings.data_folder, arguments.quick)
    quick = REPOSITORY / "build" / "benchmarks" / "results-quick.json"
    output = arguments.output or (quick if suite.is_quick else RESULTS)
    rows = [row for name in arguments.only.split(",") for row in run_part(name.strip(), suite)]
    add_rows(output, rows)
    print(to_markdown(read_report(output), [row.name for row in rows]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
