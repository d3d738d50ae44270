"""The runtime for programs without asyncio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from ..connect import Client, Service, SyncClient
from ..errors import StateError
from ..link.servable import Servable
from ..runtime import Event, LogEntry, PluginHandle, PluginSource
from ..runtime import Runtime as AsyncRuntime
from ..runtime.changes.configuration import Configurable
from .objects import Loan, RemoteObject
from .thread import LoopThread

__all__ = ["Runtime"]

T = TypeVar("T")
AnyClient = TypeVar("AnyClient", bound=SyncClient)


class Runtime:
    """Launches plugins, lets others connect, and carries calls to all of them; every method waits for its outcome.

        with Runtime(["./kv-plugin"]) as runtime:
            kv = runtime.client(KeyValueClient)

    It is `plugmux.Runtime` in a thread of its own; what that says of each method holds here. Any number of threads may
    use it and its clients. Ctrl-C cancels the call that is waited for, and passes on. A forked process cannot use it.

    Args:
        plugins: what to run, as for `plugmux.Runtime`.
        options: all else that `plugmux.Runtime` takes. The methods of services may be plain functions; they run in
            worker threads, and may use this runtime.

    Attributes:
        asynchronous: the `plugmux.Runtime` itself, for `run`.

    Raises:
        ConfigError: as `plugmux.Runtime`.
    """

    def __init__(self, plugins: Iterable[PluginSource] = (), **options: Any) -> None:
        self.asynchronous = AsyncRuntime(plugins, **options)
        self._thread = LoopThread("the runtime")

    def start(self) -> None:
        """Start all plugins in parallel and begin to listen; returns when every plugin runs or has failed.

        Raises:
            StateError: it has been started before.
            ConfigError: two plugins have the same name.
            PluginError: a required plugin does not run.
            ListenError: an address cannot be listened at; nothing is left running then.
        """
        self._thread.start()
        try:
            self._thread.run(self.asynchronous.start())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End all plugins and the thread. Harmless at any time, from any thread, more than once."""
        try:
            if self._thread.running:
                self._thread.run(self.asynchronous.close())
        except StateError:  # It is a fork's, or another thread was faster.
            pass
        finally:
            self._thread.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, call: Awaitable[T]) -> T:
        """Run anything asynchronous in the runtime's event loop, and wait for it: `runtime.run(plugin.changed())`.

        Raises:
            StateError: the runtime does not run, belongs to another process, or its own event loop is to wait.
        """
        return self._thread.run(call)

    # -- calls --------------------------------------------------------------------------------------------------------

    @overload
    def client(self, client_class: type[AnyClient], *, plugin: str | None = None, **options: Any) -> AnyClient: ...
    @overload
    def client(self, client_class: type[Client], *, plugin: str | None = None, **options: Any) -> Any: ...
    def client(self, client_class: type[Any], *, plugin: str | None = None, **options: Any) -> Any:
        """A client of a service that a plugin serves, whose methods wait, and whose streams are plain iterators.

        Args:
            client_class: a generated client class; `KeyValueClient` and `KeyValueSyncClient` give the same, the latter
                with types that a checker knows.
            plugin: the name of the plugin; needed only where several serve the service.
            options: what the class takes besides the transport.
        """
        sync_class = client_class if issubclass(client_class, SyncClient) else client_class.sync_class
        return self.asynchronous.client(sync_class, plugin=plugin, runner=self._thread, **options)

    def clients(self, client_class: type[Any], **options: Any) -> list[tuple[str, Any]]:
        """A client for each plugin that serves a service, with the plugin's name, sorted by name.

        Args:
            client_class: a generated client class.
            options: as for `client`.
        """
        found_by = client_class.client_class if issubclass(client_class, SyncClient) else client_class
        names = [name for name, _ in self._look(lambda: self.asynchronous.clients(found_by))]
        return [(name, self.client(client_class, plugin=name, **options)) for name in names]

    def open_instance(self, plugin: str, configuration: Configurable, **options: Any) -> RemoteObject:
        """Ask a plugin for an instance: an object of its own configuration, in the plugin's one process.

        Args:
            plugin: the name of the plugin.
            configuration: of the instance: a JSON object, a dataclass' object or a message.
            options: those of `plugmux.Runtime.open_instance`, which also says what is raised.
        """
        return RemoteObject(self.run(self.asynchronous.open_instance(plugin, configuration, **options)), self._thread)

    def lend(self, *lent: Servable | RemoteObject, to: str) -> Loan:
        """Let a plugin call an object of the host's: `with runtime.lend(service, to="kv") as reference`.

        Args:
            lent: the services of the object; or one object that another plugin has lent.
            to: the name of the plugin.

        Raises:
            ConfigError: an object cannot be served.
            PluginError: there is no such plugin, or it does not run.
        """
        objects = [object.asynchronous if isinstance(object, RemoteObject) else object for object in lent]
        return Loan(self._look(lambda: self.asynchronous.lend(*objects, to=to)), self._thread)

    def borrow(self, reference: str, *, of: str) -> RemoteObject:
        """An object that a plugin has lent to the host.

        Args:
            reference: what stood in the plugin's message.
            of: the name of the plugin.

        Raises:
            PluginError: there is no such plugin, it does not run, or it has replicas.
        """
        return RemoteObject(self._look(lambda: self.asynchronous.borrow(reference, of=of)), self._thread)

    def plugins(self) -> list[PluginHandle]:
        """All plugins, sorted by name; what they show is the present state at any time."""
        return self._look(self.asynchronous.plugins)

    def plugin(self, name: str) -> PluginHandle:
        """The plugin of that name; of replicas the first.

        Raises:
            PluginError: there is no such plugin.
        """
        return self._look(lambda: self.asynchronous.plugin(name))

    def events(self, *, present: bool = False) -> Iterator[Event]:
        """Every change of a plugin's state or health, from the first `next` until the runtime closes.

        Args:
            present: whether to begin with an event for each plugin as it stands.
        """
        return self._thread.iterate(self.asynchronous.events(present=present))

    def logs(self, plugin: str | None = None) -> list[LogEntry]:
        """The last lines that a plugin, or all plugins, have said, oldest first.

        Raises:
            PluginError: there is no plugin of that name, and has not been.
        """
        return self._look(lambda: self.asynchronous.logs(plugin))

    def follow_logs(self, plugin: str | None = None) -> Iterator[LogEntry]:
        """What `logs` gives, and then every line as it comes, until the runtime closes.

        Raises:
            PluginError: there is no plugin of that name, and has not been.
        """
        return self._thread.iterate(self._look(lambda: self.asynchronous.follow_logs(plugin)))

    def mount(self, service: Service) -> None:
        """Serve one more service of the host on the listening sockets."""
        self._look(lambda: self.asynchronous.mount(service))

    @property
    def addresses(self) -> list[str]:
        """The addresses that the runtime listens at."""
        return self.asynchronous.addresses

    def _look(self, look: Callable[[], T]) -> T:
        """Do something quick where nothing else is done at the same time: in the event loop, while there is one."""

        async def there() -> T:
            return look()

        return self._thread.run(there()) if self._thread.running else look()

    # -- management ---------------------------------------------------------------------------------------------------

    def launch(self, source: PluginSource, *, name: str | None = None) -> PluginHandle:
        """Add one more plugin and wait until it runs.

        Raises:
            PluginError: it did not start or register; it is not kept.
            ConfigError: `source` is not a plugin source, or the name is taken.
        """
        return self.run(self.asynchronous.launch(source, name=name))

    @property
    def access_control(self) -> Collection[str]:
        """Names of the plugins that must allow whatever secrets are asked for over a socket."""
        return self.asynchronous.access_control

    def disable(self, name: str) -> None:
        """End a launched plugin and keep it from being started again.

        Raises:
            PluginError: there is no such plugin, or it was not launched by this runtime.
        """
        self.run(self.asynchronous.disable(name))

    def enable(self, name: str) -> None:
        """Start a plugin that has been disabled, or that has stopped; harmless where it runs.

        Raises:
            PluginError: there is no such plugin, it was not launched by this runtime, or it did not start.
        """
        self.run(self.asynchronous.enable(name))

    def restart(self, name: str) -> None:
        """End a launched plugin and start it anew.

        Raises:
            PluginError: there is no such plugin, it was not launched by this runtime, or it did not start.
        """
        self.run(self.asynchronous.restart(name))

    def replace(self, name: str, source: PluginSource | None = None, **options: Any) -> PluginHandle:
        """Put a new process in the place of a launched plugin, while calls go on.

        Args:
            name: the plugin.
            source: what to start; what it was started from by default.
            options: those of `plugmux.Runtime.replace`.

        Raises:
            PluginError: it cannot be replaced, or the new one failed and the old one works on.
        """
        return self.run(self.asynchronous.replace(name, source, **options))

    def configure(self, name: str, configuration: Configurable) -> None:
        """Change the configuration of a plugin; returns when the new one is in effect.

        Args:
            name: the plugin.
            configuration: the whole of its new configuration, as in the constructor.

        Raises:
            BadConfiguration: it is not what the plugin takes; the message names the path of the bad value.
            PluginError: there is no such plugin, or it did not take the configuration; it goes on with the old one.
        """
        self.run(self.asynchronous.configure(name, configuration))
