// An echo server on Node: node echo_node.js PORT. Its sockets read up to 64 KiB at a time; pipe()
// stops reading while the peer does not take what is written.
"use strict";

const net = require("node:net");

const server = net.createServer({ noDelay: true }, (client) => {
  client.on("error", () => client.destroy()); // the peer has reset: no other connection ends
  client.pipe(client);
});
server.listen({ host: "127.0.0.1", port: Number(process.argv[2]), backlog: 4096 });
