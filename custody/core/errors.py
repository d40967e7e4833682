"""The error tree. Each error says what happened and carries the values.

MoorageError
├── InvalidInput            400  a field breaks a rule; nothing changed
├── Unauthenticated         401
├── Forbidden               403
├── NotFound                404  also for what another tenant owns: existence is not revealed
├── Conflict                409  the state does not allow it now
│   └── IdempotencyInFlight 409  the first request with this key still runs
├── Refused                 422  understood, but a rule of the business says no
│   ├── InsufficientFunds   422
│   └── IdempotencyMismatch 422  the key was used with another body
├── Overloaded              503  try again after `retry_after_s`
├── Unavailable             503  a part that money needs cannot be trusted now; fails closed
└── Broken                  500  an invariant does not hold; a person must look
"""

from typing import ClassVar


class MoorageError(Exception):
    """Root of the tree; `code` is stable and public (RFC 9457 `type` is built from it)."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500

    def __init__(self, detail: str, **values: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.values = values


class InvalidInput(MoorageError):
    code = "invalid-input"
    status = 400

    def __init__(self, field: str, rule: str, detail: str = "", **values: object) -> None:
        """`field` is the name the caller used; `rule` is the rule it breaks, in words."""
        super().__init__(detail or f"{field}: {rule}", field=field, rule=rule, **values)
        self.field = field
        self.rule = rule


class Unauthenticated(MoorageError):
    code = "unauthenticated"
    status = 401


class Forbidden(MoorageError):
    code = "forbidden"
    status = 403


class NotFound(MoorageError):
    code = "not-found"
    status = 404

    def __init__(self, what: str, id_: object, field: str | None = None) -> None:
        """`field` is the name of the caller's field that holds the id, if there is one."""
        named = {} if field is None else {"field": field, "rule": f"must be a known {what}"}
        super().__init__(f"no such {what}: {id_}", what=what, id=str(id_), **named)


class Conflict(MoorageError):
    code = "conflict"
    status = 409


class IdempotencyInFlight(Conflict):
    code = "idempotency-in-flight"


class Refused(MoorageError):
    """A rule of the business says no. `rule` names it."""

    code = "refused"
    status = 422

    def __init__(self, field: str, rule: str, detail: str = "", **values: object) -> None:
        super().__init__(detail or f"{field}: {rule}", field=field, rule=rule, **values)
        self.field = field
        self.rule = rule


class InsufficientFunds(Refused):
    code = "insufficient-funds"


class IdempotencyMismatch(Refused):
    code = "idempotency-mismatch"


class Overloaded(MoorageError):
    code = "overloaded"
    status = 503

    def __init__(self, detail: str, retry_after_s: int = 1) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)
        self.retry_after_s = retry_after_s


class Unavailable(MoorageError):
    code = "unavailable"
    status = 503


class Broken(MoorageError):
    code = "broken-invariant"
