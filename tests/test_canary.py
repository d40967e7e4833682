"""The search for secrets finds them, in every form, and in what real objects show. Property 40."""

import base64
import secrets
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
from coincurve import PrivateKey

from custody.keys import hd, shares
from custody.keys.keyring import Keyring, new_secrets
from custody.keys.people import PersonKey
from custody.keys.vault import LocalKek
from tests.canary import CANARY, Canary, dump
from tests.conftest import Server

REPO = Path(__file__).resolve().parents[1]
LEAKS = """
import logging
from coincurve import PrivateKey

def test_prints():
    print("key", PrivateKey().secret.hex())

def test_logs():
    logging.getLogger("custody").warning("key %s", PrivateKey().secret)

def test_raises():
    raise ValueError(PrivateKey().to_int())

def test_keeps_to_itself():
    PrivateKey()
"""


@pytest.mark.unit
def test_each_form_is_found() -> None:
    key, canary = secrets.token_bytes(32), Canary()
    canary.add(key)
    canary.add("correct horse")
    forms = {
        "hex": [key.hex(), key.hex().upper(), "00" + key.hex() + "ff"],
        "base64": [base64.b64encode(key).decode(), base64.urlsafe_b64encode(key).decode()],
        "decimal": [str(int.from_bytes(key, "big"))],
        "literal": [repr(key), f"x{key!r}x"],
        "words": ["a correct horse!"],
    }
    for form, texts in forms.items():
        for text in texts:
            assert canary.leaks(f"before {text} after") == [form]
    assert canary.leaks(f"{secrets.token_hex(64)} {secrets.token_bytes(32)!r}") == []


@pytest.mark.unit
def test_what_is_made_is_watched_and_shows_nothing() -> None:
    plain = new_secrets(secrets.token_bytes(32), "log.test")
    words = "throw-away " + secrets.token_hex(8)
    keyring, key, person = Keyring(plain), PrivateKey(), PersonKey.new()
    node = hd.master(secrets.token_bytes(32)).derive("m/44'/60'/0'")
    share = shares.split(plain, 2, 3)[0]
    made = [keyring, key, person, node, share, LocalKek.create(words, 2**10)]
    assert CANARY.leaks("\n".join(f"{x!r} {x!s}" for x in made)) == []
    for shown in (
        plain.decode(),
        key.secret.hex(),
        person._private.hex(),
        words,
        node.secret.hex(),
        share.blocks[0].hex(),
        repr(keyring._root.secret),
    ):
        assert CANARY.leaks(shown), "a secret that nobody watches"


@pytest.mark.postgres
async def test_a_dump_shows_what_is_in_a_table(postgres_server: Server, database_name: str) -> None:
    key = PrivateKey()
    admin = await asyncpg.connect(postgres_server.admin(database_name))
    assert CANARY.leaks(await dump(admin)) == []
    await admin.execute("CREATE TABLE leak (raw bytea, text text)")
    await admin.execute("INSERT INTO leak VALUES ($1, $2)", key.secret, f"{key.to_int()}")
    assert CANARY.leaks(await dump(admin)) == ["hex", "decimal"]
    await admin.execute("DROP TABLE leak")
    await admin.close()


@pytest.mark.journey
def test_a_test_that_shows_a_secret_fails(tmp_path: Path) -> None:
    """By the very hook that watches this suite."""
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_runtest_makereport\n")
    (tmp_path / "test_leaks.py").write_text(LEAKS)
    command = (sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", str(tmp_path))
    done = subprocess.run(
        [*command, "--rootdir", str(tmp_path)], cwd=REPO, capture_output=True, text=True,
        env={"PYTHONPATH": str(REPO), "PATH": ""},
    )  # fmt: skip
    assert done.stdout.count("Property 40: secrets in the output") == 3
    assert "1 passed" in done.stdout
    assert "3 failed" in done.stdout
