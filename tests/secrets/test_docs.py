"""What docs/secrets.md says, run."""

from __future__ import annotations

from support.pages import examples, run_examples

PAGE = "docs/secrets.md"


async def test_every_example_runs_after_those_before_it() -> None:
    assert len(examples(PAGE)) >= 8
    await run_examples(PAGE)
