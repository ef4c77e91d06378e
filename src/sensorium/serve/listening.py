"""The server at work: it listens, says where, and ends at Ctrl-C."""

import socket
import sys
import webbrowser
from threading import Timer
from urllib.parse import quote

from sensorium.core.errors import SensoriumError, need
from sensorium.serve.app import Server

CONNECTIONS = 1024
"""More are sent away by the first server in the way, before anything is read."""


def listen(server: Server, host: str, port: int, token: str = "", look: bool = False) -> int:
    """Answers until it is ended, and returns how many requests it has answered. `SensoriumError` where the port is taken."""
    uvicorn = need("uvicorn", "web", "serving a collection")
    config = uvicorn.Config(
        server.app,
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        proxy_headers=False,  # anybody could say that he is somebody else, and the rate is counted by address
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=5,
    )
    with _socket(host, port) as listener:
        address = link(host, listener.getsockname()[1], token)
        print(f"{len(server.collection)} items at {address}", file=sys.stderr, flush=True)
        if look:
            Timer(0.5, webbrowser.open, [address]).start()
        uvicorn.Server(config).run(sockets=[listener])
    return server.meters.total()


def link(host: str, port: int, token: str) -> str:
    """What a person opens. All addresses of this machine are called localhost."""
    named = "localhost" if host in ("0.0.0.0", "::", "") else f"[{host}]" if ":" in host else host
    return f"http://{named}:{port}/" + (f"?token={quote(token)}" if token else "")


def _socket(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
    except (OSError, OverflowError) as error:
        made.close()
        raise SensoriumError(f"cannot listen at {host}:{port}: {error}; give another --port, 0 for any that is free") from error
    return made
