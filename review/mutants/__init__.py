"""Mutation tests of the guards: each is weakened in a copy of the package, and tests must notice."""
