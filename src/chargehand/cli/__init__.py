"""The command line: signatures that start quickly (main.py, commands_*.py); the work is in the rest."""
