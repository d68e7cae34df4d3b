"""Portraits that answer at once: sessions, each a process of its own, for the sliders and for the webcam."""
