"""HTML by trafilatura: the main text of a page as Markdown, without navigation, advertisements and footers.

The encoding is what the file says of itself (byte order mark, meta element), else UTF-8; none is guessed.
"""

from __future__ import annotations

import re

from .page import Page, Unreadable

_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w:.-]{1,40})", re.I)
_XML = re.compile(rb"^\s*<\?xml[^>]{0,200}encoding\s*=\s*[\"']([\w:.-]{1,40})[\"']", re.I)
_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


def pages(data: bytes) -> list[Page]:
    """The main text as one page. Raises Unreadable where the bytes are not of the encoding that the file names."""
    html = decoded(data)
    if not html.strip():
        return []
    import trafilatura

    found = trafilatura.extract(
        html, output_format="markdown", include_tables=True, include_comments=False, favor_recall=True
    )
    about = trafilatura.extract_metadata(html)
    return [Page(found or "", str(about.title or "") if about else "")]


def decoded(data: bytes) -> str:
    named = next((name for mark, name in _MARKS if data.startswith(mark)), "")
    if not named:
        found = _XML.search(data[:300]) or _CHARSET.search(data[:4096])
        named = found[1].decode("ascii") if found else "utf-8"
    try:
        return data.decode(named)
    except LookupError:
        raise Unreadable(f"names an encoding that nobody knows: {named}", "save it as UTF-8") from None
    except UnicodeDecodeError as e:
        at = f"0x{data[e.start]:02x} at byte {e.start}" if e.start < len(data) else "its end"
        raise Unreadable(
            f"not {named}, found {at}", "save it as UTF-8, or let its meta element name its encoding"
        ) from None


def markdown(html: str) -> str:
    """HTML as Markdown: headings with #, tables with |, no links, no images."""
    from markdownify import markdownify

    text = markdownify(html, heading_style="ATX", strip=["a", "img"], escape_underscores=False, escape_asterisks=False)
    return re.sub(r"\n{3,}", "\n\n", text).strip()
