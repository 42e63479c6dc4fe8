"""`spacehub keys keep` brings the issuer's keys to the gateway, and keeps what is there when none can be had."""

import asyncio
import stat
from base64 import b64decode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key
from spacehub.auth.key_lines import key_lines, write_key_lines
from spacehub.auth.keys import KeysAway, usable_keys
from spacehub.cli.keys import Issuer as Known
from spacehub.cli.keys import keeping
from spacehub.cli.main import app
from spacehub.testing.issuing import Issuer
from spacehub.testing.waiting import eventually
from typer.testing import CliRunner

BOTH = ("RS256", "ES256")
RSA, ELLIPTIC = Issuer("a b\n"), Issuer("ө", algorithm="ES256")


class Endpoint:
    """Where the key set is fetched; without a document it is away."""

    def __init__(self, document: bytes | None) -> None:
        self.document = document
        self.asked = 0

    async def __call__(self) -> bytes:
        self.asked += 1
        if self.document is None:
            raise KeysAway("jwks: away")
        return self.document


def test_every_key_is_a_line_of_words_without_surprises() -> None:
    lines = key_lines(usable_keys(RSA.jwks(ELLIPTIC), algorithms=BOTH)).splitlines()

    names, algorithms, keys = zip(*(line.split(" ") for line in lines), strict=True)
    assert [bytes.fromhex(name).decode() for name in names] == [RSA.kid, ELLIPTIC.kid]
    assert algorithms == ("RS256", "ES256")
    first, second = (load_der_public_key(b64decode(key)) for key in keys)
    assert isinstance(first, RSAPublicKey)
    assert first == RSA.private.public_key()
    assert isinstance(second, EllipticCurvePublicKey)
    assert second == ELLIPTIC.private.public_key()


def test_the_file_can_be_read_by_everybody_and_is_replaced_only_for_a_change(tmp_path: Path) -> None:
    file = tmp_path / "keys" / "gateway"

    assert write_key_lines(file, "first\n")
    assert not write_key_lines(file, "first\n")
    assert write_key_lines(file, "second\n")
    assert file.read_text() == "second\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


async def test_new_keys_arrive_and_an_issuer_that_is_away_takes_none_away(tmp_path: Path) -> None:
    file, stopping = tmp_path / "gateway", asyncio.Event()
    endpoint, known = Endpoint(None), Known()
    task = asyncio.ensure_future(keeping(file, endpoint, issuer=known, every=0.01)(stopping))
    await eventually(lambda: endpoint.asked > 1)
    was_ready = await known.answers()
    was_written = file.exists()

    endpoint.document = RSA.jwks()
    await eventually(lambda: file.exists() and len(file.read_text().splitlines()) == 1)
    endpoint.document = RSA.jwks(ELLIPTIC)
    await eventually(lambda: len(file.read_text().splitlines()) == 2)
    kept, is_ready = file.read_text(), await known.answers()
    endpoint.document = b'{"keys": []}'
    asked = endpoint.asked
    await eventually(lambda: endpoint.asked > asked + 1)
    stopping.set()
    await task

    assert not was_written
    assert (was_ready, is_ready, await known.answers()) == (False, True, False)
    assert file.read_text() == kept


@pytest.mark.parametrize("told", [[], ["--jwks-url", "http://x", "--jwks-file", "y"]])
def test_one_source_of_keys_is_asked_for(tmp_path: Path, told: list[str]) -> None:
    result = CliRunner().invoke(app, ["keys", "keep", str(tmp_path / "keys"), *told])

    assert result.exit_code == 2
    assert "SPACEHUB_JWKS_URL or SPACEHUB_JWKS_FILE" in result.output
