"""PostgreSQL URLs, parsed like libpq, with the additions of SQLAlchemy, asyncpg and Ecto.

libpq's rules differ from those of web addresses. User and password stand before the first ``@`` that precedes any
``/``; a ``#`` is an ordinary character; there can be several hosts, each with a port; and a parameter after the ``?``
overrides the same one before it, so that ``?dbname=`` names the database regardless of the path. SQLAlchemy adds
``host=HOST:PORT``, also repeatedly. A text that the two would parse differently is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from diwa_schema.database.spelling import DatabaseURL, decoded, remember, shown_unread, spelled
from diwa_schema.errors import InvalidDatabase
from diwa_schema.names import amount

_RESERVED = "%?#/@:,[]&=+'\" "
_HOST = re.compile(r"(?:\[(?P<v6>[^]/?,]+)\]|(?P<name>[^:/?,\[\]]*))(?::(?P<port>[^/?,]*))?")
_HOST_AND_PORT = re.compile(r"(?:\[(?P<v6>[^]]+)\]|(?P<name>[^/:@]*)):(?P<port>\d+)", re.ASCII)
_PORT = re.compile(r"\s*0*\d{1,5}\s*", re.ASCII)
_LARGEST_PORT = 65535

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_SSL = {"true": "require", "false": "disable", **{mode: mode for mode in SSL_MODES}}

# Options of an application's own pool and statements, which do not concern the database or the connection.
POOL = frozenset(
    {
        *("pool_size", "pool_count", "timeout", "idle_interval", "queue_target", "queue_interval", "prepare"),
        *(
            "prepared_statement_cache_size",
            "prepared_statement_name_func",
            "async_fallback",
            "async_creator_fn",
        ),
        *("statement_cache_size", "max_cached_statement_lifetime", "max_cacheable_statement_size"),
        "command_timeout",
    }
)

# Parameters with displayed values; any other value can be a secret.
_SHOWN = frozenset(
    {
        *(
            "host",
            "hostaddr",
            "port",
            "dbname",
            "user",
            "service",
            "options",
            "sslmode",
            "sslrootcert",
            "sslcert",
        ),
        *(
            "sslkey",
            "sslnegotiation",
            "passfile",
            "connect_timeout",
            "target_session_attrs",
            "client_encoding",
        ),
        *("channel_binding", "gssencmode", "krbsrvname", "load_balance_hosts", "require_auth", "requirepeer"),
    }
)


def read(scheme: str, rest: str) -> DatabaseURL:
    """Parse the text after ``postgresql://``.

    Raises:
        InvalidDatabase: libpq would not understand it, or SQLAlchemy would read another meaning.
    """
    shown = shown_unread(f"{scheme}://")
    if re.search(r"[\x00-\x20\x7f]", rest):
        raise InvalidDatabase(
            f"The URL '{shown}' holds a blank or a control character.",
            next_step="Write special characters percent-encoded, such as %20 for a blank.",
        )
    given, rest = _login(rest, shown)
    front, _, query = rest.partition("?")
    hosts, _, name = front.partition("/")
    if "@" in rest:
        raise _unclear(shown)
    found = [_HOST.fullmatch(one) for one in hosts.split(",")]
    if None in found:
        if "[" in hosts or "]" in hosts:
            raise InvalidDatabase(
                f"A bracket in the host of the URL '{shown}' has no partner, or stands in the wrong place.",
                next_step="Write an IPv6 address in brackets, such as postgresql://[::1]:5432/NAME.",
            )
        raise _unclear(shown)
    if not all(_is_port(one["port"] or "") for one in found if one):
        raise _no_port(shown)
    given["host"] = ",".join(decoded(one["v6"] or one["name"], shown) for one in found if one)
    given["port"] = ",".join(one["port"] or "" for one in found if one)
    given["dbname"] = decoded(name, shown)
    # An empty part before the ? counts as absent; an empty parameter after it counts as given.
    return understood(
        scheme,
        {part: value for part, value in given.items() if (value.strip(",") if part == "port" else value)},
        _parameters(query, shown) if query else (),
    )


def understood(scheme: str, given: Mapping[str, str], query: Iterable[tuple[str, str]]) -> DatabaseURL:
    """Return the database of decoded parts.

    Args:
        scheme: The scheme of the URL.
        given: The parts before the ``?``, by libpq's keywords.
        query: The parameters after it, in their order; they override the parts before it.

    Raises:
        InvalidDatabase: A parameter contradicts another one, or libpq does not take its value.
    """
    shown = shown_unread(f"{scheme}://")
    asked: dict[str, str] = {}
    hosts = []
    for name, value in query:
        if name == "host":
            hosts.append(value)
        elif name in asked:
            raise InvalidDatabase(
                f"The URL '{shown}' has the parameter '{_name(name)}' twice.", next_step="Write it once."
            )
        else:
            asked[name] = value
    asked |= _hosts(hosts, asked, shown)
    # If Ecto finds a socket's folder, it ignores the host.
    if "socket_dir" in asked:
        asked["host"] = asked.pop("socket_dir")
    _translate_ssl(asked, shown)
    if scheme.endswith("+asyncpg") and "timeout" in asked:
        asked.setdefault("connect_timeout", asked.pop("timeout"))
    parameters = {**given, **{name: value for name, value in asked.items() if name not in POOL}}
    _check_ports(parameters, shown)
    if parameters.get("sslmode", "prefer") not in ("", *SSL_MODES):
        raise InvalidDatabase(
            f"The parameter 'sslmode' of the URL '{shown}' is not one that libpq knows.",
            next_step=f"Write one of {', '.join(SSL_MODES)}.",
        )
    return of_parameters(parameters, scheme)


def of_parameters(parameters: Mapping[str, str], scheme: str = "postgresql") -> DatabaseURL:
    """Return the database of libpq's parameters."""
    remember(parameters.get("password", ""))
    hidden = {
        name: value if name in _SHOWN else "***"
        for name, value in parameters.items()
        if re.fullmatch(r"\w+", name)
    }
    return DatabaseURL(
        "postgresql",
        _written("postgresql", parameters),
        _written(scheme, hidden, stars="***"),
        tuple(sorted(parameters.items())),
    )


