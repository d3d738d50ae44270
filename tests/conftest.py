"""What every test, and every program that a test launches, finds: the stubs of the example service, and signals."""

import os
import signal
from pathlib import Path

EXAMPLES = str(Path(__file__).parents[1] / "examples" / "gen" / "python")

os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [EXAMPLES, os.environ.get("PYTHONPATH", "")]))

# A shell lets what it starts in the background ignore SIGINT, and so would all the programs that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
