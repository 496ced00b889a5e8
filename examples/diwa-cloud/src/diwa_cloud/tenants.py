"""How much the organizations keep here."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from diwa_schema.models import Context, Memory, Organization


def memories_by_organization(session: Session) -> dict[str, int]:
    """Return the number of memories of each organization, by its name; those without any count 0."""
    query = (
        select(Organization.name, func.count(Memory.id))
        .outerjoin(Context, Context.organization_id == Organization.id)
        .outerjoin(Memory, Memory.context_id == Context.id)
        .group_by(Organization.id, Organization.name)
        .order_by(Organization.name)
    )
    return dict(session.execute(query).all())
