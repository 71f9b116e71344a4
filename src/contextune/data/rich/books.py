"""EPUB, a zip of XHTML: its chapters in the order of its spine, each a page."""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from .page import Page, Unreadable, unzipped
from .web import decoded, markdown

_CONTAINER = "META-INF/container.xml"
_LOCKED = "META-INF/encryption.xml"


def pages(data: bytes) -> list[Page]:
    """Raises Unreadable for a book that is locked, or that names parts it does not hold."""
    with unzipped(data, "EPUB", "download it again") as parts:
        names = set(parts.namelist())
        if _CONTAINER not in names:
            raise Unreadable(f"no EPUB file, it lacks {_CONTAINER}", "is it the right file?")
        root = _xml(parts.read(_CONTAINER)).find("rootfile")
        package = str(root["full-path"]) if root else ""
        if package not in names:
            raise Unreadable(f"no EPUB file, it lacks {package or 'its package'}", "download it again")
        return list(_chapters(parts, package, names))


def _chapters(parts: zipfile.ZipFile, package: str, names: set[str]) -> Iterator[Page]:
    opf = _xml(parts.read(package))
    title = opf.find("dc:title") or opf.find("title")
    items = {i["id"]: posixpath.normpath(posixpath.join(posixpath.dirname(package), unquote(i["href"])))
             for i in opf.find_all("item") if i.get("id") and i.get("href")}  # fmt: skip
    first = title.get_text(" ", strip=True) if title else ""
    for place in opf.find_all("itemref"):
        path = items.get(str(place.get("idref")), "")
        if path not in names:
            raise Unreadable(f"the chapter {path or place.get('idref')} is not in it", "download it again")
        text = decoded(parts.read(path))
        if _LOCKED in names and "<" not in text[:200]:
            raise Unreadable("encrypted (DRM)", "give a copy without it")
        yield Page(markdown(_body(text)), first)
        first = ""


def _body(text: str) -> str:
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(text, "lxml")
    for part in soup.find_all(["script", "style", "nav", "head"]):
        part.decompose()
    return str(soup.body or soup)


def _xml(data: bytes) -> Any:
    from bs4 import BeautifulSoup

    return BeautifulSoup(data, "xml")
