"""PDF, DOCX, PPTX, HTML and EPUB as text."""

from __future__ import annotations

import io

import pytest

from contextune.core.errors import UserError
from contextune.data import load
from contextune.data.options import Source
from contextune.data.rich.boilerplate import cleaned
from contextune.data.rich.pdf import joined, paragraphs
from tests.data.rich.made import docx, epub, paragraph, pdf, table, zipped

pytest.importorskip("pypdfium2")
pytest.importorskip("mammoth")

BODY = [
    "The heron stands in shallow water for hours and waits for fish to come near it, which is",
    "why it is seen so rarely on the wing. It nests in colonies, in trees that are high enough to be",
    "safe from foxes, and returns to the same nest year after year.",
]


def text_of(folder, name: str, data: bytes) -> str:
    (folder / name).write_bytes(data)
    return load(Source(path=name), folder).documents[0].text


EXAMPLE = "a long line of a text that goes on with an example and ends here."
TWO = "one line here that is long\n\nanother line that is as long"


def test_pdf_lines_become_paragraphs_and_running_heads_go(tmp_path):
    own = [[f"{word} {line}" for line in (*BODY[:2], *BODY[:2])] for word in ("One", "Two", "Three", "Four")]
    pages = [["Birds of the Marsh 2023", f"{n} Herons", *own[n - 1], f"Page {n} of 4"] for n in range(1, 5)]
    (tmp_path / "a.pdf").write_bytes(pdf(pages, "Birds"))
    found = load(Source(path="a.pdf"), tmp_path).documents[0]
    assert "Birds of the Marsh" not in found.text
    assert "Page" not in found.text
    assert found.text.count("near it, which is") == 8
    assert found.fields["title"] == "Birds"
    assert (found.fields["pages"], found.fields["removed"]) == (4, 12)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\n".join(BODY), " ".join(BODY)),
        ("Herons\n" + "\n".join(BODY), "Herons\n\n" + " ".join(BODY)),
        (EXAMPLE.replace("example", "exam-\nple"), EXAMPLE),
        (TWO, TWO),
        ("", ""),
    ],
)  # fmt: skip
def test_paragraphs(text, expected):
    assert paragraphs(text) == expected


def test_a_paragraph_that_a_pages_end_cuts_is_made_whole():
    assert joined(["It waits for\n", "", "fish to come."]) == "It waits for fish to come."
    assert joined(["It ex-", "plains much."]) == "It explains much."
    assert joined(["It waits.", "fish come."]) == "It waits.\n\nfish come."


@pytest.mark.parametrize(
    ("pages", "kept", "removed"),
    [
        (["Head 1\na\n1", "Head 2\nb\n2", "Head 3\nc\niii"], ["a", "b", "c"], {"head #": 3, "#": 2, "iii": 1}),
        (["same\na", "same\nb"], ["same\na", "same\nb"], {}),  # two pages say nothing
        (["a\nb\nd\n1\ne\nf\ng", "a2", "a3"], ["a\nb\nd\n1\ne\nf\ng", "a2", "a3"], {}),  # amid a page
        ([""] * 5, [""] * 5, {}),
        (["same"] * 3, ["same"] * 3, {}),  # nothing else would be left
        (["a" * 200 + "\nb"] * 3, ["a" * 200] * 3, {"b": 3}),  # a long line is text, even where it repeats
    ],
)
def test_boilerplate(pages, kept, removed):
    found, gone = cleaned(pages)
    assert found == kept
    assert dict(gone) == removed


def test_docx_keeps_headings_lists_and_tables(tmp_path):
    body = (
        paragraph("Herons", "Heading1")
        + paragraph("They wait for fish_eggs.")
        + table([["Bird", "Eggs"], ["Heron", "4"]])
    )
    text = text_of(tmp_path, "a.docx", docx(body))
    assert text.startswith("# Herons\n\nThey wait for fish_eggs.")
    assert "| Heron | 4 |" in text


def test_pptx_slides(tmp_path):
    pptx = pytest.importorskip("pptx")
    show = pptx.Presentation()
    slide = show.slides.add_slide(show.slide_layouts[1])
    slide.shapes.title.text = "Herons"
    slide.placeholders[1].text = "They wait.\nThey fish."
    slide.notes_slide.notes_text_frame.text = "Speak slowly."
    out = io.BytesIO()
    show.save(out)
    assert text_of(tmp_path, "a.pptx", out.getvalue()) == "# Herons\n\nThey wait.\n\nThey fish.\n\nSpeak slowly."


