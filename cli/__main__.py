"""`python -m repram_cli`, the same as `repram`."""

from repram_cli.main import main

main()
