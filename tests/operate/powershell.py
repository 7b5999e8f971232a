"""Rules like PSScriptAnalyzer's, over the syntax tree: each yields `line N: what is wrong`."""

import re
from collections.abc import Callable, Iterator

import tree_sitter
import tree_sitter_powershell

APPROVED_VERBS = frozenset(
    [
        "Add",
        "Approve",
        "Assert",
        "Backup",
        "Block",
        "Build",
        "Checkpoint",
        "Clear",
        "Close",
        "Compare",
        "Complete",
        "Compress",
        "Confirm",
        "Connect",
        "Convert",
        "ConvertFrom",
        "ConvertTo",
        "Copy",
        "Debug",
        "Deny",
        "Deploy",
        "Disable",
        "Disconnect",
        "Dismount",
        "Edit",
        "Enable",
        "Enter",
        "Exit",
        "Expand",
        "Export",
        "Find",
        "Format",
        "Get",
        "Grant",
        "Group",
        "Hide",
        "Import",
        "Initialize",
        "Install",
        "Invoke",
        "Join",
        "Limit",
        "Lock",
        "Measure",
        "Merge",
        "Mount",
        "Move",
        "New",
        "Open",
        "Optimize",
        "Out",
        "Ping",
        "Pop",
        "Protect",
        "Publish",
        "Push",
        "Read",
        "Receive",
        "Redo",
        "Register",
        "Remove",
        "Rename",
        "Repair",
        "Request",
        "Reset",
        "Resize",
        "Resolve",
        "Restart",
        "Restore",
        "Resume",
        "Revoke",
        "Save",
        "Search",
        "Select",
        "Send",
        "Set",
        "Show",
        "Skip",
        "Split",
        "Start",
        "Step",
        "Stop",
        "Submit",
        "Suspend",
        "Switch",
        "Sync",
        "Test",
        "Trace",
        "Unblock",
        "Undo",
        "Uninstall",
        "Unlock",
        "Unprotect",
        "Unpublish",
        "Unregister",
        "Update",
        "Use",
        "Wait",
        "Watch",
        "Write",
    ]
)
CHANGING_VERBS = frozenset(
    [
        "Install",
        "New",
        "Register",
        "Remove",
        "Reset",
        "Restart",
        "Set",
        "Start",
        "Stop",
        "Submit",
        "Undo",
        "Uninstall",
        "Update",
    ]
)
PLURALS = re.compile(r"(?<![sui])s$")
_COMMAND = re.compile(r"[A-Z][A-Za-z]+-[A-Z][A-Za-z]+")
_SECRET = re.compile(r"password|secret|token|apikey|^key$", re.IGNORECASE)

Node = tree_sitter.Node


def parsed(source: bytes) -> Node:
    """The tree of a script."""
    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language())).parse(source).root_node


def nodes(node: Node, *types: str) -> Iterator[Node]:
    """Every node below, or those of these types."""
    if not types or node.type in types:
        yield node
    for child in node.children:
        yield from nodes(child, *types)


def text(node: Node | None) -> str:
    return (node.text or b"").decode() if node is not None else ""


def first(node: Node, kind: str) -> Node | None:
    return next(nodes(node, kind), None)


def _said(node: Node, what: str) -> str:
    return f"line {node.start_point[0] + 1}: {what}"


def functions(tree: Node) -> dict[str, Node]:
    return {text(first(one, "function_name")): one for one in nodes(tree, "function_statement")}


def _commands(tree: Node) -> Iterator[tuple[Node, str]]:
    for command in nodes(tree, "command"):
        name = next((child for child in command.children if child.type == "command_name"), None)
        if name is not None:
            yield command, text(name)


def is_powershell(tree: Node) -> Iterator[str]:
    for node in nodes(tree):
        if node.is_error or node.is_missing:
            yield _said(node, "no PowerShell")


def names_functions_by_approved_verbs_and_singular_nouns(tree: Node) -> Iterator[str]:
    for name, node in functions(tree).items():
        verb, _, noun = name.partition("-")
        if verb not in APPROVED_VERBS or not re.fullmatch(r"[A-Z][A-Za-z]+", noun):
            yield _said(node, f"{name} has no approved verb")
        elif PLURALS.search(noun):
            yield _said(node, f"{name} has a plural noun")


