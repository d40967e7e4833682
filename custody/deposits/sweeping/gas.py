"""What sweeps cost in gas, one table a fork. Measured by scripts/bench_gas, USDC for tokens.

Expected figures choose between strategies; limits are what a transaction may use at worst.
"""

from dataclasses import dataclass, replace
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class GasTable:
    """`transaction_max` is what one transaction may use at all (EIP-7825), None without a cap.

    `hub_reserve` is what the hub wants to be left before it calls an address; it is not used up.
    """

    fork: str
    has_delegation: bool
    transaction_max: int | None
    native: int = 21_000
    transfer: int = 45_000
    transfer_limit: int = 120_000
    single: int = 48_000
    single_limit: int = 130_000
    delegation: int = 26_000
    delegation_limit: int = 30_000
    hub: int = 39_000
    hub_wallet: int = 11_500
    hub_reserve: int = 230_000
    hub_wallet_limit: int = 45_000

    def hub_limit(self, wallets: int, delegations: int) -> int:
        """Of a batch. An address that burns its whole share makes up for many that do not."""
        each = wallets * self.hub_wallet_limit + delegations * self.delegation_limit
        return self.native + self.hub_reserve + each

    def hub_wallets_max(self, asked: int) -> int:
        """How many addresses fit into one transaction, all of them delegated in it."""
        if self.transaction_max is None:
            return asked
        room = self.transaction_max - self.native - self.hub_reserve
        return min(asked, room // (self.hub_wallet_limit + self.delegation_limit))


PRAGUE = GasTable("prague", has_delegation=True, transaction_max=None)
CANCUN = replace(PRAGUE, fork="cancun", has_delegation=False)
OSAKA = replace(PRAGUE, fork="osaka", transaction_max=2**24)
FORKS = MappingProxyType({t.fork: t for t in (CANCUN, PRAGUE, OSAKA)})
