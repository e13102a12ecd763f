"""Telling people of events: who hears what, the outbox, and the hooks that deliver."""
