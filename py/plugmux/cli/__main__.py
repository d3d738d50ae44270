"""`python -m plugmux.cli`, where the console script is not installed."""

import sys

from .program import main

sys.exit(main())
