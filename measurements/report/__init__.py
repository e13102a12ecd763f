"""What happened, for a journalist to read and an expert to check: dossiers as a page of HTML, or on paper."""

from measurements.report.language import UnknownLanguage, best_language, language_of, languages
from measurements.report.page import html
from measurements.report.paper import NoPaper, pdf

__all__ = ["NoPaper", "UnknownLanguage", "best_language", "html", "language_of", "languages", "pdf"]
