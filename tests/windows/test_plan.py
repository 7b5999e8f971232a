"""What is worked out before Windows is touched: folders, command lines, accounts, rights, settings."""

import re
from pathlib import Path

import pytest

from chargehand.errors import InvalidInput
from chargehand.store.windows_folders import local_folder
from chargehand.windows.accounts import account_of, folder_rights, service_sid
from chargehand.windows.command_lines import command_line
from chargehand.windows.plan import InstallPlan, Interpreter, StartType, install_plan
from chargehand.windows.settings_file import environment_block, parsed, read_settings_file

VENV = Interpreter(
    program=r"C:\Program Files\Chargehand\Scripts\python.exe", base=r"C:\Program Files\Python312\python.exe"
)


def a_plan(**changes: str | None) -> InstallPlan:
    given = {"name": "Chargehand", "account": None, "data_dir": r"C:\ProgramData\Chargehand", **changes}
    return install_plan(**given, start=StartType.DELAYED, interpreter=VENV, grace_seconds=20)  # type: ignore[arg-type] - texts by name


def taken_apart(line: str) -> list[str]:
    """As CommandLineToArgvW and the C runtime take a command line apart."""
    program, rest = re.match(r'"([^"]*)"(.*)', line, re.DOTALL).groups()  # type: ignore[union-attr] - always quoted
    arguments, current, quoted, begun = [program], "", False, False
    for slashes, char in re.findall(r"(\\*)([^\\]|$)", rest):
        if char == '"':
            current += "\\" * (len(slashes) // 2)
            if len(slashes) % 2:
                current += '"'
            else:
                quoted = not quoted
            begun = True
        elif char in (" ", "\t", "") and not quoted:
            current += slashes
            if begun or current:
                arguments.append(current)
            current, begun = "", False
        else:
            current += slashes + char
    return arguments


@pytest.mark.parametrize(
    "folder",
    [
        r"C:\ProgramData\Chargehand",
        r"D:\Träger Daten\漢字 – größer",
        "E:/srv/chargehand",
        r"c:\a.b\x",
        "C:\\x\\",
    ],
)
def test_a_local_folder_with_spaces_and_any_letters_is_taken(folder: str) -> None:
    assert local_folder(folder, called="--data-dir").is_absolute()


@pytest.mark.parametrize(
    ("folder", "why"),
    [
        (r"\\server\share\data", "another machine"),
        ("//server/share/data", "another machine"),
        (r"\\?\C:\data", "device prefix"),
        (r"\\.\PhysicalDrive0", "device prefix"),
        (r"\??\C:\data", "device prefix"),
        (r"C:data", "depends on where"),
        ("C:", "depends on where"),
        (r"\data", "depends on where"),
        ("data", "depends on where"),
        ("", "depends on where"),
        ("C:\\", "whole drive"),
        (r"C:\data\..\Windows", "reads as another"),
        ("C:\\data.\\x", "reads as another"),
        ("C:\\data \\x", "reads as another"),
        ("C:\\data:stream", "reads as another"),
        ("C:\\da\0ta", "reads as another"),
        ('C:\\da"ta', "reads as another"),
        (r"C:\x\NUL", "name of a device"),
        (r"C:\con.txt\x", "name of a device"),
        ("C:\\COM¹", "name of a device"),
        ("C:\\" + "long\\" * 30, "longer than 120"),
    ],
)
def test_what_is_no_local_folder_is_refused_with_the_reason(folder: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why) as refused:
        local_folder(folder, called="CHARGEHAND_DATA_DIR")

    assert "CHARGEHAND_DATA_DIR" in refused.value.message
    assert r"C:\ProgramData\Chargehand" in refused.value.message


@pytest.mark.parametrize(
    "arguments",
    [
        ["-m", "chargehand"], ["with space", "größer 漢字"], ['a "word"', "C:\\ends with\\"], ["", "\\\\", 'x\\"'],
    ],
)  # fmt: skip
def test_a_command_line_is_taken_apart_into_what_it_was_made_of(arguments: list[str]) -> None:
    program = r"C:\Program Files\Python – Größe\python.exe"

    assert taken_apart(command_line(program, *arguments)) == [program, *arguments]


@pytest.mark.parametrize("program", ['C:\\a"b.exe', "C:\\a\0b.exe"])
def test_a_program_that_would_end_its_own_quotation_marks_is_refused(program: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be the path"):
        command_line(program)


def test_the_plan_tells_all_that_will_be_made() -> None:
    plan = a_plan(data_dir=r"D:\Träger Daten")

    told = "\n".join(plan.lines())
    assert taken_apart(plan.command)[1:] == [
        "-P",
        "-s",
        "-m",
        "chargehand",
        "service",
        "run",
        "--name",
        "Chargehand",
    ]
    assert taken_apart(plan.command)[0] == VENV.base
    assert plan.environment == (
        r"CHARGEHAND_DATA_DIR=D:\Träger Daten", "PYTHONUTF8=1", f"__PYVENV_LAUNCHER__={VENV.program}",
    )  # fmt: skip
    for word in (
        "NT SERVICE\\Chargehand",
        "chargehand.env",
        "5 s, 30 s, 60 s",
        "event source",
        plan.command,
        "delayed",
    ):
        assert word in told


def test_without_a_virtual_environment_there_is_nothing_to_find() -> None:
    plan = install_plan(
        name="Chargehand", account=None, start=StartType.AUTO, data_dir=r"C:\data",
        interpreter=Interpreter(program=VENV.base, base=VENV.base.upper()), grace_seconds=20,
    )  # fmt: skip

    assert not [one for one in plan.environment if "LAUNCHER" in one]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"name": "../x"}, "--name"),
        ({"name": "1st"}, "--name"),
        ({"name": "a" * 81}, "--name"),
        ({"name": "Chargehand\\x"}, "--name"),
        ({"account": "LocalSystem"}, "everything on this machine"),
        ({"account": "NT AUTHORITY\\SYSTEM"}, "everything on this machine"),
        ({"account": "NT SERVICE\\Spooler"}, "another service"),
        ({"data_dir": r"\\nas\chargehand"}, "--data-dir"),
    ],
)
def test_a_plan_that_windows_would_refuse_or_misread_is_refused_before(
    changes: dict[str, str], why: str
) -> None:
    with pytest.raises(InvalidInput, match=why):
        a_plan(**changes)


