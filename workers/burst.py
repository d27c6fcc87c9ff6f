"""`python -m workers.burst` hears one batch, that of EUREKA_BURST__BATCH, and ends when it has ended."""

import sys

from workers.batch_work import run_burst
from workers.main import main

if __name__ == "__main__":
    sys.exit(main(run_burst))
