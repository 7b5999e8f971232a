"""Chargehand runs AI agents as dependable workers."""

__version__ = "0.1.0"
