"""Names of the former module, until every room has moved to `state` and `bookkeeping`."""

from diwa_schema.database.bookkeeping import look as read
from diwa_schema.database.state import (
    BOOKKEEPING,
    ECTO,
    PROTECTION,
    REBUILT,
    VERSION,
    Kind,
    State,
    refuse_unknown,
    unknown_revision,
)
from diwa_schema.names import quoted

__all__ = [
    "BOOKKEEPING",
    "ECTO",
    "PROTECTION",
    "REBUILT",
    "VERSION",
    "Kind",
    "State",
    "quoted",
    "read",
    "refuse_unknown",
    "unknown_revision",
]
