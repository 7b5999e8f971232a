"""Answers the questions of one command, and counts its processes.

Rule: no question stays open; what cannot be judged is refused.
"""

import _thread
import errno
import os

from . import questions, tree
from .handles import Handles
from .paths import Paths
from .questions import Question
from .sockets import Sockets

_MAY_WAIT = "connect"
_NEW_TASK = {"clone", "fork", "vfork"}
_SIGNALS = {"kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"}


class Supervisor:
    """Stands beside the command from its first program to its end."""

    def __init__(
        self, listener: int, names: dict[int, str], *, writable: list[str], most_tasks: int, may_take: bool
    ) -> None:
        self.listener = listener
        self.is_closing = False
        """Set when the tree is to die: from then on no new process is born."""
        self._names = names
        self._most_tasks = most_tasks
        self._births_left = 0
        paths = Paths(writable)
        sockets = Sockets(paths, Handles(may_take=may_take))
        self._deeds = {
            "connect": sockets.connect,
            "bind": sockets.bind,
            "listen": sockets.listen,
            "chmod": paths.chmod,
            "fchmodat": paths.fchmodat,
            "fchmodat2": paths.fchmodat2,
        }

    def answer_next(self) -> None:
        """Take one question and see to its answer."""
        question = questions.receive(self.listener)
        if question is None:
            return
        name = self._names.get(question.syscall, "")
        if name in _NEW_TASK:
            self._answer_birth(question)
        elif name in _SIGNALS:
            self._answer_signal(question, name)
        elif name == _MAY_WAIT:
            _thread.start_new_thread(self._do, (question, name))
        else:
            self._do(question, name)

    def _do(self, question: Question, name: str) -> None:
        deed = self._deeds.get(name)
        try:
            if deed is None:
                raise PermissionError(errno.EPERM, "nobody knows this call")
            deed(question)
        except OSError as error:
            question.refuse(error.errno or errno.EPERM)
        except Exception:  # noqa: BLE001 - an open question would stop the command for good
            question.refuse(errno.EPERM)
        else:
            question.answer(0)

    def _answer_birth(self, question: Question) -> None:
        if self.is_closing or not self._may_be_born():
            question.refuse(errno.EAGAIN)
        else:
            question.let_go_on()

    def _may_be_born(self) -> bool:
        """Counts the tree only when as many were born as had room at the last count."""
        if self._births_left == 0:
            alive = [pid for pid in tree.tree_of(os.getpid()) if pid != os.getpid()]
            self._births_left = max(0, self._most_tasks - tree.count_tasks(alive))
        if self._births_left == 0:
            return False
        self._births_left -= 1
        return True

    def _answer_signal(self, question: Question, name: str) -> None:
        """Only where Landlock does not confine signals. The arguments are numbers: the call may go on itself."""
        target = question.arguments[0] & 0xFFFFFFFF
        own = tree.tree_of(os.getpid())[1:]
        is_one_process = 0 < target < 0x80000000
        if name == "tkill":
            is_own = any(str(target) in tree.tasks_of(pid) for pid in own)
        else:
            is_own = (is_one_process and target in own) or (
                name == "kill" and self._is_own_group(target, own)
            )
        if is_own:
            question.let_go_on()
        else:
            question.refuse(errno.EPERM)

    def _is_own_group(self, target: int, own: list[int]) -> bool:
        """Zero is the caller's group, a negative number another one; -1 would be everybody."""
        group = (1 << 32) - target
        return target == 0 or (
            target >= 0x80000000 and group > 1 and any(_group_of(pid) == group for pid in own)
        )


def _group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0
