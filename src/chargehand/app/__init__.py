"""Wiring, by hand, once: settings in, a running service out."""
