"""A journal's leaf is RFC 8785 JSON, and its line of CSV gives the same leaf back."""

import csv
import io
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from custody.core import canonical
from custody.core.errors import Broken
from custody.ledger import journal
from tests.fixtures.ledger import COIN, TOKEN

pytestmark = pytest.mark.unit

AT = datetime(2030, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)


def row(**other: Any) -> Any:
    made = {
        "id": UUID(int=1), "tenant_id": UUID(int=2), "seq": 8193, "kind": "posted",
        "asset_id": COIN, "credit_asset_id": COIN, "amount": 10**18,
        "debit_account_id": UUID(int=3), "debit_code": "asset:treasury@1",
        "credit_account_id": UUID(int=4), "credit_code": "liability:pool:x", "code": "test",
        "event_at": AT, "created_at": AT, "at_most": None, "pending_id": None,
        "reverses_id": None, "group_id": None, "expires_at": None, "chain_id": None,
        "block_number": None, "reference": None, "memo": None,
    }  # fmt: skip
    return SimpleNamespace(**(made | other))


FULL = {
    "at_most": 2 * 10**18, "pending_id": UUID(int=5), "reverses_id": UUID(int=6),
    "group_id": UUID(int=7), "expires_at": AT, "chain_id": 1, "block_number": 0,
    "reference": "dep_1", "memo": "hello",
}  # fmt: skip


def test_a_leaf_byte_for_byte() -> None:
    """What SEALS.md says, so that whoever writes a verifier has one example."""
    assert (
        journal.leaf(journal.fields(row(reference="", memo="é")))
        == (
            '{"amount":"1000000000000000000","asset":"eip155:31337/slip44:60","code":"test",'
            '"created_at":"2030-01-02T03:04:05.000006Z",'
            '"credit":"acc_00000000000000000000000000000004","credit_code":"liability:pool:x",'
            '"debit":"acc_00000000000000000000000000000003","debit_code":"asset:treasury@1",'
            '"event_at":"2030-01-02T03:04:05.000006Z",'
            '"id":"trf_00000000000000000000000000000001","kind":"posted","memo":"é","seq":"8193",'
            '"tenant":"ten_00000000000000000000000000000002","v":"moorage.journal/1"}'
        ).encode()
    )


def test_every_field_has_its_place() -> None:
    made = journal.fields(row(**FULL))
    assert set(made) == set(journal.FIELDS)
    assert (made["block_number"], made["pending"][:4], made["group"]) == ("0", "trf_", f"{7:032x}")


@given(TEXTS, TEXTS, TEXTS)
def test_a_leaf_is_canonical_whatever_the_texts(code: str, reference: str, memo: str) -> None:
    made = {"v": journal.SCHEMA, **journal.fields(row(code=code, reference=reference, memo=memo))}
    leaf = journal.leaf(journal.fields(row(code=code, reference=reference, memo=memo)))
    assert leaf == rfc8785.dumps(made) == canonical.encode(made)


@given(TEXTS, TEXTS, TEXTS)
def test_a_line_of_csv_gives_the_leaf_back(code: str, reference: str, memo: str) -> None:
    made = journal.fields(row(code=code, reference=reference, memo=memo))
    text = journal.to_csv([(7, made)]).decode()
    (read,) = csv.DictReader(io.StringIO(text, newline=""))
    assert read.pop("seal") == "7"
    for name in journal.WRITTEN_BY_OTHERS:
        assert read[name][:1] not in "=+-@\t\r" or read[name] == ""
        read[name] = read[name].removeprefix("'")
    assert {k: v for k, v in read.items() if v} == made


def test_totals_are_by_asset_and_kind() -> None:
    rows = [
        row(amount=1), row(amount=2), row(amount=4, kind="pending"),
        row(amount=2**256 - 1, asset_id=TOKEN, credit_asset_id=TOKEN),
        row(amount=2**256 - 1, asset_id=TOKEN, credit_asset_id=TOKEN),
    ]  # fmt: skip
    assert journal.totals(map(journal.fields, rows)) == {
        COIN: {"posted": "3", "pending": "4"},
        TOKEN: {"posted": str(2**257 - 2)},
    }


@pytest.mark.parametrize(
    "other", [{"debit_code": None}, {"credit_code": None}, {"credit_asset_id": TOKEN}]
)
def test_a_journal_without_two_accounts_of_one_asset_is_none(other: dict[str, Any]) -> None:
    with pytest.raises(Broken, match="no two accounts of one asset"):
        journal.fields(row(**other))
