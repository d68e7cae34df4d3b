"""Motion of a face apart from whose face it is: made from tracked faces, templates, sliders and files."""
