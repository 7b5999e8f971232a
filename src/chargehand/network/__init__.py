"""Requests that the service makes to addresses that somebody else named."""
