"""Which system calls a command may not make, at `strict` and at `restricted`.

Rule: what reaches outside a namespace or a Landlock domain is refused here: kernel interfaces with a history
of escapes, other processes' memory, and socket families that no network namespace confines (vsock, alg).
"""

import errno
import socket
from collections.abc import Sequence

from chargehand.tools.sandbox.seccomp import ASK_SUPERVISOR, Argument, Rule, refuse

# fmt: off
_NEVER = (
    "acct", "add_key", "adjtimex", "bpf", "chroot", "clock_adjtime", "clock_settime", "delete_module",
    "fanotify_init", "finit_module", "fsconfig", "fsmount", "fsopen", "fspick", "init_module",
    "io_uring_enter", "io_uring_register", "io_uring_setup", "ioperm", "iopl", "kcmp",
    "kexec_file_load", "kexec_load", "keyctl", "lookup_dcookie", "memfd_secret", "migrate_pages",
    "mount", "mount_setattr", "move_mount", "move_pages", "name_to_handle_at", "open_by_handle_at",
    "open_tree", "open_tree_attr", "perf_event_open", "pidfd_getfd", "pivot_root", "process_madvise",
    "process_vm_readv", "process_vm_writev", "ptrace", "quotactl", "quotactl_fd", "reboot",
    "request_key", "setdomainname", "sethostname", "setns", "settimeofday", "swapoff", "swapon",
    "syslog", "umount2", "unshare", "userfaultfd", "vhangup",
)
# fmt: on

# CLONE_NEW*: mount, cgroup, uts, ipc, user, pid, net.
_NEW_NAMESPACE = 0x20000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C

# Files that others of the host would run as the service's user or group.
_SET_IDS = 0o6000
_MODE_AT = {"chmod": 1, "fchmod": 1, "fchmodat": 2, "fchmodat2": 2}

_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10
_SOCKET_TYPE = 0xF  # the rest of the argument is SOCK_NONBLOCK and SOCK_CLOEXEC
_STREAM, _SEQPACKET = 1, 5
_TCP = int(socket.IPPROTO_TCP)
_MSG_FASTOPEN = 0x20000000  # a send with this flag connects, past the check of connect()
_SO_REUSEPORT = 15  # would let a command listen beside a service of the host, on the same port

_MEMORY_WITHOUT_A_MAPPING = ("memfd_create", "shmget")
"""Memory that stays charged to nobody's resident set, so that only a cgroup can count it."""

_OTHER_PROCESS_BY_FIRST_ARGUMENT = (
    "prlimit64",
    "sched_setaffinity",
    "sched_setattr",
    "sched_setparam",
    "sched_setscheduler",
)
_SIGNALS = ("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo")


def namespaced_rules(*, memory_is_counted: bool) -> list[Rule]:
    """For commands inside bubblewrap's namespaces; `memory_is_counted` says that a cgroup counts for them."""
    return [*_common(), *([] if memory_is_counted else _refused(_MEMORY_WITHOUT_A_MAPPING, errno.ENOSYS))]


def supervised_rules(*, landlock_abi: int, memory_is_counted: bool) -> list[Rule]:
    """For commands without namespaces: the supervisor decides on addresses, modes and new processes."""
    rules = [*_common(), *_supervised_sockets()]
    rules += _refused(("mq_open", "msgget", "semget", "shmget"), errno.EPERM)
    rules += [] if memory_is_counted else _refused(("memfd_create",), errno.ENOSYS)
    rules += _asked("clone", "fork", "vfork")
    # Landlock does not look at changes of mode, owner and extended attributes.
    rules += _asked("chmod", "fchmodat", "fchmodat2")
    rules += _refused(("chown", "lchown", "fchown", "fchownat", "file_setattr"), errno.EPERM)
    rules += _refused(
        ("setxattr", "lsetxattr", "setxattrat", "removexattr", "lremovexattr", "removexattrat"), errno.ENOTSUP
    )
    rules += [
        Rule(syscall=name, action=refuse(errno.EPERM), where=Argument(index=0, none_of=(0,)))
        for name in _OTHER_PROCESS_BY_FIRST_ARGUMENT
    ]
    rules += [
        Rule(syscall=name, action=refuse(errno.EPERM), where=Argument(index=1, none_of=(0,)))
        for name in ("setpriority", "ioprio_set")
    ]
    if landlock_abi < 3:  # Landlock learnt to refuse truncation by path with ABI 3
        rules += _refused(("truncate",), errno.EPERM)
    if landlock_abi < 6:  # and signals to processes outside with ABI 6
        rules += [*_asked(*_SIGNALS), *_refused(("pidfd_send_signal",), errno.EPERM)]
    return rules


def _common() -> list[Rule]:
    return [
        *_refused(_NEVER, errno.EPERM),
        # The flags of clone3 lie in memory, where no filter can see them; libraries fall back to clone.
        *_refused(("clone3",), errno.ENOSYS),
        Rule(syscall="clone", action=refuse(errno.EPERM), where=Argument(index=0, mask=_NEW_NAMESPACE)),
        Rule(
            syscall="ioctl",
            action=refuse(errno.EPERM),
            where=Argument(index=1, one_of=(_TIOCSTI, _TIOCLINUX)),
        ),
        *(
            Rule(syscall=name, action=refuse(errno.EPERM), where=Argument(index=index, mask=_SET_IDS))
            for name, index in _MODE_AT.items()
        ),
        _refused_unless("socket", 0, (_AF_UNIX, _AF_INET, _AF_INET6), errno.EAFNOSUPPORT),
        _refused_unless("socketpair", 0, (_AF_UNIX,), errno.EAFNOSUPPORT),
    ]


def _supervised_sockets() -> list[Rule]:
    # Datagrams carry their address with each send, so that nobody could check it once: only streams are left.
    streams = (_STREAM, _SEQPACKET)
    fast_open = [("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3)]
    return [
        _refused_unless("socket", 1, streams, errno.EPROTONOSUPPORT, mask=_SOCKET_TYPE),
        _refused_unless("socket", 2, (0, _TCP), errno.EPROTONOSUPPORT),
        _refused_unless("socketpair", 1, streams, errno.EPROTONOSUPPORT, mask=_SOCKET_TYPE),
        *(
            Rule(syscall=name, action=refuse(errno.EPERM), where=Argument(index=index, mask=_MSG_FASTOPEN))
            for name, index in fast_open
        ),
        Rule(
            syscall="setsockopt",
            action=refuse(errno.ENOPROTOOPT),
            where=Argument(index=2, one_of=(_SO_REUSEPORT,)),
        ),
        *_asked("connect", "bind", "listen"),
    ]


def _refused(names: Sequence[str], error_number: int) -> list[Rule]:
    return [Rule(syscall=name, action=refuse(error_number)) for name in names]


def _asked(*names: str) -> list[Rule]:
    return [Rule(syscall=name, action=ASK_SUPERVISOR) for name in names]


def _refused_unless(
    name: str, index: int, allowed: tuple[int, ...], error_number: int, *, mask: int = 0xFFFFFFFF
) -> Rule:
    where = Argument(index=index, mask=mask, none_of=allowed)
    return Rule(syscall=name, action=refuse(error_number), where=where)
