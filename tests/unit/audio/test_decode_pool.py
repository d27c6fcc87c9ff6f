import gc
import io
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from eureka.audio.decode import DecodeLimits, decode_all, open_audio
from eureka.audio.decode_pool import DecodePool, PooledReader
from eureka.errors import AudioTooLongError, InvalidAudioError, QueueFullError, StageUnavailableError
from tests.unit.audio.audio_files import encode, silent_opus, tone, wav

GOOD = wav(tone(0.3))


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    with DecodePool(1) as pool:
        yield pool


def pid_of(reader: PooledReader) -> int:
    return reader._child.process.pid


def memory_bytes(pid: int, field: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(field + ":"))) * 1024


def test_pool_path_bytes_and_readers_equal_decoding_here(pool, tmp_path):
    data = encode("mp3", tone(3, 44_100), 44_100, 2)
    path = tmp_path / "tone.mp3"
    path.write_bytes(data)
    expected = decode_all(data)

    with open(path, "rb") as file:
        for source in (path, str(path), data, io.BytesIO(data), file):
            assert np.array_equal(pool.decode(source), expected)
        assert not file.closed


def test_pool_info_is_that_of_the_file(pool):
    with pool.open(encode("flac", tone(2, 48_000), 48_000, 2)) as reader:
        assert (reader.info.codec, reader.info.source_hz, reader.info.num_channels) == ("flac", 48_000, 2)
        assert not reader.info.is_complete
        list(reader)
    assert reader.info.is_complete and reader.info.num_samples == 32_000


def test_pool_file_that_nobody_finishes_frees_its_child(pool):
    long_file = silent_opus(3600)
    with pool.open(long_file) as first:
        child = pid_of(first)
        next(iter(first))
    stream = pool.stream(long_file)
    next(stream)
    stream.close()

    with pool.open(GOOD) as reader:
        assert pid_of(reader) == child, "stopped, not killed"
        assert np.array_equal(np.concatenate(list(reader)), tone(0.3))


def test_pool_killed_child_is_replaced(pool):
    with pool.open(silent_opus(3600)) as reader:
        os.kill(pid_of(reader), signal.SIGSEGV)
        with pytest.raises(InvalidAudioError) as caught:
            list(reader)

    assert caught.value.reason == "DECODER_DIED" and "SIGSEGV" in caught.value.message
    assert np.array_equal(pool.decode(GOOD), tone(0.3))


def test_pool_child_killed_while_idle_fails_no_file(pool):
    with pool.open(GOOD) as reader:
        child = pid_of(reader)
        list(reader)
    os.kill(child, signal.SIGKILL)

    assert np.array_equal(pool.decode(GOOD), tone(0.3))


def test_pool_child_that_hangs_is_replaced_at_the_limit():
    with DecodePool(1, DecodeLimits(max_wall_seconds=0.5)) as pool:
        with pool.open(silent_opus(3600)) as reader:
            os.kill(pid_of(reader), signal.SIGSTOP)
            with pytest.raises(AudioTooLongError) as caught:
                list(reader)
        assert caught.value.reason == "DECODE_TOO_SLOW" and "0.5 s" in caught.value.message
        assert len(pool._free.queue) == 1 and pool._free.queue[0].process.poll() is None


def test_pool_child_that_needs_too_much_memory_fails_only_its_file(pool):
    with pool.open(GOOD) as reader:
        needed = memory_bytes(pid_of(reader), "VmSize")
        list(reader)
    # A prime rate has 16,000 phases: some 100 MB to table their weights.
    hungry = wav(np.zeros(100_000, np.int16), 383_987)
    with DecodePool(1, DecodeLimits(max_memory_bytes=needed + (32 << 20))) as small:
        with pytest.raises(InvalidAudioError) as caught:
            small.decode(hungry)
        assert caught.value.reason == "TOO_MUCH_MEMORY"
        assert np.array_equal(small.decode(GOOD), tone(0.3))

    assert len(pool.decode(hungry)) == 4_167


def test_pool_memory_does_not_grow_with_the_length(pool):
    def peaks(seconds: float) -> tuple[int, int]:
        data = silent_opus(seconds)
        gc.collect()
        tracemalloc.start()
        with pool.open(data) as reader:
            for _ in reader:
                pass
            child = memory_bytes(reader._child.process.pid, "VmHWM")
        here = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return here, child

    short_here, short_child = peaks(30)
    long_here, long_child = peaks(400)

    assert long_here < short_here + (1 << 20)
    assert long_child < short_child + (8 << 20)


