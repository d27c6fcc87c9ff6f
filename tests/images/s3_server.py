"""Runs the S3 server of the tests in a container: port 9000, for the user that the environment names."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from tempfile import mkdtemp

from radosgw import Radosgw, kill_daemons

READY = Path("/tmp/ready")
"""There once the user is; the port answers before."""

stopping = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stopping.set())
folder = Path(mkdtemp(prefix="s3-"))
keys = os.environ["S3_ACCESS_KEY"], os.environ["S3_SECRET_KEY"]
Radosgw(folder, "0.0.0.0", 9000, *keys).start()
READY.touch()
print("ready", flush=True)
stopping.wait()
kill_daemons(folder)
