from plugmux_proto.google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RunStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUN_STATUS_UNSPECIFIED: _ClassVar[RunStatus]
    RUN_STATUS_RUNNING: _ClassVar[RunStatus]
    RUN_STATUS_STOPPED: _ClassVar[RunStatus]
    RUN_STATUS_CRASHED: _ClassVar[RunStatus]
    RUN_STATUS_RETRIES_EXCEEDED: _ClassVar[RunStatus]
RUN_STATUS_UNSPECIFIED: RunStatus
RUN_STATUS_RUNNING: RunStatus
RUN_STATUS_STOPPED: RunStatus
RUN_STATUS_CRASHED: RunStatus
RUN_STATUS_RETRIES_EXCEEDED: RunStatus

class SecretsProvider(_message.Message):
    __slots__ = ("pattern",)
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    pattern: str
    def __init__(self, pattern: _Optional[str] = ...) -> None: ...

class AccessControlModule(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ConfigurationSchema(_message.Message):
    __slots__ = ("json_schema", "message_type", "reloadable")
    JSON_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_TYPE_FIELD_NUMBER: _ClassVar[int]
    RELOADABLE_FIELD_NUMBER: _ClassVar[int]
    json_schema: str
    message_type: str
    reloadable: bool
    def __init__(self, json_schema: _Optional[str] = ..., message_type: _Optional[str] = ..., reloadable: bool = ...) -> None: ...

class RegisterPluginRequest(_message.Message):
    __slots__ = ("name", "version", "secrets_provider", "access_control_module", "services", "protocol_versions", "configuration", "priority", "replica", "capabilities", "labels", "instances", "prints_stacks", "process_id")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SECRETS_PROVIDER_FIELD_NUMBER: _ClassVar[int]
    ACCESS_CONTROL_MODULE_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    CONFIGURATION_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    PRINTS_STACKS_FIELD_NUMBER: _ClassVar[int]
    PROCESS_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    secrets_provider: SecretsProvider
    access_control_module: AccessControlModule
    services: _containers.RepeatedScalarFieldContainer[str]
    protocol_versions: _containers.RepeatedScalarFieldContainer[int]
    configuration: ConfigurationSchema
    priority: int
    replica: bool
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    labels: _containers.ScalarMap[str, str]
    instances: InstanceKind
    prints_stacks: bool
    process_id: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., secrets_provider: _Optional[_Union[SecretsProvider, _Mapping]] = ..., access_control_module: _Optional[_Union[AccessControlModule, _Mapping]] = ..., services: _Optional[_Iterable[str]] = ..., protocol_versions: _Optional[_Iterable[int]] = ..., configuration: _Optional[_Union[ConfigurationSchema, _Mapping]] = ..., priority: _Optional[int] = ..., replica: bool = ..., capabilities: _Optional[_Iterable[str]] = ..., labels: _Optional[_Mapping[str, str]] = ..., instances: _Optional[_Union[InstanceKind, _Mapping]] = ..., prints_stacks: bool = ..., process_id: _Optional[str] = ...) -> None: ...

class InstanceKind(_message.Message):
    __slots__ = ("services", "configuration")
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    CONFIGURATION_FIELD_NUMBER: _ClassVar[int]
    services: _containers.RepeatedScalarFieldContainer[str]
    configuration: ConfigurationSchema
    def __init__(self, services: _Optional[_Iterable[str]] = ..., configuration: _Optional[_Union[ConfigurationSchema, _Mapping]] = ...) -> None: ...

class RegisterPluginResponse(_message.Message):
    __slots__ = ("engine_name", "engine_version", "request_timeout", "protocol_version", "configuration_json", "debug", "runtime_id")
    ENGINE_NAME_FIELD_NUMBER: _ClassVar[int]
    ENGINE_VERSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    CONFIGURATION_JSON_FIELD_NUMBER: _ClassVar[int]
    DEBUG_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_ID_FIELD_NUMBER: _ClassVar[int]
    engine_name: str
    engine_version: str
    request_timeout: _duration_pb2.Duration
    protocol_version: int
    configuration_json: str
    debug: bool
    runtime_id: str
    def __init__(self, engine_name: _Optional[str] = ..., engine_version: _Optional[str] = ..., request_timeout: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., protocol_version: _Optional[int] = ..., configuration_json: _Optional[str] = ..., debug: bool = ..., runtime_id: _Optional[str] = ...) -> None: ...

class ShutdownRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ShutdownResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Plugin(_message.Message):
    __slots__ = ("name", "version", "disabled", "external", "configurable", "run_status", "status_message", "secrets_provider", "access_control_module", "services", "state", "pid", "restarts", "capabilities", "labels", "protocol_version", "health", "identity", "address")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DISABLED_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_FIELD_NUMBER: _ClassVar[int]
    CONFIGURABLE_FIELD_NUMBER: _ClassVar[int]
    RUN_STATUS_FIELD_NUMBER: _ClassVar[int]
    STATUS_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SECRETS_PROVIDER_FIELD_NUMBER: _ClassVar[int]
    ACCESS_CONTROL_MODULE_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    disabled: bool
    external: bool
    configurable: bool
    run_status: RunStatus
    status_message: str
    secrets_provider: SecretsProvider
    access_control_module: AccessControlModule
    services: _containers.RepeatedScalarFieldContainer[str]
    state: str
    pid: int
    restarts: int
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    labels: _containers.ScalarMap[str, str]
    protocol_version: int
    health: str
    identity: str
    address: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., disabled: bool = ..., external: bool = ..., configurable: bool = ..., run_status: _Optional[_Union[RunStatus, str]] = ..., status_message: _Optional[str] = ..., secrets_provider: _Optional[_Union[SecretsProvider, _Mapping]] = ..., access_control_module: _Optional[_Union[AccessControlModule, _Mapping]] = ..., services: _Optional[_Iterable[str]] = ..., state: _Optional[str] = ..., pid: _Optional[int] = ..., restarts: _Optional[int] = ..., capabilities: _Optional[_Iterable[str]] = ..., labels: _Optional[_Mapping[str, str]] = ..., protocol_version: _Optional[int] = ..., health: _Optional[str] = ..., identity: _Optional[str] = ..., address: _Optional[str] = ...) -> None: ...

class ListPluginsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListPluginsResponse(_message.Message):
    __slots__ = ("plugins",)
    PLUGINS_FIELD_NUMBER: _ClassVar[int]
    plugins: _containers.RepeatedCompositeFieldContainer[Plugin]
    def __init__(self, plugins: _Optional[_Iterable[_Union[Plugin, _Mapping]]] = ...) -> None: ...

class EnablePluginRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class EnablePluginResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DisablePluginRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DisablePluginResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RestartPluginRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class RestartPluginResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
