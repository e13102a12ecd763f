"""A report of events for people: one HTML page, or a PDF."""
