"""Which of the verifier's steps a bundle says will hold. Pure.

The verifier answers 2 for a claimed step that it could not take, so a claim keeps a bundle from
passing with what matters left out. What is not claimed may be skipped.
"""

from collections.abc import Collection

ALWAYS = (
    *("archive", "manifest", "readme", "log policy", "entries", "tiles", "checkpoint", "root"),
    *("inclusion", "consistency", "anchor files", "forks", "order", "time", "people"),
)
BY_KIND = {
    "policies": ("policy.loaded", "risk.loaded"),
    "risk policies": ("risk.loaded",),
    "intents": ("intent.created",),
    "approvals": ("approval.recorded", "decision.made"),
    "decision records": ("decision.made",),
    "deposit reviews": (
        *("deposit.unfrozen", "deposit.confirmed", "deposit.dismissed", "deposit.rescued"),
    ),
    "log restores": ("log.restored",),
    "fork dismissals": ("log.fork_dismissed",),
    "breaker closings": ("breaker.closed",),
    "signatures follow decisions": ("transfer.signed",),
    "withdrawals": ("withdrawal.settled",),
    "payout batches": ("batch.settled",),
    "ledger seals": ("ledger.sealed",),
    "solvency epochs": ("solvency.opened",),
}
"""Steps over entries, with the kinds of which one is enough."""
OF_ANCHORS = (
    *("anchor form", "anchor contract", "anchor header", "anchor account", "anchor storage"),
    *("anchor head", "anchor checkpoint"),
)
"""Steps over `anchors/`; they need a block's hash that only the auditor can bring."""


def of(kinds: Collection[str], files: Collection[str], *, anchors: bool, sweeps: bool) -> list[str]:
    """Names of steps. `kinds` are those of the entries shown in full; `anchors`: whether the log
    says that it was anchored; `sweeps`: whether an intent sweeps many addresses."""
    claims = [*ALWAYS]
    claims += [step for step, any_of in BY_KIND.items() if not set(any_of).isdisjoint(kinds)]
    claims += ["sweep batches"] if sweeps else []
    claims += ["anchors"] if anchors else []
    if any(name.startswith("anchors/") for name in files):
        claims += OF_ANCHORS
    claims += ["ledger"] if "ledger.csv" in files else []
    claims += ["disclosures"] if "disclosures.json" in files else []
    return sorted(claims)
