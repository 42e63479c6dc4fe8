"""Which user runs PostgreSQL, and where that user's data may lie: PostgreSQL refuses to run as root."""

import hashlib
import os
import pwd
import shutil
import stat
from pathlib import Path


def server_account() -> str | None:
    """The user to run PostgreSQL as: None (ourselves) unless we are root; then `postgres`, else `nobody`."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return pwd.getpwnam("nobody").pw_name


def reachable_by(account: str | None, path: Path) -> bool:
    """Whether `account` may walk down to `path` (a home directory with mode 0700 forbids it)."""
    if account is None:
        return True
    entry = pwd.getpwnam(account)
    for directory in [path, *path.parents]:
        if not directory.exists():
            continue
        status = directory.stat()
        needed = 0o001
        if status.st_uid == entry.pw_uid:
            needed = 0o100
        elif status.st_gid == entry.pw_gid:
            needed = 0o010
        if not status.st_mode & needed:
            return False
    return True


def elsewhere(directory: Path) -> Path:
    """The place outside `directory` for what another user must reach; always the same for the same directory."""
    name = hashlib.sha256(str(directory).encode()).hexdigest()[:12]
    return Path("/var/tmp") / f"spacehub-{os.geteuid()}-{name}"


def make_elsewhere(path: Path) -> None:
    """Make that place so that others may walk through it; one that somebody else made is refused (PermissionError)."""
    path.mkdir(mode=0o711, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise PermissionError(f"{path} belongs to somebody else")
    path.chmod(0o711)


def hand_over(path: Path, account: str | None) -> None:
    """Make `path` (a directory that is made when missing) belong to `account` alone."""
    path.mkdir(parents=True, exist_ok=True)
    if account is not None:
        shutil.chown(path, account)
    path.chmod(0o700)
