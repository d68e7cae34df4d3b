"""The key that signs: self-made at first use, or the user's own in PEM.

A self-made certificate proves that a file has not changed since it was signed. It does not prove who signed.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import platformdirs
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gioconda.errors import InputError, OutputError, missing_file

IDENTITY_NAME = "signing-identity.pem"
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
# Years for which a self-made certificate is valid.
_YEARS = 20
# Most bytes of a PEM file.
_PEM_BYTES = 1 << 20


@dataclass(frozen=True)
class SigningIdentity:
    """What signs a file.

    Attributes:
        key: The private key in PEM.
        chain: Its certificate chain in PEM, leaf first.
        algorithm: C2PA's name of the algorithm.
    """

    key: bytes
    chain: bytes
    algorithm: str


def user_folder() -> Path:
    """Return the folder of the user's key: GIOCONDA_HOME, or the platform's data folder."""
    return Path(os.environ.get("GIOCONDA_HOME") or platformdirs.user_data_dir("gioconda"))


def signing_identity(key: Path | None = None, certificate: Path | None = None) -> SigningIdentity:
    """Load the key that signs; without arguments the self-made one, which is made at first use.

    Args:
        key: The path of the user's own private key in PEM.
        certificate: The path of its certificate chain in PEM, leaf first.

    Raises:
        InputError: The files cannot be read, are not valid, or do not match.
        OutputError: The self-made key cannot be stored or read.
    """
    if key is None and certificate is None:
        return _local_identity()
    if key is None or certificate is None:
        raise InputError("a key and a certificate belong together; give both --key and --certificate")
    return _checked(_read_pem(key), _read_pem(certificate), str(key), str(certificate))


def _read_pem(path: Path) -> bytes:
    """The bytes of a PEM file."""
    try:
        if path.stat().st_size > _PEM_BYTES:
            raise InputError(f"{path} is too large for a PEM file; give a key or certificate in PEM form")
        return path.read_bytes()
    except FileNotFoundError:
        raise missing_file(path) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check its permissions") from None


def _checked(key: bytes, chain: bytes, key_name: str, chain_name: str) -> SigningIdentity:
    """Parse and compare key and chain, so that errors name the wrong file."""
    try:
        private = serialization.load_pem_private_key(key, None)
    except TypeError:
        raise InputError(f"{key_name} is encrypted; give a key without a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise InputError(f"{key_name} has no private key in PEM form; give one that does") from None
    try:
        with warnings.catch_warnings():
            # Warnings are about what standards discourage.
            warnings.simplefilter("ignore")
            certificates = x509.load_pem_x509_certificates(chain)
        # These parts of a certificate are parsed only here.
        public, ending = certificates[0].public_key(), certificates[0].not_valid_after_utc
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise InputError(
            f"{chain_name} has no certificate in PEM form, or a damaged one; give a valid chain"
        ) from None
    if private.public_key() != public:
        raise InputError(
            f"the first certificate of {chain_name} is not that of the key {key_name}; give the one that is"
        )
    if ending < datetime.now(timezone.utc):
        raise InputError(f"the certificate {chain_name} has expired; give a valid one")
    clean = b"".join(c.public_bytes(serialization.Encoding.PEM) for c in certificates)
    return SigningIdentity(_private_pem(private), clean, _algorithm(private, key_name))


def _algorithm(private: object, name: str) -> str:
    """C2PA's name of the algorithm of a key."""
    if isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name in _CURVES:
        return _CURVES[private.curve.name]
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(private, rsa.RSAPrivateKey):
        return "ps256"
    raise InputError(
        f"the key {name} is of an unsupported kind; use ECDSA P-256, P-384, P-521, Ed25519 or RSA"
    )


def _private_pem(private: object) -> bytes:
    """A private key in PEM."""
    assert hasattr(private, "private_bytes")
    pem: bytes = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem


def _local_identity() -> SigningIdentity:
    """The self-made identity; processes that make it at the same time end with the same one."""
    path = user_folder() / IDENTITY_NAME
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _publish_once(_self_made(), path)
        pem = path.read_bytes()
    except OSError as error:
        raise OutputError(
            f"the signing key {path} cannot be stored or read: {error.strerror}; "
            "set GIOCONDA_HOME to a folder that you can write to, or give --key and --certificate"
        ) from None
    try:
        return _checked(pem, pem, str(path), str(path))
    except InputError as error:
        raise InputError(f"{error}; or move this file away, and gioconda makes a new one") from None


def _publish_once(pem: bytes, path: Path) -> None:
    """Write `path` completely, readable by the user only, unless another process was first."""
    # `mkstemp` makes files that only the user can read.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".signing-", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(name, path)
        except FileExistsError:
            pass
        # The file system has no hard links.
        except OSError:
            if not path.exists():
                Path(name).rename(path)
    finally:
        Path(name).unlink(missing_ok=True)


def _self_made() -> bytes:
    """PEM of a new P-256 key, its certificate, and that of the authority, whose key is discarded."""
    authority, leaf = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = _certificate("Gioconda local authority", authority.public_key(), authority, is_authority=True)
    subject = _certificate("Gioconda local signer", leaf.public_key(), authority, is_authority=False)
    chain = b"".join(c.public_bytes(serialization.Encoding.PEM) for c in (subject, issuer))
    return _private_pem(leaf) + chain


def _certificate(
    name: str, public: ec.EllipticCurvePublicKey, signer: ec.EllipticCurvePrivateKey, *, is_authority: bool
) -> x509.Certificate:
    """A certificate by C2PA's profile: key usage, e-mail protection on the leaf, key identifiers."""
    now = datetime.now(timezone.utc)
    usage = x509.KeyUsage(
        not is_authority, False, False, False, False, is_authority, is_authority, False, False
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name("Gioconda local authority"))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365 * _YEARS))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    if not is_authority:
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(purpose, critical=False)
    return builder.sign(signer, hashes.SHA256())


def _name(common: str) -> x509.Name:
    """A subject's or issuer's name."""
    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Gioconda (self-made certificate)")
    return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, common)])
