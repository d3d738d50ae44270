from plugmux_proto.google.protobuf import duration_pb2 as _duration_pb2
from plugmux_proto.google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WatchRequest(_message.Message):
    __slots__ = ("interval", "max_calls")
    INTERVAL_FIELD_NUMBER: _ClassVar[int]
    MAX_CALLS_FIELD_NUMBER: _ClassVar[int]
    interval: _duration_pb2.Duration
    max_calls: int
    def __init__(self, interval: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., max_calls: _Optional[int] = ...) -> None: ...

class WatchResponse(_message.Message):
    __slots__ = ("time", "host", "plugins", "methods", "calls", "calls_left_out")
    TIME_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PLUGINS_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    CALLS_LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    host: HostStatus
    plugins: _containers.RepeatedCompositeFieldContainer[PluginStatus]
    methods: _containers.RepeatedCompositeFieldContainer[MethodCalls]
    calls: _containers.RepeatedCompositeFieldContainer[CallRecord]
    calls_left_out: int
    def __init__(self, time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., host: _Optional[_Union[HostStatus, _Mapping]] = ..., plugins: _Optional[_Iterable[_Union[PluginStatus, _Mapping]]] = ..., methods: _Optional[_Iterable[_Union[MethodCalls, _Mapping]]] = ..., calls: _Optional[_Iterable[_Union[CallRecord, _Mapping]]] = ..., calls_left_out: _Optional[int] = ...) -> None: ...

class Resources(_message.Message):
    __slots__ = ("cpu_seconds", "memory_bytes", "threads")
    CPU_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    THREADS_FIELD_NUMBER: _ClassVar[int]
    cpu_seconds: float
    memory_bytes: int
    threads: int
    def __init__(self, cpu_seconds: _Optional[float] = ..., memory_bytes: _Optional[int] = ..., threads: _Optional[int] = ...) -> None: ...

class HostStatus(_message.Message):
    __slots__ = ("name", "version", "pid", "resources", "plugmux_version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    PLUGMUX_VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    pid: int
    resources: Resources
    plugmux_version: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., pid: _Optional[int] = ..., resources: _Optional[_Union[Resources, _Mapping]] = ..., plugmux_version: _Optional[str] = ...) -> None: ...

class PluginStatus(_message.Message):
    __slots__ = ("name", "version", "state", "health", "status", "since", "pid", "restarts", "in_flight", "calls", "circuit", "external", "services", "resources", "streams", "held_bytes", "replica")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    CIRCUIT_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    HELD_BYTES_FIELD_NUMBER: _ClassVar[int]
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    state: str
    health: str
    status: str
    since: _timestamp_pb2.Timestamp
    pid: int
    restarts: int
    in_flight: int
    calls: int
    circuit: str
    external: bool
    services: _containers.RepeatedScalarFieldContainer[str]
    resources: Resources
    streams: int
    held_bytes: int
    replica: int
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., state: _Optional[str] = ..., health: _Optional[str] = ..., status: _Optional[str] = ..., since: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., pid: _Optional[int] = ..., restarts: _Optional[int] = ..., in_flight: _Optional[int] = ..., calls: _Optional[int] = ..., circuit: _Optional[str] = ..., external: bool = ..., services: _Optional[_Iterable[str]] = ..., resources: _Optional[_Union[Resources, _Mapping]] = ..., streams: _Optional[int] = ..., held_bytes: _Optional[int] = ..., replica: _Optional[int] = ...) -> None: ...

class MethodCalls(_message.Message):
    __slots__ = ("caller", "callee", "method", "calls", "errors", "in_flight", "request_bytes", "response_bytes", "seconds", "latency", "codes")
    class CodesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    CALLER_FIELD_NUMBER: _ClassVar[int]
    CALLEE_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_BYTES_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    CODES_FIELD_NUMBER: _ClassVar[int]
    caller: str
    callee: str
    method: str
    calls: int
    errors: int
    in_flight: int
    request_bytes: int
    response_bytes: int
    seconds: float
    latency: _containers.RepeatedScalarFieldContainer[int]
    codes: _containers.ScalarMap[str, int]
    def __init__(self, caller: _Optional[str] = ..., callee: _Optional[str] = ..., method: _Optional[str] = ..., calls: _Optional[int] = ..., errors: _Optional[int] = ..., in_flight: _Optional[int] = ..., request_bytes: _Optional[int] = ..., response_bytes: _Optional[int] = ..., seconds: _Optional[float] = ..., latency: _Optional[_Iterable[int]] = ..., codes: _Optional[_Mapping[str, int]] = ...) -> None: ...

