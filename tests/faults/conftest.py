import pytest

from support.timeouts import shorten_timeouts


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a plugin that does not end less time to do so: most of these never will."""
    shorten_timeouts(monkeypatch, 0.3)
