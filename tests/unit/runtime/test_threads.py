"""Threads of numeric libraries are kept quiet, unless the user wants them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from eureka.runtime.threads import QUIET_THREADS, quiet_threads


def test_own_choice_of_the_user_stays() -> None:
    environ = {"OMP_NUM_THREADS": "4"}
    quiet_threads(environ)
    assert environ == {**QUIET_THREADS, "OMP_NUM_THREADS": "4"}


def test_command_sets_them_before_numpy_is_loaded() -> None:
    code = (
        "import json, os, sys\n"
        "from eureka.cli import main\n"
        "assert 'numpy' not in sys.modules\n"
        "try:\n    main.main(['--version'])\nexcept SystemExit:\n    pass\n"
        "print(json.dumps({name: os.environ.get(name) for name in json.loads(sys.argv[1])}))\n"
    )
    plain = {name: value for name, value in os.environ.items() if name not in QUIET_THREADS}
    command = [sys.executable, "-c", code, json.dumps(list(QUIET_THREADS))]
    done = subprocess.run(command, env=plain, check=True, capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout.splitlines()[-1]) == QUIET_THREADS
