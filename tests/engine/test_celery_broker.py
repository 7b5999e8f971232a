"""What is wrong with a RabbitMQ broker, told in words: a real one, and what is none."""

import socketserver
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from chargehand.engine.celery_broker import amqp_problems


class _Http(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(1000)
        self.request.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


@pytest.fixture
def http_port() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Http) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield server.server_address[1]
        server.shutdown()
        serving.join()


def place_of(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def test_a_usable_broker_has_no_problem(rabbitmq_url: str) -> None:
    assert amqp_problems(rabbitmq_url) == []


def test_a_password_that_is_wrong(rabbitmq_url: str) -> None:
    [problem] = amqp_problems(f"amqp://guest:s3cret@{place_of(rabbitmq_url)}//")

    assert "CHARGEHAND_BROKER_URL" in problem
    assert "refuses the name or password" in problem
    assert "s3cret" not in problem


def test_a_virtual_host_that_there_is_not(rabbitmq_url: str) -> None:
    user = urlsplit(rabbitmq_url).netloc.rpartition("@")[0]

    [problem] = amqp_problems(f"amqp://{user}@{place_of(rabbitmq_url)}/chargehand_no_such")

    assert "no virtual host 'chargehand_no_such'" in problem
    assert "rabbitmqctl add_vhost" in problem


def test_nothing_that_listens(unused_tcp_port: int) -> None:
    [problem] = amqp_problems(f"amqp://guest:s3cret@127.0.0.1:{unused_tcp_port}//")

    assert "no broker can be reached there" in problem
    assert "s3cret" not in problem


def test_a_server_of_http(http_port: int) -> None:
    [problem] = amqp_problems(f"amqp://guest:s3cret@127.0.0.1:{http_port}//")

    assert "no AMQP broker" in problem
    assert "look at the host and the port" in problem
    assert "s3cret" not in problem
