"""Build the documentation site with Sphinx, into build/docs/VERSION, and check every link of it.

The pages of docs/ are written for people who read them in the repository: their links lead to other folders too. So
each page is copied to build/docs-source first, with such links turned into links to a page of the site or to a copy of
the file. The navigation is what docs/index.md lists. The pages of the public interface are made from docstrings.

`build.py --version NAME` names the version, which is that of the package by default. Versions that build/docs has
already stay, and the menu of versions lists them all: a publisher builds each release into the same folder.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[2]
SOURCE, SITE = ROOT / "build/docs-source", ROOT / "build/docs"

ELSEWHERE = {"README.md": "readme", "bench/README.md": "bench", "go/README.md": "go", "ts/README.md": "typescript"}
"""Pages of other folders that are on the site, by the names that they have there."""

INTERFACES = (
    "plugmux",
    "plugmux.runtime",
    "plugmux.connect",
    "plugmux.http",
    "plugmux.discovery",
    "plugmux.runners",
    "plugmux.secrets",
    "plugmux.services",
    "plugmux.sync",
    "plugmux.testing",
    "plugmux.yamux",
    "plugmux.errors",
)
"""Modules whose docstrings are pages."""

FACES = {"plugmux", "plugmux.sync"}
"""Those of them that show, for the most part, what others define. Links to it lead to the others."""

FENCED = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
MERMAID = re.compile(r"^```mermaid\ngraph TD\n(.*?)^```$", re.DOTALL | re.MULTILINE)
ARROW = re.compile(r"^  (\w+) --> (\w+)$", re.MULTILINE)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
ANCHOR = re.compile(r'^<a id="([\w.-]+)"></a>$', re.MULTILINE)
SECTION = re.compile(r"^## (.+)$", re.MULTILINE)

REDIRECT = """<!doctype html><meta charset="utf-8"><title>plugmux</title>
<script>location.replace({target} + location.hash)</script>
<noscript><a href={target}>{name}</a></noscript>
"""


class BrokenLink(Exception):
    """A link of a page leads nowhere."""


def stage() -> None:
    """Copy the pages into `SOURCE`, and make those of the public interface.

    Raises:
        BrokenLink: a page has a link to a file that is not there.
    """
    shutil.rmtree(SOURCE, ignore_errors=True)
    (SOURCE / "api").mkdir(parents=True)
    pages = {f"docs/{page.name}": page.stem for page in (ROOT / "docs").glob("*.md")} | ELSEWHERE
    for page, name in pages.items():
        text = staged(with_diagrams((ROOT / page).read_text("utf-8"), name), page, pages)
        (SOURCE / f"{name}.md").write_text(with_navigation(text) if name == "index" else text, "utf-8")
    for module in INTERFACES:
        rule = "=" * len(module)
        options = "   :no-index:\n" if module in FACES else ""
        text = f"{module}\n{rule}\n\n.. automodule:: {module}\n{options}"
        (SOURCE / "api" / f"{module}.rst").write_text(text, "utf-8")


def with_diagrams(text: str, name: str) -> str:
    """A page whose diagrams are pictures: what GitHub draws from Mermaid's text, the site would show as text.

    Args:
        text: the page; its diagrams are boxes with one word, and arrows between them.
        name: its name on the site.
    """
    from plugmux.cli.observe.picture import Arrow, Box, Picture
    from plugmux.cli.observe.svg import as_svg

    def drawn(match: re.Match[str]) -> str:
        arrows = tuple(Arrow(start, end) for start, end in ARROW.findall(match[1]))
        if len(arrows) != len(match[1].splitlines()):
            raise BrokenLink(f"{name}: a diagram has more than boxes with one word and arrows between them")
        boxes = dict.fromkeys(word for arrow in arrows for word in (arrow.start, arrow.end))
        pictures = SOURCE / "diagrams"
        pictures.mkdir(exist_ok=True)
        number = len(list(pictures.iterdir()))
        told = "; ".join(f"{arrow.start} to {arrow.end}" for arrow in arrows)
        shown = []
        for theme in ("light", "dark"):  # The theme of the site shows one of the two, as its reader has chosen.
            file = pictures / f"{name}-{number}-{theme}.svg"
            picture = Picture(tuple(Box(box, box) for box in boxes), arrows)
            file.write_text(as_svg(picture, dark=theme == "dark"), "utf-8")
            shown.append(f"```{{image}} diagrams/{file.name}\n:class: only-{theme}\n:alt: Arrows from {told}\n```")
        return "\n\n".join(shown)

    return MERMAID.sub(drawn, text)


def staged(text: str, page: str, pages: dict[str, str]) -> str:
    """A page with links that hold on the site.

    Args:
        text: the page.
        page: its path in the repository.
        pages: the names of all pages on the site, by their paths.
    """

    def link(match: re.Match[str]) -> str:
        image, words, target = match.groups()
        path, _, anchor = target.partition("#")
        if "://" in target or not path:
            return match[0]
        found = (ROOT / page).parent.joinpath(path).resolve()
        if not found.exists():
            raise BrokenLink(f"{page}: {target}")
        inside = found.relative_to(ROOT).as_posix()
        if inside in pages:
            return f"[{words}]({pages[inside]}.md{'#' + anchor if anchor else ''})"
        if found.is_dir():
            return words
        copy = SOURCE / "files" / (f"{inside}.txt" if found.suffix == ".md" else inside)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(found, copy)
        return f"{image}[{words}]({copy.relative_to(SOURCE).as_posix()})"

    parts = FENCED.split(text)
    parts[::2] = [ANCHOR.sub(r"(\1)=", LINK.sub(link, part)) for part in parts[::2]]
    return "".join(parts)


def with_navigation(index: str) -> str:
    """The first page, with a tree of its sections; each becomes a page, with a tree of the pages that it links to."""
    _, *sections = SECTION.split(index)
    slugs = []
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        names = [f"api/{module}" for module in INTERFACES] if title == "Public interface" else []
        names += list(dict.fromkeys(name for _, _, name in LINK.findall(body) if name.endswith(".md")))
        slugs.append(title.lower().replace(" ", "-"))
        (SOURCE / f"{slugs[-1]}.md").write_text(
            f"# {title}\n{body}\n{_tree(names, shown=not LINK.search(body))}", "utf-8"
        )
    return f"{index}\n{_tree(slugs)}"


def _tree(names: Sequence[str], *, shown: bool = False) -> str:
    """A tree of contents, which only the navigation shows where the page has links of its own."""
    return "\n".join(["```{toctree}", *([":maxdepth: 1"] if shown else [":hidden:"]), "", *names, "```", ""])


def build(version: str) -> Path:
    """Run Sphinx over what is staged; every warning of it is an error.

    Args:
        version: the name of the version, and of its folder.

    Raises:
        subprocess.CalledProcessError: Sphinx has failed.
    """
    target = SITE / version
    shutil.rmtree(target, ignore_errors=True)
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going", "--jobs", "2"]
    command += ["--conf-dir", str(Path(__file__).parent), "--doctree-dir", str(ROOT / "build/doctrees")]
    subprocess.run(
        [*command, str(SOURCE), str(target)], env={**os.environ, "PLUGMUX_DOCS_VERSION": version}, check=True
    )
    return target


def follow_external_links(version: str) -> None:
    """Follow the links of the pages to other hosts, with Sphinx' own checker.

    Args:
        version: the name of the version.

    Raises:
        subprocess.CalledProcessError: one leads nowhere; the checker has said which.
    """
    command = [sys.executable, "-m", "sphinx", "--quiet", "--builder", "linkcheck", "--conf-dir"]
    command += [str(Path(__file__).parent), "--doctree-dir", str(ROOT / "build/doctrees")]
    subprocess.run(
        [*command, str(SOURCE), str(ROOT / "build/docs-links")],
        env={**os.environ, "PLUGMUX_DOCS_VERSION": version},
        check=True,
    )


def publish(version: str) -> None:
    """Write what stands beside the versions: their list, and pages that lead to the newest."""
    versions = sorted((path.parent.name for path in SITE.glob("*/objects.inv")), reverse=True)
    entries = [{"version": name, "url": f"../{name}/"} for name in versions]
    (SITE / "versions.json").write_text(json.dumps(entries, indent=2) + "\n")
    for page in (SITE / version).glob("*.html"):
        target = json.dumps(f"{version}/{page.name}")
        (SITE / page.name).write_text(REDIRECT.format(target=target, name=page.stem))


class Page(HTMLParser):
    """The links of a page and the places in it that links may lead to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if value is not None and name == "id":
                self.anchors.add(value)
            elif value is not None and name in ("href", "src"):
                self.links.append(value)


