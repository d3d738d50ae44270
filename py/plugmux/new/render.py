"""From templates to the text of files.

A project's files are those of the folders `common`, KIND, LANGUAGE and LANGUAGE-KIND in `templates`, each without its
`.j2`; a project of all languages has those of `all`. In their paths NAME stands for the project's name, and MODULE for
that of its Python module. A template that renders to nothing makes no file.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

from ..errors import PlugmuxError
from .project import ALL, Project

__all__ = ["render"]

SUFFIX = ".j2"


def render(project: Project) -> dict[str, str]:
    """The text of every file of a project, by its path, without the generated stubs.

    Raises:
        PlugmuxError: Jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, FunctionLoader, StrictUndefined
    except ImportError:
        raise PlugmuxError("a new project needs Jinja2: pip install 'plugmux[new]'") from None
    templates = files(__package__) / "templates"
    environment = Environment(  # noqa: S701 -- the output is source text, and no HTML
        loader=FunctionLoader(lambda name: templates.joinpath(*name.split("/")).read_text("utf-8")),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rendered = {}
    one = ("common", project.kind, project.language, f"{project.language}-{project.kind}")
    for folder in (ALL,) if project.language == ALL else one:
        for path in _templates(templates / folder, ""):
            text = environment.get_template(f"{folder}/{path}").render(project.variables)
            if text.strip():
                target = path.removesuffix(SUFFIX).replace("NAME", project.name).replace("MODULE", project.module)
                rendered[target] = text
    return rendered


def _templates(folder: Traversable, prefix: str) -> Iterator[str]:
    """The paths of all templates below a folder, which need not be there."""
    if not folder.is_dir():
        return
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _templates(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(SUFFIX):
            yield prefix + entry.name
