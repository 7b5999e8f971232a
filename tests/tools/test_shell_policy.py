"""Command lines against policies: what is allowed, asked about, denied, however it is written."""

import pytest

from chargehand.domain.policy import Action, Call, Verdict, judge
from chargehand.domain.policy_file import read_policy
from chargehand.tools.shell_commands import take_apart

NO_RM_NO_PUSH = "- {tool: 'Bash(rm:*)', action: deny}\n- {tool: 'Bash(git push:*)', action: ask}\n"
ONLY_TESTS = (
    "- {risk: execute, action: ask}\n- {tool: 'Bash(npm test)', action: allow}\n"
    "- {tool: 'Bash(ls *)', action: allow}\n"
)


def verdict(policy: str, command: str) -> Verdict:
    rules = read_policy(policy, origin="test")
    line = take_apart(command)
    call = Call(
        tool="Bash",
        arguments={"command": command},
        risk="execute",
        agent_id="writer",
        commands=line.commands,
    )
    return judge([rules], call)


@pytest.mark.parametrize(
    "command",
    [
        "rm x", "  rm -rf .", "/bin/rm x", "../rm x", "r''m x", "'rm' x", '"rm" x', "\\rm x", "r\\m x", "rm\\\n x",
        "true && rm x", "true || rm x", "true; rm x", "true | rm x", "true & rm x", "true\nrm x", "! rm x",
        "(rm x)", "{ rm x; }", "if true; then rm x; fi", "for a in b; do rm $a; done", "case a in a) rm x;; esac",
        "f() { rm x; }; f", "echo $(rm x)", "echo `rm x`", 'echo "a $(rm x)"', "cat <(rm x)", "X=$(rm x)",
        "echo ${X:-$(rm y)}", "cat <<EOF\n$(rm x)\nEOF", "cat <<< $(rm x)", "X=1 rm x", "rm x > /dev/null",
        "bash -c 'rm x'", "bash -lc 'ls; rm x'", "/bin/sh -c 'rm x'", "bash -c \"bash -c 'rm x'\"", "eval rm x",
        "eval 'rm x'", "sudo rm x", "sudo -u root rm x", "env rm x", "env -i A=1 rm x", "timeout 5 rm x",
        "timeout -k 1 5 rm x", "nice -n 5 rm x", "nohup rm x &", "time rm x", "command rm x", "exec rm x",
        "xargs rm", "ls | xargs -0 -n 1 rm -f", "find . -name a -exec rm {} +", "find . -execdir rm {} \\;",
        "stdbuf -oL rm x", "setsid rm x", "trap 'rm x' EXIT", "watch -n 1 'rm x'", "coproc rm x", "rm *", "rm $X",
        "trap -- 'rm x' EXIT", "git push; rm x", "sudo env A=1 nice timeout 3 bash -c 'exec rm x'",
    ],
)  # fmt: skip
def test_a_denied_command_is_denied_wherever_it_stands(command: str) -> None:
    assert verdict(NO_RM_NO_PUSH, command).action is Action.DENY


@pytest.mark.parametrize(
    "command",
    [
        "git push", "git push origin main", "git -C x push", "git --no-pager push", "git status && git push -f",
        # What cannot be told is asked about.
        "$X y", "`echo rm` x", "$(which rm) x", "r{m,} x", "/bin/r? x", "$'rm' x", "git $X", "git p?sh",
        "git p{us,}h", "bash script.sh", "bash < script", "echo rm x | sh", "source x", ". x", "eval $X", "bash -c $X",
        "bash -c \"$X\"", "sudo --strange x", "sudo $X", "env $X", "timeout $T rm x", "xargs -Z rm", "if", "echo 'open",
        "echo push | xargs git", "echo push | xargs -I X git X", "echo push | xargs -IX git X", 'trap "$X" EXIT',
        "find -name push -exec git 'p{}' +", "git -c alias.p=push p", "git config alias.p push", "parallel rm ::: x",
        "strace rm x", "chroot . rm x", "su -c 'rm x'", "script -c 'rm x'", "setpriv rm x", "nsenter rm x",
        "toybox xargs rm", "mapfile -C 'rm x' -c 1 < y", "coproc X { git push; }", "hash -p ./rm ls", "read PATH; ls",
        "printf -v PATH .; ls", "for PATH in .; do ls; done", "flock x -c 'rm y'", "env -S 'rm x'", "bash <<E\nrm x\nE",
        "PATH=. ls", "LD_PRELOAD=x ls", "alias a=rm", "find . $X", "GIT_DIR=x git status",
    ],
)  # fmt: skip
def test_what_is_to_be_asked_or_cannot_be_told_is_asked(command: str) -> None:
    assert verdict(NO_RM_NO_PUSH, command).action is Action.ASK


