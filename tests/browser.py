"""A browser, as far as its rules matter to a service: cookies, origins, and what it asks before it sends.

Simulated: none is at hand where these tests run. The rules are those of the Fetch standard and of RFC 6265bis.
"""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx2

from tests.api.service import Service

SIMPLE_METHODS = frozenset({"GET", "HEAD", "POST"})
SIMPLE_TYPES = frozenset({"application/x-www-form-urlencoded", "multipart/form-data", "text/plain"})


@dataclass(frozen=True, slots=True)
class Cookie:
    """One that was kept."""

    value: str
    is_secure: bool
    same_site: str


@dataclass(slots=True)
class Browser:
    """Somebody's browser. `service_origin`: where it finds the service; `site`: what counts as one site there."""

    service: Service
    service_origin: str
    site: str
    keeps_same_site: bool = True
    """False: one that knows nothing of SameSite."""
    tells_fetch_site: bool = True
    cookies: dict[str, Cookie] = field(default_factory=dict[str, Cookie])

    async def fetch(
        self,
        method: str,
        path: str,
        *,
        page: str | None = None,
        headers: dict[str, str] | None = None,
        body: str | None = None,
    ) -> httpx2.Response | None:
        """What a script of a page (of this service, unless `page` says whose) does; None: the browser sends nothing."""
        page = page or self.service_origin
        sent = {name.lower(): value for name, value in (headers or {}).items()}
        is_own = page == self.service_origin
        if (
            not is_own
            and self._is_asked_first(method, sent)
            and not await self._is_allowed(method, path, page, sent)
        ):
            return None
        return await self._send(method, path, page, sent, body)

    async def submit_form(self, path: str, *, page: str, body: str = "") -> httpx2.Response | None:
        """A form of a page elsewhere, sent without asking anybody."""
        headers = {"content-type": "text/plain"}
        return await self._send("POST", path, page, headers, body)

    async def _send(
        self, method: str, path: str, page: str, headers: dict[str, str], body: str | None
    ) -> httpx2.Response:
        relation = self._relation(page)
        told = {"host": urlsplit(self.service_origin).netloc, **headers}
        if method != "GET" or relation != "same-origin":
            told["origin"] = page
        if self.tells_fetch_site:
            told["sec-fetch-site"] = relation
        cookies = self._cookies_for(relation)
        if cookies:
            told["cookie"] = cookies
        async with self.service.client(None) as client:
            answer = await client.request(method, path, headers=told, content=body)
        for line in answer.headers.get_list("set-cookie"):
            self._keep(line)
        return answer

    async def _is_allowed(self, method: str, path: str, page: str, headers: dict[str, str]) -> bool:
        wanted = {name for name in headers if name != "content-type" or headers[name] not in SIMPLE_TYPES}
        async with self.service.client(None) as client:
            answer = await client.options(
                path,
                headers={
                    "host": urlsplit(self.service_origin).netloc,
                    "origin": page,
                    "access-control-request-method": method,
                    "access-control-request-headers": ",".join(sorted(wanted)),
                },
            )
        told = {
            name: _listed(answer, f"access-control-allow-{name}") for name in ("origin", "methods", "headers")
        }
        return (
            answer.status_code == 200
            and told["origin"] == {page.lower()}
            and method.lower() in told["methods"] | {"get", "head", "post"}
            and wanted <= told["headers"]
        )

    def _is_asked_first(self, method: str, headers: dict[str, str]) -> bool:
        types = {headers.get("content-type", "text/plain")}
        return (
            method not in SIMPLE_METHODS or bool(set(headers) - {"content-type"}) or not types <= SIMPLE_TYPES
        )

    def _relation(self, page: str) -> str:
        if page == self.service_origin:
            return "same-origin"
        host = urlsplit(page).hostname or ""
        is_same_site = host == self.site or host.endswith(f".{self.site}")
        return (
            "same-site"
            if is_same_site and page.split(":")[0] == self.service_origin.split(":")[0]
            else "cross-site"
        )

    def _cookies_for(self, relation: str) -> str:
        return "; ".join(
            f"{name}={cookie.value}"
            for name, cookie in self.cookies.items()
            if not (self.keeps_same_site and cookie.same_site == "strict" and relation == "cross-site")
        )

    def _keep(self, line: str) -> None:
        pair, *attributes = [part.strip() for part in line.split(";")]
        name, _, value = pair.partition("=")
        told = dict[str, str](
            (key.lower(), text.lower()) for key, _, text in (part.partition("=") for part in attributes)
        )
        is_https = self.service_origin.startswith("https://")
        assert "httponly" in told, "a script could read it"
        if ("secure" in told and not is_https) or (
            name.startswith("__Host-")
            and ("secure" not in told or "domain" in told or told.get("path") != "/")
        ):
            return
        if told.get("max-age") == "0":
            self.cookies.pop(name, None)
        else:
            self.cookies[name] = Cookie(value, "secure" in told, told.get("samesite", "lax"))


def _listed(answer: httpx2.Response, name: str) -> set[str]:
    return {part.strip().lower() for part in answer.headers.get(name, "").split(",") if part.strip()}
