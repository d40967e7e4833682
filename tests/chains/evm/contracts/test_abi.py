"""What the wrappers call exists in the ABIs of our own contracts."""

import json
import re
from enum import IntEnum
from pathlib import Path

import pytest

from chains.evm import calldata
from chains.evm.address import ZERO_ADDRESS
from chains.evm.contracts import audit_anchor, payouts, sweep_hub, sweeper, treasury_guard
from chains.evm.contracts.erc20 import erc20_transfer

pytestmark = pytest.mark.unit

FOLDER = Path(calldata.__file__).parent
VENUE = "0x" + "ab" * 32


def members(name: str, kind: str) -> set[str]:
    abi = json.loads((FOLDER / "abi" / f"{name}.json").read_text())
    return {
        f"{m['name']}({','.join(i['type'] for i in m['inputs'])})" for m in abi if m["type"] == kind
    }


WRAPPERS = [
    ("TreasuryGuard", "treasury_guard"),
    ("AuditAnchor", "audit_anchor"),
    ("Sweeper", "sweeper"),
    ("SweepHub", "sweep_hub"),
    ("Payouts", "payouts"),
]


@pytest.mark.parametrize(("contract", "module"), WRAPPERS)
def test_every_signature_in_a_wrapper_is_in_the_abi(contract: str, module: str) -> None:
    text = (FOLDER / "contracts" / f"{module}.py").read_text()
    signatures = set(re.findall(r'"([A-Za-z0-9_]+\([a-z0-9,\[\]]*\))"', text))
    assert signatures
    assert signatures <= set().union(
        *(members(contract, kind) for kind in ("function", "event", "error"))
    )


@pytest.mark.parametrize(
    ("interface", "enum", "ours"),
    [
        ("ITreasuryGuard", "Kind", treasury_guard.VenueKind),
        ("IAuditAnchor", "State", audit_anchor.LogState),
    ],
)
def test_an_enum_is_the_contracts(interface: str, enum: str, ours: type[IntEnum]) -> None:
    source = (FOLDER.parents[1] / f"contracts/src/interfaces/{interface}.sol").read_text()
    body = re.search(rf"enum {enum} \{{([^}}]*)\}}", source)
    assert body is not None
    names = [n.strip().upper() for n in body.group(1).split(",")]
    assert names == [k.name.replace("_", "") for k in ours]


ENCODED = [
    (treasury_guard.encode_allocate(VENUE, 5, 4), treasury_guard.ALLOCATE, (b"\xab" * 32, 5, 4)),
    (treasury_guard.encode_deallocate(VENUE, 5), treasury_guard.DEALLOCATE, (b"\xab" * 32, 5)),
    (treasury_guard.encode_claim(VENUE, 9), treasury_guard.CLAIM, (b"\xab" * 32, 9)),
    (treasury_guard.encode_release(ZERO_ADDRESS, 1), treasury_guard.RELEASE, (ZERO_ADDRESS, 1)),
    (sweeper.encode_sweep(ZERO_ADDRESS), sweeper.SWEEP, (ZERO_ADDRESS,)),
    (
        sweep_hub.encode_sweep_token(ZERO_ADDRESS, [sweep_hub.Sweep(ZERO_ADDRESS, 5)]),
        sweep_hub.SWEEP_TOKEN,
        (ZERO_ADDRESS, (5,)),
    ),
    (sweep_hub.encode_sweep_native([ZERO_ADDRESS]), sweep_hub.SWEEP_NATIVE, ((0,),)),
    (
        payouts.encode_pay_token(ZERO_ADDRESS, 9, [payouts.Payout(ZERO_ADDRESS, 5)]),
        payouts.PAY_TOKEN,
        (ZERO_ADDRESS, 9, 5, (5,)),
    ),
    (
        payouts.encode_pay_native(9, [payouts.Payout(ZERO_ADDRESS, 5)]),
        payouts.PAY_NATIVE,
        (9, (5,)),
    ),
    (
        audit_anchor.encode_anchor(b"\1" * 32, 7, b"\2" * 32, 8, [b"\3" * 32, b"\4" * 32]),
        audit_anchor.ANCHOR,
        (b"\1" * 32, 7, b"\2" * 32, 8, (b"\3" * 32, b"\4" * 32)),
    ),
]


@pytest.mark.parametrize(
    ("data", "signature", "arguments"), ENCODED, ids=[signature for _, signature, _ in ENCODED]
)
def test_calldata_reads_back(data: bytes, signature: str, arguments: tuple[object, ...]) -> None:
    assert calldata.decode_arguments(signature, data) == arguments
    for bad in (data + b"\0", data[:-1], b"\0\0\0\0" + data[4:], data + b"\0" * 32):
        with pytest.raises(Exception, match=r"not (a call|the canonical)|answer is not"):
            calldata.decode_arguments(signature, bad)


def test_dirty_upper_bytes_of_an_address_are_refused() -> None:
    data = bytearray(erc20_transfer(ZERO_ADDRESS, 1))
    data[4] = 1
    with pytest.raises(Exception, match="answer is not"):
        calldata.decode_arguments("transfer(address,uint256)", bytes(data))


def test_a_known_selector_and_topic() -> None:
    assert calldata.selector("transfer(address,uint256)").hex() == "a9059cbb"
    assert calldata.topic("Transfer(address,address,uint256)").startswith("0xddf252ad")


@pytest.mark.parametrize("venue", ["ab" * 32, "0x" + "ab" * 31, "aave-usdc", "0x" + "zz" * 32])
def test_a_venue_id_has_32_bytes(venue: str) -> None:
    with pytest.raises(ValueError, match=r"venue id|non-hexadecimal"):
        treasury_guard.encode_allocate(venue, 1, 0)


@pytest.mark.parametrize("amount", [-1, 2**256, "5", 1.5])
def test_an_amount_that_does_not_fit_is_refused(amount: object) -> None:
    with pytest.raises(Exception, match=r"(?i)encode|type|range"):
        calldata.encode_call("transfer(address,uint256)", ZERO_ADDRESS, amount)


@pytest.mark.parametrize("word", [b"", b"\1" * 31, b"\1" * 33])
def test_a_root_has_32_bytes(word: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        audit_anchor.encode_anchor(word, 1, b"\1" * 32, 1, ())
    with pytest.raises(ValueError, match="32 bytes"):
        audit_anchor.encode_anchor(b"\1" * 32, 1, word, 1, ())
    with pytest.raises(ValueError, match="32 bytes"):
        audit_anchor.encode_anchor(b"\1" * 32, 1, b"\1" * 32, 1, [b"\1" * 32, word])
