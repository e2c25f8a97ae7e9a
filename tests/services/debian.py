"""Debian packages for the servers: installed by apt-get when we are root, named when not."""

import os
import shutil

from tests.services.frame import ServiceError, run

# What apt-get says must not depend on the machine, and nothing may ask on the terminal.
QUIET = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}


def install(*packages: str) -> str:
    """Install Debian packages and return their versions; raises ServiceError if we are not root."""
    names = " ".join(packages)
    if shutil.which("apt-get") is None:
        raise ServiceError(f"no apt-get here: bring {names} in this system's own way")
    if os.geteuid() != 0:
        raise ServiceError(f"only root can install packages: sudo apt-get install {names}")
    words = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *packages]
    try:
        run(words, env=QUIET)
    except ServiceError:  # the machine's list of packages is missing or old
        run(["apt-get", "update", "--quiet"], env=QUIET)
        run(words, env=QUIET)
    return run(["dpkg-query", "--show", "--showformat=${Package} ${Version}\n", *packages])
