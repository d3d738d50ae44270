"""The pages for people: their links lead somewhere, and the files that they name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.tools import ROOT

FOLDERS = ("docs", "bench", "go", "ts", "tests", "examples", "py")
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))]
    if not {"node_modules", "dist"} & set(path.relative_to(ROOT).parts)
)
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
ANCHOR = re.compile(r'^<a id="([\w.-]+)"></a>$', re.MULTILINE)
FILE = re.compile(r"`([\w./-]+/[\w.-]*\.(?:py|go|ts|proto|json|md)|(?:tests|py|docs|proto)/[\w./-]+)`")
MAPS = ["docs/architecture.md", "docs/life-of-a-call.md"]
"""Pages that say which file does what."""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """What a link to a place of the page may say behind its `#`: headings by the rule of those who show Markdown."""
    text = FENCED.sub("", page.read_text())
    plain = (re.sub(r"[^\w\- ]", "", title.lower()) for title in HEADING.findall(text))
    return {title.strip().replace(" ", "-") for title in plain} | set(ANCHOR.findall(text))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(FENCED.sub("", page.read_text())):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in anchors(target), f"{link}: {name_of(target)} has no such heading"


@pytest.mark.parametrize("page", MAPS)
def test_every_file_that_a_map_of_the_code_names_exists(page: str) -> None:
    named = set(FILE.findall(FENCED.sub("", (ROOT / page).read_text())))
    assert named, "the page names no file"
    places = (ROOT, ROOT / "py/plugmux", ROOT / "tests")
    assert not {name for name in named if not any((place / name).exists() for place in places)}


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=name_of)
def test_every_page_can_be_reached_from_the_readme(page: Path) -> None:
    assert f"(docs/{page.name})" in (ROOT / "README.md").read_text()
