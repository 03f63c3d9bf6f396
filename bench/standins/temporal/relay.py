"""Starts Temporal's development server, which speaks no TLS, and ends mutual TLS before it."""

import asyncio
import contextlib
import os
import ssl

BEHIND = 7300
CHUNK = 65_536


def context() -> ssl.SSLContext:
    """Certificates on both sides, by the variables of the official image."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(
        os.environ["TEMPORAL_TLS_FRONTEND_CERT"], os.environ["TEMPORAL_TLS_FRONTEND_KEY"]
    )
    made.load_verify_locations(os.environ["TEMPORAL_TLS_CLIENT1_CA_CERT"])
    made.verify_mode = ssl.CERT_REQUIRED
    made.set_alpn_protocols(["h2"])
    return made


async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Pass on what comes, and the end of it."""
    with contextlib.suppress(OSError):
        while data := await source.read(CHUNK):
            sink.write(data)
            await sink.drain()
    sink.close()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Connect a caller with the server."""
    try:
        there, back = await asyncio.open_connection("127.0.0.1", BEHIND)
    except OSError:
        writer.close()
        return
    await asyncio.gather(copy(reader, back), copy(there, writer))


async def main() -> int:
    """Serve until the server ends."""
    if not os.environ["POSTGRES_PWD"]:
        return 2
    command = ("/opt/temporal", "server", "start-dev", "--headless", "--log-level", "error")
    server = await asyncio.create_subprocess_exec(*command, "--port", str(BEHIND))
    await asyncio.start_server(serve, "0.0.0.0", 7233, ssl=context())
    return await server.wait()


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