def test_a_python_that_belongs_to_one_user_is_refused() -> None:
    own = r"c:\users\you\AppData\Local\Programs\Python\python.exe"
    with pytest.raises(InvalidInput, match="belongs to one user"):
        install_plan(
            name="Chargehand", account=None, start=StartType.AUTO, data_dir=r"C:\data",
            interpreter=Interpreter(program=VENV.program, base=own), grace_seconds=20,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "name", "password", "right"),
    [
        (None, "NT SERVICE\\Chargehand", False, False),
        ("nt service\\chargehand", "NT SERVICE\\Chargehand", False, False),
        ("LocalService", "NT AUTHORITY\\LocalService", False, False),
        ("runner", ".\\runner", True, True),
        ("CORP\\runner", "CORP\\runner", True, True),
        ("runner@corp.example", "runner@corp.example", True, True),
        ("CORP\\runner$", "CORP\\runner$", False, True),
    ],
)
def test_accounts_are_told_apart(asked: str | None, name: str, password: bool, right: bool) -> None:
    account = account_of(asked, "Chargehand")

    assert (account.name, account.needs_password, account.needs_logon_right) == (name, password, right)


def test_a_services_own_number_is_what_windows_makes_of_its_name() -> None:
    # The one that every Windows has.
    known = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"

    assert service_sid("TrustedInstaller") == service_sid("trustedinstaller") == known


def test_nobody_but_the_system_administrators_and_the_service_gets_into_the_folder() -> None:
    rights = folder_rights("S-1-5-80-1")

    assert rights.startswith("D:P(")
    assert re.findall(r"\(A;OICI;(\w+);;;([\w-]+)\)", rights) == [
        ("FA", "S-1-5-18"), ("FA", "S-1-5-32-544"), ("0x1301bf", "S-1-5-80-1"),
    ]  # fmt: skip


def test_a_settings_file_gives_windows_paths_and_any_letters_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "chargehand.env"
    text = "# settings\r\n\r\nCHARGEHAND_AGENTS_DIR=C:\\new\\agents größer\r\nanthropic_api_key='a=b # c'\r\n; end\r\n"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())

    assert read_settings_file(path) == {
        "CHARGEHAND_AGENTS_DIR": "C:\\new\\agents größer", "ANTHROPIC_API_KEY": "a=b # c",
    }  # fmt: skip
    assert read_settings_file(tmp_path / "none.env") == {}


@pytest.mark.parametrize(
    "text",
    [
        "NAME",
        "export NAME=secret",
        "NAME = secret",
        "1A=secret",
        "A='secret",
        'A="',
        "A=secret\nA=other",
        "A=sec\0ret",
    ],
)
def test_a_settings_file_that_is_none_is_refused_by_its_line_and_shows_no_value(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"chargehand\.env:\d") as refused:
        parsed(text, "chargehand.env")

    assert "secret" not in refused.value.message


def test_a_settings_file_in_an_old_code_page_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "chargehand.env"
    path.write_bytes("A=größer".encode("cp1252"))

    with pytest.raises(InvalidInput, match="UTF-8"):
        read_settings_file(path)


@pytest.mark.parametrize(("name", "value"), [("A=B", "x"), ("", "x"), ("A", "x\0B=y"), ("A B", "x")])
def test_what_would_be_two_variables_in_the_registry_is_refused(name: str, value: str) -> None:
    with pytest.raises(InvalidInput):
        environment_block({name: value})
