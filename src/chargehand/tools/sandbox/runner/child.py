"""The forked process on its way to become the command.

Rule: any step that fails ends it, with the step's name; a command never starts with less than all of them.
"""

import _socket
import errno
import os
import resource
import sys

from . import confine, kernel
from .forms import Form

_NOT_STARTED = 127


def become(form: Form, channel: _socket.socket) -> None:
    """Replace this process with the command; on failure tell `ERRNO STEP` over the channel. Never returns."""
    step = "start"
    try:
        os.setsid()
        kernel.hear_all_signals()
        step = "limits"
        _set_limits(form)
        step = "folder"
        os.chdir(form["cwd"][0])
        if form["mode"] == ["restricted"]:
            step = "confinement"
            _confine(form, channel)
        step = "program"
        _execute(form)
    except Exception as error:  # noqa: BLE001 - whatever it was, the command did not start
        number = error.errno if isinstance(error, OSError) else 0
        if step == "program":
            os.write(2, os.fsencode(f"{form['argv'][0]}: {os.strerror(number or 0)}\n"))
        channel.send(f"{number or 0} {step}: {error}".encode())
    finally:
        os._exit(_NOT_STARTED)


def _set_limits(form: Form) -> None:
    """Each limit is `NAME soft hard`; none is ever raised."""
    for text in form["limits"]:
        name, soft, hard = text.split()
        kind = getattr(resource, name)
        ceiling = resource.getrlimit(kind)[1]
        bound = int(hard) if ceiling == resource.RLIM_INFINITY else min(int(hard), ceiling)
        resource.setrlimit(kind, (min(int(soft), bound), bound))


def _confine(form: Form, channel: _socket.socket) -> None:

    kernel.die_with_parent()
    kernel.give_up_privileges()
    confine.confine_files(form, int(form["landlock"][0]))
    listener = kernel.install_filter(bytes.fromhex(form["filter"][0]))
    rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, listener.to_bytes(4, sys.byteorder))]
    channel.sendmsg([b"!"], rights)
    os.close(listener)


def _execute(form: Form) -> None:
    argv = form["argv"]
    environment = dict(zip(form["names"], form["values"], strict=True))
    if "/" in argv[0]:
        os.execve(argv[0], argv, environment)  # noqa: S606 - this is what the runner is for
    failure = errno.ENOENT
    for folder in environment.get("PATH", "").split(":"):
        try:
            os.execve(f"{folder}/{argv[0]}", argv, environment)  # noqa: S606 - as above
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError:
            failure = errno.EACCES
    raise OSError(failure, os.strerror(failure))
