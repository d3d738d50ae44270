"""Who may see the page: the rules, without I/O."""

from __future__ import annotations

import pytest

from plugmux.inspector.access import Access, Refused

OWN = (b"host", b"127.0.0.1:8000")
ORIGIN = (b"origin", b"http://127.0.0.1:8000")


def token(access: Access) -> str:
    return access.query.removeprefix("?token=")


def cookie(access: Access) -> bytes:
    return access.exchange(token(access)).partition(";")[0].encode()


def test_a_token_is_good_once() -> None:
    access = Access(8000)
    used = token(access)
    set_cookie = access.exchange(used)
    assert f"Path={access.path};" in set_cookie
    assert set_cookie.endswith("HttpOnly; SameSite=Strict")
    assert access.query == ""
    with pytest.raises(Refused, match="has been used"):
        access.exchange(used)


@pytest.mark.parametrize("wrong", ["", "x", "é", "a" * 100_000])
def test_another_token_is_not_good_and_spends_nothing(wrong: str) -> None:
    access = Access(8000)
    with pytest.raises(Refused):
        access.exchange(wrong)
    access.exchange(token(access))


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"plugmux",
        b"plugmux=",
        b"plugmux=x",
        b"other=VALUE",
        b"plugmux=\xff",
        b'plugmux="',
        b";;;=",
        b"a=b; plugmux=c",
    ],
)
def test_a_cookie_of_another_value_is_refused(header: bytes) -> None:
    access = Access(8000)
    good = cookie(access)
    access.check_session([(b"cookie", b"theme=dark; " + good)])
    with pytest.raises(Refused):
        access.check_session([(b"cookie", header.replace(b"VALUE", good.partition(b"=")[2]))])
    with pytest.raises(Refused):
        access.check_session([])


def test_two_pages_have_nothing_in_common() -> None:
    one, other = Access(8000), Access(8000)
    assert one.path != other.path
    with pytest.raises(Refused):
        other.check_session([(b"cookie", cookie(one))])


@pytest.mark.parametrize("host", [b"127.0.0.1:8000", b"localhost:8000", b"[::1]:8000"])
def test_the_loopback_address_may_be_named_in_each_way(host: bytes) -> None:
    Access(8000).check_origin("GET", [(b"host", host)])
    Access(8000).check_origin("POST", [(b"host", host), (b"origin", b"http://" + host)])


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", [], 421),
        ("GET", [OWN, OWN], 421),
        ("GET", [(b"host", b"evil.example:8000")], 421),
        ("GET", [(b"host", b"127.0.0.1")], 421),
        ("GET", [(b"host", b"127.0.0.1:8001")], 421),
        ("GET", [(b"host", b"127.0.0.1.evil.example:8000")], 421),
        ("GET", [OWN, (b"origin", b"http://evil.example")], 403),
        ("GET", [OWN, (b"origin", b"null")], 403),
        ("POST", [OWN], 403),
        ("POST", [OWN, (b"origin", b"http://localhost:8000")], 403),
        ("POST", [OWN, (b"origin", b"https://127.0.0.1:8000")], 403),
        ("POST", [OWN, (b"origin", b"http://127.0.0.1:8001")], 403),
        ("POST", [OWN, ORIGIN, (b"sec-fetch-site", b"same-site")], 403),
        ("POST", [OWN, ORIGIN, (b"sec-fetch-site", b"cross-site"), (b"sec-fetch-mode", b"navigate")], 403),
        ("GET", [OWN, (b"sec-fetch-site", b"cross-site"), (b"sec-fetch-mode", b"no-cors")], 403),
    ],
)
def test_requests_that_are_not_of_the_page_are_refused(
    method: str, headers: list[tuple[bytes, bytes]], status: int
) -> None:
    with pytest.raises(Refused) as refused:
        Access(8000).check_origin(method, headers)
    assert refused.value.status == status


def test_a_link_to_the_page_may_be_followed() -> None:
    followed = [OWN, (b"sec-fetch-site", b"cross-site"), (b"sec-fetch-mode", b"navigate")]
    Access(8000).check_origin("GET", followed)
