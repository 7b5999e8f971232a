"""What the guarded client does when it sends: no redirect, https, few at once to a host, little of the answer."""

import asyncio

import pytest

from chargehand.app.webhooks import check_webhooks, webhook_client
from chargehand.errors import AddressRefused, InvalidInput, ToolError
from chargehand.network import resolving
from chargehand.network.addresses import HostRules, written_address
from chargehand.network.guarded_http import GuardedHttp
from chargehand.network.resolving import system_resolve
from chargehand.settings import Settings
from tests.webhook_receiver import Receiver, Taken, a_receiver, status


def client_of(receiver: Receiver, **options: object) -> GuardedHttp:
    rules = HostRules(hosts=(receiver.host,), private=(receiver.host,))
    return GuardedHttp(rules=rules, needs_https=True, **options)  # pyright: ignore[reportArgumentType] - of the test


async def test_a_body_is_sent_with_its_headers_and_no_redirect_is_followed() -> None:
    async with a_receiver(status(307, more="Location: /elsewhere\r\nRetry-After: 7\r\n")) as receiver:
        answer = await client_of(receiver).post(receiver.url("/a?b=c"), b"{}", {"content-type": "text/x"})

    [taken] = receiver.taken
    assert (taken.path, taken.body, taken.headers["content-type"]) == ("/a?b=c", b"{}", "text/x")
    assert (taken.headers["host"], taken.headers["content-length"]) == (receiver.host, "2")
    assert "authorization" not in taken.headers
    assert (answer.status, answer.location, answer.retry_after) == (307, receiver.url("/elsewhere"), "7")


async def test_plain_http_is_for_the_operators_own_hosts_alone() -> None:
    client = GuardedHttp(rules=HostRules(hosts=("*",)), needs_https=True)

    with pytest.raises(ToolError, match="only https is sent to"):
        await client.post("http://example.com/", b"", {})
    with pytest.raises(AddressRefused, match="is not a public address"):
        await client.post("https://127.0.0.1/", b"", {})


async def test_four_at_once_are_sent_to_a_host_however_it_is_written() -> None:
    let_go = asyncio.Event()

    async def held(taken: Taken, writer: asyncio.StreamWriter) -> None:
        await let_go.wait()
        await status(204)(taken, writer)

    async with a_receiver(held) as receiver:
        client = client_of(receiver)
        urls = [receiver.url(), f"http://127.0.0.1:0{receiver.port}/", f"http://127.0.0.1:00{receiver.port}/"]
        sending = [asyncio.create_task(client.post(url, b"", {})) for url in urls * 3]
        await receiver.until(lambda: len(receiver.taken) == 4)
        let_go.set()
        answers = await asyncio.gather(*sending)

    assert receiver.most_at_once <= 4
    assert {answer.status for answer in answers} == {204}


async def test_little_of_an_answer_is_read() -> None:
    async with a_receiver(status(200, body="x" * 1_000_000)) as receiver:
        answer = await client_of(receiver, max_body_bytes=65_536).post(receiver.url(), b"", {})

    assert (len(answer.body), answer.is_cut) == (65_536, True)


async def test_a_name_server_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hanging(host: str, port: int) -> list[str]:
        asyncio.run_coroutine_threadsafe(let_go.wait(), loop).result(30)
        return [f"{host}:{port}"]

    monkeypatch.setattr(resolving, "_looked_up", hanging)
    monkeypatch.setattr(resolving, "LOOKUP_SECONDS", 0.1)
    try:
        with pytest.raises(OSError, match="no name server answered"):
            await system_resolve("slow.test", 443)
        client = GuardedHttp(rules=HostRules(hosts=("*",)))
        with pytest.raises(ToolError, match="cannot be resolved"):
            await client.get("https://slow.test/")
    finally:
        let_go.set()


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("127.1", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("017700000001", "127.0.0.1"),
        ("[::1]", "::1"),
        ("fe80::1%lo", "fe80::1"),
        ("a.localhost.", "127.0.0.1"),
        ("example.com", None),
        ("1.2.3.4.5", None),
        ("127.0.0.1 x", None),
        ("", None),
    ],
)
def test_an_address_is_known_however_it_is_written(written: str, address: str | None) -> None:
    assert written_address(written) == address


@pytest.mark.parametrize(
    "one", ["127.0.0.1", "*:8080", "10.0.0.0/8:80", "host:", ":80", "http://a:80", "a b:80"]
)
def test_a_private_host_that_would_open_more_than_one_is_refused_at_the_start(one: str) -> None:
    with pytest.raises(
        InvalidInput, match=r"CHARGEHAND_WEBHOOK_PRIVATE_HOSTS: .* is not of the form host:port"
    ):
        check_webhooks(Settings(webhook_private_hosts=(one,)))


async def test_an_operators_own_hosts_are_not_told() -> None:
    client = webhook_client(
        Settings(webhook_hosts=("hooks.example.com",), webhook_private_hosts=("vault:8200",))
    )

    with pytest.raises(ToolError) as refused:
        await client.post("https://example.com/", b"", {})

    told = str(refused.value)
    assert told.startswith("example.com:443 is not among the hosts that the operator allows; ")
    assert ("vault" in told, "hooks" in told) == (False, False)


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("http://127.0.0.1:8791/", "127.0.0.1:8791"),
        ("http://desk.intranet/", "desk.intranet:80"),
        ("https://10.0.0.1/", "10.0.0.1:443"),
        ("https://169.254.169.254/", None),
        ("ftp://example.com/", None),
        ("https://u:p@10.0.0.1/", None),
    ],
)
def test_a_refusal_names_the_setting_that_would_lift_it(url: str, named: str | None) -> None:
    with pytest.raises(ToolError) as refused:
        webhook_client(Settings()).checked(url)

    way_out = f"""CHARGEHAND_WEBHOOK_PRIVATE_HOSTS='["{named}"]' and starts the service again"""
    assert (way_out in str(refused.value)) == (named is not None)
    assert ("PRIVATE_HOSTS" in str(refused.value)) == (named is not None)
    if named is not None:
        webhook_client(Settings(webhook_private_hosts=(named,))).checked(url)
