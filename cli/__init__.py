"""The command line; it installs as `repram_cli`."""
