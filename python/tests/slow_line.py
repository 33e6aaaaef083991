"""A relay of TCP that holds whatever passes, either way, for a while, as a long line does.

usage: slow_line.py PORT TO_PORT MILLISECONDS
"""

import asyncio
import contextlib
import sys
import time


async def hold(reader, writer, seconds):
    """Passes on each piece that is read so long after it came; ends when the reader does."""
    pieces = asyncio.Queue()

    async def write():
        while True:
            due, piece = await pieces.get()
            await asyncio.sleep(due - time.monotonic())
            if not piece:
                break
            writer.write(piece)
            await writer.drain()
        writer.close()

    writing = asyncio.create_task(write())
    with contextlib.suppress(ConnectionError):
        piece = None
        while piece != b"":
            piece = await reader.read(1 << 16)
            pieces.put_nowait((time.monotonic() + seconds, piece))
        await writing
    writing.cancel()
    writer.close()


async def main(port, to_port, milliseconds):
    async def relay(reader, writer):
        there, back = await asyncio.open_connection("127.0.0.1", to_port)
        await asyncio.gather(hold(reader, back, milliseconds / 1e3), hold(there, writer, milliseconds / 1e3))

    async with await asyncio.start_server(relay, "0.0.0.0", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
