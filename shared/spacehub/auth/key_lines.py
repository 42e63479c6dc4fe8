"""The issuer's keys as the gateway reads them: a line each, with its name, its algorithm and the key."""

import os
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def key_lines(keys: Mapping[str, jwt.PyJWK]) -> str:
    """A line for each key: its `kid` in hexadecimal digits, its algorithm, the public key (DER, RFC 5280) in base64.

    `deploy/gateway/load-keys` reads them.
    """
    lines = []
    for kid, key in sorted(keys.items()):
        if isinstance(key.key, RSAPublicKey | EllipticCurvePublicKey):
            public = key.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            lines.append(f"{kid.encode().hex().upper()} {key.algorithm_name} {b64encode(public).decode()}\n")
    return "".join(lines)


def write_key_lines(path: Path, lines: str) -> bool:
    """Replace the file as a whole, readable by everybody; whether anything was to be changed."""
    if path.exists() and path.read_text(encoding="ascii") == lines:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), "w", encoding="ascii") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(lines)
    draft.replace(path)
    return True
