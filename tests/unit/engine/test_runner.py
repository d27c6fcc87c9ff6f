import threading

from eureka.engine.engine import Engine
from eureka.engine.reference import ReferenceBackend
from eureka.engine.request import Label
from eureka.engine.runner import EngineRunner
from eureka.model.eureka_audio import EurekaAudio
from eureka.types import Ending
from tests.helpers.requests import END_TOKEN, make_request


def build_engine(model: EurekaAudio) -> Engine:
    return Engine(ReferenceBackend(model.backbone, 2, 64), END_TOKEN)


def test_runner_serves_many_threads_with_the_ids_of_one(model: EurekaAudio) -> None:
    engine = build_engine(model)
    found: dict[int, list[int]] = {}

    def ask(seed: int) -> None:
        found[seed] = [i for delta in engine.submit(make_request(seed)) for i in delta.token_ids]

    with EngineRunner(engine):
        threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(6)]
        for thread in threads:
            thread.start()
        scores = engine.score(make_request(9), [Label("a", (7,)), Label("b", (8,))])
        for thread in threads:
            thread.join(30)
    alone = build_engine(model)
    for seed in range(6):
        assert found[seed] == [i for d in alone.submit(make_request(seed)) for i in d.token_ids]
    assert scores.best in ("a", "b")


def test_runner_left_with_work_ends_it_with_cancelled(model: EurekaAudio) -> None:
    engine = build_engine(model)
    with EngineRunner(engine):
        handle = engine.submit(make_request(0, length=20, max_new_tokens=44))
    assert [d.ending for d in handle][-1] in (Ending.CANCELLED, Ending.LENGTH)
    assert engine.stats().num_running == 0


def test_engine_after_its_runner_is_driven_by_its_handles(model: EurekaAudio) -> None:
    engine = build_engine(model)
    with EngineRunner(engine):
        pass
    assert [d.ending for d in engine.submit(make_request(0))][-1] is Ending.LENGTH


def test_waiting_for_work_is_cut_short_by_wake_and_by_work(model: EurekaAudio) -> None:
    engine = build_engine(model)
    for call in (engine.wake, lambda: engine.submit(make_request(0))):
        waiting = threading.Thread(target=engine.wait_for_work, args=(60,))
        waiting.start()
        while waiting.is_alive():  # the first call may come before it waits
            call()
            engine.end_all(Ending.CANCELLED)
            waiting.join(0.05)


class CrashOnce(Engine):
    """Its first step with work fails outside the backend."""

    has_crashed = False

    def step(self) -> bool:
        if self.stats().num_waiting and not self.has_crashed:
            self.has_crashed = True
            raise RuntimeError("bug")
        return super().step()


def test_runner_with_a_failing_step_ends_requests_with_error_and_goes_on(model: EurekaAudio) -> None:
    engine = CrashOnce(ReferenceBackend(model.backbone, 2, 64), END_TOKEN)
    with EngineRunner(engine):
        assert [d.ending for d in engine.submit(make_request(0))] == [Ending.ERROR]
        assert [d.ending for d in engine.submit(make_request(1))][-1] is Ending.LENGTH
