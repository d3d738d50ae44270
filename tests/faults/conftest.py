import pytest

from plugmux.runtime import supervisor


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a plugin that does not end less time to do so: most of these never will."""
    for limit in ("SHUTDOWN_TIME", "DRAIN_TIME", "EXIT_TIME", "TERMINATE_TIME", "STDERR_TIME"):
        monkeypatch.setattr(supervisor, limit, 0.3)
