"""What every test, and every program that a test launches, finds: the stubs of the example services, and signals."""

import os
import signal
from pathlib import Path

from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parents[1]
STUBS = [str(ROOT / "examples/gen/python"), str(ROOT / "tests/interop/gen/python")]

os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [*STUBS, os.environ.get("PYTHONPATH", "")]))

# A shell lets what it starts in the background ignore SIGINT, and so would all the programs that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says how busy the machine is.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
