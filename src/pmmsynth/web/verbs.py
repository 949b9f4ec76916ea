"""The verb of `pmmsynth reading` that serves a study."""

import signal
import socket
from dataclasses import dataclass
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path

from tyro.conf import Positional

from pmmsynth.errors import UsageError
from pmmsynth.verb import Verb


@dataclass(frozen=True)
class Serve(Verb):
    """Serve a study to its readers and the organiser as web pages, until stopped by Ctrl-C or SIGTERM."""

    study: Positional[Path]
    """What create made."""
    host: str = "127.0.0.1"
    """Address to listen at; other than this machine's own only behind a reverse proxy with TLS."""
    port: int = 8765
    """0 for any that is free."""

    def run(self) -> int:
        if any(find_spec(name) is None for name in ("fastapi", "uvicorn", "sqlalchemy")):
            raise UsageError("found no web server; expected its packages; pip install 'pmmsynth[reading]'")
        import uvicorn

        from pmmsynth.web.app import create_app

        with _listening(self.host, self.port) as listener:
            app = create_app(self.study)
            host, port = listener.getsockname()[:2]
            if not ip_address(host).is_loopback:
                self.reporter.warn(
                    f"WARNING: listening at {host}, beyond this machine, WITHOUT ENCRYPTION: put a reverse proxy with "
                    "TLS before it"
                )
            config = uvicorn.Config(
                app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=5
            )
            server = uvicorn.Server(config)

            def stop(*_: object) -> None:
                server.should_exit = True

            for number in (signal.SIGINT, signal.SIGTERM):  # until the server has its own, and after
                signal.signal(number, stop)
            address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
            self.reporter.say(f"serving at {address}", address=address)
            server.run(sockets=[listener])
        self.reporter.say("stopped")
        return 0


def _listening(host: str, port: int) -> socket.socket:
    if not 0 <= port < 1 << 16:
        raise UsageError(f"found port {port}; expected 0 to 65535; give --port 0 for any that is free")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise UsageError(
            f"found no way to listen at {host} port {port} ({error}); expected a free port of this machine; "
            "give --port 0 for any that is free"
        ) from error
