from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class SumRequest(_message.Message):
    __slots__ = ("number", "ballast", "order")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    BALLAST_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    number: int
    ballast: bytes
    order: str
    def __init__(self, number: _Optional[int] = ..., ballast: _Optional[bytes] = ..., order: _Optional[str] = ...) -> None: ...

class SumResponse(_message.Message):
    __slots__ = ("sum", "ballast")
    SUM_FIELD_NUMBER: _ClassVar[int]
    BALLAST_FIELD_NUMBER: _ClassVar[int]
    sum: int
    ballast: int
    def __init__(self, sum: _Optional[int] = ..., ballast: _Optional[int] = ...) -> None: ...

class RunningRequest(_message.Message):
    __slots__ = ("number", "order")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    number: int
    order: str
    def __init__(self, number: _Optional[int] = ..., order: _Optional[str] = ...) -> None: ...

class RunningResponse(_message.Message):
    __slots__ = ("sum",)
    SUM_FIELD_NUMBER: _ClassVar[int]
    sum: int
    def __init__(self, sum: _Optional[int] = ...) -> None: ...
