// 1,000 small URLs at once by Node's own fetch, from the server by hand: rows_fetch.js SERVER ROW.
// As rows_fetch.py: the client on core 0, the server on core 1. Its fetch opens as many connections
// as it likes; Node offers no setting for that.
"use strict";

const { spawn } = require("node:child_process");
const net = require("node:net");

const URLS = 1000;

const freePort = () => new Promise((found) => {
  const probe = net.createServer().listen(0, "127.0.0.1", () => {
    const { port } = probe.address();
    probe.close(() => found(port));
  });
});

const answers = (port) => new Promise((told) => {
  const probe = net.connect(port, "127.0.0.1");
  probe.on("connect", () => { probe.destroy(); told(true); });
  probe.on("error", () => told(false));
});

async function fetchOne(where, number) {
  const response = await fetch(`${where}${number}`);
  const body = await response.text();
  if (body !== `number ${number}\n`) throw new Error(`a wrong answer to /${number}: ${body}`);
}

async function fetchAll(where) {
  const begun = process.hrtime.bigint();
  const fetches = [];
  for (let number = 0; number < URLS; ++number) fetches.push(fetchOne(where, number));
  await Promise.all(fetches);
  return Number(process.hrtime.bigint() - begun) / 1e6;
}

async function main() {
  const [program, row] = process.argv.slice(2);
  const port = await freePort();
  const server = spawn("setpriv",
    ["--pdeathsig", "KILL", "taskset", "-c", "1", program, String(port)], { stdio: "ignore" });
  try {
    const until = Date.now() + 10_000;
    while (!(await answers(port))) {
      if (Date.now() > until) throw new Error("the server does not answer");
      await new Promise((later) => setTimeout(later, 20));
    }
    const where = `http://127.0.0.1:${port}/`;
    await fetchAll(where); // to warm up
    const value = await fetchAll(where);
    console.log(JSON.stringify({ row, value, unit: "ms" }));
  } finally {
    server.kill("SIGKILL");
  }
}

main().then(() => process.exit(0), (failure) => {
  console.error(failure.message);
  process.exit(1);
});
