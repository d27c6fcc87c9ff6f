"""GraphStore: the graphs of a checkpoint, written once and kept on disk, opened as ONNX Runtime sessions.

A graph is found by a hash over the checkpoint's files, so that a changed checkpoint never meets an old graph.
Several processes may write at the same time: a folder appears whole or not at all.
"""

from __future__ import annotations

import functools
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b, file_digest
from pathlib import Path

import onnxruntime as ort

from eureka.engine.onnx.adapter_graph import build_adapter
from eureka.engine.onnx.decoder_graph import build_decoder
from eureka.engine.onnx.encoder_graph import build_encoder
from eureka.engine.onnx.graph_builder import GRAPH_FILE, GraphBuilder, Numerics
from eureka.model.load_plan import LoadPlan

_log = logging.getLogger(__name__)

_FORMAT = "5"
"""To be changed with anything that changes the graphs of the same checkpoint."""

_ERRORS_ONLY = 3

_PARTIAL = "partial-"
"""How names of folders begin while they are written."""

_LEFT_SECONDS = 3600.0
"""A folder that nobody has written to for so long is not being written any more."""


class GraphStore:
    """Graphs of one checkpoint.

    Args:
        plan: of the checkpoint.
        numerics: exact float32, or int8 products in the linears of the decoder's blocks.
        num_threads: threads inside one operator.
        cache_folder: keeps graphs; None, or a folder that cannot be written: they are written anew each time.
    """

    def __init__(
        self,
        plan: LoadPlan,
        numerics: Numerics = "exact",
        num_threads: int = 1,
        cache_folder: Path | None = None,
    ) -> None:
        self.plan, self.numerics = plan, numerics
        self._num_threads, self._cache_folder = num_threads, cache_folder

    def open_decoder(self, context_tokens: int) -> ort.InferenceSession:
        """The language model; see `build_decoder`."""
        plan, config = self.plan, self.plan.config.backbone

        def build(folder: Path) -> None:
            with GraphBuilder("decoder", folder, self.numerics) as graph:
                build_decoder(graph, config, plan.read_backbone(), context_tokens)

        return self._open(f"decoder-{self.numerics}-{context_tokens}", build)

    def open_encoder(self) -> ort.InferenceSession:
        """The audio encoder; see `build_encoder`.

        float32 in both numerics: int8 linears won 8 to 15 % of its time, for frames that are 3.5 % off.
        """

        def build(folder: Path) -> None:
            with GraphBuilder("encoder", folder) as graph:
                build_encoder(graph, self.plan.config.audio_encoder, self.plan.read_encoder())

        return self._open("encoder-exact", build)

    def open_adapter(self) -> ort.InferenceSession:
        """The adapter; see `build_adapter`. float32 in both numerics: it takes 3 % of the time of hearing."""

        def build(folder: Path) -> None:
            with GraphBuilder("adapter", folder) as graph:
                build_adapter(graph, self.plan.adapter.spec, self.plan.read_adapter())

        return self._open("adapter-exact", build)

    def _open(self, part: str, build: Callable[[Path], None]) -> ort.InferenceSession:
        if self._cache_folder is not None:
            folder = self._cache_folder / f"{self._checkpoint_hash}-{part}"
            try:
                return self._kept(folder, build)
            except OSError as error:
                _log.warning("graph_not_kept", extra={"folder": str(folder), "error": str(error)})
        with tempfile.TemporaryDirectory(prefix="eureka-graph-") as temporary:
            build(Path(temporary))
            return self._session(Path(temporary))

    def _kept(self, folder: Path, build: Callable[[Path], None]) -> ort.InferenceSession:
        """The graph in `folder`; written where there is none, and anew where it cannot be read."""
        is_new = _build_once(folder, build)
        try:
            return self._session(folder)
        except Exception as error:  # those of ONNX Runtime have no class in common
            if is_new:
                raise
            _log.warning("graph_unreadable", extra={"folder": str(folder), "error": str(error)})
        shutil.rmtree(folder, ignore_errors=True)
        _build_once(folder, build)
        return self._session(folder)

    def _session(self, folder: Path) -> ort.InferenceSession:
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._num_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        options.enable_mem_pattern = False  # lengths differ from call to call
        # A thread that spins while it waits takes a core from the neighbours.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return ort.InferenceSession(
            str(folder / GRAPH_FILE), sess_options=options, providers=["CPUExecutionProvider"]
        )

    @functools.cached_property
    def _checkpoint_hash(self) -> str:
        digest = blake2b(_FORMAT.encode(), digest_size=16)
        for path in sorted(self.plan.folder.iterdir()):
            if path.suffix in (".json", ".safetensors"):
                with path.open("rb") as file:
                    digest.update(path.name.encode() + file_digest(file, blake2b).digest())
        return digest.hexdigest()


def _build_once(folder: Path, build: Callable[[Path], None]) -> bool:
    """Write a graph into `folder` unless it is there; whoever is first wins. Whether it had to be built."""
    if (folder / GRAPH_FILE).is_file():
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_left(folder.parent)
    partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=folder.parent))
    try:
        build(partial)
        if folder.is_dir() and not (folder / GRAPH_FILE).is_file():  # it came whole and was damaged
            shutil.rmtree(folder)
        os.rename(partial, folder)
    except OSError:
        if not (folder / GRAPH_FILE).is_file():  # else another process was faster
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return True


def _remove_left(cache_folder: Path) -> None:
    """Remove what processes that were killed while they wrote have left."""
    for partial in cache_folder.glob(f"{_PARTIAL}*"):
        with suppress(OSError):  # it may be finished or removed meanwhile
            paths = list(partial.iterdir()) or [partial]
            if max(path.stat().st_mtime for path in paths) < time.time() - _LEFT_SECONDS:
                shutil.rmtree(partial)
