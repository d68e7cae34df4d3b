"""The HTTP API: routes, uploads, answers to errors, the reference."""