def changed(url: DatabaseURL, **parameters: str) -> DatabaseURL:
    """Return the URL with other parameters, which override those of the URL."""
    return of_parameters({**dict(url.parameters), **parameters})


def option(name: str, value: str) -> str:
    """Return a setting for libpq's parameter ``options``; several are separated by a space."""
    return "-c" + re.sub(r"([\\\s])", r"\\\1", f"{name}={value}")


def _login(rest: str, shown: str) -> tuple[dict[str, str], str]:
    at, slash = rest.find("@"), rest.find("/")
    if at < 0 or 0 <= slash < at:
        return {}, rest
    user, _, password = rest[:at].partition(":")
    return {"user": decoded(user, shown), "password": decoded(password, shown)}, rest[at + 1 :]


def _parameters(query: str, shown: str) -> Iterable[tuple[str, str]]:
    for item in query.split("&"):
        name, sign, value = item.partition("=")
        if not sign or not name or "=" in value:
            raise InvalidDatabase(
                f"The query of the URL '{shown}' is not a list of NAME=VALUE.",
                next_step="Separate parameters by &, and write %3D for an equals sign in a value.",
            )
        yield decoded(name, shown), decoded(value, shown)


def _hosts(given: list[str], asked: Mapping[str, str], shown: str) -> dict[str, str]:
    """Return the hosts of the parameters, and the ports written after them."""
    hosts = [one for value in given for one in value.split(",")]
    found = [_HOST_AND_PORT.fullmatch(one) for one in hosts]
    if not any(found):
        return {"host": ",".join(hosts)} if given else {}
    if "port" in asked:
        raise InvalidDatabase(
            f"The URL '{shown}' has a port after a host and another one as a parameter.",
            next_step="Write host=HOST:PORT, or host=HOST&port=PORT.",
        )
    return {
        "host": ",".join(one[1] or one[2] if one else host for host, one in zip(hosts, found, strict=True)),
        "port": ",".join(one["port"] if one else "" for one in found),
    }


