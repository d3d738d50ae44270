"""A plugin's configuration as an object of the plugin's own type, which may change while the plugin serves.

    settings = Configured(Settings, on_change=apply)
    Plugin(Store(settings), configuration=settings).run()

The type is a dataclass, whose fields give the JSON schema; a generated protobuf message; or, with a given JSON schema,
the result of a function of the JSON object (`Configured(Model.model_validate, json_schema=...)`).
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import types
import typing
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from plugmux_proto.plugmux.v1.configuration_connect import ConfigurationService
from plugmux_proto.plugmux.v1.configuration_pb2 import ConfigureRequest, ConfigureResponse

from ..connect import Code, RpcError
from ..contract.redact import describe_fault
from ..contract.registration import Configuration
from ..errors import ConfigError, PlugmuxError

if TYPE_CHECKING:
    from ..connect import Context

__all__ = ["Configured"]

Value = TypeVar("Value")
_SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean", types.NoneType: "null"}


class Configured(Generic[Value]):
    """The configuration of a plugin, or of its instances.

    Args:
        kind: a dataclass, a generated protobuf message class, or a function from a JSON object to the configuration.
        on_change: called with a changed configuration while the plugin runs, before `value` changes; an exception
            refuses the change. Without it, a change restarts the plugin.
        json_schema: the schema of the JSON object; by default that of the fields of a dataclass.

    Raises:
        ConfigError: a field of the dataclass has a type for which there is no JSON schema.
    """

    def __init__(
        self,
        kind: Callable[..., Value],
        *,
        on_change: Callable[[Value], Awaitable[None] | None] | None = None,
        json_schema: str = "",
    ) -> None:
        self._kind = kind
        self._on_change = on_change
        self._value: Value | None = None
        descriptor = getattr(kind, "DESCRIPTOR", None)
        if not json_schema and descriptor is None and dataclasses.is_dataclass(kind):
            json_schema = json.dumps(_schema_of(kind))
        self.declared = Configuration(json_schema, descriptor.full_name if descriptor else "", on_change is not None)

    @property
    def value(self) -> Value:
        """The present configuration.

        Raises:
            ConfigError: the plugin has not registered yet.
        """
        if self._value is None:
            raise ConfigError("the configuration comes with the registration: read it in a handler, not before run()")
        return self._value

    def take(self, text: str) -> None:
        """Set the configuration that came with the registration.

        Args:
            text: the configuration as JSON; empty if the runtime has none, which is read as `{}`.

        Raises:
            ConfigError: the configuration cannot be converted to the plugin's type.
        """
        self._value = self.load(text)

    async def change(self, text: str) -> None:
        """Change the configuration.

        Raises:
            ConfigError: the configuration cannot be converted to the plugin's type, or `on_change` has refused it.
        """
        value = self.load(text)
        if self._on_change is None:
            raise ConfigError("this plugin cannot change its configuration while it runs")
        try:
            done = self._on_change(value)
            if inspect.isawaitable(done):
                await done
        except Exception as error:
            raise ConfigError(f"the plugin has refused it: {describe_fault(error, text)}") from None
        self._value = value

    def load(self, text: str) -> Value:
        """Convert a configuration to the plugin's type.

        Args:
            text: the configuration as JSON; empty text is read as `{}`.

        Raises:
            ConfigError: the configuration cannot be converted.
        """
        try:
            if self.declared.message_type:
                from google.protobuf import json_format

                return json_format.Parse(text or "{}", self._kind())  # type: ignore[type-var]  # it is a message
            values = json.loads(text or "{}")
            if dataclasses.is_dataclass(self._kind):
                return typing.cast("Value", _build(self._kind, values))
            return self._kind(values)
        except PlugmuxError:
            raise
        except Exception as error:
            raise ConfigError(f"the configuration cannot be used: {describe_fault(error, text)}") from None


class PluginConfigurationService(ConfigurationService):
    """The service by which the runtime changes the configuration of a plugin.

    Args:
        configured: the configuration to change.
    """

    def __init__(self, configured: Configured[Any]) -> None:
        self._configured = configured

    async def configure(self, request: ConfigureRequest, context: Context) -> ConfigureResponse:
        try:
            await self._configured.change(request.configuration_json)
        except ConfigError as error:
            raise RpcError(Code.INVALID_ARGUMENT, str(error)) from None
        return ConfigureResponse()


def _schema_of(kind: Any) -> dict[str, Any]:
    """The JSON schema of the type of a field."""
    if kind is Any:
        return {}
    if kind in _SCALARS:
        return {"type": _SCALARS[kind]}
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        fields = dataclasses.fields(kind)
        return {
            "type": "object",
            "properties": {field.name: _schema_of(hints[field.name]) for field in fields},
            "required": [field.name for field in fields if _is_required(field)],
            "additionalProperties": False,
        }
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_schema_of(argument) for argument in arguments]}
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin is list:
        return {"type": "array", "items": _schema_of(arguments[0])}
    if origin is dict and arguments[0] is str:
        return {"type": "object", "additionalProperties": _schema_of(arguments[1])}
    raise ConfigError(f"there is no JSON schema for {kind!r}: use scalars, list, dict, Literal or a dataclass")


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _build(kind: Any, value: Any) -> Any:
    """Convert JSON that satisfies the schema of a type to that type."""
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        fields = {name: _build(hints.get(name), item) for name, item in value.items()}
        return kind(**fields)  # type: ignore[operator]  # the class is known as it runs
    arguments = typing.get_args(kind)
    if isinstance(value, list) and arguments:
        return [_build(arguments[0], item) for item in value]
    if isinstance(value, dict) and typing.get_origin(kind) is dict:
        return {name: _build(arguments[1], item) for name, item in value.items()}
    if isinstance(value, dict) and arguments:  # the dataclass of a union
        return _build(next(argument for argument in arguments if dataclasses.is_dataclass(argument)), value)
    return value
