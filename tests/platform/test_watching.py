"""The fixture `watching` does what it says: the tests of processes run with threads alone as well."""

from __future__ import annotations

import subprocess
import sys

import pytest

from plugmux.platform.posix.handle import ThreadHandle, best_handle


@pytest.mark.usefixtures("watching")
def test_what_a_test_launches_is_watched_as_the_test_is(request: pytest.FixtureRequest) -> None:
    code = "from plugmux.platform.posix.handle import best_handle; print(best_handle().__name__)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert printed == best_handle().__name__
    assert (printed == ThreadHandle.__name__) == ("threads" in request.node.callspec.id)
