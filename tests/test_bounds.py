"""Numbers of settings that cannot be are refused where they are written, by name."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import pytest

from plugmux import BreakerPolicy, ConfigError, HealthPolicy, Policies, RestartPolicy, RetryPolicy, Timeouts
from plugmux.bounds import check_numbers
from plugmux.http import HttpLimits
from plugmux.runtime.process.limits import Limits
from plugmux.yamux import Config

SETTINGS = (BreakerPolicy, Config, HealthPolicy, HttpLimits, Limits, Policies, RestartPolicy, RetryPolicy, Timeouts)
NUMBERS = [
    (settings, field.name)
    for settings in SETTINGS
    for field in fields(settings)
    if str(field.type).startswith(("int", "float"))
]


@pytest.mark.parametrize(("settings", "name"), NUMBERS, ids=[f"{kind.__name__}.{name}" for kind, name in NUMBERS])
def test_every_number_of_the_settings_is_checked(settings: Any, name: str) -> None:
    for value in (-1, math.nan, -math.inf, "5", [5]):
        with pytest.raises(ConfigError, match=rf"{settings.__name__}\.{name} is .*; it must be a"):
            settings(**{name: value})


@dataclass(frozen=True)
class Some:
    count: int = 1
    seconds: float = 1.0
    most: int | None = None
    text: str = ""


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"count": 1.5}, "Some.count is 1.5; it must be a whole number from 1"),
        ({"count": 0}, "Some.count is 0; it must be a whole number from 1"),
        ({"count": None}, "Some.count is None; it must be a whole number from 1"),
        ({"seconds": 0}, "Some.seconds is 0; it must be a finite number above 0"),
        ({"seconds": math.inf}, "Some.seconds is inf; it must be a finite number above 0"),
        ({"most": -1}, "Some.most is -1; it must be a whole number from 0"),
    ],
)
def test_what_it_must_be_is_told(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_numbers(Some(**given), {"count": 1}, above_zero=["seconds"], finite=True)
    assert str(caught.value) == told


def test_what_fits_is_taken() -> None:
    check_numbers(Some(0, 1, None, "x"))
    check_numbers(Some(2, math.inf, 3))
