"""The address of a device, as a user writes it: ssh://user@host:port."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from autokd_edge.errors import InputError

_LAW = "a device must be ssh://user@host or ssh://user@host:port"
_HINT = "--device ssh://pi@192.168.1.20"
# The OpenSSH client reads a leading dash as an option, and its configuration may hand names to a shell (ProxyCommand).
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\Z")
_HOST = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.-]{0,252}|[0-9A-Fa-f:.]{2,45}(%[A-Za-z0-9_.-]{1,16})?)\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class SshAddress:
    """A host, or a name in the user's ssh configuration; what is None is left to that configuration."""

    host: str
    user: str | None
    port: int | None

    @property
    def login(self) -> tuple[str, ...]:
        """The arguments of the OpenSSH client that lead there."""
        port = () if self.port is None else ("-p", str(self.port))
        user = () if self.user is None else ("-l", self.user)
        return (*port, *user, "--", self.host)

    @property
    def typed(self) -> str:
        """The words to type after ``ssh`` to try the same by hand."""
        port = "" if self.port is None else f"-p {self.port} "
        return f"{port}{'' if self.user is None else self.user + '@'}{self.host}"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        return f"ssh://{'' if self.user is None else self.user + '@'}{host}{port}"


def ssh_address(text: str) -> SshAddress:
    """Read an address; raises InputError."""
    refusal = InputError(f"{_LAW}; got '{text}'", hint=_HINT)
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise refusal from None
    # urlsplit drops line ends, and "?" with nothing behind it.
    more = url.path not in {"", "/"} or "?" in text or "#" in text or not text.isprintable()
    if url.scheme != "ssh" or more or not url.hostname:
        raise refusal
    if url.password is not None:
        raise InputError(f"{_LAW}; a password has no place in it", hint=f"ssh-copy-id {url.hostname}")
    # urlsplit lowers the host, and names in a configuration may be written large.
    host = url.netloc.rpartition("@")[2]
    host = host.removeprefix("[").partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if not _HOST.match(host) or (url.username is not None and not _USER.match(url.username)) or port == 0:
        raise refusal
    return SshAddress(host=host, user=url.username, port=port)
