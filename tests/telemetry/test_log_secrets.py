"""Log lines, ours and the libraries', hold no secret, whatever part of the record it came in by."""

import logging
from collections.abc import Generator

import pytest
import structlog

from chargehand.domain.known_secrets import KNOWN
from chargehand.telemetry.logs import configure_logging

VALUE = 'canary-of-the-log "5a"'


@pytest.fixture(autouse=True)
def as_it_was() -> Generator[None, None, None]:
    root = logging.getLogger()
    handlers, level, configuration = root.handlers, root.level, structlog.get_config()
    yield
    root.handlers, root.level = handlers, level
    structlog.configure(**configuration)


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_secret_is_in_no_line(style: str, capsys: pytest.CaptureFixture[str]) -> None:
    KNOWN.add([VALUE])
    configure_logging("info", "json" if style == "json" else "console")
    library = logging.getLogger("some.library")

    structlog.stdlib.get_logger("ours").info(
        "said", value=VALUE, headers={"Authorization": "Bearer abcdefgh1"}
    )
    library.warning("got %s and chg_live_0123456789abcdefghij", VALUE)
    try:
        raise ValueError(f"failed with {VALUE}")
    except ValueError:
        library.exception("it failed")

    lines = capsys.readouterr().err
    assert lines.count("[redacted]") >= 5
    for part in ("canary-of-the-log", "abcdefgh1", "0123456789abcdefghij"):
        assert part not in lines
