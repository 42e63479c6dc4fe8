"""Becomes another program that dies with its parent: `python leash.py SIGNAL PARENT USER COMMAND...`.

The kernel sends SIGNAL when the thread that started this process ends (prctl(2), PR_SET_PDEATHSIG). The pid stays
the same, because the program is executed in place. USER is a name, or `-` to stay who we are.
"""

import ctypes
import os
import pwd
import sys

PR_SET_PDEATHSIG = 1


def main(signal_number: int, parent: int, user: str, command: list[str]) -> None:
    """Drop to `user`, ask for the signal, then become `command`."""
    if user != "-":
        account = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent:
        sys.exit("the parent is gone")
    os.execvpe(command[0], command, os.environ)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
