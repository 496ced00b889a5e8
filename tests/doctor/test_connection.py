"""How the connection reaches the server and where its names lead, as the doctor tells it."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.findings import found, to_fix
from tests.fixtures_roles import name_of
from tests.fixtures_server import free_port
from tests.forwarder import Forwarder, outward_address


def test_a_search_path_that_leads_elsewhere_is_told(migrated, app):
    login = name_of(app)
    migrated.run(f"CREATE SCHEMA {login} AUTHORIZATION {login}")
    assert to_fix(app) == {"search-path-elsewhere", "schema-foreign"}
    migrated.run("CREATE TABLE memories (id int)", app)
    assert to_fix(app) == {"search-path-elsewhere", "search-path-shadowed", "schema-foreign"}
    migrated.run(found(app)["search-path-elsewhere"].command, app)
    assert to_fix(app) == set()


def test_a_schema_in_which_everybody_may_create_is_told(migrated, app):
    migrated.run("CREATE SCHEMA loose; GRANT USAGE, CREATE ON SCHEMA loose TO PUBLIC")
    path = app + "?options=-csearch_path%3Dpublic%2Cloose"
    assert to_fix(path) == {"search-path-writable"}
    migrated.run(found(path)["search-path-writable"].command)
    assert to_fix(path) == set()


@pytest.fixture
def bouncer(migrated, app, tmp_path):
    """The application's URL through a pooler in transaction mode."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("no pgbouncer")
    parts, port = urlsplit(app), free_port()
    tmp_path.chmod(0o755)
    (tmp_path / "users").write_text(f'"{parts.username}" "{parts.password}"\n')
    (tmp_path / "ini").write_text(
        f"[databases]\n* = host={parts.hostname} port={parts.port}\n[pgbouncer]\npool_mode = transaction\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = plain\n"
        f"auth_file = {tmp_path / 'users'}\nignore_startup_parameters = options\n"
    )
    user = ["-u", "nobody"] if os.getuid() == 0 else []
    process = subprocess.Popen([program, *user, str(tmp_path / "ini")], stderr=subprocess.DEVNULL)
    url = parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}").geturl()
    for _ in range(100):
        try:
            psycopg.connect(url).close()
            break
        except psycopg.OperationalError:
            time.sleep(0.05)
    yield url
    process.terminate()
    process.wait()


def test_a_pooler_in_transaction_mode_is_told(bouncer, app):
    assert "pooler" not in found(app)
    assert found(bouncer)["pooler"].severity == "warning"
    assert found(bouncer, repo="diwa-agent")["pooler"].severity == "note"


@pytest.fixture
def outward() -> str:
    address = outward_address()
    if address is None:
        pytest.skip("no network interface but loopback")
    return address


@pytest.fixture
def certificate(outward: str, tmp_path: Path) -> Path:
    """A certificate and its key, in one file, for the outward address."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl")
    made, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    what = ["-subj", "/CN=diwa", "-addext", f"subjectAltName=IP:{outward}", "-days", "2"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command = ["openssl", "req", "-x509", *kind, *what, "-keyout", str(key), "-out", str(made)]
    subprocess.run(command, check=True, capture_output=True)
    made.write_bytes(made.read_bytes() + key.read_bytes())
    return made


def through(url: str, address: str, port: int, options: str) -> str:
    parts = urlsplit(url)
    return parts._replace(
        netloc=f"{parts.username}:{parts.password}@{address}:{port}", query=options
    ).geturl()


def server_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or 5432


def test_an_open_connection_that_leaves_the_machine_is_told(app, outward):
    with Forwarder(outward, server_of(app)) as way:
        open_way = found(through(app, outward, way.port, "sslmode=disable"))
    assert open_way["tls-off"].severity == "error"
    assert "tls-off" not in found(app)


def test_encryption_that_proves_nothing_is_noted(app, outward, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Forwarder(outward, server_of(app), context) as way:
        loose = found(through(app, outward, way.port, ""))
        options = f"sslmode=verify-full&sslrootcert={certificate}"
        strict = found(through(app, outward, way.port, options))
    assert {code: one.severity for code, one in loose.items() if code.startswith("tls")} == {
        "tls-not-verified": "note",
        "tls-ends-early": "note",
    }
    assert "sslmode=prefer" in loose["tls-not-verified"].reason
    assert {code for code in strict if code.startswith("tls")} == {"tls-ends-early"}
