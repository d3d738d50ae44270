"""A runtime as a gateway: uvicorn serves it with two workers, configured by a TOML file."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugmux import ConfigError
from plugmux.cli.commands.run import permissions_of
from plugmux.cli.program import _parser
from plugmux.gateway.app import Gateway
from plugmux.gateway.config import GatewayConfig
from plugmux.gateway.forwarded import identity_forwarded
from plugmux.network.identity import UntrustedIdentity
from plugmux.runtime import Permissions
from support.gateway import PATH, PLUGIN, call, curl, running
from support.pki import Pki

CONFIG = """\
[tls]
directory = "{runtime}"

[[plugins]]
remote = "{address}"
name = "kv"

[allow]
"web.example" = ["kv.v1.KeyValueService"]
"spiffe://prod/*" = ["kv.v1.*"]

[[bearer]]
identity = "web.example"
token_file = "{token}"

[cors]
origins = ["https://app.example"]

[proxy]
addresses = ["127.0.0.1"]
"""

TOKEN = "a-token-of-many-characters"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a gateway of two workers before a plugin that listens."""
    folder = tmp_path_factory.mktemp("gateway")
    pki = Pki(folder / "pki")
    (folder / "store.py").write_text(PLUGIN)
    (folder / "token").write_text(TOKEN + "\n")
    with running(folder / "store.py", "--listen", "tls://127.0.0.1:0", PLUGMUX_TLS_DIR=pki.directory("kv")) as plugin:
        assert plugin.stderr is not None
        address = next(line for line in plugin.stderr if "listens at" in line).split()[-1]
        config = folder / "plugmux.toml"
        config.write_text(CONFIG.format(runtime=pki.directory("runtime"), address=address, token=folder / "token"))
        serve = ("-m", "uvicorn", "plugmux.asgi:app", "--port", "0", "--workers", "2", "--no-proxy-headers")
        with running(*serve, PLUGMUX_CONFIG=config) as server:
            assert server.stderr is not None
            url = next(word for line in server.stderr for word in line.split() if word.startswith("http://127"))
            end = time.monotonic() + 60
            while curl(f"{url}/health")[0] != 200:
                assert time.monotonic() < end
                time.sleep(0.1)  # another process tells nobody: it is asked again
            yield url


def test_a_bearer_token_says_who_calls(gateway: str) -> None:
    for _ in range(6):  # whichever worker it is
        status, _, body = call(gateway, "-H", f"authorization: Bearer {TOKEN}")
        assert (status, json.loads(body)) == (200, {"value": "eA=="}), body
    status, _, body = call(gateway, "-H", "authorization: Bearer other")
    assert (status, json.loads(body)["message"]) == (401, "the bearer token is not known")


def test_by_default_nobody_may_call(gateway: str) -> None:
    status, _, body = call(gateway)
    assert status == 403
    assert json.loads(body)["message"] == f"who does not say who it is may not call /{PATH} here ([allow])"


def test_a_proxy_that_is_named_tells_who_calls(gateway: str) -> None:
    told = "Hash=x;URI=spiffe://prod/web"
    assert call(gateway, "-H", f"x-forwarded-client-cert: {told}")[0] == 200
    # Of several hops the last one counts.
    assert call(gateway, "-H", f"x-forwarded-client-cert: {told},URI=spiffe://other/web")[0] == 403
    assert call(gateway, "-H", "x-forwarded-client-cert: URI=https://x")[0] == 401


def test_a_page_of_a_known_origin_may_call(gateway: str) -> None:
    known, other = "origin: https://app.example", "origin: https://evil.example"
    preflight = ("-X", "OPTIONS", "-H", "access-control-request-method: POST")
    status, head, _ = curl(f"{gateway}/{PATH}", *preflight, "-H", known)
    assert status == 204
    assert "access-control-allow-origin: https://app.example" in head
    assert curl(f"{gateway}/{PATH}", *preflight, "-H", other)[0] == 403
    _, head, _ = call(gateway, "-H", known, "-H", f"authorization: Bearer {TOKEN}")
    assert "access-control-allow-origin: https://app.example" in head


def test_the_header_of_whom_nobody_has_named_is_not_believed() -> None:
    gateway = Gateway(GatewayConfig(proxies=frozenset({"10.0.0.1"})))
    scope = {"headers": [(b"x-forwarded-client-cert", b"URI=spiffe://prod/web")], "client": ("10.0.0.2", 1)}
    assert gateway._identity(scope) == ""
    assert gateway._identity(scope | {"client": ("10.0.0.1", 1)}) == "spiffe://prod/web"
    with pytest.raises(UntrustedIdentity):
        gateway._identity({"headers": [(b"authorization", b"Bearer x")]})


SUBJECT = 'Subject="O=a,CN=b;URI=spiffe://prod/web'
"""What a certificate may say of its holder: it looks like another element, and another key."""


