"""Who is asking, and the one way to turn that into the scope of a query."""

from dataclasses import dataclass
from uuid import UUID

from custody.core.errors import Forbidden, NotFound
from custody.core.ids import CustomerId, TenantId, format_id, parse_id
from custody.parties.tokens import Role


@dataclass(frozen=True, slots=True)
class Principal:
    """A verified token. `customer_id` is set for holders and only for them."""

    token_id: UUID
    tenant_id: TenantId
    role: Role
    customer_id: CustomerId | None
    person_id: UUID | None
    is_founding: bool
    label: str  # the printed token id

    @property
    def idempotency_principal(self) -> str:
        """Whose keys they are: the holder's or person's, so that a renewed token keeps them."""
        if self.customer_id is not None:
            return format_id("customer", self.customer_id)
        return self.label if self.person_id is None else format_id("person", self.person_id)

    def customer_filter(self, asked: str | None = None) -> CustomerId | None:
        """Whose objects a read may show: a holder's own, for staff whoever is asked, or all.

        Raises NotFound when a holder asks for somebody else: existence is not revealed.
        """
        if asked is None:
            return self.customer_id
        wanted = CustomerId(parse_id("customer", asked, "customer"))
        if self.customer_id is not None and wanted != self.customer_id:
            raise NotFound("customer", asked)
        return wanted

    def own_customer(self) -> CustomerId:
        """The holder's customer. Raises Forbidden for a token without one."""
        if self.customer_id is None:
            raise Forbidden("only a holder's token acts for a customer")
        return self.customer_id

    def require_owner(self, owner: UUID | None, what: str, id_: UUID) -> None:
        """Raises NotFound unless a holder owns the object; staff see all of their tenant."""
        if self.customer_id is not None and owner != self.customer_id:
            raise NotFound(what, format_id(what, id_))
