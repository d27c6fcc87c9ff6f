"""RequestHandle: nothing that is put is lost to its reader."""

from eureka.engine.handle import RequestHandle
from eureka.engine.request import Delta
from eureka.types import Ending

LAST = Delta((7,), Ending.LENGTH)


class _EndsAfterTheFirstLook(RequestHandle):
    """Another thread puts the last delta right after the reader found nothing."""

    looks = 0

    def take(self) -> Delta | None:
        found = super().take()
        self.looks += 1
        if self.looks == 1:
            self.put(LAST)
        return found


def test_handle_ending_between_look_and_check_still_yields_the_last_delta() -> None:
    handle = _EndsAfterTheFirstLook("r", lambda _: None, lambda _: False)

    assert list(handle) == [LAST]


def test_handle_read_a_second_time_ends_at_once() -> None:
    handle = RequestHandle("r", lambda _: None, lambda _: False)
    handle.put(LAST)

    assert (list(handle), list(handle)) == ([LAST], [])
