"""Any texts as patterns and ids: the matcher agrees with a plain one, and the rules of `filter` hold."""

from __future__ import annotations

from plugmux.secrets import InvalidPattern, Pattern, SecretId


def check(data: bytes) -> None:
    """Three lines: two patterns and an id."""
    one, other, name = [*data.decode("utf-8", "replace").split("\n", 2), "", "", ""][:3]
    try:
        first, second = Pattern(one), Pattern(other)
        narrower = first.filter(second)
        assert narrower in (None, first, second)
        if second.is_id:
            assert (narrower is not None) == first.match(SecretId(other))
        if len(one) < 40 and len(name) < 40:
            assert first.match(SecretId(name)) == _match(one.split("/"), name.split("/"))
    except InvalidPattern:
        return


def _match(pattern: list[str], name: list[str]) -> bool:
    """The rule as it is written down."""
    if not pattern:
        return not name
    if pattern[0] == "**":
        return _match(pattern[1:], name) or (bool(name) and _match(pattern, name[1:]))
    return bool(name) and pattern[0] in ("*", name[0]) and _match(pattern[1:], name[1:])
