"""The plugins of a runtime, by name and by what they serve."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from ..contract.registration import Registration, RegistrationRefused
from .error import PluginCause, PluginError
from .plugin import PluginHandle

__all__ = ["Registry"]


class Registry:
    """All plugins of a runtime, in the order of their names.

    A name stands for one plugin, or for several replicas of it. Aside stand those that are to come in the place of
    others, or have been replaced and end their work: no call finds them.

    Args:
        replicated: names of plugins that may come by themselves more than once, if they ask for it.
    """

    def __init__(self, replicated: Collection[str] = ()) -> None:
        self._replicated = frozenset(replicated)
        self._plugins: dict[str, list[PluginHandle]] = {}
        self._standby: list[PluginHandle] = []
        self._serving: dict[str, list[str]] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._plugins

    def sorted(self) -> list[PluginHandle]:
        """All plugins, sorted by name."""
        return [plugin for name in sorted(self._plugins) for plugin in self._plugins[name]]

    def everybody(self) -> list[PluginHandle]:
        """All plugins, with those aside."""
        return [*self.sorted(), *self._standby]

    def check(self, registration: Registration) -> None:
        """See that a plugin may come in under its name.

        Raises:
            RegistrationRefused: another plugin has the name, and they are no replicas.
        """
        name = registration.name
        if name not in self._plugins:
            return
        if not registration.replica:
            raise RegistrationRefused(f"there is a plugin named {name!r} already: give this one another name")
        if name not in self._replicated:
            raise RegistrationRefused(
                f"there is a plugin named {name!r} already, and the host does not allow replicas of it: "
                f"Runtime(replicated=[{name!r}])"
            )

    def add(self, plugin: PluginHandle) -> None:
        """Take a plugin in under its name, as one more replica where there are others."""
        self._plugins.setdefault(plugin.name, []).append(plugin)
        self.refresh()

    def remove(self, plugin: PluginHandle) -> None:
        """Forget a plugin."""
        replicas = self._plugins.get(plugin.name, [])
        if plugin in replicas:
            replicas.remove(plugin)
            if not replicas:
                del self._plugins[plugin.name]
            self.refresh()

    def has_aside(self, name: str) -> bool:
        """Whether plugins of that name stand aside."""
        return any(plugin.name == name for plugin in self._standby)

    def is_aside(self, plugin: PluginHandle) -> bool:
        """Whether a plugin stands aside."""
        return plugin in self._standby

    def has_in_place_of(self, plugin: PluginHandle) -> bool:
        """Whether another has the place of a plugin that was here."""
        return plugin not in self._plugins.get(plugin.name, [plugin])

    def put_on_standby(self, plugins: Iterable[PluginHandle]) -> None:
        """Take plugins in where no call finds them."""
        self._standby += plugins

    def exchange(self, old: Sequence[PluginHandle], new: Sequence[PluginHandle]) -> None:
        """Let plugins from aside take the place of others of their name, which stand aside from now on."""
        name = new[0].name
        staying = [plugin for plugin in self._plugins.get(name, ()) if plugin not in old]
        self._plugins[name] = [*new, *staying]
        self._standby = [*(plugin for plugin in self._standby if plugin not in new), *old]
        self.refresh()

    def forget(self, plugins: Iterable[PluginHandle]) -> None:
        """Forget plugins that stand aside."""
        gone = list(plugins)
        self._standby = [plugin for plugin in self._standby if plugin not in gone]

    def refresh(self) -> None:
        """Take note of what the plugins say now that they serve."""
        self._serving = {}
        for name in sorted(self._plugins):
            said = self._said(name)
            for service in said.services if said else ():
                self._serving.setdefault(service, []).append(name)

    def named(self, name: str) -> list[PluginHandle]:
        """The plugin of that name, and its replicas.

        Raises:
            PluginError: there is none.
        """
        try:
            return self._plugins[name]
        except KeyError:
            known = ", ".join(sorted(self._plugins)) or "none"
            raise PluginError(name, PluginCause.UNKNOWN, f"there is no plugin of that name (known: {known})") from None

    def serving(self, service: str) -> list[PluginHandle]:
        """The plugin that serves a service, and its replicas: of several that run the one of the highest priority.

        Args:
            service: the full proto name of the service.

        Raises:
            PluginError: no plugin serves it, or several do with the same priority.
        """
        names = self._serving.get(service, ())
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
        return next((plugin.registration for plugin in self._plugins[name] if plugin.registration), None)

    def _will_run(self, name: str) -> bool:
        return any(plugin.will_run for plugin in self._plugins[name])

    def _priority(self, name: str) -> int:
        said = self._said(name)
        return said.priority if said else 0

    def _unserved(self, service: str) -> PluginError:
        failed = [plugin.error for plugin in self.sorted() if plugin.error is not None]
        known = ", ".join(sorted(self._serving)) or "none"
        detail = f"no plugin serves {service} (served: {known})"
        if failed:
            detail += "; these do not run: " + "; ".join(f"{error.plugin}, as {error.detail}" for error in failed)
        return PluginError("", PluginCause.UNKNOWN, detail, stderr=failed[0].stderr if len(failed) == 1 else "")
