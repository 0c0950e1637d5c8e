#!/usr/bin/python3
"""An echo server on asyncio's streams, a task a client: echo_asyncio_streams.py PORT."""

import asyncio
import sys

import echo_common


async def echo(reader, writer):
    try:
        while data := await reader.read(echo_common.BUFFER):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass  # the peer has reset: this connection ends, no other
    finally:
        writer.close()


async def serve(port):
    server = await asyncio.start_server(echo, "127.0.0.1", port, backlog=echo_common.BACKLOG)
    await server.serve_forever()


if __name__ == "__main__":
    echo_common.allow_all_descriptors()
    asyncio.run(serve(int(sys.argv[1])))
