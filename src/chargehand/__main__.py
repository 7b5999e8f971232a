"""`python -m chargehand`: the command line."""

from chargehand.cli.main import main

main()
