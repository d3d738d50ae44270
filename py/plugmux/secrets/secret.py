"""A secret, with its metadata.

The rule of this layer: only `secret.value` gives access to a value. A `Secret` shows a mask wherever Python converts it
to text. It is not a dataclass, because serializers and loggers read the fields of dataclasses. Protobuf messages have
no such protection: Python's `str` ignores `debug_redact` of the schema. Therefore this layer never formats a message
that holds values, not even for an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NoReturn

from plugmux_proto.resolver.v1.resolver_pb2 import GetSecretsResponse

from ..errors import ConfigError
from .pattern import SecretId
from .times import read_time, write_time

__all__ = ["Secret"]

MASK = "****"


class Secret:
    """A secret: its id, its value, and the metadata of its provider. It is immutable.

    The value is never shown, written or sent by accident: `repr`, `str` and formatting mask it, copying returns the
    same object, pickling raises, and code that reads the attributes of an object (`vars`, `__slots__`, `dir`) does not
    find it.

    Args:
        id: the id.
        value: the secret itself.
        provider: name of the plugin that has provided it; the resolver sets it.
        version: version of the secret, as the provider names it.
        created_at: when it was created.
        resolved_at: when it was looked up; the resolver sets it if it is unset.
        expires_at: when the value stops being valid.
        metadata: metadata of the provider; `repr` shows only the keys.

    Raises:
        InvalidPattern: the id is not well formed.
        ConfigError: a time has no time zone. Times are kept in UTC.
        TypeError: the value is not bytes.
    """

    __slots__ = ("_reveal", "created_at", "expires_at", "id", "metadata", "provider", "resolved_at", "version")

    _reveal: Callable[[], bytes]
    id: SecretId
    provider: str
    version: str
    created_at: datetime | None
    resolved_at: datetime | None
    expires_at: datetime | None
    metadata: Mapping[str, str]

    def __init__(
        self,
        id: str,
        value: bytes | bytearray | memoryview,
        *,
        provider: str = "",
        version: str = "",
        created_at: datetime | None = None,
        resolved_at: datetime | None = None,
        expires_at: datetime | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        if not isinstance(id, str) or not isinstance(value, bytes | bytearray | memoryview):
            # The message quotes neither, because they may have been passed in the wrong order.
            raise TypeError(
                f"Secret(id, value) takes str and bytes, not {type(id).__name__} and {type(value).__name__}"
            )
        keep = super().__setattr__
        keep("id", SecretId(id))
        keep("_reveal", _kept(bytes(value)))
        keep("provider", provider)
        keep("version", version)
        keep("created_at", _utc("created_at", created_at))
        keep("resolved_at", _utc("resolved_at", resolved_at))
        keep("expires_at", _utc("expires_at", expires_at))
        keep("metadata", MappingProxyType(dict(metadata or {})))

    @property
    def value(self) -> bytes:
        """The secret itself."""
        return self._reveal()

    def replace(self, *, provider: str | None = None, resolved_at: datetime | None = None) -> Secret:
        """The same secret with another provider or another time of resolution; `None` keeps the present one."""
        return Secret(
            self.id,
            self.value,
            provider=self.provider if provider is None else provider,
            version=self.version,
            created_at=self.created_at,
            resolved_at=self.resolved_at if resolved_at is None else resolved_at,
            expires_at=self.expires_at,
            metadata=self.metadata,
        )

    @classmethod
    def from_envelope(cls, envelope: GetSecretsResponse.Envelope) -> Secret:
        """Read a secret from a message.

        Raises:
            ValueError: the id is not well formed, or a time is out of range; the error quotes neither.
        """
        try:
            return cls(
                envelope.id,
                envelope.value,
                provider=envelope.provider,
                version=envelope.version,
                created_at=read_time(envelope, "created_at"),
                resolved_at=read_time(envelope, "resolved_at"),
                expires_at=read_time(envelope, "expires_at"),
                metadata=envelope.metadata,
            )
        except (ValueError, OverflowError):
            raise ValueError("the id or a time of a secret is not well formed") from None

    def to_envelope(self) -> GetSecretsResponse.Envelope:
        """Write the secret to a message. Formatting the message would show the value; do not format it."""
        return GetSecretsResponse.Envelope(
            id=self.id,
            value=self.value,
            provider=self.provider,
            version=self.version,
            created_at=write_time(self.created_at),
            resolved_at=write_time(self.resolved_at),
            expires_at=write_time(self.expires_at),
            metadata=self.metadata,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        names = ("id", "value", "provider", "version", "created_at", "resolved_at", "expires_at", "metadata")
        return all(getattr(self, name) == getattr(other, name) for name in names)

    def __hash__(self) -> int:
        return hash((self.id, self.provider, self.version))

    def __repr__(self) -> str:
        known = [f"id={str(self.id)!r}", f"value={MASK}"]
        known += [f"{name}={getattr(self, name)!r}" for name in ("provider", "version") if getattr(self, name)]
        times = ((name, getattr(self, name)) for name in ("created_at", "resolved_at", "expires_at"))
        known += [f"{name}={time.isoformat()}" for name, time in times if time is not None]
        known += [f"metadata={sorted(self.metadata)!r}"] if self.metadata else []
        return f"Secret({', '.join(known)})"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Secret cannot be changed, so {name!r} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a Secret cannot be changed, so {name!r} cannot be deleted")

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:
        return self

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name not in ("value", "_reveal")]

    def __reduce_ex__(self, protocol: object = None) -> NoReturn:
        raise TypeError(
            "a Secret cannot be pickled, because the pickle would contain its value: pass on what is needed of it"
        )

    __reduce__ = __getstate__ = __reduce_ex__  # all of them are used to pickle or copy the state


def _kept(value: bytes) -> Callable[[], bytes]:
    """A function that returns the value; serializers do not write functions."""
    return lambda: value


def _utc(name: str, time: datetime | None) -> datetime | None:
    if time is None:
        return None
    if time.tzinfo is None:
        raise ConfigError(f"{name} has no time zone; give one, for example datetime.now(UTC)")
    return time.astimezone(UTC)
