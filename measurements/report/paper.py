"""The page on paper: PDF by WeasyPrint, which is an extra and needs Pango.

Nothing is fetched: the page holds all that it needs, and whatever asks for more is refused.
"""

from __future__ import annotations

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
        from weasyprint.urls import URLFetcher
    except ImportError:
        raise NoPaper(INSTALL.format(missing="the first")) from None
    except OSError:
        raise NoPaper(INSTALL.format(missing="the second")) from None
    document = weasyprint.HTML(string=page, url_fetcher=URLFetcher(allowed_protocols=()))
    return bytes(document.write_pdf(pdf_variant="pdf/ua-1"))
