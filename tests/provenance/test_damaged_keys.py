"""Keys and certificates damaged inside their base64, where a PEM reader alone does not look."""

import base64
import re
from collections import Counter

import numpy as np
import pytest

from corpus import seeds
from gioconda.errors import InputError
from gioconda.provenance.certificate import signing_identity

TRIES = 300


def unwrapped(pem):
    """Name and bytes of a PEM block."""
    name, text = re.fullmatch(
        rb"-----BEGIN ([A-Z ]+)-----(.*)-----END [A-Z ]+-----\s*", pem, re.DOTALL
    ).groups()
    return name, base64.b64decode(text)


def wrapped(name, data):
    return b"-----BEGIN " + name + b"-----\n" + base64.encodebytes(data) + b"-----END " + name + b"-----\n"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("which", ["key.pem", "certificate.pem"])
def test_damaged_pem_files_are_refused_by_name(tmp_path, which):
    for name, pem in zip(("key.pem", "certificate.pem"), seeds.pem_pair(), strict=True):
        (tmp_path / name).write_bytes(pem)
    pair = tmp_path / "key.pem", tmp_path / "certificate.pem"
    assert signing_identity(*pair).algorithm == "ed25519"
    damaged = tmp_path / which
    kind, data = unwrapped(damaged.read_bytes())
    rng, ends = np.random.default_rng(1), Counter()
    for _ in range(TRIES):
        made = bytearray(data)
        for at in rng.integers(len(made), size=int(rng.integers(1, 4))):
            made[at] = int(rng.integers(256))
        damaged.write_bytes(wrapped(kind, bytes(made)))
        try:
            signing_identity(*pair)
            ends["read"] += 1
        except InputError as error:
            assert which in str(error)  # noqa: PT017
            ends["refused"] += 1
    assert ends["refused"] > TRIES // 3
