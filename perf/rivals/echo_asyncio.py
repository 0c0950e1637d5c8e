#!/usr/bin/python3
"""An echo server as asyncio's Protocol: echo_asyncio.py [--uvloop] PORT."""

import asyncio
import sys

import echo_common


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


async def serve(port):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", port, backlog=echo_common.BACKLOG)
    await server.serve_forever()


if __name__ == "__main__":
    echo_common.allow_all_descriptors()
    if "--uvloop" in sys.argv:
        import uvloop

        uvloop.install()
    asyncio.run(serve(int(sys.argv[-1])))
