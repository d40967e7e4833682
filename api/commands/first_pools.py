"""The pools and venues that `moorage init` lists on a devnet installation.

A USDC pool over lending, a vault and (on the first chain) the simulated exchange; a native pool
over staking. Their risk policies are loaded afterwards, by treasury staff.
"""

from datetime import datetime
from typing import Any

from api.commands.founding import Founding
from chains.evm.contracts.guard_setup import venue_id
from custody.core.db import WriteSession
from custody.core.money import AssetId, erc20_asset, native_asset
from router import pool
from router.tiers import Tier

NAMES = ("usdc", "eth")
GUARDS = {"usdc": "guard_usdc", "eth": "guard_eth"}
SPREAD_BPS = 1_000
TERMS = {
    "usdc": "Pooled USDC is lent on Aave, kept in a vault and at an exchange, within the risk"
    " policy in force. Value can fall. Ten percent of the yield is ours.",
    "eth": "Pooled ether is staked within the risk policy in force. Exits queue. Value can fall."
    " Ten percent of the yield is ours.",
}


def guard_venue(name: str) -> str:
    """The venue's 32-byte id in the guard, 0x hex."""
    return "0x" + venue_id(name).hex()


async def create(s: WriteSession, founding: Founding, *, at: datetime) -> None:
    for chain_id in founding.worlds:
        await _usdc(s, founding, chain_id, at)
        await _eth(s, founding, chain_id, at)


async def _pool(
    s: WriteSession,
    founding: Founding,
    chain_id: int,
    name: str,
    asset: AssetId,
    tier: Tier,
    at: datetime,
) -> Any:
    return await pool.create(
        s,
        founding.registry,
        tenant_id=founding.tenant_id,
        pool_id=founding.pools[chain_id, name],
        chain_id=chain_id,
        asset_id=asset,
        name=f"{name}@{chain_id}",
        guard=founding.deployed[chain_id][GUARDS[name]],
        tier=tier,
        terms=TERMS[name],
        spread_bps=SPREAD_BPS,
        at=at,
    )


async def _usdc(s: WriteSession, founding: Founding, chain_id: int, at: datetime) -> None:
    world, exchange = founding.worlds[chain_id], founding.devnet["exchange"]
    asset = erc20_asset(chain_id, world.tokens["USDC"].address)
    item = await _pool(s, founding, chain_id, "usdc", asset, Tier.STRATEGIES, at)
    aave = {
        "pool": world.aave.pool,
        "token": world.aave.reserves["USDC"].a_token,
        "guard_venue": guard_venue("aave-usdc"),
    }
    vault = {"token": world.vault_usdc, "guard_venue": guard_venue("vault-usdc")}
    await pool.add_venue(s, item, f"aave-usdc-{chain_id}", "aave", Tier.CASH, aave, at=at)
    await pool.add_venue(s, item, f"vault-usdc-{chain_id}", "erc4626", Tier.BONDS, vault, at=at)
    if chain_id == exchange["chain_id"]:
        earn = {
            "exchange": exchange["name"],
            "product": "USDC001",
            "asset": "USDC",
            "network": "ETH",
            "deposit_address": exchange["deposit_address"],
        }
        await pool.add_venue(
            s, item, f"exchange-usdc-{chain_id}", "exchange", Tier.STRATEGIES, earn, at=at
        )


async def _eth(s: WriteSession, founding: Founding, chain_id: int, at: datetime) -> None:
    world = founding.worlds[chain_id]
    item = await _pool(s, founding, chain_id, "eth", native_asset(chain_id), Tier.STAKING, at)
    staking = {
        "token": world.staking,
        "queue": world.staking,
        "guard_venue": guard_venue("staking-eth"),
    }
    await pool.add_venue(
        s, item, f"staking-eth-{chain_id}", "staking", Tier.STAKING, staking, at=at
    )
