"""The PowerShell that ships: a real grammar reads it, and it keeps the rules that PSScriptAnalyzer would look at."""

import re
import shutil
import subprocess

import pytest

import chargehand
from chargehand.crew.blueprint import render
from tests.crew.projects import bookstore
from tests.house.tree import ROOT, shown, written_files
from tests.operate.powershell import EVERYWHERE, MODULES, functions, nodes, parsed, text, violations
from tests.operate.shipped import PACKAGING, parsed_by_the_program

MODULE = (PACKAGING / "windows" / "Chargehand.psm1").read_text(encoding="utf-8")
MANIFEST = (PACKAGING / "windows" / "Chargehand.psd1").read_text(encoding="utf-8")
TREE = parsed(MODULE.encode())
PUBLIC = sorted(name for name in functions(TREE) if ".SYNOPSIS" in text(functions(TREE)[name]))
_PWSH = shutil.which("pwsh") or ""


def test_the_module_keeps_every_rule() -> None:
    assert violations(MODULE, MODULES) == []


def test_all_powershell_of_the_repository_and_of_the_services_that_the_crew_writes_keeps_the_common_rules() -> (
    None
):
    sources = {shown(path): path.read_text("utf-8") for path in written_files(".ps1", ".psm1", ".psd1")}
    written = render(bookstore(), "deployment")
    sources |= {path: content for path, content in written.items() if path.endswith(".ps1")}

    found = {path: violations(source, EVERYWHERE) for path, source in sources.items()}

    assert len(sources) >= 7
    assert {path: said for path, said in found.items() if said} == {}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("function Get-X { param( [string] $Name }", "no PowerShell"),
        ("function Do-Thing { 1 }", "approved verb"),
        ("function Get-Things { 1 }", "plural"),
        ("function Remove-Thing { [CmdletBinding()] param() Remove-Item -Path x }", "no -WhatIf"),
        ("function Set-Thing { [CmdletBinding(SupportsShouldProcess)] param() 1 }", "never asks"),
        ("ls", "alias"),
        ("1 | % { $_ }", "alias|no PowerShell"),
        ("Join-Path $a 'b'", "by position"),
        ("Join-Path -Path $a 'b' 'c'", "by position"),
        ("Invoke-Expression -Command $x", "text as code"),
        ("[ScriptBlock]::Create($x)", "text as code"),
        ("function Get-X { param([string] $Password) 1 }", "plain text"),
        ("ConvertTo-SecureString -String $x -AsPlainText -Force", "plain text"),
        ("Write-Host -Object 'x'", "nobody can use"),
        ("try { Get-Item -Path x } catch { }", "empty catch"),
        ("$global:x = 1", "global"),
        ("'größer'", "ASCII"),
        ("1", "strict"),
    ],
)
def test_each_rule_sees_what_it_is_for(source: str, said: str) -> None:
    assert any(re.search(said, one) for one in violations(source, MODULES))


def test_the_manifest_exports_just_the_public_functions() -> None:
    listed = re.findall(r"'(\w+-\w+)'", MANIFEST.partition("FunctionsToExport")[2].partition(")")[0])
    exported = re.findall(r"'(\w+-\w+)'", MODULE.rpartition("Export-ModuleMember")[2])

    assert listed == exported == PUBLIC
    for others in ("CmdletsToExport", "VariablesToExport", "AliasesToExport"):
        assert re.search(rf"{others}\s*= @\(\)", MANIFEST)
    assert f"ModuleVersion     = '{chargehand.__version__}'" in MANIFEST


@pytest.mark.parametrize("name", PUBLIC)
def test_the_help_of_a_function_is_whole(name: str) -> None:
    function = functions(TREE)[name]
    helped = re.search(r"<#(.*?)#>", text(function), re.DOTALL)
    assert helped, name
    parameters = [
        text(next(one for one in parameter.children if one.type == "variable")).lstrip("$")
        for parameter in nodes(function, "script_parameter")
    ]

    assert re.findall(r"\.PARAMETER (\w+)\n\s+\S", helped[1]) == parameters
    assert re.search(r"\.SYNOPSIS\n\s+\S", helped[1])
    examples = re.findall(r"\.EXAMPLE\n\s+(\S.*)\n\s+\S", helped[1])
    assert examples
    for example in examples:
        assert name in example
        assert violations(example, EVERYWHERE) == []
        given = set(re.findall(rf"{name}([^|(]*)", example)[0].split()) & {f"-{one}" for one in parameters}
        assert {word for word in example.split("|")[0].split() if re.fullmatch(r"-[A-Z]\w+", word)} <= {
            *given, "-WhatIf", "-AsSecureString", "-Prompt",
        }  # fmt: skip


def test_every_parameter_of_a_public_function_that_takes_text_is_validated() -> None:
    loose = [
        f"{name} {text(parameter).splitlines()[-1]}"
        for name in PUBLIC
        for parameter in nodes(functions(TREE)[name], "script_parameter")
        if re.search(r"\[(?:string|uri|int)\]", text(parameter)) and "[Validate" not in text(parameter)
    ]

    assert loose == []


def test_what_the_module_has_the_program_do_are_commands_that_there_are() -> None:
    lists = re.findall(r"@\(((?:'[^']*'|\$\w+)(?:, (?:'[^']*'|\$\w+))*)\)", MODULE)
    called = [re.findall(r"'([^']*)'|(\$\w+)", one) for one in lists]
    words = [[literal or "C:/x" for literal, _ in one] for one in called]
    starts = [
        one[one.index("chargehand") + 1 :] if "chargehand" in one else one
        for one in words
        if "chargehand" in one or one[0] in ("service", "backup")
    ]
    for one in starts:
        if one:
            given = [
                "auto" if before == "--start" else word for before, word in zip(["", *one], one, strict=False)
            ]
            assert parsed_by_the_program(given)

    assert {" ".join(one[:2]) for one in starts if one} >= {
        "service install",
        "service start",
        "service stop",
    }


def test_the_page_uses_functions_that_there_are() -> None:
    page = (ROOT / "docs" / "operate" / "windows.md").read_text(encoding="utf-8")

    used = set(re.findall(r"\b[A-Z][a-z]+-Chargehand\w*", page))
    assert used == set(PUBLIC)


@pytest.mark.skipif(not _PWSH, reason="pwsh is not installed")
def test_powershell_itself_loads_the_module() -> None:
    script = f"(Import-Module '{PACKAGING / 'windows' / 'Chargehand.psd1'}' -PassThru).ExportedFunctions.Keys -join ' '"

    done = subprocess.run(
        [_PWSH, "-NoProfile", "-Command", script], capture_output=True, text=True, check=False
    )

    assert sorted(done.stdout.split()) == PUBLIC, done.stderr
