"""Mutants that change nothing that a caller could notice, each with the reason.

A key that fits no mutant is told as an error, so that this table does not outlive the code.
"""

EQUIVALENT: dict[str, str] = {}