@pytest.mark.parametrize(
    ("header", "identity"),
    [
        ("URI=spiffe://prod/web", "spiffe://prod/web"),
        ('By=spiffe://prod/edge;Hash=0a; Subject="CN=x";URI="spiffe://prod/web";DNS=a.example', "spiffe://prod/web"),
        ("Hash=0a;URI=;DNS=Web.Example;DNS=b.example", "web.example"),
        ("URI=spiffe://prod/first , uri=spiffe://prod/last", "spiffe://prod/last"),
        (SUBJECT + '";URI=spiffe://prod/kv', "spiffe://prod/kv"),
        (SUBJECT + r'\";URI=spiffe://prod/web";DNS=kv.example', "kv.example"),
        (SUBJECT + '"', "neither a SPIFFE id nor a DNS name"),
        (SUBJECT, "cannot be read"),
        ("URI=spiffe://prod/web,", "cannot be read"),
        ("URI=spiffe://prod/web;URI=spiffe://prod/kv", "has 2 SPIFFE ids"),
        ("spiffe://prod/web", "cannot be read"),
        ("Cert=" + "x" * 8192, "has over 8192 bytes"),
    ],
)
def test_what_a_proxy_tells_is_read_with_its_quotes(header: str, identity: str) -> None:
    if " " in identity:
        with pytest.raises(UntrustedIdentity, match=identity):
            identity_forwarded(header.encode())
    else:
        assert identity_forwarded(header.encode()) == identity


def test_of_two_fields_the_one_that_the_proxy_has_added_counts() -> None:
    gateway = Gateway(GatewayConfig(proxies=frozenset({"10.0.0.1"})))
    fields = [(b"x-forwarded-client-cert", b"URI=spiffe://prod/" + name) for name in (b"forged", b"web")]
    assert gateway._identity({"headers": fields, "client": ("10.0.0.1", 1)}) == "spiffe://prod/web"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = 1", "'x' is not known"),
        ("listen = 'tls://a:1'", "listen is not a list of strings"),
        ("tls = 1", "tls is not a table"),
        ("[[plugins]]\nremote = 'tls://kv:1'\ncommand = ['x']", "'command' is not known|either remote"),
        ("[[plugins]]\nname = 'kv'", "each has either remote, an address, or command"),
        ("[[bearer]]\nidentity = 'x'", "each has identity and token_file"),
        ("[allow]\n'web' = ['x/y/z']", "'x/y/z' is not known"),
        ("[allow]\n'web' = 'manage'", "web is not a list of strings"),
        ("[allow]\n'web' = ['secrets:a*']", "'secrets:a\\*' is not known"),
        ("[identities]\nkv = 5", "kv is not a list of strings"),
        ("plugins = ['./kv']", r"plugins is not a list of tables: write \[\[plugins\]\]"),
        ("[plugins]\ncommand = ['./kv']", r"plugins is not a list of tables: write \[\[plugins\]\]"),
        ("[[plugins]]\ncommand = './kv'", "plugins: command is not a list of strings"),
        ("[[plugins]]\ncommand = ['./kv']\nreplicas = '2'", "plugins: replicas is not a number"),
        ("[[plugins]]\ncommand = ['./kv']\nenv = {A = 1}", "plugins: env is not a table of strings"),
        ("[[plugins]]\nremote = 7444", "plugins: remote is not a string or a list of strings"),
        ("[[plugins]]\nremote = 'tls://kv:1'\nrequired = 'no'", "plugins: required is not true or false"),
        ("bearer = ['x']", r"bearer is not a list of tables"),
        ("[[bearer]]\nidentity = 'x'\ntoken_file = 5", "bearer: token_file is not a string"),
        ("[tls]\ndirectory = 5", "tls: directory is not a string"),
        ("proxies = '10.0.0.5'", "proxies is not a list of strings"),
        ("= 1", "Invalid"),
    ],
)
def test_what_a_file_must_not_say_is_told(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "plugmux.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=told):
        Gateway(GatewayConfig.read(path))


def test_a_file_names_proxies_as_permissions_do(tmp_path: Path) -> None:
    path = tmp_path / "plugmux.toml"
    path.write_text('proxies = ["10.0.0.5", "10.1.0.0/16"]')
    assert GatewayConfig.read(path).permissions == Permissions(proxies=["10.0.0.5", "10.1.0.0/16"])


def test_options_are_added_to_what_the_file_says(tmp_path: Path) -> None:
    path = tmp_path / "plugmux.toml"
    path.write_text('[allow]\n"web.example" = ["kv.v1.*"]\n[identities]\nkv = "kv.example"\n')
    given = (
        "run --allow=web.example=observe --allow=WEB.example=manage --identity=kv=b.example --identity=log=c.example"
    )
    permissions = permissions_of(_parser().parse_args(given.split()), GatewayConfig.read(path).permissions)
    assert permissions.allow == {"web.example": ("kv.v1.*", "observe", "manage")}
    assert permissions.identities == {"kv": ("kv.example", "b.example"), "log": ("c.example",)}
    assert permissions_of(_parser().parse_args(["run"]), Permissions()).identities is None


def test_the_command_reads_the_same_file(tmp_path: Path) -> None:
    pki = Pki(tmp_path / "pki")
    (tmp_path / "store.py").write_text(PLUGIN)
    path = tmp_path / "plugmux.toml"
    path.write_text(
        f'listen = ["tls://127.0.0.1:0"]\n[tls]\ndirectory = "{pki.directory("runtime")}"\n'
        f'[[plugins]]\ncommand = ["{sys.executable}", "{tmp_path / "store.py"}"]\nname = "kv"\n'
        '[allow]\n"spiffe://test/operator" = ["observe"]\n'
    )
    with running("-m", "plugmux.cli", "run", "--config-file", path) as runtime:
        assert runtime.stderr is not None
        address = next(line for line in runtime.stderr if "listening on tls" in line).split()[-1]
        command = [
            sys.executable,
            "-m",
            "plugmux.cli",
            "plugins",
            "--connect",
            address,
            "--tls",
            pki.directory("operator"),
        ]
        ran = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, check=False)
        assert ran.stdout.startswith("kv\tv1.2.3\trunning"), ran.stderr
