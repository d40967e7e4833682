"""Access rules: every route declares one, or it cannot be registered.

A rule says which roles may call and how far they see. The tenant of every query is the token's;
another tenant's or holder's object is NotFound, a wrong role is Forbidden.
"""

from dataclasses import dataclass
from enum import StrEnum

from custody.parties.tokens import Role


class Scope(StrEnum):
    PUBLIC = "public"  # no token
    INSTALLATION = "installation"  # staff of the founding tenant, who run the installation
    TENANT = "tenant"  # objects of the token's tenant
    OWN = "own"  # the same, and a holder sees only what is the holder's own


@dataclass(frozen=True, slots=True)
class Access:
    scope: Scope
    roles: frozenset[Role] = frozenset()


_STAFF = frozenset({Role.TREASURY, Role.AUDITOR})
_ALL = frozenset(Role)

PUBLIC = Access(Scope.PUBLIC)
ANYONE = Access(Scope.TENANT, _ALL)
OWN = Access(Scope.OWN, _ALL)
HOLDER = Access(Scope.OWN, frozenset({Role.HOLDER}))
HOLDER_OR_TREASURY = Access(Scope.OWN, frozenset({Role.HOLDER, Role.TREASURY}))
STAFF = Access(Scope.TENANT, _STAFF)
TREASURY = Access(Scope.TENANT, frozenset({Role.TREASURY}))
OPERATOR = Access(Scope.INSTALLATION, frozenset({Role.TREASURY}))
OPERATOR_STAFF = Access(Scope.INSTALLATION, _STAFF)
