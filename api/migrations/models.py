"""Every table of the service, so that models and migrations can be compared."""

from api.followers import models as followers
from custody.assurance import models as assurance
from custody.assurance.solvency import models as solvency
from custody.audit import models as audit
from custody.billing import models as billing
from custody.core import idempotency
from custody.core.db import metadata
from custody.deposits import models as deposits
from custody.ledger import models as ledger
from custody.parties import models as parties
from custody.policy import models as policy
from custody.settlement import models as settlement
from custody.withdrawals import models as withdrawals
from custody.withdrawals.batches import models as batches
from router import models as router

__all__ = [
    "assurance",
    "audit",
    "batches",
    "billing",
    "followers",
    "idempotency",
    "ledger",
    "metadata",
    "parties",
    "policy",
    "router",
    "deposits",
    "settlement",
    "solvency",
    "withdrawals",
]
