"""Objects in a bucket or in memory, through obstore; and which kind of store a location means.

A bucket's `put` is atomic and durable by the protocol: an upload in parts becomes an object when it is completed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import MemoryStore, S3Store

from filmroom.adapters.files import FileObjects, check_object_name
from filmroom.errors import Invalid, NotFound, Unavailable
from filmroom.ports import Objects

_RETRIES = 4
_PATIENCE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Access:
    """Where an S3 service answers, and as whom to ask. `allow_http` is for a service on this computer."""

    endpoint: str
    region: str
    access_key: str
    secret_key: str = field(repr=False)
    allow_http: bool = False


def open_objects(location: str, s3: S3Access | None = None) -> Objects:
    """Return the objects of a location: `s3://bucket/prefix`, `memory://` (new and empty each time) or a folder.

    Nothing is asked of a service yet. Raises Invalid for any other scheme, or a bucket without access.
    """
    scheme, mark, rest = location.partition("://")
    if not location:
        raise Invalid("a location is empty", "give a folder or s3://BUCKET/PREFIX")
    if not mark:
        return FileObjects(Path(location))
    if scheme == "memory" and not rest:
        return StoreObjects(MemoryStore())
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise Invalid(f"there is no store of the kind {scheme}://", "give a folder or s3://BUCKET/PREFIX")
    if s3 is None:
        raise Invalid("a location in S3 needs an endpoint and keys", "set the room's S3 settings")
    return StoreObjects(_bucket(bucket, check_object_name(prefix.strip("/"), is_prefix=True), s3))


class StoreObjects:
    """Objects in an obstore store."""

    def __init__(self, store: MemoryStore | S3Store) -> None:
        self._store = store

    @property
    def is_near(self) -> bool:
        return isinstance(self._store, MemoryStore)

    def put(self, name: str, data: bytes | bytearray | memoryview | Iterator[bytes]) -> None:
        check_object_name(name)
        try:
            with _translated(name):
                obstore.put(self._store, name, data)
        except NotFound:
            raise Unavailable("the bucket is not there", "make it, or correct the zone's location") from None

    def get(self, name: str) -> bytes:
        check_object_name(name)
        with _translated(name):
            return bytes(obstore.get(self._store, name).bytes())

    def get_range(self, name: str, start: int, length: int) -> bytes:
        check_object_name(name)
        if start < 0 or length < 0:
            raise Invalid("a range starts at 0 or later and is not negative", "correct start and length")
        if length:
            try:
                with _translated(name):
                    return bytes(obstore.get_range(self._store, name, start=start, length=length))
            except Unavailable:  # a range behind the end is an error to services; it is told apart by the size
                if start < self.size(name):
                    raise
        self.size(name)
        return b""

    def size(self, name: str) -> int:
        check_object_name(name)
        with _translated(name):
            return int(obstore.head(self._store, name)["size"])

    def delete(self, name: str) -> None:
        check_object_name(name)
        try:
            with _translated(name):
                obstore.delete(self._store, name)
        except NotFound:
            return

    def sweep(self, idle_seconds: float) -> int:
        del idle_seconds
        return 0  # an upload that was cut off is no object, and the service's own rules clear it away

    def names(self, prefix: str) -> Iterator[str]:
        check_object_name(prefix, is_prefix=True)
        with _translated(prefix):
            for page in obstore.list(self._store, prefix or None):
                yield from (entry["path"] for entry in page)


def _bucket(bucket: str, prefix: str, s3: S3Access) -> S3Store:
    try:
        return S3Store(
            bucket,
            prefix=prefix or None,
            endpoint=s3.endpoint,
            region=s3.region,
            access_key_id=s3.access_key,
            secret_access_key=s3.secret_key,
            virtual_hosted_style_request=False,
            client_options={"allow_http": s3.allow_http},
            retry_config={"max_retries": _RETRIES, "retry_timeout": _PATIENCE},
        )
    except (BaseError, ValueError):
        raise Invalid("the S3 settings do not make sense together", "check endpoint, region and keys") from None


@contextmanager
def _translated(name: str) -> Iterator[None]:
    # What the library says quotes addresses and answers at length, and is not passed on.
    try:
        yield
    except FileNotFoundError:
        raise NotFound(f"there is no object {name}", "check the name, and that this is the zone's location") from None
    except (PermissionDeniedError, UnauthenticatedError):
        raise _refused() from None
    except (BaseError, OSError) as error:
        if "403 Forbidden" in str(error):  # the library sorts the answers to everything but a listing
            raise _refused() from None
        raise Unavailable(
            f"the store does not answer ({type(error).__name__})",
            "check the endpoint, and that it is up, then try again",
        ) from None


def _refused() -> Unavailable:
    # Denied is for who asks the room; these keys are the room's own, and a sender should send again later.
    return Unavailable("the store refuses these credentials", "check the room's S3 keys and what they may do")
