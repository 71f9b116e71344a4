"""How numbers are written: three figures that matter, a true minus, nothing where there is nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

NONE = "–"


def finite(x: Any) -> float | None:
    """`x` as a float, or None where it is no finite number (JSON may hold NaN, null or text)."""
    return float(x) if isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x) else None


def num(x: Any) -> str:
    """0.713, 12.34, 123.4, 12,345; whole numbers stay whole."""
    value = finite(x)
    if value is None:
        return NONE if x is None or isinstance(x, float) else str(x)
    if isinstance(x, int) or abs(value) >= 1000:
        text = f"{value:,.0f}"
    else:
        text = f"{value:.{3 if abs(value) < 10 else 2 if abs(value) < 100 else 1}f}"
    return text.replace("-", "−") if text.strip("-0.,") else text.lstrip("-")


def signed(x: Any) -> str:
    value = finite(x)
    return f"+{num(x)}" if value is not None and value > 0 and num(x).strip("0.") else num(x)


def bounds(interval: Any) -> tuple[float, float] | None:
    """A [low, high] pair of finite numbers, or None."""
    if not isinstance(interval, Sequence) or isinstance(interval, str) or len(interval) != 2:
        return None
    low, high = map(finite, interval)
    return (low, high) if low is not None and high is not None else None


def between(interval: Any, sign: bool = False) -> str:
    pair = bounds(interval)
    write = signed if sign else num
    return f"[{write(pair[0])}, {write(pair[1])}]" if pair else ""


def duration(seconds: Any) -> str:
    """8.4 s, 3 min 20 s, 2 h 05 min."""
    value = finite(seconds)
    if value is None:
        return NONE
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def percent(x: Any) -> str:
    value = finite(x)
    return NONE if value is None else f"{100 * value:g}\N{NO-BREAK SPACE}%"
