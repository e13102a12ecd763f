"""The page on paper: PDF by WeasyPrint, which is an extra and needs Pango.

Nothing is fetched: the page holds all that it needs, and whatever asks for more is refused.
"""

from __future__ import annotations

from typing import Any

INSTALL = (
    "PDF needs WeasyPrint and Pango, of which {missing} is missing here: `pip install 'wazi[pdf]'`, and on Debian "
    "`apt install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-dejavu-core`. --html needs neither, and "
    "every browser prints it to PDF."
)


class NoPaper(Exception):
    """A PDF cannot be made here; the text says what to install."""


def pdf(page: str) -> bytes:
    """Set a page of `html` as a PDF file; raises NoPaper where WeasyPrint or Pango is missing."""
    try:
        import weasyprint
    except ImportError:
        raise NoPaper(INSTALL.format(missing="the first")) from None
    except OSError:
        raise NoPaper(INSTALL.format(missing="the second")) from None
    document = weasyprint.HTML(string=page, url_fetcher=_refuse)
    return bytes(document.write_pdf(pdf_variant="pdf/ua-1"))


def _refuse(url: str, *_: Any, **__: Any) -> Any:
    raise ValueError(f"a report fetches nothing, and {url[:100]} was asked for")
