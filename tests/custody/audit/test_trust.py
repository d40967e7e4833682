"""Several signatures under one text, and c2sp.org/tlog-policy: who must have signed."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from custody.audit import note, trust
from custody.audit.note import CosignerKey, LogKey, Note, NoteInvalid, Signature, TreeHead

pytestmark = pytest.mark.unit

TIME_S = 1_900_000_000


class Party:
    """A log or a witness with a key of the test's own."""

    def __init__(self, name: str, seed: int) -> None:
        self.secret = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        self.public = self.secret.public_key().public_bytes_raw()
        self.log, self.cosigner = LogKey(name, self.public), CosignerKey(name, self.public)

    def signs(self, text: str) -> Signature:
        return Signature(self.log.name, self.log.id, self.secret.sign(text.encode()))

    def cosigns(self, text: str, time_s: int = TIME_S) -> Signature:
        signed = self.secret.sign(self.cosigner.message(text, time_s))
        return Signature(self.cosigner.name, self.cosigner.id, time_s.to_bytes(8, "big") + signed)


LOG, OTHER_LOG = Party("example.com/log", 1), Party("example.com/other", 2)
W1, W2, W3 = (Party(f"witness{i}.example", 2 + i) for i in (1, 2, 3))
HEAD = TreeHead("example.com/log", 70_000, bytes(range(32)))
TEXT = HEAD.text()


def checkpoint(*signatures: Signature) -> str:
    return Note(TEXT, signatures).encode()


def policy(quorum: str, groups: str = "") -> trust.TrustPolicy:
    return trust.parse(
        f"log {LOG.log.vkey()}\n"
        f"# Comments and empty lines are nothing.\n\n"
        f"witness one {W1.cosigner.vkey()}\n"
        f"witness\ttwo {W2.cosigner.vkey()} https://two.example/\n"
        f" witness three {W3.cosigner.vkey()}\n"
        f"{groups}quorum {quorum}\n"
    )


def test_all_lines_are_kept_byte_for_byte() -> None:
    unknown = Signature("wítness.example/ß", b"\x01\x02\x03\x04", b"\x05" * 2428)
    made = checkpoint(W1.cosigns(TEXT), unknown, LOG.signs(TEXT))
    parsed = Note.parse(made)
    assert parsed.encode() == made
    assert parsed.signatures[1] == unknown
    assert note.open_checkpoint(made, LOG.log) == HEAD
    assert note.open_checkpoint(made, LOG.log, [W1.cosigner, W2.cosigner]) == HEAD
    assert parsed.signed_by([W1.cosigner, W2.cosigner, LOG.log]) == {W1.cosigner, LOG.log}


def test_sixteen_signatures_and_more_are_read() -> None:
    lines = [Signature(f"w{i}.example", bytes(4), b"\x00" * 76) for i in range(note.SIGNATURES_MAX)]
    assert note.open_checkpoint(checkpoint(*lines[1:], LOG.signs(TEXT)), LOG.log) == HEAD
    with pytest.raises(NoteInvalid, match="at most"):
        note.open_checkpoint(checkpoint(*lines, LOG.signs(TEXT)), LOG.log)


def test_a_wrong_line_of_a_known_key_spoils_the_note() -> None:
    """Of an unknown one it does not; nor do those that share a name or an id alone."""
    wrong = W2.cosigns(TEXT.replace("70000", "70001"))
    made = checkpoint(LOG.signs(TEXT), wrong)
    assert note.open_checkpoint(made, LOG.log, [W1.cosigner]) == HEAD
    with pytest.raises(NoteInvalid, match=r"not by witness2\.example"):
        note.open_checkpoint(made, LOG.log, [W2.cosigner])
    same_name = Signature(LOG.log.name, bytes(4), b"\x00" * 64)
    same_id = Signature("someone.example", LOG.log.id, b"\x00" * 64)
    assert note.open_checkpoint(checkpoint(same_name, LOG.signs(TEXT), same_id), LOG.log) == HEAD
    twice = checkpoint(LOG.signs(TEXT), Signature(LOG.log.name, LOG.log.id, b"\x00" * 64))
    with pytest.raises(NoteInvalid):
        note.open_checkpoint(twice, LOG.log)


def test_a_cosignature_is_no_logs_signature() -> None:
    """One key pair used for both has two ids, and the messages differ."""
    both = CosignerKey(LOG.log.name, LOG.public)
    assert both.id != LOG.log.id
    with pytest.raises(NoteInvalid, match="no signature by"):
        note.open_checkpoint(checkpoint(LOG.cosigns(TEXT)), LOG.log)
    forged = Signature(both.name, both.id, TIME_S.to_bytes(8, "big") + LOG.signs(TEXT).blob)
    with pytest.raises(NoteInvalid, match="not by"):
        note.open_checkpoint(checkpoint(LOG.signs(TEXT), forged), LOG.log, [both])


@pytest.mark.parametrize("blob", [b"", bytes(8), b"\xff" * 72, b"\x00" * 73])
def test_a_malformed_cosignature_is_refused(blob: bytes) -> None:
    with pytest.raises(NoteInvalid):
        W1.cosigner.verify(TEXT, blob)


GOOD = checkpoint(LOG.signs(TEXT))


