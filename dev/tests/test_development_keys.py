"""The development issuer: keys made once, private, and tokens that the APIs accept."""

import re
import stat
from pathlib import Path
from uuid import UUID, uuid4

import jwt
import pytest
from spacehub.auth.keys import KeyRing, from_file
from spacehub.auth.tokens import Caller, Unauthorized, Verifier
from spacehub.cli.main import app
from spacehub_dev.keys import AUDIENCE, ISSUER, DevelopmentKeys, development_keys
from typer.testing import CliRunner

USER = UUID("5a7ab3b0-0000-4000-8000-0000000000aa")


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["token", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def verifier(keys: DevelopmentKeys) -> Verifier:
    return Verifier(KeyRing(from_file(keys.jwks), algorithms=("RS256", "ES256")), ISSUER, AUDIENCE)


async def test_a_printed_token_speaks_for_its_user_with_its_scopes_for_a_day(tmp_path: Path) -> None:
    keys = development_keys(tmp_path)

    token = printed(str(USER), "--scope", "ops", "--scope", "read", "--signer", str(keys.signer))

    assert await verifier(keys).caller(token) == Caller(USER, frozenset({"ops", "read"}))
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 24 * 3600


async def test_the_key_of_the_system_in_the_current_directory_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = development_keys(tmp_path / ".run")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPACEHUB_SIGNER", raising=False)

    assert (await verifier(keys).caller(printed(str(USER)))).scopes == frozenset()


async def test_keys_stay_the_same_in_a_directory_and_differ_between_two(tmp_path: Path) -> None:
    one, again, other = (development_keys(tmp_path / name) for name in ("one", "one", "other"))

    token = printed(str(USER), "--signer", str(one.signer))

    assert (await verifier(again).caller(token)).user_id == USER
    with pytest.raises(Unauthorized):
        await verifier(other).caller(token)


def test_the_private_key_is_its_owners_alone_and_not_in_the_public_set(tmp_path: Path) -> None:
    keys = development_keys(tmp_path)

    assert stat.S_IMODE(keys.signer.stat().st_mode) == 0o600
    assert not re.search(r'"(d|p|q|dp|dq|qi)":', keys.jwks.read_text())


@pytest.mark.parametrize("user", ["", "me", "1234", str(uuid4())[:-1]])
def test_a_user_is_a_uuid(user: str) -> None:
    assert CliRunner().invoke(app, ["token", user]).exit_code == 2


def test_without_a_key_the_command_says_what_to_do(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["token", str(USER), "--signer", str(tmp_path / "nothing.json")])

    assert result.exit_code == 2
    assert "make run" in result.output
