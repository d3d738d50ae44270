"""Python imports this when it starts, wherever this folder is on its path: so every Python program looks like macOS."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import darwin

sys.path.pop(0)
darwin.pretend()
