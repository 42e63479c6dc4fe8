"""Becomes another program that dies with its parent: `python leash.py SIGNAL PARENT USER NICENESS COMMAND...`.

The kernel sends SIGNAL when the thread that started this process ends (prctl(2), PR_SET_PDEATHSIG). The pid stays
the same, because the program is executed in place. USER is a name, or `-` to stay who we are. NICENESS is 0 for a
program like others, up to 19 for one that lets others go first.
"""

import ctypes
import os
import pwd
import sys
import time

PR_SET_PDEATHSIG = 1

SESSION_SHARE = "/proc/self/autogroup"
"""Where Linux shares the processor between sessions first, and only then within each (sched(7)): a program of ours is
a session of its own, so its niceness alone would change nothing."""


def main(signal_number: int, parent: int, user: str, niceness: int, command: list[str]) -> None:
    """Let others go first, drop to `user`, ask for the signal, then become `command`."""
    if niceness > 0:
        let_others_go_first(niceness)
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


def let_others_go_first(niceness: int) -> None:
    """Lower this process's share of the processor, and its session's where there is such a thing."""
    os.nice(niceness)
    for _ in range(20):
        try:
            share = os.open(SESSION_SHARE, os.O_WRONLY)
            try:
                os.write(share, str(niceness).encode())
            finally:
                os.close(share)
        except BlockingIOError:  # of all users but root together, the kernel takes one such wish in 0.1 s
            time.sleep(0.1)
        except OSError:  # no sessions here, or none that may be changed
            return
        else:
            return


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5:])
