"""Requests that nobody would send in earnest, by the hundred thousand: no answer may be one that is not declared."""
