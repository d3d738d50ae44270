"""`python -m plugmux.cli`, where the console script is not installed."""

import sys

from .main import main

sys.exit(main())
