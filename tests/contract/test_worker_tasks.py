"""Tasks of the workers: names and options that both ends agree on, and what workers import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eureka.clients import task_queue
from eureka.clients.task_queue import LANES, QueueConfig, queue_of
from eureka.errors import InvalidInputError
from eureka.jobs.spec import Lane
from eureka.runtime.settings_jobs import QueueSettings, WorkerSettings, check_worker
from workers.app import make_app


@pytest.fixture(scope="module")
def app() -> Any:
    return make_app(QueueConfig(), steps=None)  # type: ignore[arg-type]


def own_tasks(app: Any) -> dict[str, Any]:
    return {name: task for name, task in app.tasks.items() if not name.startswith("celery.")}


def test_every_name_that_is_sent_is_a_task_and_no_other(app: Any) -> None:
    sent = {value for name, value in vars(task_queue).items() if name.endswith("_TASK")}
    assert set(own_tasks(app)) == sent and len(sent) == 4


def test_every_task_is_acknowledged_after_its_work_and_keeps_no_result(app: Any) -> None:
    for task in own_tasks(app).values():
        assert task.acks_late and task.reject_on_worker_lost and task.ignore_result
        assert task.time_limit is None and task.soft_time_limit is None  # of the prefork pool only


def test_settings_are_those_that_survived_kills(app: Any) -> None:
    conf, options = app.conf, app.conf.broker_transport_options
    assert conf.worker_prefetch_multiplier == 1 and conf.task_track_started
    assert conf.result_backend_always_retry and conf.result_backend_max_retries == 60
    assert conf.broker_connection_retry_on_startup
    assert conf.accept_content == ["json"] and conf.task_serializer == "json"
    assert 2 <= options["unacked_restore_interval"] <= 10 and options["unacked_restore_throttle"] == 1
    assert options["socket_keepalive"]


def test_messages_come_again_later_than_the_longest_task_may_take() -> None:
    check_worker(QueueSettings(), WorkerSettings())
    with pytest.raises(InvalidInputError) as caught:
        check_worker(QueueSettings(visibility_seconds=900), WorkerSettings(plan_seconds=900))
    assert caught.value.reason == "VISIBILITY_TOO_SHORT"


def test_lanes_are_those_of_jobs_and_the_most_urgent_is_asked_first() -> None:
    assert tuple(Lane) == LANES
    assert [queue_of(lane) for lane in LANES] == sorted(queue_of(lane) for lane in LANES)
    with pytest.raises(InvalidInputError) as caught:
        queue_of("fast")
    assert caught.value.reason == "INVALID_LANE"


def imported(root: Path, modules: str, unwanted: tuple[str, ...]) -> str:
    """Which of the unwanted come with the modules."""
    code = f"import sys, {modules}; print([name for name in {unwanted} if name in sys.modules])"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)
    return done.stdout.strip() or done.stderr


def test_workers_import_neither_torch_nor_the_services(repo_root: Path) -> None:
    unwanted = ("torch", "transformers", "services", "onnxruntime")
    assert imported(repo_root, "workers.main", unwanted) == "[]"


def test_settings_and_the_client_import_no_celery(repo_root: Path) -> None:
    modules = "eureka.runtime.settings, eureka.clients.task_queue"
    assert imported(repo_root, modules, ("celery", "kombu", "redis")) == "[]"


def test_url_of_the_queue_is_never_shown() -> None:
    settings = QueueSettings(url="redis://:word@queue:6379/0")
    assert "word" not in repr(settings)
    assert settings.config().url == "redis://:word@queue:6379/0"
