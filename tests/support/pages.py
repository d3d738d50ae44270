"""The examples on the pages of docs/ and in README.md, run as they stand there."""

from __future__ import annotations

import ast
import inspect
import re
from typing import Any

from .tools import ROOT


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
