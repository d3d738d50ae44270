"""What every test, and every program that a test launches, finds: the stubs of the example service."""

import os
from pathlib import Path

EXAMPLES = str(Path(__file__).parents[1] / "examples" / "gen" / "python")

os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [EXAMPLES, os.environ.get("PYTHONPATH", "")]))