@pytest.mark.parametrize(
    "bad",
    [
        GOOD.replace("70000\n", "70000\r\n"),
        GOOD.replace("— ", "—  "),
        GOOD.replace("— example.com/log", "— example.com/log\u00a0x"),
        GOOD.replace("— example.com/log", "— example.com+log"),
        GOOD.replace("— example.com/log", "— "),
        GOOD + "\n",
        GOOD + "x\n",
        GOOD.replace("\n\n", "\n\n\x00"),
        checkpoint(Signature(LOG.log.name, b"\x00" * 4, b"")),
        GOOD[:-2] + "\n",
    ],
)
def test_what_is_no_note_is_refused(bad: str) -> None:
    with pytest.raises(NoteInvalid):
        note.open_checkpoint(bad, LOG.log)


def test_keys_have_a_type() -> None:
    assert CosignerKey.parse(W1.cosigner.vkey()) == W1.cosigner
    with pytest.raises(NoteInvalid):
        LogKey.parse(W1.cosigner.vkey())
    with pytest.raises(NoteInvalid):
        CosignerKey.parse(W1.log.vkey())


def test_our_own_policy_is_read_back() -> None:
    ours = trust.parse(trust.render(LOG.log))
    assert ours.open(GOOD) == HEAD
    with pytest.raises(NoteInvalid, match="no log of the policy"):
        trust.parse(trust.render(OTHER_LOG.log)).open(GOOD)


TWO_OF_THREE = "group some 2 one two three\n"
NESTED = "group pair any one two\ngroup all-of all pair three\n"
QUORA = [
    ("none", "", [], True),
    ("one", "", [W1], True),
    ("one", "", [W2], False),
    ("some", TWO_OF_THREE, [W1, W3], True),
    ("some", TWO_OF_THREE, [W3], False),
    ("all-of", NESTED, [W2, W3], True),
    ("all-of", NESTED, [W1, W2], False),
]


@pytest.mark.parametrize(("quorum", "groups", "witnesses", "enough"), QUORA)
def test_a_quorum_must_have_cosigned(
    quorum: str, groups: str, witnesses: list[Party], enough: bool
) -> None:
    made = checkpoint(LOG.signs(TEXT), *(w.cosigns(TEXT) for w in witnesses))
    if enough:
        assert policy(quorum, groups).open(made) == HEAD
    else:
        with pytest.raises(NoteInvalid, match="has not cosigned"):
            policy(quorum, groups).open(made)


def test_one_witness_signing_twice_is_one() -> None:
    made = checkpoint(LOG.signs(TEXT), W1.cosigns(TEXT), W1.cosigns(TEXT, TIME_S + 1))
    with pytest.raises(NoteInvalid):
        policy("some", TWO_OF_THREE).open(made)


BAD = [
    ("", "a quorum line is missing"),
    ("quorum none\nquorum none\n", "line 2: there is one quorum"),
    ("quorum nobody\n", "line 1: nobody is not defined before"),
    ("log x\n", "line 1: "),
    (f"log {LOG.log.vkey()} a b\n", "line 1: log with 3 words"),
    (f"log {LOG.log.vkey()}\nlog {LOG.log.vkey()}\n", "line 2: the log's key is there"),
    (f"log {W1.cosigner.vkey()}\n", "line 1: a log's key is of type 1"),
    (f"witness none {W1.cosigner.vkey()}\n", "the name none is taken"),
    (
        f"witness a {W1.cosigner.vkey()}\nwitness b {W1.cosigner.vkey()}\n",
        "line 2: the witness's key",
    ),
    (f"witness a {W1.cosigner.vkey()}\nwitness a {W2.cosigner.vkey()}\n", "the name a is taken"),
    (f"witness a {W1.cosigner.vkey()}\ngroup g 2 a\n", "a group needs"),
    (f"witness a {W1.cosigner.vkey()}\ngroup g 0 a\n", "a group needs"),
    (f"witness a {W1.cosigner.vkey()}\ngroup g all\n", "is no statement"),
    (f"witness a {W1.cosigner.vkey()}\ngroup g any a a\n", "is in a group already"),
    (f"witness a {W1.cosigner.vkey()}\ngroup g any a\ngroup h any a\n", "is in a group already"),
    ("group g any none\nquorum g\n", "none is not defined before"),
    ("quorum\u00a0none\n", "is no statement"),
    ("quorum none\r\n", "control characters"),
    ("rule x\n", "line 1: rule with 1 words"),
]


@pytest.mark.parametrize(("text", "why"), BAD)
def test_what_is_no_policy_is_refused_by_line(text: str, why: str) -> None:
    with pytest.raises(trust.PolicyInvalid, match=why.replace("+", r"\+")):
        trust.parse(text)


def test_base64_has_one_form() -> None:
    line = LOG.signs(TEXT).line()[:-1]
    head, _, blob = line.rpartition(" ")
    raw = base64.b64decode(blob)
    assert Signature.parse(line) == LOG.signs(TEXT)
    twin = f"{head} {blob[:-1]}" if blob.endswith("=") else f"{head} {blob}="
    for other in (twin, f"{head} {base64.urlsafe_b64encode(raw).decode()}-", f"{head} {blob} "):
        with pytest.raises(NoteInvalid):
            Signature.parse(other)
