"""How cffi makes `repram._core`: the declarations are rp_api.h itself, without its directives."""

import re
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).parent


def declarations(header: str) -> str:
    """The header as cffi reads it: no conditionals, and only #defines that are integers."""
    lines = []
    for line in header.splitlines():
        if not line.startswith("#"):
            lines.append(line)
        elif found := re.match(r"#define (RP_\w+) \(?(-?(?:0x)?[0-9a-f]+)\)?\b", line):
            lines.append(f"#define {found[1]} {found[2]}")
    return "\n".join(lines)


ffibuilder = FFI()
ffibuilder.cdef(declarations((HERE / "rp_api.h").read_text()))
ffibuilder.set_source(
    "repram._core",
    '#include "rp_api.h"',
    sources=[f"csrc/{path.name}" for path in sorted(HERE.glob("*.c"))],
    include_dirs=["csrc"],
    extra_compile_args=["-std=c11", "-O3", "-D_GNU_SOURCE"],
    libraries=["m"],
)
