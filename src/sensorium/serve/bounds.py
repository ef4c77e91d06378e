"""Who is let in, and how much they may ask for."""

import hmac
import re
from dataclasses import dataclass
from ipaddress import ip_address

from sensorium.core.errors import SensoriumError

_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]\s/@]+)(?::(\d{1,5}))?")


class Refused(SensoriumError):
    """A request that is not answered: `status` and, where it helps to come again, after how many seconds."""

    def __init__(self, status: int, text: str, again: int | None = None):
        super().__init__(text)
        self.status, self.again = status, again


class NotFound(SensoriumError):
    """Something that is asked for by name or id, and is not there."""


@dataclass(frozen=True)
class Bounds:
    """What one client, and all together, may take. `SensoriumError` for a bound that lets nothing through."""

    upload: int = 32 * 2**20
    """Bytes of a request with files."""
    text: int = 2**18
    """Bytes of any other request."""
    held: int = 256 * 2**20
    """Bytes of the requests that are held at once, of all clients together."""
    seconds: float = 30.0
    """In which a request has to arrive; and as long one waits for its turn at most."""
    rate: float = 8 * 2**20
    """Bytes a second that one address may send in the long run; at once as much as two uploads, or 64 small ones."""
    waiting: int = 256
    """Questions that are being answered, and things that wait for the device; more are sent away."""
    patience: float = 10.0
    """Seconds that a question may have to wait, by the pace of late; what would wait longer is sent away before it is read."""

    def __post_init__(self):
        if min(self.upload, self.text, self.seconds, self.rate, self.waiting, self.patience) <= 0 or self.held < self.upload:
            raise SensoriumError(f"{self}: expected numbers above 0, and room for at least one upload")


@dataclass(frozen=True)
class Door:
    """Who may ask. `names`: host names by which the server is called, beside localhost and addresses; `token`: "" for none.

    A page on the web can make a browser call a server on this machine. Its browser then says so in `Origin` or
    `Sec-Fetch-Site`; and one that has had a name of its own point here (DNS rebinding) calls by that name, never by an address.
    """

    token: str = ""
    names: tuple[str, ...] = ()

    def check(self, method: str, path: str, headers: dict[str, str]) -> None:
        """`Refused` where the request is not for this server, comes from another site's page, or lacks the token."""
        host = headers.get("host", "")
        if not self._ours(host):
            raise Refused(421, f"this server is not called {host[:80]!r}; start it with --name to add a name")
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
        if origin is not None and origin.partition("://")[2] != host:
            raise Refused(403, f"a page of {origin[:80]!r} may not ask this server")
        opened = method == "GET" and path == "/" and headers.get("sec-fetch-mode") == "navigate"  # by a link: that is harmless
        if site not in ("same-origin", "none") and not opened:
            raise Refused(403, "a page of another site may not ask this server")

    def knows(self, token: str) -> bool:
        return not self.token or hmac.compare_digest(token.encode("utf-8", "replace"), self.token.encode())

    def _ours(self, host: str) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match[1].lower().rstrip(".")
        return name in ("localhost", *map(str.lower, self.names)) or name.endswith(".localhost") or _is_address(name)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens there."""
    name = host.strip("[]").lower()
    return name == "localhost" or (_is_address(name) and ip_address(name).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
