"""Which encoding a text file has: UTF-8, UTF-16, cp932 (Japanese) or Latin-1 (Western Europe), found by its bytes."""

from __future__ import annotations

import codecs
import io
import re

BLOCK = 1 << 24
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_JAPANESE = re.compile(r"[\u3005\u3040-\u30ff\u4e00-\u9fff\uff00-\uffef]+")


def find(file: io.BufferedIOBase) -> str:
    """The name of the encoding of an open file, read from its start.

    A byte order mark decides; without one, UTF-16 shows itself by zero bytes, and what is valid UTF-8 is UTF-8. Else it
    is cp932 if that gives words of Japanese letters, and Windows' Latin-1 if not.

    Example:
      >>> import io
      >>> find(io.BytesIO("Gerät;Tätigkeit".encode("latin-1"))), find(io.BytesIO("設備,時刻".encode("cp932")))
      ('cp1252', 'cp932')
    """
    start = file.read(4096)
    for mark, name in _MARKS.items():
        if start.startswith(mark):
            return name
    if (zeros := start.count(0)) > len(start) // 4:
        return "utf-16-le" if start[1::2].count(0) * 2 > zeros else "utf-16-be"
    file.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while block := file.read(BLOCK):
            decoder.decode(block)
        decoder.decode(b"", final=True)
        return "utf-8"
    except UnicodeDecodeError:
        file.seek(0)
        return _not_unicode(file.read())


def _not_unicode(data: bytes) -> str:
    try:
        runs = [match.group() for match in _JAPANESE.finditer(data.decode("cp932"))]
        # read by mistake as cp932, an umlaut and the letter after it become one Japanese character alone
        if sum(len(run) for run in runs if len(run) > 1) * 2 > sum(map(len, runs)):
            return "cp932"
    except UnicodeDecodeError:
        pass
    try:
        data.decode("cp1252")
        return "cp1252"  # Latin-1 with the euro sign and quotes that Windows adds
    except UnicodeDecodeError:
        return "latin-1"


def said(name: str) -> str:
    """The encoding in words."""
    return {
        "utf-8": "UTF-8",
        "utf-8-sig": "UTF-8 with a byte order mark",
        "cp1252": "Latin-1 (cp1252)",
        "latin-1": "Latin-1",
        "cp932": "Japanese (cp932)",
    }.get(name, name.upper())
