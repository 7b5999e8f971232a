"""The life of one command: fork, confine, execute, wait, kill what is left, tell how it went.

Modes: `restricted` (Linux: Landlock and supervised calls) and `plain` (limits and kill only, also for a command
that brings its own confinement along, such as macOS's sandbox-exec).
"""

# ruff: noqa: SIM105 - contextlib costs the runner 2 ms at each start

import _socket
import _thread
import os
import select
import sys
import time

from . import child, kernel, tree
from .forms import Form
from .supervisor import Supervisor

_IS_LINUX = sys.platform.startswith("linux")
_REAP_MILLISECONDS = 250
_KILL_SECONDS = 5.0
_SIGKILL = 9


def run(form: Form, lifeline: int) -> None:
    """Run to the end, and tell over the lifeline: `exit N`, `signal N`, `failed ERRNO STEP` or `broken WHY`."""
    try:
        _tell(lifeline, _run(form, lifeline))
    except Exception as error:  # noqa: BLE001 - the service must learn of it, and nothing must be left
        _kill_all(None)
        _tell(lifeline, f"broken {type(error).__name__}: {error}")


def _run(form: Form, lifeline: int) -> str:
    if _IS_LINUX:
        kernel.become_subreaper()
    ours, theirs = _socket.socketpair()
    main_pid = os.fork()
    if main_pid == 0:
        child.become(form, theirs)
    theirs.close()
    _let_go_of_streams()
    return _attend(form, lifeline, ours, main_pid)


def _attend(form: Form, lifeline: int, channel: _socket.socket, main_pid: int) -> str:
    supervisor, failure = _supervisor(form, channel) if form["mode"] == ["restricted"] else (None, "")
    ended, status = _end_of(main_pid)
    poll = select.poll()
    for descriptor in (lifeline, ended, channel.fileno()):
        poll.register(descriptor, select.POLLIN)
    if supervisor is not None:
        poll.register(supervisor.listener, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll(_REAP_MILLISECONDS)}
        if supervisor is not None and supervisor.listener in ready:
            supervisor.answer_next()
        if channel.fileno() in ready:
            failure += os.fsdecode(channel.recv(4096))
            poll.unregister(channel)
        if lifeline in ready or ended in ready:
            break
        _reap_orphans(main_pid)
    if supervisor is not None:
        supervisor.is_closing = True
    _kill_all(main_pid)
    if failure:
        return f"failed {failure}"
    if not status:
        return f"signal {_SIGKILL}"
    code = os.waitstatus_to_exitcode(status[0])
    return f"exit {code}" if code >= 0 else f"signal {-code}"


def _supervisor(form: Form, channel: _socket.socket) -> tuple[Supervisor | None, str]:
    """Who answers the child's calls; or what the child says when it ended before it had a filter."""
    text, control, _, _ = channel.recvmsg(4096, _socket.CMSG_SPACE(4))
    if not control:
        return None, os.fsdecode(text) or "0 start"
    listener = int.from_bytes(control[0][2][:4], sys.byteorder)
    os.set_inheritable(listener, False)
    names = {int(number): name for number, name in (text.split("=") for text in form["calls"])}
    supervisor = Supervisor(
        listener,
        names,
        writable=form["writable"],
        most_tasks=int(form["processes"][0]),
        may_take=form["sockets"] == ["taken"],
    )
    return supervisor, ""


def _end_of(pid: int) -> tuple[int, list[int]]:
    """A descriptor that becomes readable once the process is reaped, and the list its status is put in."""
    ended, write_end = os.pipe()
    status: list[int] = []

    def wait() -> None:
        try:
            status.append(os.waitpid(pid, 0)[1])
        except ChildProcessError:
            pass  # reaped with all the others that were killed
        os.close(write_end)

    _thread.start_new_thread(wait, ())
    return ended, status


def _reap_orphans(main_pid: int) -> None:
    """Daemons of the command are our children since their parents ended."""
    for pid in tree.children_of(os.getpid()):
        if pid != main_pid:
            _reap(pid)


def _kill_all(main_pid: int | None) -> None:
    until = time.monotonic() + _KILL_SECONDS
    while time.monotonic() < until:
        left = tree.tree_of(os.getpid())[1:]
        for pid in left:
            _kill(pid)
        if main_pid is not None and not _IS_LINUX:
            _kill_group(main_pid)
        while _reap(-1):
            pass
        if not left:
            return
        time.sleep(0.002)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, _SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, _SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def _reap(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def _let_go_of_streams() -> None:
    """The pipes are the command's alone: held here too, they would never end."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def _tell(lifeline: int, text: str) -> None:
    try:
        os.write(lifeline, text.encode())
    except OSError:
        pass  # the service is gone: there is nobody to tell
