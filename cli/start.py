"""Where the program begins, as `repram` and as `python -m repram_cli`."""

from __future__ import annotations

import atexit
import gc


def start() -> None:
    """Import the rest and run one command. Python would look for garbage among what is imported, again and
    again, and once more at the end: a quarter of what a short command takes, and there is none."""
    gc.disable()
    atexit.register(gc.freeze)
    from repram_cli.main import main

    main()


def keep_tidy() -> None:
    """What is at hand stays; from here on garbage is looked for among what is made."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
