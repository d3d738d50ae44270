"""The plugins of a runtime, by name and by what they serve."""

from __future__ import annotations

from ..registration import Registration, RegistrationRefused
from .error import PluginCause, PluginError
from .hosted import HostedPlugin

__all__ = ["Registry"]


class Registry:
    """All plugins of a runtime. Names are unique; the order is that of the names."""

    def __init__(self) -> None:
        self._plugins: dict[str, HostedPlugin] = {}
        self._serving: dict[str, list[HostedPlugin]] = {}

    def sorted(self) -> list[HostedPlugin]:
        """All plugins, sorted by name."""
        return [self._plugins[name] for name in sorted(self._plugins)]

    def check_name(self, name: str) -> None:
        """See that a name is free.

        Raises:
            RegistrationRefused: another plugin has it.
        """
        if name in self._plugins:
            raise RegistrationRefused(f"there is a plugin named {name!r} already: give this one another name")

    def add(self, plugin: HostedPlugin) -> None:
        """Take a plugin in under its name."""
        self.check_name(plugin.name)
        self._plugins[plugin.name] = plugin
        self.refresh()

    def remove(self, plugin: HostedPlugin) -> None:
        """Forget a plugin."""
        if self._plugins.get(plugin.name) is plugin:
            del self._plugins[plugin.name]
            self.refresh()

    def refresh(self) -> None:
        """Take note of what the plugins say now that they serve."""
        self._serving = {}
        for plugin in self.sorted():
            for service in plugin.registration.services if plugin.registration else ():
                self._serving.setdefault(service, []).append(plugin)

    def named(self, name: str) -> HostedPlugin:
        """The plugin of that name.

        Raises:
            PluginError: there is none.
        """
        try:
            return self._plugins[name]
        except KeyError:
            known = ", ".join(sorted(self._plugins)) or "none"
            raise PluginError(name, PluginCause.UNKNOWN, f"there is no plugin of that name (known: {known})") from None

    def serving(self, service: str) -> HostedPlugin:
        """The plugin that serves a service: the one of the highest priority.

        Args:
            service: the full proto name of the service.

        Raises:
            PluginError: no plugin serves it, or several do with the same priority.
        """
        plugins = self._serving.get(service, ())
        if len(plugins) == 1:
            return plugins[0]
        if not plugins:
            raise self._unserved(service)
        best = max(_priority(plugin.registration) for plugin in plugins)
        first, *others = [plugin for plugin in plugins if _priority(plugin.registration) == best]
        if others:
            names = ", ".join(plugin.name for plugin in (first, *others))
            raise PluginError(names, PluginCause.AMBIGUOUS, f"they all serve {service}")
        return first

    def _unserved(self, service: str) -> PluginError:
        failed = [f"{plugin.name}: {plugin.error}" for plugin in self.sorted() if plugin.error is not None]
        known = ", ".join(sorted(self._serving)) or "none"
        detail = f"no plugin serves {service} (served: {known})"
        if failed:
            detail += "; these do not run: " + "; ".join(failed)
        return PluginError("?", PluginCause.UNKNOWN, detail)


def _priority(registration: Registration | None) -> int:
    return registration.priority if registration else 0
