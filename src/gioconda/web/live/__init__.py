"""Portraits that answer at once: sessions, each a process of its own. Its routes are in `gioconda.web.http`."""
