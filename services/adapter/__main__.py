"""`python -m services.adapter`."""

import sys

from services.adapter.main import main

sys.exit(main())
