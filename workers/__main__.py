"""`python -m workers` runs a worker."""

import sys

from workers.main import main

sys.exit(main())
