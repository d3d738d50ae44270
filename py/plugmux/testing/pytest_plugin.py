"""The pytest plugin: fixtures for tests of plugins and hosts, and runs of one test against plugins in each language.

No fixture is asynchronous: what they give is used by `async with` in the test. So they need no mode of pytest-asyncio,
and work with anyio as well.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

if TYPE_CHECKING:
    from ..runtime import Launch
    from .clock import FakeClock
    from .host import PluginHost
    from .recipes import Recipe

__all__: list[str] = []

HostFactory: TypeAlias = "Callable[..., AbstractAsyncContextManager[PluginHost]]"

FIXTURE = "built_plugin"
HOSTS: pytest.StashKey[list[PluginHost]] = pytest.StashKey()
RECIPES: pytest.StashKey[dict[str, Recipe]] = pytest.StashKey()
BUILT: pytest.StashKey[dict[str, Launch | Exception]] = pytest.StashKey()
SHOWN = 50
"""Calls, events and lines of the log that are shown of a plugin whose test has failed, each."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("plugmux", "plugins under test (plugmux)")
    group.addoption(
        "--plugmux-plugins",
        metavar="NAMES",
        help="run tests of [tool.plugmux.plugins] against these alone, by name, with commas between them",
    )
    group.addoption(
        "--plugmux-missing",
        choices=("fail", "skip"),
        help="what becomes of tests of a plugin whose compiler is missing; by default what its recipe says",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "plugins(*names): run the test, which uses the fixture built_plugin, once for each of these plugins of "
        "[tool.plugmux.plugins] in pyproject.toml; for all of them without names.",
    )
    config.stash[BUILT] = {}
    chosen = _chosen(config)
    if chosen is not None and (unknown := sorted(chosen - _recipes(config).keys())):
        raise pytest.UsageError(f"--plugmux-plugins: {_unknown(config, unknown)}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marker = metafunc.definition.get_closest_marker("plugins")
    if FIXTURE not in metafunc.fixturenames:
        if marker is not None:
            pytest.fail(f"{metafunc.definition.nodeid} is marked `plugins` and does not use {FIXTURE}", pytrace=False)
        return
    recipes = _recipes(metafunc.config)
    names = marker.args if marker is not None and marker.args else tuple(recipes)
    if unknown := [name for name in names if name not in recipes]:
        pytest.fail(f"{metafunc.definition.nodeid}: {_unknown(metafunc.config, unknown)}", pytrace=False)
    if not names:
        pytest.fail(
            f"{metafunc.definition.nodeid} uses {FIXTURE}, and {metafunc.config.rootpath / 'pyproject.toml'} has no "
            "[tool.plugmux.plugins]: give each plugin a table with `build` and `run`",
            pytrace=False,
        )
    metafunc.parametrize(FIXTURE, names, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    chosen = _chosen(config)
    if chosen is None:
        return
    out = [item for item in items if _plugin_of(item) not in (None, *chosen)]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    if report.when == "call" and report.failed:
        for host in item.stash.get(HOSTS, []):
            report.sections.append((f"plugmux: plugin {host.name}", _seen(host)))
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    from .recipes import CompilerMissing

    for key, made in config.stash[BUILT].items():
        if isinstance(made, CompilerMissing):
            terminalreporter.write_line(f"plugmux: NOT TESTED: {made} ({key})", yellow=True)


@pytest.fixture
def plugin_host(request: pytest.FixtureRequest) -> HostFactory:
    """`plugmux.testing.plugin_host`; where the test fails, its report has what was seen of the plugin."""
    from . import plugin_host

    return _watched(request.node, plugin_host)


@pytest.fixture
def launch_plugin(request: pytest.FixtureRequest) -> HostFactory:
    """`plugmux.testing.launch_plugin`; where the test fails, its report has what was seen of the plugin."""
    from . import launch_plugin

    return _watched(request.node, launch_plugin)


@pytest.fixture
def fake_clock() -> FakeClock:
    """A `FakeClock`, which the test enters: `with fake_clock:`."""
    from . import FakeClock

    return FakeClock()


@pytest.fixture
def built_plugin(request: pytest.FixtureRequest) -> Launch:
    """What runs a plugin of `[tool.plugmux.plugins]`, built once a session: `launch_plugin(built_plugin)`."""
    from .recipes import BuildError, CompilerMissing

    recipe = _recipes(request.config)[request.param]
    built = request.config.stash[BUILT]
    if recipe.key not in built:
        try:
            built[recipe.key] = recipe.make()
        except BuildError as error:
            built[recipe.key] = error
    made = built[recipe.key]
    if not isinstance(made, Exception):
        return made
    missing = request.config.getoption("--plugmux-missing") or recipe.missing
    if isinstance(made, CompilerMissing) and missing == "skip":
        pytest.skip(str(made))
    pytest.fail(str(made), pytrace=False)


def _watched(node: Any, make: HostFactory) -> HostFactory:
    hosts: list[PluginHost] = node.stash.setdefault(HOSTS, [])

    @asynccontextmanager
    async def watched(*args: Any, **options: Any) -> AsyncIterator[PluginHost]:
        async with make(*args, **options) as host:
            hosts.append(host)
            yield host

    return watched


def _seen(host: PluginHost) -> str:
    lines = [repr(call) for call in host.calls[-SHOWN:]]
    lines += [f"{event.before.value} -> {event.state.value} {event.status}".rstrip() for event in host.events[-SHOWN:]]
    lines += [f"{entry.source.value}: {entry.message}" for entry in host.logs[-SHOWN:]]
    return "\n".join(lines)


def _recipes(config: pytest.Config) -> dict[str, Recipe]:
    if RECIPES not in config.stash:
        from .recipes import RecipeError, read_recipes

        try:
            config.stash[RECIPES] = read_recipes(config.rootpath)
        except RecipeError as error:
            raise pytest.UsageError(str(error)) from None
    return config.stash[RECIPES]


def _chosen(config: pytest.Config) -> set[str] | None:
    given: str | None = config.getoption("--plugmux-plugins")
    return None if given is None else {name.strip() for name in given.split(",") if name.strip()}


def _unknown(config: pytest.Config, names: list[str]) -> str:
    known = ", ".join(_recipes(config)) or "none"
    return f"no plugin {', '.join(map(repr, names))} in [tool.plugmux.plugins] of pyproject.toml, which has: {known}"


def _plugin_of(item: pytest.Item) -> str | None:
    callspec = getattr(item, "callspec", None)
    name: str | None = None if callspec is None else callspec.params.get(FIXTURE)
    return name
