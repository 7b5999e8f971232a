"""Where the runner begins: starts one command as the form says, and lets nothing of it outlive the runner.

The service holds the other end of the lifeline: when it closes, by will or by death, the whole tree is killed.
"""

import os
import sys

from .forms import decode


def main() -> None:
    """Arguments: the folder of this package's parent, the descriptor of the form, the one of the lifeline."""
    form_fd, lifeline = int(sys.argv[2]), int(sys.argv[3])
    with open(form_fd, "rb") as file:
        form = decode(file.read())
    os.set_inheritable(lifeline, False)
    from . import posix_runner  # noqa: PLC0415 - Windows has a runner of its own

    posix_runner.run(form, lifeline)
    os._exit(0)  # threads that wait for a peer are not waited for
