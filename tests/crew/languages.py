"""Parsers of the languages that cannot be run here."""

from collections.abc import Iterator

import tree_sitter
import tree_sitter_powershell


def powershell_errors(source: bytes) -> list[str]:
    """Lines that are no PowerShell."""
    tree = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language())).parse(source)
    return [
        f"line {node.start_point[0] + 1}"
        for node in _nodes(tree.root_node)
        if node.is_error or node.is_missing
    ]


def _nodes(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    yield node
    for child in node.children:
        yield from _nodes(child)