def broken_links(site: Path) -> list[str]:
    """The links of built pages that lead to no file or to no place in it; links to other hosts are not followed."""
    pages = {path.resolve(): Page(path) for path in site.rglob("*.html") if "_static" not in path.parts}
    broken = []
    for page in pages.values():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or link == "#":
                continue
            target = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path.resolve()
            target = target / "index.html" if target.is_dir() else target
            there = pages[target].anchors if target in pages else None
            if not target.exists() or (parts.fragment and there is not None and unquote(parts.fragment) not in there):
                broken.append(f"{page.path.relative_to(site)}: {link}")
    return broken


def main() -> int:
    """Build the site and return the exit status."""
    sys.path[:0] = [str(ROOT / "py"), str(ROOT / "gen/python")]
    from plugmux.contract.version import VERSION

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--version", default=VERSION, help=f"the version's name; {VERSION} by default")
    parser.add_argument("--external", action="store_true", help="follow the links to other hosts, too")
    options = parser.parse_args()
    version = options.version
    try:
        stage()
        target = build(version)
        if options.external:
            follow_external_links(version)
    except (BrokenLink, subprocess.CalledProcessError) as error:
        print(f"the site was not built: {error}", file=sys.stderr)
        return 1
    publish(version)
    if broken := broken_links(target):
        print("links that lead nowhere:", *broken, sep="\n  ", file=sys.stderr)
        return 1
    pages = [path for path in target.rglob("*.html") if "_static" not in path.parts]
    print(f"{len(pages)} pages, every link leads somewhere: see {SITE / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
