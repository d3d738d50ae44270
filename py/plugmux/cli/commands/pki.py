"""`plugmux pki`: a CA of one's own, and certificates for runtimes and plugins."""

from __future__ import annotations

import argparse
from datetime import timedelta
from pathlib import Path
from typing import Any

from ...errors import ConfigError
from ..output import write_json, write_line

__all__ = ["add", "run"]

CA_DAYS = 3650.0
DAYS = 30.0


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "pki",
        help="make certificates for links to other machines",
        description="Make a CA in a directory, and certificates of it: init makes DIR/ca.crt and DIR/ca.key, issue "
        "makes DIR/NAME with tls.crt, tls.key and ca.crt, which --tls and PLUGMUX_TLS_DIR take. NAME is that of a "
        "plugin, or runtime. Keys have mode 0600. It needs the extra plugmux[pki].",
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True, dest="action")
    init = actions.add_parser("init", help="make a CA", allow_abbrev=False)
    init.add_argument("directory", metavar="DIR")
    init.add_argument("--trust-domain", metavar="NAME", default="plugmux", help="of the SPIFFE ids; plugmux")
    init.add_argument("--days", metavar="N", type=_days, default=CA_DAYS, help=f"until the CA ends; {CA_DAYS:g}")
    issue = actions.add_parser("issue", help="make a certificate", allow_abbrev=False)
    issue.add_argument("directory", metavar="DIR")
    issue.add_argument("name", metavar="NAME")
    issue.add_argument(
        "--host", metavar="HOST", action="append", default=[], help="an IP address or a name at which it is dialled"
    )
    issue.add_argument("--dns", metavar="NAME", action="append", default=[], help="a DNS name at which it is dialled")
    issue.add_argument("--days", metavar="N", type=_days, default=DAYS, help=f"until it ends; {DAYS:g}")
    show = actions.add_parser("show", help="show what certificates say", allow_abbrev=False)
    show.add_argument("file", metavar="FILE")
    show.add_argument("--json", action="store_true", help="print one JSON array of objects")
    for action in (init, issue):
        action.add_argument(
            "--key", metavar="KIND", choices=("p256", "ed25519"), default="p256", help="of the key; p256"
        )
    return parser


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = 0.0
    if not 0 < days < 36500:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days above 0")
    return days


async def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from ...network.authority import Authority, save
    from ...network.description import describe

    match options.action:
        case "init":
            authority = Authority.create(options.trust_domain, days=options.days, algorithm=options.key)
            authority.save(options.directory)
            write_line(authority.fingerprint)
        case "issue":
            authority = Authority.load(options.directory)
            if options.name in ("ca.crt", "ca.key"):
                raise ConfigError(f"{options.name!r} cannot be a name: the CA has it")
            issued = authority.issue(
                options.name,
                hosts=[*options.host, *options.dns],
                lifetime=timedelta(days=options.days),
                algorithm=options.key,
            )
            folder = Path(options.directory, options.name)
            save(issued, authority.pem, folder)
            write_line(str(folder))
        case _:
            found = describe(options.file)
            if options.json:
                write_json(found)
            else:
                for certificate in found:
                    for field, value in certificate.items():
                        shown = ", ".join(value) if isinstance(value, list) else value
                        write_line(field, str(shown))
    return 0
