"""Marks of origin: an invisible watermark and signed Content Credentials, and the check of both.

They make it possible to recognise a file, as written or mildly changed, as made by Gioconda. They do not stop anyone
from removing or copying the marks, since the source is open. A self-made certificate does not identify its maker.
"""

from gioconda.provenance.credentials import Claim, Ingredient, sign
from gioconda.provenance.explain import explain
from gioconda.provenance.payload import (
    WatermarkReading,
    describe_payload,
    is_payload,
    job_payload,
    parse_payload,
)
from gioconda.provenance.sidecar import sidecar_path
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
    "is_payload",
    "job_payload",
    "parse_payload",
    "read_watermark",
    "sidecar_path",
    "sign",
    "verify",
]
