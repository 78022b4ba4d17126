"""`python -m repram_cli`, the same as `repram`."""

from repram_cli.start import start

start()
