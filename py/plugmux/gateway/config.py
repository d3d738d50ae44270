"""The TOML file of a gateway, which `plugmux.asgi` and `plugmux run --config-file` read.

listen = ["tls://0.0.0.0:7443"]     # for plugins that dial; of `plugmux run` alone
replicated = ["kv"]

[tls]
directory = "/etc/plugmux/runtime"  # or cert, key and ca

[[plugins]]
remote = "tls+dns://kv.plugins.svc:7444"

[[plugins]]
command = ["./log-plugin", "-v"]

[identities]
kv = "spiffe://prod/ns/a/kv"

[allow]
"spiffe://prod/web" = ["kv.v1.KeyValueService"]

[[bearer]]
identity = "web.example"
token_file = "/run/secrets/web"

[cors]
origins = ["https://app.example"]

[proxy]
addresses = ["127.0.0.1"]           # whose X-Forwarded-Client-Cert is believed; "unix" for a unix socket
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..network.identity import check_pattern
from ..network.tls import TLS
from ..runtime import Host, Launch, Permissions, Source
from ..runtime.remote.source import Remote

__all__ = ["CONFIG_VARIABLE", "GatewayConfig"]

CONFIG_VARIABLE = "PLUGMUX_CONFIG"
MAX_CONFIG = 1024 * 1024
MIN_TOKEN = 16
"""Characters of a bearer token at least."""

REMOTE_OPTIONS = frozenset({"name", "identity", "serves", "secrets", "required"})
LAUNCH_OPTIONS = frozenset({"name", "env", "cwd", "replicas", "serves", "secrets", "required"})
OPTION_TYPES = {
    "remote": "a string or a list of strings",
    "command": "a list of strings",
    "name": "a string",
    "identity": "a string or a list of strings",
    "env": "a table of strings",
    "cwd": "a string",
    "replicas": "a number",
    "serves": "a list of strings",
    "secrets": "a string or a list of strings",
    "required": "true or false",
}
IS: Mapping[str, Callable[[Any], bool]] = {
    "a string": lambda value: isinstance(value, str),
    "a list of strings": lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
    "a string or a list of strings": lambda value: IS["a string"](value) or IS["a list of strings"](value),
    "a table of strings": lambda value: isinstance(value, dict) and IS["a list of strings"](list(value.values())),
    "a number": lambda value: type(value) is int,
    "true or false": lambda value: isinstance(value, bool),
}
"""What a value may have to be, and whether it is."""

KNOWN = frozenset(
    {"listen", "replicated", "tls", "plugins", "identities", "allow", "proxies", "bearer", "cors", "proxy"}
)


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """What a file says.

    Args:
        plugins: what to run, and what to link to.
        host: with the certificate.
        permissions: who may register and who may call what.
        listen: where plugins and clients may connect to the runtime itself.
        bearer: identities by the SHA-256 of the token that stands for them.
        origins: from where pages of a browser may call.
        proxies: the addresses whose word counts on who the client is.
    """

    plugins: tuple[Launch | Source, ...] = ()
    host: Host = field(default_factory=Host)
    permissions: Permissions = field(default_factory=Permissions)
    listen: tuple[str, ...] = ()
    bearer: Mapping[bytes, str] = field(default_factory=dict, repr=False)
    origins: frozenset[str] = frozenset()
    proxies: frozenset[str] = frozenset()

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> GatewayConfig:
        """Read a file.

        Raises:
            ConfigError: it cannot be read, or says what is not known.
        """
        try:
            with open(path, "rb") as file:
                text = file.read(MAX_CONFIG + 1)
            if len(text) > MAX_CONFIG:
                raise ConfigError(f"{os.fspath(path)}: it has more than {MAX_CONFIG} bytes")
            said = tomllib.loads(text.decode())
        except (OSError, ValueError) as error:
            raise ConfigError(f"{os.fspath(path)}: {error}") from None
        try:
            return cls._of(said)
        except ConfigError as error:
            raise ConfigError(f"{os.fspath(path)}: {error}") from None

    @classmethod
    def _of(cls, said: Mapping[str, Any]) -> GatewayConfig:
        if unknown := sorted(said.keys() - KNOWN):
            raise ConfigError(f"{unknown[0]!r} is not known (known: {', '.join(sorted(KNOWN))})")
        identities, allow = _table(said, "identities"), _table(said, "allow")
        permissions = Permissions(
            replicated=_strings(said, "replicated"),
            identities={name: _texts(identities, name) for name in identities} or None,
            allow={who: _strings(allow, who) for who in allow},
            proxies=_strings(said, "proxies"),
        )
        return cls(
            plugins=tuple(map(_plugin, _tables(said, "plugins"))),
            host=Host(tls=_tls(_table(said, "tls"))),
            permissions=permissions,
            listen=tuple(_strings(said, "listen")),
            bearer=dict(map(_token, _tables(said, "bearer"))),
            origins=frozenset(_strings(_table(said, "cors"), "origins")),
            proxies=frozenset(_strings(_table(said, "proxy"), "addresses")),
        )


def _table(said: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = said.get(key, {})
    if not isinstance(value, dict):
        raise ConfigError(f"{key} is not a table: write [{key}]")
    return value


def _tables(said: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    value = said.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise ConfigError(f"{key} is not a list of tables: write [[{key}]]")
    return value


def _texts(said: Mapping[str, Any], key: str) -> str | list[str]:
    value = said[key]
    return value if isinstance(value, str) else _strings(said, key)


def _strings(said: Mapping[str, Any], key: str) -> list[str]:
    value = said.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ConfigError(f"{key} is not a list of strings")
    return value


def _tls(said: dict[str, Any]) -> TLS | None:
    if not said:
        return None
    if unknown := sorted(said.keys() - {"directory", "cert", "key", "ca"}):
        raise ConfigError(f"tls: {unknown[0]!r} is not known (known: directory, or cert, key and ca)")
    _check_types("tls", said, dict.fromkeys(said, "a string"))
    if "directory" in said:
        return TLS.directory(said["directory"])
    return TLS(said.get("cert", ""), said.get("key", ""), said.get("ca", ""))


def _plugin(said: Mapping[str, Any]) -> Launch | Source:
    options = {name: value for name, value in said.items() if name not in ("remote", "command")}
    allowed = REMOTE_OPTIONS if "remote" in said else LAUNCH_OPTIONS
    if unknown := sorted(options.keys() - allowed):
        raise ConfigError(f"plugins: {unknown[0]!r} is not known (known: {', '.join(sorted(allowed))})")
    if ("remote" in said) == ("command" in said):
        raise ConfigError("plugins: each has either remote, an address, or command, a list of words")
    _check_types("plugins", said, OPTION_TYPES)
    return Remote(said["remote"], **options) if "remote" in said else Launch(said["command"], **options)


def _check_types(where: str, said: Mapping[str, Any], kinds: Mapping[str, str]) -> None:
    for key, value in said.items():
        if not IS[kinds[key]](value):
            raise ConfigError(f"{where}: {key} is not {kinds[key]}")


def _token(said: Mapping[str, Any]) -> tuple[bytes, str]:
    if said.keys() != {"identity", "token_file"}:
        raise ConfigError("bearer: each has identity and token_file")
    _check_types("bearer", said, dict.fromkeys(said, "a string"))
    try:
        token = Path(said["token_file"]).read_bytes().strip()
    except OSError as error:
        raise ConfigError(f"bearer: {said['token_file']}: {error.strerror}") from None
    if len(token) < MIN_TOKEN:
        raise ConfigError(f"bearer: the token in {said['token_file']} has less than {MIN_TOKEN} characters")
    return hashlib.sha256(token).digest(), check_pattern(said["identity"])
