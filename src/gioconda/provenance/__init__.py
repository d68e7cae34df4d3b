"""Marks of origin: an invisible watermark, signed Content Credentials, and their check.

What they promise: a file as written, or mildly changed, can be recognised as made by Gioconda. What they do
not: whoever wants to can remove or copy marks of open source, and a self-made certificate names nobody.
"""

from gioconda.provenance.credentials import Claim, Ingredient, sidecar_path, sign
from gioconda.provenance.explain import explain
from gioconda.provenance.payload import WatermarkReading, describe_payload, job_payload
from gioconda.provenance.verdict import Verdict, verify
from gioconda.provenance.watermark import Watermarker, read_watermark

__all__ = [
    "Claim",
    "Ingredient",
    "Verdict",
    "WatermarkReading",
    "Watermarker",
    "describe_payload",
    "explain",
    "job_payload",
    "read_watermark",
    "sidecar_path",
    "sign",
    "verify",
]
