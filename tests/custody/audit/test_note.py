"""Signed notes and checkpoints: the C2SP form, and nothing else."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from custody.audit import note, verify

pytestmark = pytest.mark.unit

# The example of Go's golang.org/x/mod/sumdb/note documentation.
GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
GO_SIGNATURE = (
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
)


def test_foreign_note_verifies() -> None:
    """A key and a note that another implementation made."""
    key = note.LogKey.parse(GO_VKEY)
    assert key.vkey() == GO_VKEY
    signature = base64.b64decode(GO_SIGNATURE)[4:]
    key.verify(GO_TEXT, signature)
    assert note.encode(GO_TEXT, key, signature).endswith(f"\n\n— PeterNeumann {GO_SIGNATURE}\n")
    assert verify.LogKey.parse(GO_VKEY).public_key == key.public_key


SECRET = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
KEY = note.LogKey("example.com/log", SECRET.public_key().public_bytes_raw())
HEAD = note.TreeHead("example.com/log", 70_000, bytes(range(32)))


def signed(text: str, key: note.LogKey = KEY) -> str:
    blob = base64.b64encode(key.id + SECRET.sign(text.encode())).decode()
    return f"{text}\n— {key.name} {blob}\n"


def test_checkpoint_round_trip() -> None:
    text = "example.com/log\n70000\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
    assert HEAD.text() == text
    made = note.encode(text, KEY, SECRET.sign(text.encode()))
    assert made == signed(text)
    assert note.open_checkpoint(made, KEY) == HEAD
    opened = verify.open_checkpoint(made.encode(), verify.LogKey.parse(KEY.vkey()), "")
    assert (opened.size, opened.root) == (HEAD.size, HEAD.root)


def test_other_signatures_beside_ours_are_ignored() -> None:
    made = signed(HEAD.text()) + "— witness.example " + base64.b64encode(b"\x00" * 76).decode()
    assert note.open_checkpoint(made + "\n", KEY) == HEAD
    assert verify.open_checkpoint((made + "\n").encode(), verify.LogKey.parse(KEY.vkey()), "")


GOOD = signed(HEAD.text())


@pytest.mark.parametrize(
    "bad",
    [
        GOOD.replace("70000", "70001"),
        GOOD.replace("example.com/log\n", "example.com/lag\n", 1),
        GOOD.replace("AAEC", "BAEC"),
        GOOD[:-1],
        GOOD.replace("—", "-"),
        HEAD.text(),
        HEAD.text() + "\n",
        signed(HEAD.text().replace("70000", "070000")),
        signed(HEAD.text() + "extension\n"),
        signed(HEAD.text().replace("Hh8=", "Hh9=")),
        signed(HEAD.text().replace("example.com/log", "example.com/fork")),
        signed(HEAD.text()).replace("— example.com/log", "— example.com/lug"),
        "",
    ],
)
def test_anything_else_is_refused_by_both(bad: str) -> None:
    """Property 54."""
    with pytest.raises(note.NoteInvalid):
        note.open_checkpoint(bad, KEY)
    with pytest.raises(verify.Wrong):
        verify.open_checkpoint(bad.encode(), verify.LogKey.parse(KEY.vkey()), "")


@pytest.mark.parametrize(
    "bad", ["", "a+b", KEY.vkey()[:-4], KEY.vkey().replace("+", "+0", 1), "x" + KEY.vkey()]
)
def test_bad_keys_are_refused(bad: str) -> None:
    with pytest.raises(note.NoteInvalid):
        note.LogKey.parse(bad)
    with pytest.raises(ValueError):  # noqa: PT011  (any reason will do)
        verify.LogKey.parse(bad)
