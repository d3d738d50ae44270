"""What docs/remote.md shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugmux.gateway.config import GatewayConfig
from support.pages import examples, run_examples
from support.pki import Pki


async def test_the_examples_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Pki(tmp_path).directory("runtime")
    monkeypatch.chdir(tmp_path)
    await run_examples("docs/remote.md")


def test_the_configuration_of_the_page_is_read(tmp_path: Path) -> None:
    Pki(tmp_path).directory("runtime")
    (tmp_path / "token").write_text("a-token-of-many-characters")
    (text,) = examples("docs/remote.md", "toml")
    path = tmp_path / "plugmux.toml"
    text = text.replace("/etc/plugmux/runtime", str(tmp_path / "runtime"))
    path.write_text(text.replace("/run/secrets/web", str(tmp_path / "token")))
    config = GatewayConfig.read(path)
    assert [plugin.name for plugin in config.plugins] == ["kv"]  # type: ignore[union-attr]  # there are some
    assert config.permissions.allow == {"web.example": ("kv.v1.KeyValueService",)}
    assert config.origins == {"https://app.example"}
