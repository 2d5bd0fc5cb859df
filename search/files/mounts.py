"""Which paths lie on another machine. Every access to a file there costs a round trip."""

from __future__ import annotations

import re
from pathlib import Path

_MOUNTS = Path("/proc/self/mounts")
"""Linux's table of mounted file systems. Other systems have none, and every path counts as local."""

_LAID_OVER = r"(?!(fuse-overlayfs|mergerfs|gocryptfs|encfs|bindfs)$)"
_NETWORK = re.compile(rf"(nfs\d?|cifs|smb\w*|9p|afs|beegfs\w*|ceph|glusterfs|gpfs|lustre|fuse\.{_LAID_OVER}.+)")


def network_type(path: Path) -> str | None:
    """The type of the network file system, such as nfs4, on which `path` is or would be made. None: it is local.

    FUSE's types (sshfs, s3fs, rclone and so on) count as network, except those that show a local folder elsewhere.
    """
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    place, found = path.resolve(), ("", "")
    for line in lines:
        _, mount, kind, *_ = line.split(" ")
        mount = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), mount)  # a blank is written \040
        if place.is_relative_to(mount) and len(mount) >= len(found[0]):  # the later of two at one place hides the other
            found = (mount, kind)
    return found[1] if _NETWORK.fullmatch(found[1]) else None
