"""The document is strict: each broken field is named with the rule it breaks."""

import copy
import uuid
from typing import Any

import pytest

from custody.core import canonical
from custody.core.errors import InvalidInput
from custody.core.ids import format_id
from custody.keys.people import PersonKey, is_signed, sign_policy
from custody.policy.document import parse, split_signed
from tests.custody.policy.documents import CHAIN, TOKEN_ASSET, address, document

pytestmark = pytest.mark.unit

GUARD = address(6)


def changed(path: str, value: Any) -> dict[str, Any]:
    """The good document with one field replaced, or dropped where `value` is ..."""
    doc: Any = copy.deepcopy(document())
    at = doc
    *way, last = [int(p) if p.isdigit() and p != "31337" else p for p in path.split(".")]
    for step in way:
        at = at[step]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return dict(doc)


BROKEN: list[tuple[str, Any, str]] = [
    ("schema", "moorage.policy/3", "schema"),
    ("schema", ..., "schema"),
    ("extra", 1, "extra"),
    ("tenant", "ten_1", "tenant"),
    ("tenant", 5, "tenant"),
    ("version", 0, "version"),
    ("version", "1", "version"),
    ("version", True, "version"),
    ("version", 1.0, "version"),
    ("version", 2, "previous"),
    ("previous", "sha256:" + "0" * 64, "previous"),
    ("rules", {}, "rules"),
    ("rules.0", "all", "rules[0]"),
    ("rules.0.name", ..., "rules[0].name"),
    ("rules.0.name", "Über", "rules[0].name"),
    ("rules.1.name", "payout-small", "rules"),
    ("rules.0.kind", "everything", "rules[0].kind"),
    ("rules.0.asset", "USDC", "rules[0].asset"),
    ("rules.0.asset", TOKEN_ASSET.upper(), "rules[0].asset"),
    ("rules.0.amount_max", 5, "rules[0].amount_max"),
    ("rules.0.amount_max", "-5", "rules[0].amount_max"),
    ("rules.0.amount_max", "1e6", "rules[0].amount_max"),
    ("rules.0.amount_max", str(2**256), "rules[0].amount_max"),
    ("rules.0.approvals", -1, "rules[0].approvals"),
    ("rules.0.approvals", 11, "rules[0].approvals"),
    ("rules.0.approvals", "0", "rules[0].approvals"),
    ("rules.0.approvals", 1, "rules[0].roles"),
    ("rules.0.roles", ["treasurer"], "rules[0].roles"),
    ("rules.1.roles", [], "rules[1].roles"),
    ("rules.1.roles", ["treasurer", "treasurer"], "rules[1].roles"),
    ("rules.1.roles", [1], "rules[1].roles"),
    ("rules.0.note", "x", "rules[0].note"),
    ("limits", [], "limits"),
    ("limits.0.asset", "gas", "limits[0].asset"),
    ("limits.0.window_s", 0, "limits[0].window_s"),
    ("limits.0.amount_max", None, "limits[0].amount_max"),
    ("limits.0.amount_max", ..., "limits[0].amount_max"),
    ("places", [], "places"),
    ("places.zero", {}, "places"),
    ("places.31337.treasury", ..., "places.31337.treasury"),
    ("places.31337.treasury", "0x" + "0" * 40, "places.31337.treasury"),
    ("places.31337.treasury", "0x" + "ab" * 20, "places.31337.treasury"),
    ("places.31337.guards", ["x"], "places.31337.guards"),
    ("places.31337.guards", [GUARD], "places.31337.guards"),
    ("places.31337.guards", None, "places.31337.guards"),
    ("places.31337.guards", {"x": TOKEN_ASSET}, "places.31337.guards"),
    ("places.31337.guards", {"0x" + "ab" * 20: TOKEN_ASSET}, "places.31337.guards"),
    ("places.31337.guards", {"0x" + "0" * 40: TOKEN_ASSET}, "places.31337.guards"),
    *(
        ("places.31337.guards", {GUARD: asset}, f"places.31337.guards.{GUARD}")
        for asset in (
            None,
            [TOKEN_ASSET],
            "*",
            "gas@31337",
            "USDC",
            TOKEN_ASSET.upper(),
            TOKEN_ASSET.replace("31337", "1"),
            TOKEN_ASSET.replace("31337", "313370"),
            "eip155:31337/slip44:61",
        )
    ),
    ("places.31337.payees", {}, "places.31337.payees"),
    ("places.31337.sweeper", 5, "places.31337.sweeper"),
    ("places.31337.owner", None, "places.31337.owner"),
]


@pytest.mark.parametrize(("path", "value", "field"), BROKEN)
def test_broken_field_is_named(path: str, value: Any, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(changed(path, value))
    assert caught.value.field == field
    assert caught.value.rule


def test_places_are_never_mixed() -> None:
    treasury = document()["places"]["31337"]["treasury"]
    for path, value in (("payout", treasury), ("guards", {treasury: TOKEN_ASSET})):
        with pytest.raises(InvalidInput, match="never mixed"):
            parse(changed(f"places.31337.{path}", value))


def test_each_guard_has_its_asset() -> None:
    coin = "eip155:31337/slip44:60"
    guards = {GUARD: TOKEN_ASSET, address(8): coin}
    assert parse(changed("places.31337.guards", guards)).places[CHAIN].guards == guards
    assert parse(changed("places.31337.guards", {})).places[CHAIN].guards == {}


def test_hash_is_of_the_canonical_bytes_and_does_not_depend_on_order() -> None:
    doc = document()
    turned = dict(reversed(doc.items()))
    assert parse(doc).hash == parse(turned).hash == "sha256:" + canonical.sha256_hex(doc)
    assert parse(changed("rules.0.amount_max", "999")).hash != parse(doc).hash


def test_the_authoritys_signature_is_over_the_canonical_bytes() -> None:
    key = PersonKey.new()
    policy, signature = split_signed(sign_policy(key, document()))
    assert is_signed(key.public_key, policy.payload(), signature)
    assert not is_signed(PersonKey.new().public_key, policy.payload(), signature)


@pytest.mark.parametrize("signature", ["", "00", "zz" * 64, 5, "AA" * 64])
def test_a_malformed_signature_is_named(signature: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        split_signed({"policy": document(), "signature": signature})
    assert caught.value.field == "signature"


def test_later_versions_name_the_one_before() -> None:
    doc = {**document(), "version": 2, "previous": parse(document()).hash}
    assert parse(doc).version == 2
    assert parse({**doc, "tenant": format_id("tenant", uuid.uuid4())}).hash != parse(doc).hash
