"""A signer's desk to measure, in a folder of its own: a tenant whose payouts pass alone."""

from pathlib import Path

from chains.evm.address import address_from_bytes
from custody.core.clock import FixedClock, SystemClock
from custody.core.ids import IntentId, TenantId, format_id, new_uuid7
from custody.core.intents import Intent, IntentKind
from custody.core.money import AssetId
from custody.keys import ceremony, homes
from custody.keys.desk import Desk
from custody.keys.people import PersonKey, sign_policy
from custody.keys.request import SignRequest
from custody.policy.decisions import decide_on
from custody.policy.document import parse

CHAIN = 1
COIN = AssetId(f"eip155:{CHAIN}/slip44:60")
PASSPHRASE = "throw-away passphrase of a bench"
PAYEE = address_from_bytes(bytes.fromhex("c0" * 20))
GAS_LIMIT, FEE_WEI = 21_000, 2 * 10**9
LIMIT_WEI = 10**30
WALLETS = ("treasury", "payout", "gas", "allocator", "anchorer")


class SigningWorld:
    """A ceremony, a policy and requests that the desk takes without a person."""

    def __init__(self, home: Path) -> None:
        self._clock = FixedClock(SystemClock().now())
        self._tenant = TenantId(new_uuid7())
        authority = PersonKey.new()
        made = ceremony.create(
            home,
            passphrase=PASSPHRASE,
            tenant_id=self._tenant,
            authority_public_key=authority.public_key,
            people=[],
            log_origin="bench.example/log",
            scrypt_n=2**12,
        )
        document = {
            "schema": "moorage.policy/1",
            "tenant": format_id("tenant", self._tenant),
            "version": 1,
            "previous": None,
            "rules": [
                {"name": "payout", "kind": "payout", "asset": COIN, "amount_max": str(LIMIT_WEI),
                 "approvals": 0, "roles": []},
            ],
            "limits": [
                {"asset": asset, "window_s": 86_400, "amount_max": str(LIMIT_WEI)}
                for asset in (COIN, f"gas@{CHAIN}")
            ],
            "places": {
                str(CHAIN): {
                    **{role: made.addresses[role] for role in WALLETS},
                    "guards": {}, "sweeper": None, "anchor": None, "payees": [],
                }
            },
        }  # fmt: skip
        signed = sign_policy(authority, document)
        ceremony.install_policy(home, signed, passphrase=PASSPHRASE, clock=self._clock)
        self._policy = parse(document)
        self._payout = made.addresses["payout"]
        self.desk: Desk = homes.open_desk(home, PASSPHRASE, self._clock)

    def request(self, nonce: int) -> SignRequest:
        """A native payout of one wei at this nonce, decided by an honest service."""
        intent = Intent(
            id=IntentId(new_uuid7()),
            tenant_id=self._tenant,
            kind=IntentKind.PAYOUT,
            chain_id=CHAIN,
            sender=self._payout,
            sender_path=ceremony.OPERATIONS["payout"],
            to=PAYEE,
            value=1,
            data="0x",
            asset_id=COIN,
            amount=1,
            beneficiary=PAYEE,
            gas_limit=GAS_LIMIT,
            fee_max_wei=GAS_LIMIT * FEE_WEI,
            reference="bench",
        )
        decision = decide_on(self._policy, intent, [], now=self._clock.now())
        return SignRequest(intent, decision, nonce, FEE_WEI, FEE_WEI // 2)
