"""What is downloaded when the machine has no server of its own: Debian packages, by name.

Measured on Debian 13: the server, the extensions it doesn't bring itself, a pooler for tests, and
every library they load, so that they run on any distribution.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from homeops_db.localdb.unavailable import unavailable

MAJOR: Final = 17
SUITE: Final = "trixie"
"""Debian 13. Pinned: the machine's own release has other versions, or none."""

SERVER: Final = (
    f"postgresql-{MAJOR}",
    f"postgresql-client-{MAJOR}",
    f"postgresql-{MAJOR}-timescaledb",
    f"postgresql-{MAJOR}-pgvector",
    "pgbouncer",
)
LIBRARIES: Final = (
    *("libaudit1", "libc6", "libcap-ng0", "libcap2", "libcares2", "libcom-err2", "libevent-2.1-7t64"),
    *("libgcc-s1", "libgssapi-krb5-2", "libicu76", "libk5crypto3", "libkeyutils1", "libkrb5-3"),
    *("libkrb5support0", "libldap2", "liblz4-1", "liblzma5", "libpam0g", "libpq5", "libreadline8t64"),
    *("libsasl2-2", "libssl3t64", "libstdc++6", "libsystemd0", "libtinfo6", "libuuid1", "libxml2"),
    *("libxxhash0", "libzstd1", "zlib1g"),
)
PACKAGES: Final = SERVER + LIBRARIES

LEFT_OUT: Final = (
    "./etc",
    "./usr/include",
    "./usr/lib/systemd",
    "./usr/share/bug",
    "./usr/share/doc",
    "./usr/share/lintian",
    "./usr/share/locale",
    "./usr/share/man",
    f"./usr/share/postgresql/{MAJOR}/man",
    f"./usr/lib/postgresql/{MAJOR}/lib/bitcode",
    f"./usr/lib/postgresql/{MAJOR}/lib/llvmjit*",
)
"""What a development server never reads; tar's patterns."""

BIN: Final = f"usr/lib/postgresql/{MAJOR}/bin"
PGBOUNCER: Final = "usr/sbin/pgbouncer"


@dataclass(frozen=True)
class Architecture:
    """One machine architecture as Debian's packages name it."""

    name: str
    triplet: str
    loader: str

    @property
    def libraries(self) -> str:
        """The folder of the libraries and of the dynamic loader, inside the tree."""
        return f"usr/lib/{self.triplet}"


ARCHITECTURES: Final = {
    "amd64": Architecture("amd64", "x86_64-linux-gnu", "ld-linux-x86-64.so.2"),
    "arm64": Architecture("arm64", "aarch64-linux-gnu", "ld-linux-aarch64.so.1"),
}


def architecture(name: str) -> Architecture:
    """Look up what ``dpkg --print-architecture`` said.

    Raises:
        LocalServerError: Another architecture: nothing of the recipe was tried there.
    """
    if name not in ARCHITECTURES:
        known = " and ".join(ARCHITECTURES)
        raise unavailable(f"its packages are known for {known}, and this machine is {name}")
    return ARCHITECTURES[name]


def fingerprint() -> str:
    """Name this recipe: a changed one unpacks into a folder of its own beside the old."""
    return hashlib.sha256(repr((MAJOR, SUITE, PACKAGES, LEFT_OUT)).encode()).hexdigest()[:8]
