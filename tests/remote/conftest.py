"""What the tests of remote plugins share: certificates."""

from __future__ import annotations

import pytest

from support.pki import Pki


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """A CA, and certificates of it."""
    return Pki(tmp_path_factory.mktemp("pki"))