def _translate_ssl(asked: dict[str, str], shown: str) -> None:
    """Replace `ssl`, as Ecto and asyncpg write it, by libpq's `sslmode`."""
    if "ssl" not in asked:
        return
    value = asked.pop("ssl")
    mode = _SSL.get(value.lower())
    stated = asked.setdefault("sslmode", mode or "")
    # "Encrypt" and "encrypt and verify" go together; any other two do not.
    agree = stated == mode or (mode == "require" and stated.startswith("verify-"))
    if mode is None or not agree:
        raise InvalidDatabase(
            f"The parameter 'ssl' of the URL '{shown}' is none of {', '.join(_SSL)}."
            if mode is None
            else f"The parameters 'ssl' and 'sslmode' of the URL '{shown}' contradict each other.",
            next_step=f"Write sslmode= and one of {', '.join(SSL_MODES)}.",
        )


def _check_ports(parameters: Mapping[str, str], shown: str) -> None:
    ports = parameters.get("port", "").split(",")
    hosts = parameters.get("hostaddr") or parameters.get("host", "")
    if not all(_is_port(port) for port in ports):
        raise _no_port(shown)
    if len(ports) not in (1, hosts.count(",") + 1):
        raise InvalidDatabase(
            f"The URL '{shown}' has {amount(hosts.count(',') + 1, 'host')} and {amount(len(ports), 'port')}.",
            next_step="Name one port for all hosts, or one for each.",
        )


def _is_port(text: str) -> bool:
    return not text or bool(_PORT.fullmatch(text) and 0 < int(text) <= _LARGEST_PORT)


def _written(scheme: str, parameters: Mapping[str, str], stars: str | None = None) -> str:
    """Return the URI of parameters, with the same meaning for libpq and SQLAlchemy."""
    left = dict(parameters)
    login = spelled(left.pop("user"), _RESERVED) if left.get("user") else ""
    if left.get("password"):
        login += f":{stars or spelled(left.pop('password'), _RESERVED)}"
        left.pop("password", None)
    hosts = left.get("host", "").split(",")
    ports = left.get("port", "").split(",")
    where = ""
    # Sockets, and ports without a host, stay parameters.
    if all(hosts) and not any("/" in host or host.startswith("@") for host in hosts):
        ports = ports * len(hosts) if len(ports) == 1 else ports
        if len(ports) == len(hosts):
            left.pop("host")
            left.pop("port", None)
            where = ",".join(
                f"{_bracketed(host)}{f':{port.strip()}' if port else ''}"
                for host, port in zip(hosts, ports, strict=True)
            )
    name = spelled(left.pop("dbname"), _RESERVED) if left.get("dbname") else ""
    query = "&".join(
        f"{spelled(key, _RESERVED)}={value if value == stars else spelled(value, _RESERVED)}"
        for key, value in sorted(left.items())
    )
    front = f"{scheme}://{login}{'@' if login else ''}{where}"
    slash = "/" if name or (not where and query) else ""
    return f"{front}{slash}{name}{'?' if query else ''}{query}"


def _bracketed(host: str) -> str:
    return f"[{spelled(host, '%?#/@[]')}]" if ":" in host else spelled(host, _RESERVED)


def _name(name: str) -> str:
    return name if re.fullmatch(r"[a-z_]{1,40}", name) else "***"


def _no_port(shown: str) -> InvalidDatabase:
    # Its text is not shown: where the @ is forgotten, a password stands in its place.
    return InvalidDatabase(
        f"The port in the URL '{shown}' is not a number from 1 to {_LARGEST_PORT}.",
        next_step="Write it after the host, as in postgresql://USER@HOST:5432/NAME.",
    )


def _unclear(shown: str) -> InvalidDatabase:
    return InvalidDatabase(
        f"The URL '{shown}' is ambiguous: user, password, host and port cannot be told apart.",
        next_step="Write special characters of the password percent-encoded, such as %40 for @ and %2F for /.",
    )
