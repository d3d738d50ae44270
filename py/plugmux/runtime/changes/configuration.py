"""The configuration that the host gives to a plugin: checked before it is given, and changed while the plugin runs.

A plugin says at registration what it takes, by a JSON schema or by the name of a protobuf message; a manifest says it
before the plugin is started. A plugin that says nothing is given its configuration unchecked.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from plugmux_proto.plugmux.v1.configuration_connect import ConfigurationClient
from plugmux_proto.plugmux.v1.configuration_pb2 import ConfigureRequest

from ...connect import Code, RpcError
from ...contract.redact import field_path, redact
from ...contract.registration import Configuration
from ...contract.schema import BadValue, Schema
from ...errors import BadConfiguration, ConfigError, PluginCause, PluginError, PlugmuxError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from google.protobuf.message import Message

    from ..plugin import PluginRecord

__all__ = ["Configurable", "as_json", "check", "reconfigure"]

Configurable: TypeAlias = "Mapping[str, Any] | DataclassInstance | Message"
"""A configuration: a JSON object as `json.loads` gives it, an object of a dataclass, or a protobuf message."""

MAX_CONFIGURATION = 1 << 20


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
    replicas: Sequence[PluginRecord],
    configuration: Configurable,
    replace: Callable[[], Awaitable[object]],
) -> None:
    """Change the configuration of a plugin and its replicas.

    Args:
        configurations: those of all plugins as JSON; it keeps the old one where the change fails. No other change of
            them may run at the same time.
        replicas: the plugin and its replicas.
        configuration: the new one.
        replace: starts processes with the new one in the place of those that take no change.

    Raises:
        BadConfiguration: it is not what the plugin takes.
        PluginError: the plugin did not take it, and goes on with the old one.
    """
    plugin, declared = replicas[0], replicas[0].configuration
    text = as_json(plugin.name, configuration)
    if declared is not None:
        check(plugin.name, text, declared)
    before = configurations.get(plugin.name, "")
    configurations[plugin.name] = text
    try:
        if declared is not None and declared.reloadable and any(replica.ready for replica in replicas):
            await _deliver_to_all(configurations, replicas, text, before)
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
        raise


async def _deliver_to_all(
    configurations: dict[str, str], replicas: Sequence[PluginRecord], configuration: str, before: str
) -> None:
    """Change all replicas that run, or none of them; one that is starting begins with what is in force then."""
    changed: list[PluginRecord] = []
    lost: list[PluginRecord] = []
    while left := [plugin for plugin in replicas if plugin.ready and plugin not in (*changed, *lost)]:
        plugin, link = left[0], left[0].link
        try:
            await _deliver(plugin, configuration)
            changed.append(plugin)
        except PluginError:
            if plugin.link is not link or not plugin.ready:  # It has ended, and begins anew with what is in force.
                lost.append(plugin)
                if changed or any(other.ready for other in replicas if other not in lost):
                    continue
            configurations[plugin.name] = before
            for other in replicas:
                if other.ready and (other in changed or other not in left):
                    await _deliver(other, before)
            raise


async def _deliver(plugin: PluginRecord, configuration: str) -> None:
    if plugin.link is None:
        raise plugin.not_running()
    client = plugin.link.client(ConfigurationClient)
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
