"""A process that has imported the commands once and becomes each that is typed, in a fork of its own.

Most of a command's time goes into imports, and the tests type hundreds. What is forked has everything else
of its own: the arguments, the environment, the folder, the standard streams. How a command starts from
nothing is shown by the nodes of the tests and by all that goes on beside a test, which do so.
"""

from __future__ import annotations

import contextlib
import io
import marshal
import os
import runpy
import socket
import sys

import repram.sdk.kv  # noqa: F401  # the verbs import it and all that it needs
from repram_cli.main import verbs
from repram_cli.tree import whole

MOST = 1 << 20  # bytes of arguments and environment


def main() -> None:
    """Returns in the forks alone, which then are the command; ends when nobody can ask any more."""
    whole()  # imports and makes all verbs
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        verbs()(["hosts", "ls"])  # for what is imported and made by the first that runs
    asked = socket.socket(fileno=int(sys.argv[1]))
    while True:
        request, descriptors, _, _ = socket.recv_fds(asked, MOST, 4)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not request:
            sys.exit()
        if os.fork() == 0:
            asked.close()
            become(request, *descriptors)
            return
        for descriptor in descriptors:
            os.close(descriptor)


def become(request: bytes, stdin: int, stdout: int, stderr: int, told: int) -> None:
    """Takes the place of what was typed. A process in between tells how that ended."""
    if command := os.fork():
        for descriptor in (stdin, stdout, stderr):
            os.close(descriptor)
        _, status = os.waitpid(command, 0)
        os.write(told, marshal.dumps(os.waitstatus_to_exitcode(status)))
        os._exit(0)
    for number, descriptor in enumerate((stdin, stdout, stderr)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.close(told)
    sys.argv[1:], environment, folder = marshal.loads(request)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)


if __name__ == "__main__":
    main()
    runpy.run_module("repram_cli", run_name="__main__", alter_sys=True)
