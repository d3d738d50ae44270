"""The examples on the pages of docs/ and in README.md, run as they stand there."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .tools import ROOT

PAGES = ["README.md", *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))] + [
    f"{folder}/README.md" for folder in ("bench", "go", "ts")
]
FENCE = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n)?"
    r"^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Example:
    """One example of a page.

    Args:
        page: the page's path in the repository.
        language: what stands behind the opening fence; empty where nothing does.
        number: its number among those of its language on the page, from 0.
        text: what it shows.
        reason: why it does not run; empty where it does.
    """

    page: str
    language: str
    number: int
    text: str
    reason: str

    def __str__(self) -> str:
        return f"{self.page} {self.language} {self.number}"


def all_examples(*languages: str) -> list[Example]:
    """The examples in these languages, or in all."""
    return [example for page in PAGES for example in _of(page) if not languages or example.language in languages]


def _of(page: str) -> Iterator[Example]:
    counts: dict[str, int] = {}
    for match in FENCE.finditer((ROOT / page).read_text()):
        language = match["language"]
        number = counts[language] = counts.get(language, -1) + 1
        yield Example(page, language, number, match["text"], match["reason"] or "")


def examples(page: str, language: str = "python") -> list[str]:
    """The examples in one language, in the order of the page.

    Args:
        page: the page's path in the repository, such as `"docs/secrets.md"`.
        language: what stands behind the opening fence.
    """
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)


async def run_examples(page: str, names: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run the Python examples of a page one after the other, each after those before it; `await` may stand in the open.

    Args:
        page: the page's path in the repository.
        names: what the examples find.

    Returns:
        The names that there are in the end.
    """
    names = {} if names is None else names
    for example in examples(page):
        code = compile(example, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if inspect.CO_COROUTINE & code.co_flags:
            await eval(code, names)
        else:
            exec(code, names)
    return names
