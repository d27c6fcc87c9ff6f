"""`python -m workers.sweep`: the sweeper alone, for clusters in which workers come and go with the load.

It finds what is due and queues it, and shows what is left, by which workers are scaled: also while there are
none. It hears nothing. Several may run, one of them sweeps.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from contextlib import ExitStack
from types import FrameType

from eureka.errors import EurekaError
from eureka.runtime.job_metrics import JobMetrics
from eureka.runtime.logging import configure_logging
from eureka.runtime.metrics import new_metrics, serve_metrics
from eureka.runtime.settings import Settings, load_settings
from eureka.runtime.settings_jobs import check_worker
from eureka.runtime.tracing import open_tracer
from workers.main import open_parts, sweeping

logger = logging.getLogger(f"eureka.{__name__}")


def run_sweeper(settings: Settings, ending: threading.Event) -> None:
    """Sweep until `ending` is set.

    Raises:
        EurekaError: the store cannot be opened, the metrics port is taken, settings do not go together.
    """
    section = settings.worker
    check_worker(settings.queue, section)
    with ExitStack() as opened:
        metrics = new_metrics("sweeper")
        job_metrics = JobMetrics("sweeper", metrics.registry)
        shown = serve_metrics(metrics.registry, section.metrics_host, section.metrics_port)
        opened.callback(shown.stop)
        tracer = opened.enter_context(open_tracer(settings.tracing.config(), "sweeper"))
        parts = opened.enter_context(open_parts(settings, tracer))
        opened.enter_context(sweeping(parts, settings, job_metrics))
        logger.info("sweeper_started", extra={"metrics_port": shown.port})
        ending.wait()
        logger.info("sweeper_stopping")


def main() -> int:
    """Sweep until SIGTERM or SIGINT; the exit status. What stops a start is one line on stderr."""
    ending = threading.Event()

    def end(_: int, __: FrameType | None) -> None:
        ending.set()

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, end)
    try:
        settings = load_settings()
        configure_logging(settings.log_level, settings.log_format)
        run_sweeper(settings, ending)
    except EurekaError as error:
        print(f"{error.reason}: {error.message}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
