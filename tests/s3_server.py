"""A small S3 server, in a process of its own: objects are files of a folder, every request's signature is verified.

It speaks as much of the protocol as Chargehand asks for (PutObject, GetObject, HeadObject, DeleteObjects,
ListObjectsV2), and refuses what is not signed (version 4) with the key pair it was started with.
Run as a program: FOLDER BUCKET ACCESS_KEY SECRET_KEY; it prints its port.
"""

import hashlib
import hmac
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape

MAX_KEYS = 1000


@dataclass(frozen=True, slots=True)
class Keys:
    """A key pair, and how a request must be signed with it."""

    access: str
    secret: str

    def signature(self, method: str, target: str, headers: Mapping[str, str], authorization: str) -> str:
        """The signature that this request must carry (AWS Signature Version 4)."""
        said: dict[str, str] = {}
        for part in authorization.partition(" ")[2].split(","):
            name, _, value = part.strip().partition("=")
            said[name] = value
        _, day, region, service, _ = said["Credential"].split("/")
        names = said["SignedHeaders"].split(";")
        url = urlsplit(target)
        query = sorted(parse_qsl(url.query, keep_blank_values=True))
        request = "\n".join(
            [
                method,
                quote(unquote(url.path), safe="/-_.~"),
                "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in query),
                *(f"{name}:{' '.join(headers[name].split())}" for name in names),
                "",
                ";".join(names),
                headers["x-amz-content-sha256"],
            ]
        )
        scope = f"{day}/{region}/{service}/aws4_request"
        digest = hashlib.sha256(request.encode()).hexdigest()
        text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, digest])
        key = f"AWS4{self.secret}".encode()
        for part in (day, region, service, "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        return hmac.new(key, text.encode(), "sha256").hexdigest()

    def refusal(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> str:
        """The S3 code of why the request is refused; empty when it is signed as it must be."""
        authorization = headers.get("authorization", "")
        if not authorization.startswith("AWS4-HMAC-SHA256 "):
            return "AccessDenied"
        if f"Credential={self.access}/" not in authorization:
            return "InvalidAccessKeyId"
        said = authorization.rpartition("Signature=")[2]
        if not hmac.compare_digest(said, self.signature(method, target, headers, authorization)):
            return "SignatureDoesNotMatch"
        stated = headers["x-amz-content-sha256"]
        if stated not in ("UNSIGNED-PAYLOAD", hashlib.sha256(body).hexdigest()):
            return "XAmzContentSHA256Mismatch"
        return ""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    folder: Path
    bucket: str
    keys: Keys

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        if code := self.keys.refusal(self.command, self.path, headers, body):
            self._error(403, code)
            return
        bucket, _, key = unquote(urlsplit(self.path).path).lstrip("/").partition("/")
        if bucket != self.bucket:
            self._error(404, "NoSuchBucket")
            return
        if key:
            self._object(key, body)
        elif self.command == "POST":
            self._delete_all(body.decode())
        else:
            self._list(dict(parse_qsl(urlsplit(self.path).query)))

    do_GET = do_HEAD = do_PUT = do_DELETE = do_POST = _answer  # noqa: N815 - names that http.server looks for

    def _object(self, key: str, body: bytes) -> None:
        path = self.folder / quote(key, safe="")
        match self.command:
            case "PUT":
                temporary = path.with_name(f".{secrets.token_hex(8)}")
                temporary.write_bytes(body)
                temporary.replace(path)
                self._send(200, b"", {"ETag": f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'})
            case _ if not path.exists():
                self._error(404, "NoSuchKey")
            case _:
                modified = formatdate(path.stat().st_mtime, usegmt=True)
                self._send(200, path.read_bytes(), {"Last-Modified": modified, "ETag": '"e"'})

    def _delete_all(self, xml: str) -> None:
        # Only ever given what Chargehand sends: keys without a character that XML escapes.
        keys = re.findall(r"<Key>([^<&]+)</Key>", xml)
        for key in keys:
            (self.folder / quote(key, safe="")).unlink(missing_ok=True)
        deleted = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
        self._send(200, f"<DeleteResult>{deleted}</DeleteResult>".encode(), {})

    def _list(self, query: Mapping[str, str]) -> None:
        names = sorted(unquote(path.name) for path in self.folder.iterdir() if not path.name.startswith("."))
        found = [name for name in names if name.startswith(query.get("prefix", ""))]
        found = [name for name in found if name > query.get("continuation-token", "")]
        more = len(found) > MAX_KEYS
        token = (
            f"<NextContinuationToken>{escape(found[MAX_KEYS - 1])}</NextContinuationToken>" if more else ""
        )
        contents = "".join(self._listed(name) for name in found[:MAX_KEYS])
        xml = (
            f"<ListBucketResult><Name>{self.bucket}</Name><KeyCount>{len(found[:MAX_KEYS])}</KeyCount>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{contents}</ListBucketResult>"
        )
        self._send(200, xml.encode(), {"Content-Type": "application/xml"})

    def _listed(self, name: str) -> str:
        status = (self.folder / quote(name, safe="")).stat()
        stamp = datetime.fromtimestamp(int(status.st_mtime), UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        return (
            f"<Contents><Key>{escape(name)}</Key><LastModified>{stamp}</LastModified><ETag>&quot;e&quot;</ETag>"
            f"<Size>{status.st_size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        )

    def _error(self, status: int, code: str) -> None:
        self._send(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode(), {})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: standard output is for the port."""


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running server and what one needs to use it."""

    folder: Path
    bucket: str
    environment: dict[str, str]

    def file_of(self, key: str) -> Path:
        """The file that holds an object."""
        return self.folder / quote(key, safe="")


@contextmanager
def an_s3_server(folder: Path, *, bucket: str = "workshop") -> Generator[S3Server]:
    """A server of its own, in a process of its own; the environment names it and its keys."""
    folder.mkdir(parents=True, exist_ok=True)
    keys = Keys("AK" + secrets.token_hex(8).upper(), secrets.token_hex(20))
    process = subprocess.Popen(
        [sys.executable, __file__, str(folder), bucket, keys.access, keys.secret],
        stdout=subprocess.PIPE,
        encoding="ascii",
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield S3Server(
            folder,
            bucket,
            {
                "AWS_ACCESS_KEY_ID": keys.access,
                "AWS_SECRET_ACCESS_KEY": keys.secret,
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
                "AWS_REGION": "us-east-1",
            },
        )
    finally:
        process.kill()
        process.communicate()


def main() -> None:
    """Serve until killed."""
    folder, Handler.bucket, access, secret = sys.argv[1:]
    Handler.folder, Handler.keys = Path(folder), Keys(access, secret)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    os.write(1, f"{server.server_port}\n".encode())
    server.serve_forever()


if __name__ == "__main__":
    main()
