"""`plugmux new NAME`: a plugin project with its tests, stubs and packaging, from an empty folder."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from ...errors import ConfigError
from ..output import write_error, write_text
from ..terminal.progress import Step, progress

__all__ = ["add", "run"]


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    from ...new.project import ALL, KINDS, LANGUAGES, LICENSES

    parser: argparse.ArgumentParser = commands.add_parser(
        "new",
        help="make a project for a plugin",
        description="Make a project for a plugin: its proto and generated stubs, the plugin, a test, packaging and a "
        "workflow for CI. `make test` in it passes at once. It needs `pip install 'plugmux[new]'`.",
        allow_abbrev=False,
    )
    parser.add_argument("name", metavar="NAME", help="what to call it: lower-case words with hyphens between them")
    parser.add_argument(
        "--lang",
        required=True,
        choices=(*LANGUAGES, ALL),
        help="the language to write it in; all makes a host in Python with the plugin in each language",
    )
    parser.add_argument(
        "--kind", choices=KINDS, default="service", help="what it serves: RPCs (the default), secrets or plain HTTP"
    )
    parser.add_argument("--dir", metavar="DIR", type=Path, help="the project's folder; by default ./NAME")
    parser.add_argument("--license", choices=LICENSES, default="Apache-2.0", help="its licence; Apache-2.0 by default")
    parser.add_argument(
        "--go-module", metavar="PATH", default="", help="the path of the Go module; example.com/NAME by default"
    )
    parser.add_argument(
        "--sdk",
        metavar="CHECKOUT",
        type=Path,
        help="use this checkout of plugmux in place of the released packages; by default the one that this was "
        "installed from",
    )
    return parser


async def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from ...new.checkout import find_checkout, is_checkout
    from ...new.project import Project
    from ...new.write import create

    sdk = options.sdk.resolve() if options.sdk else find_checkout()
    if sdk is not None and not is_checkout(sdk):
        raise ConfigError(f"--sdk {options.sdk}: that is no checkout of plugmux: it has no go.mod and ts/package.json")
    project = Project(options.name, options.lang, options.kind, options.license, sdk, options.go_module)
    directory = options.dir or Path(options.name)
    step = Step("writing files")

    def tell(what: str, done: int, total: int) -> None:
        nonlocal step
        step = Step(what, done, total)

    async with progress(lambda: step):
        paths = await create(project, directory, tell)
    for path in paths:
        write_text(str(directory / path))
    write_error(f"see {directory / 'README.md'}; next: cd {shlex.quote(str(directory))} && make test")
    return 0
