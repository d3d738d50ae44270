"""The configuration that the host gives to a plugin: checked before it is given, and changed while the plugin runs.

A plugin says at registration what it takes, by a JSON schema or by the name of a protobuf message; a manifest says it
before the plugin is started. A plugin that says nothing is given its configuration unchecked.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from plugmux_proto.plugmux.v1.configuration_connect import ConfigurationClient
from plugmux_proto.plugmux.v1.configuration_pb2 import ConfigureRequest

from ...connect import Code, RpcError
from ...contract.redact import field_path, redact
from ...contract.registration import Configuration
from ...contract.schema import BadValue, Schema
from ...errors import BadConfiguration, ConfigError, PluginCause, PluginError, PlugmuxError
from ..state import State

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from google.protobuf.message import Message

    from ..plugin import PluginRecord

__all__ = ["Configurable", "as_json", "check", "reconfigure"]

Configurable: TypeAlias = "Mapping[str, Any] | DataclassInstance | Message"
"""A configuration: a JSON object as `json.loads` gives it, an object of a dataclass, or a protobuf message."""

MAX_CONFIGURATION = 1 << 20
HAS_CONFIGURATION = frozenset({State.STARTING, State.REGISTERING, State.RUNNING})
"""The states in which a process may have been given its configuration."""


def check(name: str, configuration: str, declared: Configuration, of: str = "plugin") -> None:
    """Check a configuration against what a plugin takes.

    Args:
        name: the plugin's name.
        of: what of the plugin the configuration is for, with the word plugin at its end.
        configuration: the configuration as JSON; empty counts as `{}`.
        declared: what the plugin takes.

    Raises:
        BadConfiguration: it does not satisfy that, or the plugin's schema cannot be used.
    """
    value = json.loads(configuration or "{}")
    try:
        if declared.json_schema:
            Schema.parse(declared.json_schema).check(value)
        if declared.message_type:
            _check_message(value, declared.message_type)
    except BadValue as error:
        hint = "" if configuration else f"; it was given none: Runtime(configuration={{{name!r}: ...}})"
        raise BadConfiguration(f"the configuration of {of} {name!r} is bad at {error}{hint}") from None
    except ConfigError as error:
        raise BadConfiguration(f"the configuration of {of} {name!r} cannot be checked: {error}") from None


def _check_message(value: Any, message_type: str) -> None:
    """Check JSON against a protobuf message, where this process knows it; else the plugin alone can."""
    from google.protobuf import descriptor_pool, json_format, message_factory

    try:
        descriptor = descriptor_pool.Default().FindMessageTypeByName(message_type)
    except KeyError:
        return
    try:
        json_format.ParseDict(value, message_factory.GetMessageClass(descriptor)())
    except json_format.ParseError as error:
        raise BadValue(field_path(str(error)), f"it is no field of {message_type}, or not of its type") from None


async def reconfigure(
    configurations: dict[str, str],
    replicas: Callable[[], Sequence[PluginRecord]],
    configuration: Configurable,
    replace: Callable[[], Awaitable[object]],
) -> None:
    """Change the configuration of a plugin and its replicas.

    Args:
        configurations: those of all plugins as JSON; it keeps the old one where the change fails. No other change of
            them may run at the same time.
        replicas: gives the plugin and its replicas as they are then.
        configuration: the new one.
        replace: starts processes with the new one in the place of those that take no change.

    Raises:
        BadConfiguration: it is not what the plugin takes.
        PluginError: the plugin did not take it, and goes on with the old one.
    """
    plugin, declared = replicas()[0], replicas()[0].configuration
    text = as_json(plugin.name, configuration)
    if declared is not None:
        check(plugin.name, text, declared)
    before = configurations.get(plugin.name, "")
    configurations[plugin.name] = text
    try:
        if declared is not None and declared.reloadable and any(replica.ready for replica in replicas()):
            await _deliver_to_all(replicas, text)
        elif not plugin.external:
            await replace()
        else:
            raise PluginError(
                plugin.name,
                PluginCause.UNSUPPORTED,
                "it started by itself and takes no change: end it, and start it anew",
            )
    except BaseException:
        configurations[plugin.name] = before
        if declared is not None and declared.reloadable:
            await _take_back(replicas, before)
        raise


async def _deliver_to_all(replicas: Callable[[], Sequence[PluginRecord]], configuration: str) -> None:
    """Change all replicas that run, or will with what was in force when they registered.

    One that ends meanwhile begins anew with what is in force then. It has failed the change only where no other runs.
    """
    due = {plugin for plugin in replicas() if plugin.ready}
    lost: list[PluginRecord] = []
    changed = False
    async for plugin in _stale(replicas, configuration, due):
        link = plugin.link
        due.discard(plugin)
        try:
            await _deliver(plugin, configuration)
            changed = True
        except PluginError:
            if plugin.link is link and plugin.ready:
                raise
            lost.append(plugin)
            if not changed and not any(other.ready for other in replicas() if other not in lost):
                raise


async def _take_back(replicas: Callable[[], Sequence[PluginRecord]], configuration: str) -> None:
    """Give their old configuration to the replicas that have taken the new one, or have registered with it."""
    async for plugin in _stale(replicas, configuration):
        try:
            await _deliver(plugin, configuration)
        except PluginError:
            if plugin.ready:
                raise


async def _stale(
    replicas: Callable[[], Sequence[PluginRecord]], configuration: str, due: Collection[PluginRecord] = ()
) -> AsyncIterator[PluginRecord]:
    """The replicas that run and have another configuration, or are due; waits for those that have just registered."""
    while left := [
        plugin
        for plugin in replicas()
        if plugin.state in HAS_CONFIGURATION and (plugin in due or plugin.given not in (None, configuration))
    ]:
        ready = next((plugin for plugin in left if plugin.ready), None)
        if ready is None:
            await left[0].changed()
        else:
            yield ready


async def _deliver(plugin: PluginRecord, configuration: str) -> None:
    link = plugin.link
    if link is None:
        raise plugin.not_running()
    client = link.client(ConfigurationClient)
    try:
        await client.configure(
            ConfigureRequest(configuration_json=configuration), timeout=plugin.policies.timeouts.configure
        )
    except RpcError as error:
        told = redact(error.message, configuration)
        cause = PluginCause.BAD_CONFIGURATION if error.code is Code.INVALID_ARGUMENT else PluginCause.LINK_LOST
        raise PluginError(plugin.name, cause, f"it did not take the configuration: {told}") from None
    except (PlugmuxError, TimeoutError) as error:
        raise PluginError(plugin.name, PluginCause.LINK_LOST, f"it did not take the configuration: {error}") from error
    if plugin.link is link:
        plugin.given = configuration


def as_json(name: str, value: Configurable) -> str:
    """A configuration as JSON.

    Args:
        name: the name of the plugin that it is for.
        value: a JSON object, a dataclass' object, or a protobuf message.

    Raises:
        ConfigError: it has another type, or is too long.
    """
    if hasattr(value, "DESCRIPTOR"):
        from google.protobuf import json_format
        from google.protobuf.message import Message

        assert isinstance(value, Message)
        value = json_format.MessageToDict(value, preserving_proto_field_name=True)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if not isinstance(value, Mapping):
        raise ConfigError(f"the configuration of plugin {name!r} must be a JSON object, a dataclass' or a message")
    try:
        text = json.dumps(dict(value), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the configuration of plugin {name!r} is not JSON: {error}") from None
    if len(text) > MAX_CONFIGURATION:
        raise ConfigError(f"the configuration of plugin {name!r} has over {MAX_CONFIGURATION} characters")
    return text
