"""`python -m tests.cheap …` is `repram …` with passwords that cost next to nothing."""

from __future__ import annotations

from repram.crypto.passwords import cheap_for_tests
from repram_cli.main import main

if __name__ == "__main__":
    with cheap_for_tests():
        main()
