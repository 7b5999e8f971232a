"""The agent that the service under test has: it says what it was told."""

from chargehand.domain.values import JsonObject

ECHO = """\
---
name: echo
description: Says what it was told.
chargehand:
  runtime: function
  function: echo
  delegates: [echo]
---
Say what you were told.
"""


def echo(task_data: JsonObject) -> JsonObject:
    """The function behind it."""
    return {"said": task_data}
