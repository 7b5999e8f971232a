"""Bytes by the hash of their content, in S3-compatible storage.

Rule: credentials, region and endpoint come from the usual AWS_* variables and are told to nobody. A fault names
CHARGEHAND_STORAGE_URL and leaves everything as it was: an object appears whole or not at all.
"""

import asyncio
from collections.abc import AsyncIterator, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from chargehand.domain.values import bytes_hash
from chargehand.errors import InvalidInput, NotFound, Unavailable
from chargehand.store.blobs import REFRESHED_AFTER, StoredBlob, checked

try:
    import obstore
    from obstore import exceptions
    from obstore.store import S3Store
except ImportError as error:
    raise InvalidInput(
        "CHARGEHAND_STORAGE_URL names S3-compatible storage, for which the package obstore is missing; install"
        " chargehand[s3]"
    ) from error

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config

_CONNECT_SECONDS, _REQUEST_SECONDS = 5, 120
_RETRIES = 4
_PUTS_AT_ONCE = 16


class S3Blobs:
    """A bucket, or what lies below a prefix in one."""

    def __init__(self, url: str, environment: Mapping[str, str]) -> None:
        """InvalidInput when the address is none; nothing is asked of the storage yet."""
        self._name, bucket, prefix = parts_of(url)
        endpoint = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
        client: ClientConfig = {
            "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
            "timeout": timedelta(seconds=_REQUEST_SECONDS),
            # An endpoint in the same rack or on the same machine: the operator has written http:// down.
            "allow_http": bool(endpoint and endpoint.startswith("http://")),
        }
        retry: RetryConfig = {"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=_REQUEST_SECONDS)}
        with self._told(None):
            # What else it needs it reads from the environment itself, so that no secret passes through here.
            place: S3Config = {"endpoint": endpoint} if endpoint else {}
            self._store = S3Store(
                bucket, prefix=prefix or None, config=place, client_options=client, retry_config=retry
            )

    async def put(self, data: bytes) -> str:
        """See `Blobs`. Bytes that are there and young are not sent a second time."""
        digest = bytes_hash(data)
        with self._told(digest):
            if not await self._is_young(digest):
                await obstore.put_async(self._store, key_of(digest), data, use_multipart=False)
        return digest

    async def put_all(self, contents: Sequence[bytes]) -> list[str]:
        """See `Blobs`."""
        stored: list[str] = []
        for start in range(0, len(contents), _PUTS_AT_ONCE):
            stored += await asyncio.gather(*map(self.put, contents[start : start + _PUTS_AT_ONCE]))
        return stored

    async def get(self, digest: str) -> bytes:
        """See `Blobs`."""
        with self._told(digest):
            answer = await obstore.get_async(self._store, key_of(digest))
            data = bytes(await answer.bytes_async())
        return checked(data, digest)

    async def listed(self) -> AsyncIterator[StoredBlob]:
        """See `Blobs`. What others keep below the same prefix is passed over."""
        with self._told(None):
            listing = obstore.list(  # pyright: ignore[reportUnknownMemberType] - an overload speaks of arrow
                self._store, chunk_size=1000
            )
            async for some in listing:
                for one in some:
                    digest = one["path"].rpartition("/")[2]
                    if one["path"] == key_of(digest):
                        yield StoredBlob(
                            sha256=digest, size_bytes=one["size"], stored_at=one["last_modified"]
                        )

    async def remove(self, digests: Iterable[str], *, older_than: timedelta = timedelta(0)) -> None:
        """See `Blobs`. Between the look at an age and the removal lie milliseconds: no call closes that."""
        with self._told(None):
            going = [digest for digest in digests if not await self._is_young(digest, older_than)]
            await obstore.delete_async(self._store, [key_of(digest) for digest in going])

    async def _is_young(self, digest: str, age: timedelta = REFRESHED_AFTER) -> bool:
        try:
            found = await obstore.head_async(self._store, key_of(digest))
        except FileNotFoundError:
            return False
        return datetime.now(UTC) - found["last_modified"] < age

    @contextmanager
    def _told(self, digest: str | None) -> Generator[None]:
        """Faults in words that name the setting. What the library says may repeat a request; it is not passed on."""
        try:
            yield
        except FileNotFoundError:
            what = f"the stored content {digest[:12]}…" if digest else "what was asked for"
            raise NotFound(
                f"{what} is gone from {self._name} (CHARGEHAND_STORAGE_URL), or the bucket is"
            ) from None
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError):
            raise Unavailable(
                f"{self._name} (CHARGEHAND_STORAGE_URL) refuses these credentials; check AWS_ACCESS_KEY_ID,"
                " AWS_SECRET_ACCESS_KEY and what they may do in the bucket"
            ) from None
        except (exceptions.BaseError, OSError, ValueError):
            raise Unavailable(
                f"{self._name} (CHARGEHAND_STORAGE_URL) did not answer as storage does; check the address,"
                " AWS_ENDPOINT_URL, AWS_REGION and whether it can be reached from here"
            ) from None


def parts_of(url: str) -> tuple[str, str, str]:
    """(the address as messages show it, bucket, prefix). InvalidInput when it is no `s3://bucket/prefix`."""
    parts = urlsplit(url)
    bucket, prefix = parts.netloc, parts.path.strip("/")
    if parts.scheme != "s3" or not bucket or parts.query or parts.fragment:
        raise InvalidInput(
            "CHARGEHAND_STORAGE_URL is none that is known; write s3://bucket or s3://bucket/prefix"
        )
    if "@" in bucket or ":" in bucket:
        raise InvalidInput(
            "CHARGEHAND_STORAGE_URL holds more than a bucket and a prefix; credentials and the endpoint go into"
            " AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL"
        )
    return f"s3://{bucket}/{prefix}".rstrip("/"), bucket, prefix


def key_of(digest: str) -> str:
    """The object that holds the bytes of a hash."""
    return f"{digest[:2]}/{digest}"