HTML = (
    "<html><head><title>Herons</title></head><body><nav><a href='/'>Home</a> <a href='/b'>Birds</a></nav>"
    f"<main><article><h1>Herons</h1><p>{' '.join(BODY)}</p><p>Grüße: {BODY[0]}.</p></article></main>"
    "<footer>Copyright, imprint, cookies</footer></body></html>"
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_html_without_navigation_in_the_encoding_it_names(tmp_path, encoding):
    named = HTML.replace("<head>", '<head><meta charset="iso-8859-1">') if encoding == "latin-1" else HTML
    text = text_of(tmp_path, "a.html", named.encode(encoding))
    assert "It nests in colonies" in text
    assert "Grüße" in text
    assert "imprint" not in text
    assert "Home" not in text


def test_epub_in_the_order_of_its_spine(tmp_path):
    chapters = {
        "b.xhtml": "<html><head><title>x</title></head><body><h2>Two</h2><p>Second.</p></body></html>",
        "a%20a.xhtml": "<html><body><h2>One</h2><p>First.</p></body></html>",
    }
    book = epub(chapters, ["a%20a.xhtml", "b.xhtml"])
    with pytest.raises(UserError, match=r"a a\.xhtml is not in it"):
        text_of(tmp_path, "a.epub", book)
    chapters["a.xhtml"] = chapters.pop("a%20a.xhtml")
    assert (
        text_of(tmp_path, "b.epub", epub(chapters, ["a.xhtml", "b.xhtml"])) == "## One\n\nFirst.\n\n## Two\n\nSecond."
    )


KEYS = b"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O (%s) /U (%s) >> /ID [<00> <00>] " % (b"x" * 32, b"y" * 32)
LOCKED = pdf([["a"]]).replace(b"trailer << ", b"trailer << " + KEYS)


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("scan.pdf", pdf([[], []]), "no text on any of its 2 pages: it was scanned"),
        ("locked.pdf", LOCKED, "encrypted, and needs a password"),
        ("broken.pdf", b"%PDF-1.4\nnothing", "not a readable PDF file"),
        ("text.pdf", b"a text", "not a readable PDF file"),
        ("old.docx", b"\xd0\xcf\x11\xe0" + b"\0" * 600, "of the format before DOCX, or encrypted"),
        ("cut.docx", docx(paragraph("a"))[:300], "no DOCX file, or a part of one"),
        ("sheet.docx", zipped({"xl/workbook.xml": ""}), "lacks word/document.xml"),
        ("empty.docx", docx(""), "no text"),
        ("cut.pptx", b"PK\x03\x04", "no PPTX file"),
        ("a.html", "<p>é</p>".encode("latin-1"), r"not utf-8, found 0xe9 at byte 3"),
        ("b.html", b'<meta charset="klingon"><p>a</p>', "an encoding that nobody knows: klingon"),
        ("empty.html", b"", "no text"),
        ("cut.epub", b"PK", "no EPUB file"),
        ("zip.epub", zipped({"a": "b"}), "lacks META-INF"),
        ("bomb.docx", zipped({"word/document.xml": "0" * (2**28 + 1)}), "unpacks to more than"),
    ],
)
def test_what_cannot_be_read_is_one_clear_error(tmp_path, name, data, reason):
    with pytest.raises(UserError, match=reason) as e:
        text_of(tmp_path, name, data)
    assert name in e.value.message
    assert e.value.hint


def test_a_library_that_is_not_installed_is_named(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    with pytest.raises(UserError, match="reading PDF needs pypdfium2") as e:
        text_of(tmp_path, "a.pdf", pdf([["a"]]))
    assert e.value.hint == 'pip install "contextune[documents]"'


def test_a_folder_of_all_kinds(tmp_path):
    (tmp_path / "d").mkdir()
    for name, data in (("a.pdf", pdf([BODY])), ("b.docx", docx(paragraph("b."))), ("c.md", b"c."), ("e.pdf.gz", b"x")):
        (tmp_path / "d" / name).write_bytes(data)
    found = load(Source(path="d"), tmp_path)
    assert [d.id for d in found.documents] == ["a.pdf", "b.docx", "c.md"]
    assert any("e.pdf.gz" in name for name in found.passed_over)