def test_pool_slow_consumer_holds_the_child_back(pool):
    with pool.open(silent_opus(3600)) as reader:
        next(iter(reader))
        pid = pid_of(reader)
        deadline = time.monotonic() + 30
        while state(pid) != "S" and time.monotonic() < deadline:  # until the socket is full
            time.sleep(0.02)
        used = cpu_seconds(pid)
        time.sleep(0.2)
        assert state(pid) == "S" and cpu_seconds(pid) == used < 10


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().split()[2]


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def test_pool_several_threads_get_their_own_files():
    tones = [tone(0.5 + i / 4, hz=300 + 100 * i) for i in range(4)]
    results: dict[int, np.ndarray] = {}
    with DecodePool(2) as pool:
        threads = [
            threading.Thread(target=lambda i=i: results.update({i: pool.decode(wav(tones[i]))}))
            for i in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert all(np.array_equal(results[i], tones[i]) for i in range(4))


def test_pool_all_children_busy_is_queue_full():
    with (
        DecodePool(1, wait_seconds=0.05) as pool,
        pool.open(silent_opus(60)),
        pytest.raises(QueueFullError, match="busy"),
    ):
        pool.open(GOOD)


def test_pool_closed_takes_no_file_and_leaves_no_child():
    pool = DecodePool(2)
    children = [child.process for child in pool._free.queue]
    with pool.open(GOOD) as reader:
        pool.close()
        assert np.array_equal(np.concatenate(list(reader)), tone(0.3)), "an open file ends well"

    assert all(process.poll() is not None for process in children)
    with pytest.raises(StageUnavailableError) as caught:
        pool.open(GOOD)
    assert caught.value.reason == "POOL_CLOSED"


def test_pool_child_is_confined(pool):
    with pool.open(silent_opus(600)) as reader:
        pid = pid_of(reader)
        limits = {
            kind: resource.prlimit(pid, kind)[1]
            for kind in (
                resource.RLIMIT_AS,
                resource.RLIMIT_FSIZE,
                resource.RLIMIT_CORE,
                resource.RLIMIT_NOFILE,
            )
        }
        open_files = len(os.listdir(f"/proc/{pid}/fd"))
        environment = Path(f"/proc/{pid}/environ").read_bytes()

    assert limits[resource.RLIMIT_AS] == DecodeLimits().max_memory_bytes
    assert limits[resource.RLIMIT_FSIZE] == limits[resource.RLIMIT_CORE] == 0
    assert limits[resource.RLIMIT_NOFILE] <= open_files, "no room for another file"
    assert b"HOME=" not in environment and b"TOKEN" not in environment


def test_pool_child_ends_when_its_parent_is_gone():
    code = (
        "from eureka.audio.decode_pool import DecodePool\n"
        "import os\n"
        "child = DecodePool(1)._free.queue[0]\n"
        "child.wait_ready()\n"
        "print(child.process.pid, flush=True)\n"
        "os._exit(0)\n"
    )
    read_end, write_end = os.pipe()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    parent = os.posix_spawn(
        sys.executable,
        [sys.executable, "-c", code],
        environment,
        file_actions=[(os.POSIX_SPAWN_DUP2, write_end, 1)],
    )
    os.close(write_end)
    with os.fdopen(read_end) as output:
        child = int(output.readline())
    os.waitpid(parent, 0)

    deadline = time.monotonic() + 20
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(child)


def is_running(pid: int) -> bool:
    try:
        return state(pid) != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_pool_under_lower_limits_of_a_batch_system_keeps_to_those():
    script = (
        "import resource, sys; from eureka.audio.decode_pool import DecodePool\n"
        "for kind, limit in ((resource.RLIMIT_CPU, 300), (resource.RLIMIT_AS, 1 << 30)):\n"
        "    resource.setrlimit(kind, (limit, limit))\n"
        "with DecodePool(1) as pool: print(len(pool.decode(sys.stdin.buffer.read())))"
    )
    found = subprocess.run([sys.executable, "-c", script], input=GOOD, capture_output=True)
    assert (found.returncode, found.stdout.strip()) == (0, b"4800"), found.stderr.decode()


def test_pool_without_workers_is_refused():
    with pytest.raises(ValueError, match="num_workers"):
        DecodePool(0)


def test_pool_open_with_limits_and_channel_of_one_file_leaves_others_alone(pool):
    stereo = wav(np.stack([tone(0.3), tone(0.3, hz=880)], axis=1))

    with pool.open(stereo, channel=1) as reader:
        second = np.concatenate(list(reader))
    with pytest.raises(AudioTooLongError):
        pool.open(stereo, limits=DecodeLimits(max_decoded_seconds=0.1))

    with open_audio(stereo, channel=1) as reader:
        assert np.array_equal(second, np.concatenate(list(reader)))
    assert np.array_equal(pool.decode(stereo), decode_all(stereo))
