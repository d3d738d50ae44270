from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AboutRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AboutResponse(_message.Message):
    __slots__ = ("address", "commands")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    COMMANDS_FIELD_NUMBER: _ClassVar[int]
    address: str
    commands: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, address: _Optional[str] = ..., commands: _Optional[_Iterable[str]] = ...) -> None: ...

class GetSchemaRequest(_message.Message):
    __slots__ = ("plugin", "service")
    PLUGIN_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    plugin: str
    service: str
    def __init__(self, plugin: _Optional[str] = ..., service: _Optional[str] = ...) -> None: ...

class GetSchemaResponse(_message.Message):
    __slots__ = ("file_descriptor_set",)
    FILE_DESCRIPTOR_SET_FIELD_NUMBER: _ClassVar[int]
    file_descriptor_set: bytes
    def __init__(self, file_descriptor_set: _Optional[bytes] = ...) -> None: ...

class CallRequest(_message.Message):
    __slots__ = ("plugin", "method", "requests_json", "more", "timeout")
    PLUGIN_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_JSON_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    plugin: str
    method: str
    requests_json: _containers.RepeatedScalarFieldContainer[str]
    more: bool
    timeout: float
    def __init__(self, plugin: _Optional[str] = ..., method: _Optional[str] = ..., requests_json: _Optional[_Iterable[str]] = ..., more: bool = ..., timeout: _Optional[float] = ...) -> None: ...

class CallResponse(_message.Message):
    __slots__ = ("begun", "message_json", "ended")
    class Begun(_message.Message):
        __slots__ = ("call",)
        CALL_FIELD_NUMBER: _ClassVar[int]
        call: str
        def __init__(self, call: _Optional[str] = ...) -> None: ...
    class Ended(_message.Message):
        __slots__ = ("code", "message", "details", "duration_us")
        CODE_FIELD_NUMBER: _ClassVar[int]
        MESSAGE_FIELD_NUMBER: _ClassVar[int]
        DETAILS_FIELD_NUMBER: _ClassVar[int]
        DURATION_US_FIELD_NUMBER: _ClassVar[int]
        code: str
        message: str
        details: _containers.RepeatedCompositeFieldContainer[CallResponse.Detail]
        duration_us: int
        def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., details: _Optional[_Iterable[_Union[CallResponse.Detail, _Mapping]]] = ..., duration_us: _Optional[int] = ...) -> None: ...
    class Detail(_message.Message):
        __slots__ = ("type", "json", "bytes")
        TYPE_FIELD_NUMBER: _ClassVar[int]
        JSON_FIELD_NUMBER: _ClassVar[int]
        BYTES_FIELD_NUMBER: _ClassVar[int]
        type: str
        json: str
        bytes: int
        def __init__(self, type: _Optional[str] = ..., json: _Optional[str] = ..., bytes: _Optional[int] = ...) -> None: ...
    BEGUN_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_JSON_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    begun: CallResponse.Begun
    message_json: str
    ended: CallResponse.Ended
    def __init__(self, begun: _Optional[_Union[CallResponse.Begun, _Mapping]] = ..., message_json: _Optional[str] = ..., ended: _Optional[_Union[CallResponse.Ended, _Mapping]] = ...) -> None: ...

class SendRequest(_message.Message):
    __slots__ = ("call", "message_json")
    CALL_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_JSON_FIELD_NUMBER: _ClassVar[int]
    call: str
    message_json: str
    def __init__(self, call: _Optional[str] = ..., message_json: _Optional[str] = ...) -> None: ...

class SendResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class EndRequestsRequest(_message.Message):
    __slots__ = ("call",)
    CALL_FIELD_NUMBER: _ClassVar[int]
    call: str
    def __init__(self, call: _Optional[str] = ...) -> None: ...

class EndRequestsResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
