"""Compare the versions of requirements.lock with the vulnerabilities that OSV knows; `make audit` and CI run it.

python .ci/audit.py FILE        exit status 0: none is known, 1: some are, 69: nobody could be asked
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PIP_AUDIT = "pip-audit@2.10.1"
UNAVAILABLE = 69
"""EX_UNAVAILABLE of sysexits.h: nothing was compared, which is neither good nor bad news."""
_NETWORK = (
    "ConnectionError",
    "ConnectTimeout",
    "ReadTimeout",
    "ProxyError",
    "NameResolutionError",
    "Failed to fetch",
    "error sending request",
    "dns error",
    "Could not connect",
    "503 Server Error",
)
"""What requests and uv say of a network that is not there, or of a service that does not answer."""


def main() -> int:
    lock = sys.argv[1]
    words = ["tool", "run", PIP_AUDIT, "--vulnerability-service", "osv", "--disable-pip", "--requirement", lock]
    uv = Path(sys.executable).with_name("uv")
    done = subprocess.run([uv, *words], capture_output=True, text=True, check=False)
    said = (done.stderr + done.stdout).strip()
    if done.returncode and any(word in said for word in _NETWORK):
        why = " ".join(said.splitlines()[-1].split())[:300]
        print(f"audit: {lock} was compared with nothing: OSV or PyPI cannot be reached: {why}", file=sys.stderr)
        return UNAVAILABLE
    print(said)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
