"""Text as it is, made visible: nothing in it can act on the page, the terminal or the reader's eye."""

from __future__ import annotations

_NAMED = {c: f"‹U+{c:04X}›" for c in (0x61C, 0x200B, 0x200E, 0x200F, 0x2028, 0x2029, 0x2060, 0xFEFF)}
_OVERRIDES = {c: f"‹U+{c:04X}›" for c in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}  # of the writing direction
_CONTROLS = {c: f"‹U+{c:04X}›" for c in (*range(0x20), *range(0x7F, 0xA0)) if c not in (0x09, 0x0A)}
_SURROGATES = {c: "\ufffd" for c in range(0xD800, 0xE000)}

SAFE = _CONTROLS | _OVERRIDES | _SURROGATES
SHOWN = SAFE | _NAMED | {0x09: "⇥"}


def safe(text: object) -> str:
    """Text for a page: controls and direction overrides by their code, halves of surrogate pairs replaced."""
    return str(text).replace("\r\n", "\n").translate(SAFE)


def shown(text: object) -> str:
    """Text of a token: controls, tabs, zero-width and direction marks are written out; spaces and line ends stay."""
    return str(text).translate(SHOWN)


def pieces(text: object) -> list[tuple[str, str]]:
    """`shown` text in runs: ("text", …), ("space", "··") or ("line", "⏎")."""
    found: list[tuple[str, str]] = []
    for char in shown(text):
        kind, mark = ("space", "·") if char == " " else ("line", "⏎") if char == "\n" else ("text", char)
        if found and found[-1][0] == kind != "line":
            found[-1] = (kind, found[-1][1] + mark)
        else:
            found.append((kind, mark))
    return found