class CallRecord(_message.Message):
    __slots__ = ("number", "time", "caller", "callee", "method", "duration_us", "code", "message", "request_bytes", "response_bytes", "stream")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    CALLEE_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    DURATION_US_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_BYTES_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_BYTES_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    number: int
    time: _timestamp_pb2.Timestamp
    caller: str
    callee: str
    method: str
    duration_us: int
    code: str
    message: str
    request_bytes: int
    response_bytes: int
    stream: bool
    def __init__(self, number: _Optional[int] = ..., time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., caller: _Optional[str] = ..., callee: _Optional[str] = ..., method: _Optional[str] = ..., duration_us: _Optional[int] = ..., code: _Optional[str] = ..., message: _Optional[str] = ..., request_bytes: _Optional[int] = ..., response_bytes: _Optional[int] = ..., stream: bool = ...) -> None: ...

class GetLinkRequest(_message.Message):
    __slots__ = ("plugin", "replica")
    PLUGIN_FIELD_NUMBER: _ClassVar[int]
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    plugin: str
    replica: int
    def __init__(self, plugin: _Optional[str] = ..., replica: _Optional[int] = ...) -> None: ...

class GetLinkResponse(_message.Message):
    __slots__ = ("streams", "open", "round_trip_us", "held_bytes", "max_held_bytes")
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    ROUND_TRIP_US_FIELD_NUMBER: _ClassVar[int]
    HELD_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_HELD_BYTES_FIELD_NUMBER: _ClassVar[int]
    streams: _containers.RepeatedCompositeFieldContainer[LinkStream]
    open: int
    round_trip_us: int
    held_bytes: int
    max_held_bytes: int
    def __init__(self, streams: _Optional[_Iterable[_Union[LinkStream, _Mapping]]] = ..., open: _Optional[int] = ..., round_trip_us: _Optional[int] = ..., held_bytes: _Optional[int] = ..., max_held_bytes: _Optional[int] = ...) -> None: ...

class LinkStream(_message.Message):
    __slots__ = ("id", "opened_by_plugin", "handshake", "sending", "receiving", "send_window", "receive_window", "window", "pending_bytes", "held_bytes")
    ID_FIELD_NUMBER: _ClassVar[int]
    OPENED_BY_PLUGIN_FIELD_NUMBER: _ClassVar[int]
    HANDSHAKE_FIELD_NUMBER: _ClassVar[int]
    SENDING_FIELD_NUMBER: _ClassVar[int]
    RECEIVING_FIELD_NUMBER: _ClassVar[int]
    SEND_WINDOW_FIELD_NUMBER: _ClassVar[int]
    RECEIVE_WINDOW_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    PENDING_BYTES_FIELD_NUMBER: _ClassVar[int]
    HELD_BYTES_FIELD_NUMBER: _ClassVar[int]
    id: int
    opened_by_plugin: bool
    handshake: str
    sending: str
    receiving: str
    send_window: int
    receive_window: int
    window: int
    pending_bytes: int
    held_bytes: int
    def __init__(self, id: _Optional[int] = ..., opened_by_plugin: bool = ..., handshake: _Optional[str] = ..., sending: _Optional[str] = ..., receiving: _Optional[str] = ..., send_window: _Optional[int] = ..., receive_window: _Optional[int] = ..., window: _Optional[int] = ..., pending_bytes: _Optional[int] = ..., held_bytes: _Optional[int] = ...) -> None: ...

class ReplacePluginRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ReplacePluginResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
