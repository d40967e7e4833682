"""The ways to move what stands on a deposit address to the treasury, behind one interface.

Each says where it fits, what gas it is expected to use, and makes the intent. CREATE2 addresses
(a forwarder made at its first sweep) would be one more of them, with a branch of its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from chains.evm.address import checksum
from chains.evm.contracts import erc20, sweep_hub, sweeper
from chains.types import FeeQuote
from custody.core.ids import IntentId, TenantId, new_uuid7
from custody.core.intents import Delegation, Intent, IntentKind, Sweeps, SweptWallet
from custody.core.money import AssetId, native_asset
from custody.deposits.sweeping.candidates import Candidate, Standing
from custody.deposits.sweeping.rows import Row
from custody.deposits.sweeping.rules import SweepRules
from custody.parties.places import Place


@dataclass(frozen=True, slots=True)
class Site:
    """What a tenant has on a chain to sweep with. `may` is whether its policy has a way for a kind
    and asset: what no rule can let pass is not planned."""

    tenant_id: TenantId
    chain_id: int
    treasury: str
    gas: Place
    sweeper: str | None
    hub: str | None
    rules: SweepRules
    may: Callable[[IntentKind, AssetId], bool]


@dataclass(frozen=True, slots=True)
class Picked:
    """A candidate with what the chain has there."""

    candidate: Candidate
    standing: Standing

    @property
    def there(self) -> int:
        """Base units that the ledger and the chain both know: a stranger may have swept some, and
        gas may have been burnt."""
        return min(self.candidate.amount, self.standing.balance)


class Strategy(Protocol):
    """`most` addresses go into one transaction."""

    name: str

    def fits(self, site: Site, p: Picked) -> bool:
        """Whether it can move this at all."""
        ...

    def gas(self, site: Site, *, first: bool, together: int) -> int:
        """Expected for one address, the `first` time or later, of so many in one transaction."""
        ...

    def intent(self, site: Site, picked: Sequence[Picked], fees: FeeQuote) -> Intent:
        """Requires them to be of one asset, and as many as the strategy takes at once."""
        ...


class Native:
    """The address's own 21,000-gas transaction. Tip and cap are the same, so that the price is
    known beforehand and not a wei is left."""

    name = "native"

    def fits(self, site: Site, p: Picked) -> bool:
        c = p.candidate
        return c.token is None and site.may(IntentKind.SWEEP_NATIVE, c.asset_id)

    def gas(self, site: Site, *, first: bool, together: int) -> int:
        return site.rules.table.native

    def intent(self, site: Site, picked: Sequence[Picked], fees: FeeQuote) -> Intent:
        (p,) = picked
        gas = site.rules.table.native
        fee = gas * fees.max_fee_per_gas
        amount = p.there - fee
        return _intent(
            site,
            p.candidate.asset_id,
            p.candidate.address,
            kind=IntentKind.SWEEP_NATIVE,
            sender=p.candidate.address,
            sender_path=p.candidate.path,
            to=site.treasury,
            value=amount,
            amount=amount,
            gas_limit=gas,
            fee_max_wei=fee,
        )


class Single:
    """The gas wallet calls one address, which is delegated to the sweeper, if need be by the same
    transaction."""

    name = "delegated"

    def fits(self, site: Site, p: Picked) -> bool:
        return _delegable(site, p) and site.may(IntentKind.SWEEP_TOKEN, p.candidate.asset_id)

    def gas(self, site: Site, *, first: bool, together: int) -> int:
        table = site.rules.table
        return table.single + (table.delegation if first else 0)

    def intent(self, site: Site, picked: Sequence[Picked], fees: FeeQuote) -> Intent:
        (p,) = picked
        c, table, delegation = p.candidate, site.rules.table, None
        gas = table.single_limit
        if p.standing.delegate != site.sweeper:
            delegation = Delegation(c.address, c.path, str(site.sweeper), p.standing.nonce)
            gas += table.delegation_limit
        return _intent(
            site,
            c.asset_id,
            c.address,
            kind=IntentKind.SWEEP_TOKEN,
            sender=site.gas.address,
            sender_path=str(site.gas.path),
            to=c.address,
            data="0x" + sweeper.encode_sweep(_token(c)).hex(),
            amount=c.amount,
            gas_limit=gas,
            fee_max_wei=gas * fees.max_fee_per_gas * 2,
            delegation=delegation,
        )


class Hub:
    """The gas wallet lets the hub call many delegated addresses in one transaction.

    Amounts are hints from the chain, one unit below what is there where dust is to stay: that unit
    keeps the token's slot in use, which the next deposit then finds cheaper.
    """

    name = "hub"

    def fits(self, site: Site, p: Picked) -> bool:
        may = site.may(IntentKind.SWEEP_BATCH, p.candidate.asset_id)
        return site.hub is not None and _delegable(site, p) and may

    def gas(self, site: Site, *, first: bool, together: int) -> int:
        table = site.rules.table
        each = table.hub_wallet + (table.delegation if first else 0)
        return each + -(-table.hub // max(1, together))

    def intent(self, site: Site, picked: Sequence[Picked], fees: FeeQuote) -> Intent:
        token = _token(picked[0].candidate)
        wallets = tuple(self._wallet(site, p) for p in picked)
        sweeps = Sweeps(site.sweeper, wallets)
        words = [sweep_hub.Sweep(w.wallet, w.amount) for w in wallets]
        gas = site.rules.table.hub_limit(len(wallets), len(sweeps.delegated))
        return _intent(
            site,
            picked[0].candidate.asset_id,
            f"{len(wallets)} deposit addresses",
            kind=IntentKind.SWEEP_BATCH,
            sender=site.gas.address,
            sender_path=str(site.gas.path),
            to=str(site.hub),
            data="0x" + sweep_hub.encode_sweep_token(token, words).hex(),
            amount=sum(w.amount for w in wallets),
            gas_limit=gas,
            fee_max_wei=gas * fees.max_fee_per_gas * 2,
            sweeps=sweeps,
        )

    def _wallet(self, site: Site, p: Picked) -> SweptWallet:
        c, there = p.candidate, p.standing
        dust = 1 if site.rules.leave_dust and site.rules.further_sweeps and there.balance > 1 else 0
        hint = there.balance - dust
        if hint > sweep_hub.AMOUNT_MAX:
            hint = 0
        nonce = None if there.delegate == site.sweeper else there.nonce
        return SweptWallet(c.address, c.path, hint, nonce)


class Funded:
    """The address's own transfer, after the gas wallet has sent it gas and that is final.

    For chains without EIP-7702, and for tokens at an address of the coin's branch, which must not
    be delegated. It takes the gas that is there into account, and only ever waits for it.
    """

    name = "funded"

    def fits(self, site: Site, p: Picked) -> bool:
        c = p.candidate
        gas = site.may(IntentKind.SWEEP_GAS, native_asset(site.chain_id))
        # What is delegated has code, which a top-up's gas does not pay for, and a nonce of its own.
        plain = p.standing.delegate is None
        may = gas and site.may(IntentKind.SWEEP_TRANSFER, c.asset_id)
        return c.token is not None and plain and may

    def gas(self, site: Site, *, first: bool, together: int) -> int:
        return site.rules.table.native + site.rules.table.transfer

    def intent(self, site: Site, picked: Sequence[Picked], fees: FeeQuote) -> Intent:
        (p,) = picked
        need = site.rules.table.transfer_limit * fees.max_fee_per_gas
        if p.standing.wei < need:
            return self._top_up(site, p, need * 5 // 4 - p.standing.wei, fees)
        return self._transfer(site, p, need)

    def _top_up(self, site: Site, p: Picked, amount: int, fees: FeeQuote) -> Intent:
        """A quarter more than is needed now, since the price may rise while it waits."""
        c, gas = p.candidate, site.rules.table.native
        return _intent(
            site,
            native_asset(site.chain_id),
            c.address,
            kind=IntentKind.SWEEP_GAS,
            sender=site.gas.address,
            sender_path=str(site.gas.path),
            to=c.address,
            value=amount,
            amount=amount,
            beneficiary=c.address,
            gas_limit=gas,
            fee_max_wei=gas * fees.max_fee_per_gas * 2,
            sweeps=Sweeps(None, (SweptWallet(c.address, c.path, amount),)),
        )

    def _transfer(self, site: Site, p: Picked, need: int) -> Intent:
        c = p.candidate
        data = erc20.erc20_transfer(site.treasury, p.standing.balance)
        return _intent(
            site,
            c.asset_id,
            c.address,
            kind=IntentKind.SWEEP_TRANSFER,
            sender=c.address,
            sender_path=c.path,
            to=_token(c),
            data="0x" + data.hex(),
            amount=p.standing.balance,
            gas_limit=site.rules.table.transfer_limit,
            # Not all that is there: the day's budget would go for coin that nobody burns.
            fee_max_wei=min(p.standing.wei, 2 * need),
        )


NATIVE, SINGLE, HUB, FUNDED = Native(), Single(), Hub(), Funded()
ALL: tuple[Strategy, ...] = (NATIVE, HUB, SINGLE, FUNDED)


def rows_of(strategy: Strategy, intent: Intent, picked: Sequence[Picked]) -> list[Row]:
    """The mark for each address that the intent concerns; under the token also while gas comes."""
    name = "gas" if intent.kind is IntentKind.SWEEP_GAS else strategy.name
    named = {} if intent.sweeps is None else {w.wallet: w for w in intent.sweeps.wallets}
    made = []
    for p in picked:
        c, nonce = p.candidate, None
        if c.address in named:
            nonce = named[c.address].nonce
        elif intent.delegation is not None:
            nonce = intent.delegation.nonce
        amount = named[c.address].amount if c.address in named else intent.amount
        made.append(
            Row(intent.id, c.tenant_id, c.address, c.asset_id, name, amount, nonce, c.faults)
        )
    return made


def _delegable(site: Site, p: Picked) -> bool:
    c = p.candidate
    good = site.rules.table.has_delegation and site.sweeper is not None
    return good and c.token is not None and not c.is_native_branch


def _token(c: Candidate) -> str:
    return checksum(str(c.token))


def _intent(site: Site, asset_id: AssetId, reference: str, **fields: Any) -> Intent:
    told = {"value": 0, "data": "0x", "beneficiary": site.treasury, **fields}
    return Intent(
        id=IntentId(new_uuid7()),
        tenant_id=site.tenant_id,
        chain_id=site.chain_id,
        asset_id=asset_id,
        reference=reference,
        **told,
    )