def asks_before_it_changes_something(tree: Node) -> Iterator[str]:
    for name, node in functions(tree).items():
        binding = text(first(node, "param_block")).partition(")")[0]
        if name.partition("-")[0] not in CHANGING_VERBS:
            continue
        if "SupportsShouldProcess" not in binding:
            yield _said(node, f"{name} changes something and knows no -WhatIf")
        asks = "$PSCmdlet.ShouldProcess(" in text(node)
        hands_on = any(
            other != name and other.partition("-")[0] in CHANGING_VERBS for _, other in _commands(node)
        )
        if not asks and not hands_on:
            yield _said(node, f"{name} says that it knows -WhatIf and never asks")


def uses_no_alias(tree: Node) -> Iterator[str]:
    for command, name in _commands(tree):
        if not _COMMAND.fullmatch(name):
            yield _said(command, f"{name} is an alias, or a program that is not called by `&`")


def names_every_parameter(tree: Node) -> Iterator[str]:
    """What is given by position reads as something else when a cmdlet changes."""
    for command, name in _commands(tree):
        elements = next((child for child in command.children if child.type == "command_elements"), None)
        before = ""
        for element in elements.children if elements is not None else ():
            if element.type in ("command_argument_sep", "redirection", ",") or text(element).startswith("@"):
                continue
            is_value = element.type != "command_parameter"
            if is_value and before != "command_parameter" and before != "list":
                yield _said(command, f"{name} is given {text(element)!r} by position")
            before = element.type


def runs_no_text(tree: Node) -> Iterator[str]:
    for command, name in _commands(tree):
        if name in ("Invoke-Expression", "Add-Type") or text(command).startswith(". "):
            yield _said(command, f"{name} runs text as code")
    for call in nodes(tree, "invokation_expression"):
        if re.search(r"ScriptBlock\]?::Create|InvokeScript|ExpandString", text(call)):
            yield _said(call, "runs text as code")


def takes_no_secret_as_plain_text(tree: Node) -> Iterator[str]:
    for parameter in nodes(tree, "script_parameter"):
        variable = text(next((one for one in parameter.children if one.type == "variable"), None)).lstrip("$")
        types = {text(one).lower().strip("[]") for one in nodes(parameter, "type_literal")}
        if _SECRET.search(variable) and not types & {"securestring", "pscredential"}:
            yield _said(parameter, f"${variable} is a secret in plain text")
        if variable.lower() in ("username", "credential") and "pscredential" not in types:
            yield _said(parameter, f"${variable} is no PSCredential")
    for command, name in _commands(tree):
        if name == "ConvertTo-SecureString" and "-AsPlainText" in text(command):
            yield _said(command, "makes a secure string of plain text")


def writes_objects_and_not_to_the_screen(tree: Node) -> Iterator[str]:
    for command, name in _commands(tree):
        if name in ("Write-Host", "Out-Host"):
            yield _said(command, f"{name} writes where nobody can use it")


def swallows_no_error(tree: Node) -> Iterator[str]:
    for clause in nodes(tree, "catch_clause"):
        block = first(clause, "statement_block")
        if block is None or not text(block).strip("{} \n"):
            yield _said(clause, "an empty catch")


def sets_no_global(tree: Node) -> Iterator[str]:
    for variable in nodes(tree, "variable"):
        if text(variable).lower().startswith("$global:"):
            yield _said(variable, f"{text(variable)} is global")


def is_ascii(tree: Node) -> Iterator[str]:
    """Windows PowerShell 5.1 reads a file without a mark in the machine's own code page."""
    if not text(tree).isascii():
        yield "not only ASCII"


def is_strict(tree: Node) -> Iterator[str]:
    source = text(tree)
    if "Set-StrictMode" not in source or "$ErrorActionPreference = 'Stop'" not in source:
        yield "neither strict nor stopping at errors"


EVERYWHERE: tuple[Callable[[Node], Iterator[str]], ...] = (
    is_powershell,
    is_ascii,
    names_functions_by_approved_verbs_and_singular_nouns,
    asks_before_it_changes_something,
    uses_no_alias,
    takes_no_secret_as_plain_text,
    writes_objects_and_not_to_the_screen,
    swallows_no_error,
    sets_no_global,
)
MODULES = (*EVERYWHERE, names_every_parameter, runs_no_text, is_strict)


def violations(source: str, rules: tuple[Callable[[Node], Iterator[str]], ...]) -> list[str]:
    tree = parsed(source.encode())
    return [said for rule in rules for said in rule(tree)]
