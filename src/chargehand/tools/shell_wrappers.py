"""Commands that run other commands: what `sudo -u x rm y`, `xargs -0 rm` and `bash -c 'rm y'` run.

Rule: an option that is not listed here makes it uncertain where the inner command begins, and so unreadable.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from posixpath import basename

Words = tuple[str | None, ...]

_SHELLS = frozenset({"bash", "sh", "dash", "zsh", "ksh", "ash", "busybox"})
_RUNS_A_FILE = frozenset({"source", "."})
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
_UNREAD = frozenset([
    "at", "batch", "chroot", "crontab", "entr", "expect", "gdb", "ltrace", "nsenter", "parallel", "rlwrap", "runuser",
    "script", "setpriv", "strace", "su", "systemd-run", "toybox", "unbuffer",
])  # fmt: skip
"""They run what they are told to, in ways that are not taken apart here."""
_SETS_VARIABLES = frozenset({"getopts", "mapfile", "printf", "read", "readarray"})
STEERING = frozenset({
    "PATH", "IFS", "ENV", "BASH_ENV", "SHELLOPTS", "BASHOPTS", "CDPATH", "PROMPT_COMMAND",
})  # fmt: skip
"""Variables that change which program a name means, or run something."""
_EXEC_FLAGS = frozenset({"-exec", "-execdir", "-ok", "-okdir"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wrapper:
    """The options of a command that runs another: those alone, those with a value, and words before the command."""

    flags: frozenset[str] = frozenset()
    valued: frozenset[str] = frozenset()
    words: int = 0
    assignments: bool = False
    is_plain: bool = False
    """It changes nothing about what the inner command does."""


def _wrapper(
    flags: str = "", valued: str = "", *, words: int = 0, assignments: bool = False, is_plain: bool = False
) -> _Wrapper:
    return _Wrapper(
        flags=frozenset(flags.split()),
        valued=frozenset(valued.split()),
        words=words,
        assignments=assignments,
        is_plain=is_plain,
    )


_WRAPPERS: Mapping[str, _Wrapper] = {
    "builtin": _wrapper(is_plain=True),
    "command": _wrapper("-p -v -V", is_plain=True),
    "coproc": _wrapper(),
    "doas": _wrapper("-n", "-u -C"),
    "env": _wrapper("-i - -0 --ignore-environment", "-u -C --chdir --unset", assignments=True),
    "exec": _wrapper("-c -l", "-a", is_plain=True),
    "flock": _wrapper("-n -x -s -e -u -o", "-w -E", words=1),
    "ionice": _wrapper("-t", "-c -n -p", is_plain=True),
    "nice": _wrapper("", "-n --adjustment", is_plain=True),
    "nohup": _wrapper(is_plain=True),
    "setsid": _wrapper("-f -w -c", is_plain=True),
    "stdbuf": _wrapper("", "-i -o -e", is_plain=True),
    "sudo": _wrapper("-n -E -H -S -k -b -i -s", "-u -g -h -p -C -D -R -T -U", assignments=True),
    "time": _wrapper("-p -v", "-f -o", is_plain=True),
    "timeout": _wrapper(
        "--foreground --preserve-status -v", "-k -s --signal --kill-after", words=1, is_plain=True
    ),
    "unshare": _wrapper("-r -n -m -p -f -u -i"),
    "watch": _wrapper("-d -t -e -g -b -c", "-n"),
    "xargs": _wrapper("-0 -r -t -p -x --null --no-run-if-empty", "-I -n -P -d -E -L -s -a"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    """What a command runs in its turn."""

    commands: Sequence[Words] = ()
    lines: Sequence[str] = ()
    """Command lines that a shell is given."""
    unreadable: str = ""
    is_plain_wrapper: bool = False
    """It does what the inner command does and nothing else."""
    hides_a_line: bool = False
    """What is unreadable is a whole command line, which may redirect."""


def inner_of(words: Words) -> Inner:
    """What this command runs; an empty answer for one that runs no other."""
    if not words or words[0] is None:
        return Inner(unreadable="the name of a command is not written out")
    name = basename(words[0])
    if name in _SHELLS:
        return _of_shell(words)
    if name == "eval":
        return _of_eval(words)
    if name in _RUNS_A_FILE:
        return Inner(unreadable=f"{name} runs what stands in a file")
    if name == "trap":
        return _of_trap(words)
    if name in ("alias", "enable", "hash", "shopt"):
        return Inner(unreadable=f"{name} changes what names of commands mean")
    if name in _UNREAD:
        return Inner(unreadable=f"it is not certain what {name} runs")
    if name == "find":
        return _of_find(words)
    if name == "git" and any("alias." in word for word in words if word is not None):
        return Inner(unreadable="git is told of an alias, which may be any command")
    if name in _SETS_VARIABLES and ("-C" in words or any(is_steering(word or "") for word in words)):
        return Inner(unreadable=f"{name} sets what may change what is run, or runs something for each line")
    wrapper = _WRAPPERS.get(name)
    return _of_wrapper(name, wrapper, words) if wrapper is not None else Inner()


def is_steering(variable: str) -> bool:
    """Whether setting it changes what commands do, or which they are."""
    return variable in STEERING or variable.startswith(("LD_", "DYLD_", "GIT_", "BASH_FUNC"))


def _of_trap(words: Words) -> Inner:
    rest = words[2:] if words[1:2] == ("--",) else words[1:]
    if not rest:
        return Inner()
    if rest[0] is None:
        return Inner(unreadable="trap runs what is only known at run time", hides_a_line=True)
    return Inner(lines=[rest[0]])


def _of_shell(words: Words) -> Inner:
    for place, word in enumerate(words[1:], 1):
        if word is None:
            break
        if re.fullmatch(r"-[a-z]*c", word):
            line = words[place + 1] if place + 1 < len(words) else None
            if line is None:
                told = f"{words[0]} runs what is only known at run time"
                return Inner(unreadable=told, hides_a_line=True)
            return Inner(lines=[line], is_plain_wrapper="/" not in (words[0] or ""))
        if not word.startswith("-"):
            break
    return Inner(unreadable=f"{words[0]} runs a script that is not on the command line")


def _of_eval(words: Words) -> Inner:
    known = [word for word in words[1:] if word is not None]
    if len(known) < len(words) - 1:
        return Inner(unreadable="eval runs what is only known at run time", hides_a_line=True)
    return Inner(lines=[" ".join(known)], is_plain_wrapper=True)


def _of_find(words: Words) -> Inner:
    """Each command between `-exec` and `;` or `+`."""
    commands: list[Words] = []
    for place, word in enumerate(words):
        if word in _EXEC_FLAGS:
            rest = words[place + 1 :]
            end = next((at for at, one in enumerate(rest) if one in (";", "+")), len(rest))
            commands.append(tuple(None if "{}" in (one or "") else one for one in rest[:end]))
    if None in words:
        # One of them may be `-exec` or `-delete`.
        return Inner(commands=commands, unreadable="find takes words that are only known at run time")
    return Inner(commands=commands)


def _of_wrapper(name: str, wrapper: _Wrapper, words: Words) -> Inner:
    place, before = 1, wrapper.words
    uncertain = Inner(unreadable=f"it is not certain what {name} runs")
    while place < len(words):
        word = words[place]
        if word is None:
            return uncertain  # It may stand for any number of words.
        if word == "--":
            place += 1
            break
        if word in wrapper.valued:
            place += 2
        elif word in wrapper.flags or _is_attached(word, wrapper):
            place += 1
        elif word.startswith("-") and len(word) > 1:
            return uncertain
        elif wrapper.assignments and _ASSIGNMENT.fullmatch(word):
            place += 1
        elif before:
            before, place = before - 1, place + 1
        else:
            break
    place += before if place < len(words) and words[place - 1] == "--" else 0
    return _run_by(name, wrapper, words[1:place], words[place:])


def _run_by(name: str, wrapper: _Wrapper, options: Words, rest: Words) -> Inner:
    uncertain = Inner(unreadable=f"it is not certain what {name} runs")
    if not rest:
        return Inner()
    if name == "coproc" and None in rest:
        return uncertain  # `coproc NAME { …; }`
    if name == "xargs":
        rest = _of_input(options, rest)
    if name == "watch":
        known = [word for word in rest if word is not None]
        return Inner(lines=[" ".join(known)]) if len(known) == len(rest) else uncertain
    return Inner(commands=[rest], is_plain_wrapper=wrapper.is_plain)


def _of_input(options: Words, command: Words) -> Words:
    """What xargs runs: words of its input stand at the end, or in place of what `-I` names."""
    marks = [options[at + 1] for at, one in enumerate(options[:-1]) if one == "-I"]
    marks += [one[2:] for one in options if one is not None and one.startswith("-I") and len(one) > 2]
    if not marks:
        return (*command, None)
    return tuple(
        None if word is None or any(mark and mark in word for mark in marks) else word for word in command
    )


def _is_attached(word: str, wrapper: _Wrapper) -> bool:
    """`-n5`, `-oL`, `--signal=KILL`: an option with its value in one word; `-5` of nice."""
    if word.startswith("--"):
        return word.partition("=")[0] in wrapper.valued and "=" in word
    return (word[:2] in wrapper.valued and len(word) > 2) or bool(re.fullmatch(r"-\d+", word))
