"""The plugins of a runtime, by name and by what they serve, and the events that tell what becomes of them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ..aio.broadcast import Broadcast
from ..contract.patterns import ANY, ONE, overlap
from ..contract.registration import Registration, RegistrationRefused
from ..errors import PluginCause, PluginError, StateError
from .events import Event, EventKind
from .plugin import PluginRecord
from .settings import Permissions
from .state import State

if TYPE_CHECKING:
    from .inspect.observer import CallObserver

__all__ = ["Index", "PatternIndex", "Registry", "patterns_of", "services_of"]


NOT_STARTED = "the runtime has not been started: use it in `async with Runtime(...) as runtime`, or await start()"


class Registry:
    """All plugins of a runtime, in the order of their names; the one observer of their records.

    A name belongs to one plugin, or to several replicas of it. On standby are those that are to come in the place of
    others, or have been replaced and end their work: no call finds them.

    Args:
        permissions: says which plugins may come more than once.

    Attributes:
        events: what becomes of the plugins.
        on_shared: called with each plugin that begins to run and may share what it serves with another.
        call_observer: counts the calls while somebody watches; `None` while nobody does.
        started: whether the runtime has been started.
        services: the names of plugins by the services that they have registered, or that are reserved for them.
        patterns: the same by the patterns of their secrets.
        external: the names of plugins that have started by themselves.
    """

    def __init__(self, permissions: Permissions = Permissions()) -> None:  # noqa: B008 -- it is frozen
        self._permissions = permissions
        self._plugins: dict[str, list[PluginRecord]] = {}
        self._standby: list[PluginRecord] = []
        self._serving = Index()
        self.services = Index()
        self.patterns = PatternIndex()
        self.external: set[str] = set()
        self.events: Broadcast[Event] = Broadcast()
        self.on_shared: Callable[[PluginRecord], None] | None = None
        self.call_observer: CallObserver | None = None
        self.started = False

    def _observe(self, plugin: PluginRecord, before: State) -> None:
        """Note a change of a plugin, and publish the event."""
        running = plugin.state is State.RUNNING
        if running:
            self._refresh(plugin.name)
        if plugin in self._standby:
            return
        self.events.publish(self.event_of(plugin, before))
        if running and self.on_shared is not None and (len(self._plugins) > 1 or plugin.decides_on_access):
            self.on_shared(plugin)

    def refused(self, name: str, why: str) -> None:
        """Publish that something was refused that came in the name of a plugin."""
        told = PluginError(name, PluginCause.REFUSED, why)
        self.events.publish(Event(name, State.REGISTERING, State.STOPPED, why, told, kind=EventKind.REFUSED))

    def present(self) -> list[Event]:
        """An event for the present state of each plugin."""
        return [self.event_of(plugin) for plugin in self.sorted()]

    @staticmethod
    def event_of(plugin: PluginRecord, before: State | None = None) -> Event:
        """The event for the present state of a plugin.

        Args:
            plugin: the plugin.
            before: the state that it has left; by default it has left none.
        """
        identity = plugin.peer.identity if plugin.peer is not None else ""
        return Event(
            plugin.name,
            before or plugin.state,
            plugin.state,
            plugin.status,
            plugin.error,
            plugin.health,
            identity=identity,
        )

    def __contains__(self, name: object) -> bool:
        return name in self._plugins

    def sorted(self) -> list[PluginRecord]:
        """All plugins, sorted by name."""
        return [plugin for name in sorted(self._plugins) for plugin in self._plugins[name]]

    def all(self) -> list[PluginRecord]:
        """All plugins, with those on standby."""
        return [*self.sorted(), *self._standby]

    def check(self, registration: Registration, replaced: PluginRecord | None = None) -> None:
        """Check that a plugin may be taken in under its name.

        Args:
            registration: what it says.
            replaced: the plugin whose place it takes, if it does.

        Raises:
            RegistrationRefused: another plugin has the name, and they are no replicas.
        """
        name = registration.name
        if all(plugin is replaced for plugin in self._plugins.get(name, ())):
            return
        if not registration.replica:
            raise RegistrationRefused(f"there is a plugin named {name!r} already: give this one another name")
        if name not in self._permissions.replicated:
            raise RegistrationRefused(
                f"there is a plugin named {name!r} already, and the host does not allow replicas of it: "
                f"Permissions(replicated=[{name!r}])"
            )

    def add(self, plugin: PluginRecord) -> None:
        """Take a plugin in under its name, as one more replica where there are others."""
        plugin.observer = self._observe
        self._plugins.setdefault(plugin.name, []).append(plugin)
        self._refresh(plugin.name)

    def remove(self, plugin: PluginRecord) -> None:
        """Forget a plugin."""
        replicas = self._plugins.get(plugin.name, [])
        if plugin in replicas:
            replicas.remove(plugin)
            if not replicas:
                del self._plugins[plugin.name]
            self._refresh(plugin.name)

    def has_standby(self, name: str) -> bool:
        """Whether plugins of that name are on standby."""
        return any(plugin.name == name for plugin in self._standby)

    def has_in_place_of(self, plugin: PluginRecord) -> bool:
        """Whether another has the place of a plugin that was here."""
        return plugin not in self._plugins.get(plugin.name, [plugin])

    def put_on_standby(self, plugins: Iterable[PluginRecord]) -> None:
        """Take plugins in where no call finds them."""
        for plugin in plugins:
            plugin.observer = self._observe
            self._standby.append(plugin)

    def exchange(self, old: Sequence[PluginRecord], new: Sequence[PluginRecord]) -> None:
        """Let plugins on standby take the place of others of their name, which are on standby from now on."""
        name = new[0].name
        staying = [plugin for plugin in self._plugins.get(name, ()) if plugin not in old]
        self._plugins[name] = [*new, *staying]
        self._standby = [*(plugin for plugin in self._standby if plugin not in new), *old]
        self._refresh(name)

    def forget(self, plugins: Iterable[PluginRecord]) -> None:
        """Forget plugins that are on standby."""
        gone = list(plugins)
        self._standby = [plugin for plugin in self._standby if plugin not in gone]

    def _refresh(self, name: str) -> None:
        """Note what the plugins of a name have registered, and what is reserved for them."""
        replicas = self._plugins.get(name, ())
        said = self._said(name)
        self._serving.put(name, said.services if said else ())
        self.services.put(name, frozenset().union(*map(services_of, replicas)))
        self.patterns.put(name, frozenset().union(*map(patterns_of, replicas)))
        (self.external.add if any(plugin.external for plugin in replicas) else self.external.discard)(name)

    def named(self, name: str) -> list[PluginRecord]:
        """The plugin of that name, and its replicas.

        Raises:
            PluginError: there is no such plugin.
        """
        try:
            return self._plugins[name]
        except KeyError:
            if not self.started and not self._plugins:
                raise StateError(NOT_STARTED) from None
            known = ", ".join(sorted(self._plugins)) or "none"
            raise PluginError(name, PluginCause.UNKNOWN, f"there is no plugin of that name (known: {known})") from None

    def names_serving(self, service: str) -> list[str]:
        """The names of the plugins that have registered a service, sorted."""
        return list(self._serving.names(service))

    def serving(self, service: str) -> list[PluginRecord]:
        """The plugin that serves a service, and its replicas: of several that run the one of the highest priority.

        Args:
            service: the full proto name of the service.

        Raises:
            PluginError: no plugin serves it, or several do with the same priority.
        """
        names: Sequence[str] = self._serving.by_key.get(service, ())
        if len(names) == 1:
            return self._plugins[names[0]]
        if not names:
            raise self._unserved(service)
        names = [name for name in names if self._will_run(name)] or names
        best = max(self._priority(name) for name in names)
        first, *others = [name for name in names if self._priority(name) == best]
        if others:
            raise PluginError(", ".join((first, *others)), PluginCause.AMBIGUOUS, f"they all serve {service}")
        return self._plugins[first]

    def _said(self, name: str) -> Registration | None:
        return next((plugin.registration for plugin in self._plugins.get(name, ()) if plugin.registration), None)

    def _will_run(self, name: str) -> bool:
        return any(plugin.will_run for plugin in self._plugins[name])

    def _priority(self, name: str) -> int:
        said = self._said(name)
        return said.priority if said else 0

    def _unserved(self, service: str) -> PluginError | StateError:
        if not self.started and not self._plugins:
            return StateError(NOT_STARTED)
        failed = [plugin.error for plugin in self.sorted() if plugin.error is not None]
        known = ", ".join(sorted(self._serving.by_key)) or "none"
        detail = f"no plugin serves {service} (served: {known})"
        if failed:
            detail += "; these do not run: " + "; ".join(f"{error.plugin}, as {error.detail}" for error in failed)
        return PluginError("", PluginCause.UNKNOWN, detail, stderr=failed[0].stderr if len(failed) == 1 else "")


class Index:
    """The names that belong to each key.

    Attributes:
        by_key: the names, sorted, by the key; no key is without names.
    """

    def __init__(self) -> None:
        self.by_key: dict[str, list[str]] = {}
        self._keys: dict[str, frozenset[str]] = {}

    def put(self, name: str, keys: Iterable[str]) -> None:
        """Let a name belong to these keys, and to no others."""
        had, has = self.keys(name), frozenset(keys)
        for key in had - has:
            names = self.by_key[key]
            del names[bisect_left(names, name)]
            if not names:
                del self.by_key[key]
        for key in has - had:
            insort(self.by_key.setdefault(key, []), name)
        if has:
            self._keys[name] = has
        else:
            self._keys.pop(name, None)

    def names(self, key: str) -> Sequence[str]:
        """The names that belong to a key, sorted."""
        return self.by_key.get(key, ())

    def keys(self, name: str) -> frozenset[str]:
        """The keys that a name belongs to."""
        return self._keys.get(name, frozenset())


class PatternIndex(Index):
    """An index whose keys are patterns of secrets: those that begin unlike a given one are passed over."""

    def __init__(self) -> None:
        super().__init__()
        self._begin_with = Index()

    def put(self, name: str, keys: Iterable[str]) -> None:
        had = self.keys(name)
        super().put(name, keys)
        for pattern in had ^ self.keys(name):
            self._begin_with.put(pattern, {_first(pattern)} if self.names(pattern) else ())

    def overlapping(self, pattern: str) -> Iterator[tuple[str, Sequence[str]]]:
        """The patterns that match some id which this one matches too, sorted, each with its names."""
        begins = {_first(pattern), ONE} if _first(pattern) != ONE else self._begin_with.by_key
        for other in sorted(pattern for first in begins for pattern in self._begin_with.names(first)):
            if overlap(pattern, other):
                yield other, self.names(other)


def services_of(plugin: PluginRecord) -> frozenset[str]:
    """The services that a plugin has: those that it has registered, and those that are reserved for it."""
    said = plugin.registration.services if plugin.registration is not None else ()
    return frozenset(said).union(*(grant.services or () for grant in plugin.grants))


def patterns_of(plugin: PluginRecord) -> frozenset[str]:
    """The pattern of secrets that a plugin has registered; where it has none, those that are reserved for it."""
    if plugin.registration is not None and plugin.registration.secrets_pattern is not None:
        return frozenset({plugin.registration.secrets_pattern})
    return frozenset(pattern for grant in plugin.grants for pattern in grant.secrets or ())


def _first(pattern: str) -> str:
    """The first component of a pattern; `*` for any wildcard."""
    first = pattern.partition("/")[0]
    return ONE if first == ANY else first
