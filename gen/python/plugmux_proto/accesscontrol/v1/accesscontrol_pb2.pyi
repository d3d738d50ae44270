from plugmux_proto.google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Decision(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DECISION_DENY: _ClassVar[Decision]
    DECISION_ALLOW: _ClassVar[Decision]
DECISION_DENY: Decision
DECISION_ALLOW: Decision

class DarwinSigningInfo(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WindowsSigningInfo(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LinuxSigningInfo(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Requester(_message.Message):
    __slots__ = ("pid", "name", "absolute_binary_path", "signed_by_docker", "darwin", "windows", "linux", "identity")
    PID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ABSOLUTE_BINARY_PATH_FIELD_NUMBER: _ClassVar[int]
    SIGNED_BY_DOCKER_FIELD_NUMBER: _ClassVar[int]
    DARWIN_FIELD_NUMBER: _ClassVar[int]
    WINDOWS_FIELD_NUMBER: _ClassVar[int]
    LINUX_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    pid: int
    name: str
    absolute_binary_path: str
    signed_by_docker: bool
    darwin: DarwinSigningInfo
    windows: WindowsSigningInfo
    linux: LinuxSigningInfo
    identity: str
    def __init__(self, pid: _Optional[int] = ..., name: _Optional[str] = ..., absolute_binary_path: _Optional[str] = ..., signed_by_docker: bool = ..., darwin: _Optional[_Union[DarwinSigningInfo, _Mapping]] = ..., windows: _Optional[_Union[WindowsSigningInfo, _Mapping]] = ..., linux: _Optional[_Union[LinuxSigningInfo, _Mapping]] = ..., identity: _Optional[str] = ...) -> None: ...

class CheckAccessRequest(_message.Message):
    __slots__ = ("pattern", "requester")
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    REQUESTER_FIELD_NUMBER: _ClassVar[int]
    pattern: str
    requester: Requester
    def __init__(self, pattern: _Optional[str] = ..., requester: _Optional[_Union[Requester, _Mapping]] = ...) -> None: ...

class CheckAccessResponse(_message.Message):
    __slots__ = ("decision",)
    DECISION_FIELD_NUMBER: _ClassVar[int]
    decision: Decision
    def __init__(self, decision: _Optional[_Union[Decision, str]] = ...) -> None: ...

class AuthorizeRequest(_message.Message):
    __slots__ = ("patterns", "requester")
    PATTERNS_FIELD_NUMBER: _ClassVar[int]
    REQUESTER_FIELD_NUMBER: _ClassVar[int]
    patterns: _containers.RepeatedScalarFieldContainer[str]
    requester: Requester
    def __init__(self, patterns: _Optional[_Iterable[str]] = ..., requester: _Optional[_Union[Requester, _Mapping]] = ...) -> None: ...

class AuthorizeResponse(_message.Message):
    __slots__ = ("decision", "expires_at")
    DECISION_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    decision: Decision
    expires_at: _timestamp_pb2.Timestamp
    def __init__(self, decision: _Optional[_Union[Decision, str]] = ..., expires_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
