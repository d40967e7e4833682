"""What the API's tests build on: a registry, a signer that signs nothing, money out of thin air."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chains.registry import AssetInfo, ChainInfo, Registry
from custody.audit.note import LogKey, TreeHead
from custody.billing.fees import FeePlan, FeeTable
from custody.core.db import Database
from custody.core.governance import Address, Signature
from custody.core.ids import AccountId, CustomerId, TenantId, TransferId, format_id, new_uuid7
from custody.core.intents import Decision, Intent
from custody.core.money import AssetId, erc20_asset, native_asset
from custody.core.ports import Fees, SignedTransaction, SignerEntry, SignerRefused
from custody.ledger import accounts, balances, chart, posting
from custody.ledger.posting import Transfer
from custody.policy.document import split_signed

CHAIN = 31337
OTHER_CHAIN = 31338
TOKEN = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
USDC = erc20_asset(CHAIN, TOKEN)
ETH = native_asset(CHAIN)
# BIP-32's test vector 1 at m/0': a public key that everybody knows.
XPUB = (
    "xpub68Gmy5EdvgibQVfPdqkBBCHxA5htiqg55crXYuXoQRKfDBFA1WEjWgP6LHhwBZeNK1VTsfTFUHCdrfp1bgwQ9"
    "xv5ski8PX9rL2dZXvgGDnw"
)


def _chain(chain_id: int) -> ChainInfo:
    return ChainInfo(chain_id, f"devnet {chain_id}", ("http://127.0.0.1:1",), 2, {}, True)


REGISTRY = Registry(
    {CHAIN: _chain(CHAIN), OTHER_CHAIN: _chain(OTHER_CHAIN)},
    {
        USDC: AssetInfo(USDC, CHAIN, "USDC", 6, TOKEN),
        ETH: AssetInfo(ETH, CHAIN, "ETH", 18, None),
        native_asset(OTHER_CHAIN): AssetInfo(
            native_asset(OTHER_CHAIN), OTHER_CHAIN, "ETH", 18, None
        ),
    },
)
FEES = FeeTable({USDC: FeePlan(1_000, 10), ETH: FeePlan(10**14, 10)})


class FakeSigner:
    """Knows an account for every index; signs checkpoints with a throw-away key, nothing else."""

    def __init__(self) -> None:
        self.frozen_at: str | None = None
        self.enrolled: list[Mapping[str, Any]] = []
        self.policies: list[str] = []
        self._key = Ed25519PrivateKey.generate()
        self.log_key = LogKey("test.moorage/log", self._key.public_key().public_bytes_raw())

    async def sign(
        self, intent: Intent, decision: Decision, nonce: int, fees: Fees
    ) -> SignedTransaction:
        raise SignerRefused("test", "this signer signs nothing")

    async def sign_cancel(self, intent: Intent, nonce: int, fees: Fees) -> SignedTransaction:
        raise AssertionError("not used here")

    async def history(self, chain_id: int, sender: str, first_nonce: int) -> list[SignerEntry]:
        return []

    async def sign_checkpoint(
        self, origin: str, size: int, root: bytes, old: int = 0, proof: Sequence[bytes] = ()
    ) -> bytes:
        return self._key.sign(TreeHead(origin, size, root).text().encode())

    async def account_xpub(self, account_index: int) -> str:
        return XPUB

    async def load_policy(self, signed: Mapping[str, Any]) -> str:
        self.policies.append(split_signed(signed)[0].hash)
        return self.policies[-1]

    async def enrol(self, signed: Mapping[str, Any]) -> int:
        self.enrolled.append(signed)
        return int(signed["enrolment"]["version"])

    async def status(self) -> dict[str, Any]:
        return {"frozen_at": self.frozen_at, "tenants": []}

    async def freeze(self) -> str:
        self.frozen_at = "2026-01-02T03:04:05.000000Z"
        return self.frozen_at

    async def unfreeze(self, person: str, signature: str) -> None:
        self.frozen_at = None

    async def veto(self, tenant: str, what: str, hash_: str, by: Signature) -> None:
        pass

    async def add_address(
        self, entry: Address, signature: str, consents: Sequence[Signature] = ()
    ) -> int:
        return 1_767_323_045

    async def remove_address(self, tenant: str, entry: str, by: Signature) -> None:
        pass

    async def freeze_scope(self, tenant: str, scope: str, value: str) -> tuple[str, str]:
        return format_id("freeze", new_uuid7()), "2026-01-02T03:04:05.000000Z"

    async def lift(self, tenant: str, freeze: str, signatures: Sequence[Signature]) -> None:
        pass


async def credit(
    db: Database,
    tenant: TenantId,
    customer: CustomerId,
    asset: AssetId,
    amount: int,
    *,
    at: datetime,
) -> AccountId:
    """Give a customer money, from an account that may owe; answers the customer's account."""
    async with db.write() as s:
        source = await accounts.ensure(
            s, tenant, "asset:test", asset, "asset", may_go_negative=True
        )
        own = await accounts.ensure(
            s, tenant, chart.customer(customer), asset, "liability", owner_id=customer
        )
        transfer = Transfer(
            TransferId(new_uuid7()), tenant, source, own, amount, "test.credit", event_at=at
        )
        await posting.post_or_raise(s, [transfer])
    return own


async def balance(db: Database, account: UUID) -> tuple[int, int]:
    """Posted and available."""
    async with db.read() as s:
        found = await balances.balance(s, AccountId(account))
    return found.posted, found.available
