"""The database of a call in Python, as the options of the commands that its messages offer."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from diwa_schema.database import url as urls
from diwa_schema.errors import NAMED, OFFERS, DiwaSchemaError, option

P = ParamSpec("P")
T = TypeVar("T")


def naming_its_database(function: Callable[P, T]) -> Callable[P, T]:
    """Let the commands that a function of the API offers go to the database of its arguments.

    A command of the command line has named it already, and a database of the environment needs no option.
    """
    place = function.__code__.co_varnames.index("database")

    @wraps(function)
    def named(*args: P.args, **kwargs: P.kwargs) -> T:
        if OFFERS.get() is not None:
            return function(*args, **kwargs)
        database = args[place] if len(args) > place else kwargs.get("database")
        token = NAMED.set(lambda: options(database, kwargs.get("embedded"), kwargs.get("schema")))
        try:
            return function(*args, **kwargs)
        finally:
            NAMED.reset(token)

    return named


def embedded_option(place: Any) -> str:
    """Return the option that names the embedded database, with a path that is the same in every directory."""
    if place is True:
        return option("--embedded")
    try:
        return option("--embedded", str(urls.absolute(place)))
    except DiwaSchemaError:
        return option("--embedded", str(place))  # the function refuses it in a moment


def options(database: Any, embedded: Any = None, schema: Any = None) -> str:
    """Return the options of the command line that name a database, without its password."""
    if embedded is not None and embedded is not False:
        return embedded_option(embedded)
    if database is None:
        return "" if schema is None else option("--schema", schema)
    try:
        if isinstance(database, str):
            return urls.parse(database).options(schema)
        engine = getattr(database, "engine", database)
        return urls.of_parts(getattr(engine, "url", engine)).options(schema)
    except (DiwaSchemaError, AttributeError):
        return ""  # the function refuses it in a moment
