"""What every test, and every program that a test launches, finds: the stubs of the example services, and signals."""

import gc
import os
import select
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parents[1]
STUBS = [str(ROOT / "examples/gen/python"), str(ROOT / "tests/interop/gen/python")]

os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [*STUBS, os.environ.get("PYTHONPATH", "")]))

# A shell lets what it starts in the background ignore SIGINT, and so would all the programs that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says how busy the machine is.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_collection_finish() -> None:
    """Keep tests, which stay until the end, out of the search for garbage: pytest searches five times behind them."""
    gc.freeze()


@pytest.fixture(params=["best", *(["threads"] if hasattr(os, "waitid") else [])])
def watching(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Learn of the end of processes in the best way of this system, and by threads alone: in what is launched, too."""
    if sys.platform == "win32":  # There is one way.
        yield
        return
    from plugmux.platform.posix.handle import best_handle

    if request.param == "threads":
        monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests/support/threads_alone"), prepend=os.pathsep)
        # asyncio, which starts the tests' own programs, has chosen its way at its import.
        monkeypatch.setattr("asyncio.unix_events.os", SimpleNamespace(**vars(os)))
        for module, name in ((os, "pidfd_open"), (select, "kqueue")):
            monkeypatch.delattr(module, name, raising=False)
    best_handle.cache_clear()
    yield
    best_handle.cache_clear()
