"""Definitions as they are found in the wild, made for the tests: names, variants, and what is to be read of each."""
