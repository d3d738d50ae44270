"""`python -m plugmux.check FILE`: writes the page of all checks."""

import sys
from pathlib import Path

from .groups import GROUPS
from .report import to_page

if __name__ == "__main__":
    Path(sys.argv[1]).write_text(to_page(GROUPS), encoding="utf-8")
