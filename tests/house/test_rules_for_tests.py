"""The rules that tests run under: no network but the loopback, and no server passed over in CI."""

import socket
from contextlib import closing

import pytest

from tests.servers import server_or_skip


@pytest.mark.parametrize("host", ["192.0.2.1", "0.0.0.0", ""])  # noqa: S104 - the bind that must be refused
def test_a_socket_on_another_address_than_the_loopback_is_refused(host: str) -> None:
    with closing(socket.socket()) as listener, pytest.raises(PermissionError, match=r"127\.0\.0\.1"):
        listener.bind((host, 0))


NOBODY = "redis://127.0.0.1:1/0"


def test_a_connection_to_another_machine_is_refused_before_it_is_tried() -> None:
    with closing(socket.socket()) as client, pytest.raises(PermissionError, match=r"192\.0\.2\.1"):
        client.connect(("192.0.2.1", 9))


def test_the_loopback_may_be_used() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        socket.create_connection(listener.getsockname(), timeout=5).close()


def test_a_server_that_is_not_named_is_skipped_with_the_reason_on_a_persons_machine() -> None:
    with pytest.raises(pytest.skip.Exception, match="where CHARGEHAND_TEST_REDIS_URL would have it"):
        server_or_skip("redis", {"CHARGEHAND_TEST_REDIS_URL": NOBODY})


def test_a_server_that_is_not_named_fails_the_pipeline() -> None:
    with pytest.raises(pytest.fail.Exception, match="where CHARGEHAND_TEST_REDIS_URL would have it"):
        server_or_skip("redis", {"CI": "true", "CHARGEHAND_TEST_REDIS_URL": NOBODY})


def test_a_server_that_is_named_but_does_not_answer_fails_the_pipeline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port: int = gone.getsockname()[1]
    url = f"redis://127.0.0.1:{port}/0"

    with pytest.raises(pytest.fail.Exception, match=f"no redis server answers at 127.0.0.1:{port}"):
        server_or_skip("redis", {"CI": "true", "CHARGEHAND_TEST_REDIS_URL": url})


def test_a_server_that_answers_is_used() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"redis://127.0.0.1:{server.getsockname()[1]}/0"

        assert server_or_skip("redis", {"CI": "true", "CHARGEHAND_TEST_REDIS_URL": url}) == url