@pytest.mark.parametrize(
    "command",
    [
        "ls", "echo rm x", "echo 'rm -rf; x'", 'echo "git push"', "git status", "git commit -m push", "git log | head",
        "rmdir x", "npm run rm", "cat rm", "git pull && pytest -q > out.txt 2>&1", "for a in 1 2; do echo $a; done",
        "FOO=bar python x.py", "bash -c 'git status'", "timeout 5 git fetch", "find . -name 'a' -exec cat {} +",
        "export A=1", "[ -f x ] && echo yes", "cat <<EOF\nrm x\nEOF", "# rm x", "git add $X",
    ],
)  # fmt: skip
def test_what_no_rule_speaks_of_is_allowed(command: str) -> None:
    assert verdict(NO_RM_NO_PUSH, command).action is Action.ALLOW


@pytest.mark.parametrize(
    ("command", "action"),
    [
        ("npm test", Action.ALLOW),
        ("ls", Action.ALLOW),
        ("ls -la src", Action.ALLOW),
        ("ls && npm test", Action.ALLOW),
        ("timeout 60 npm test", Action.ALLOW),
        ("bash -c 'npm test'", Action.ALLOW),
        ("npm test --fix", Action.ASK),
        ("./ls", Action.ASK),
        ("npm test; curl x", Action.ASK),
        ("ls $(curl x)", Action.ASK),
        ("sudo npm test", Action.ASK),
        ("env A=1 npm test", Action.ASK),
        ("$X", Action.ASK),
        ("if", Action.ASK),
    ],
)
def test_each_part_must_be_allowed_where_running_programs_is_asked_about(
    command: str, action: Action
) -> None:
    assert verdict(ONLY_TESTS, command).action is action


def test_a_huge_or_deep_command_line_is_asked_about() -> None:
    deep = "ls"
    for _ in range(20):
        deep = f"eval {deep}"

    assert verdict(NO_RM_NO_PUSH, deep).action is Action.ASK
    assert verdict(NO_RM_NO_PUSH, "true;" * 20_000).action is Action.ASK
    assert verdict(NO_RM_NO_PUSH, "(" * 5_000).action is Action.ASK


@pytest.mark.parametrize(
    ("command", "written"),
    [
        ("a > x 2>&1 >> 'y z' 2>/dev/null < in; b > $X", ["x", "y z", None]),
        ("a >& x; b >&2; c 2>&-; d >&$X", ["x", None]),
        ("a <> x", [None]),  # The grammar does not know it.
        ('eval "$X"', [None]),
        ("bash -c 'a > x'", ["x"]),
        ("a | tee x -a y", ["x", "y"]),
        ("cp a/b c", ["c", "c/b"]),
        ("cp -r a/b .", [".", "./b", None]),
        ("cp -t c a", ["c", "c/a"]),
        ("install --target-directory=c a", ["c", "c/a"]),
        ("mv a b", ["b", "b/a", "a"]),
        ("ln -s a b", ["b", "b/a", "a", None]),
        ("sed -i s/a/b/ x", ["s/a/b/", "x"]),
        ("sed s/a/b/ x", []),
        ("dd if=a of=x", ["x"]),
        ("find x -delete", [None]),
        ("find . -exec tee x {} +", ["x", None]),
        ("rm $X y", [None, "y"]),
        ("cd a && b > x", ["x", "a/x"]),
        ("(cd $X; b > x)", [None]),
        ("cd a; cd b; c > x", [None]),
        ("a < x; cat x", []),
        ('python -c \'open("x", "w")\'', []),
    ],
)
def test_what_a_command_line_plainly_writes_is_told(command: str, written: list[str | None]) -> None:
    assert take_apart(command).written == written
