#!/usr/bin/env python3
"""Reads what echo_load wrote, a JSON object a line, and prints medians and ratios to the floors.

A ratio is taken within each round and the median of those is printed, with the smallest and the
largest: what the machine did during a round falls on both sides of it.
"""

import json
import statistics
import sys

FLOORS = ("floor_epoll", "floor_uring")


def median(values):
    return statistics.median(values) if values else float("nan")


def read(path):
    """{cell: {server: [result of each round]}}, in the order in which they came."""
    cells = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            result = json.loads(line)
            cell, server = result["label"].split()
            cells.setdefault(cell, {}).setdefault(server, []).append(result)
    return cells


def ratio(mine, floor, key):
    pairs = [a[key] / b[key] for a, b in zip(mine, floor) if b[key] > 0]
    if not pairs:
        return "–"
    return f"{median(pairs):.2f} ({min(pairs):.2f}–{max(pairs):.2f})"


def print_traffic(cell, servers):
    print(f"\n**{cell}**: {servers[next(iter(servers))][0]['mode']}\n")
    heads = ["server", "requests/s", "CPU µs each", "p50 µs", "p99 µs", "p99.9 µs", "errors"]
    floors = [floor for floor in FLOORS if floor in servers]
    for floor in floors:
        heads += [f"req/s to {floor}", f"CPU to {floor}"]
    print("| " + " | ".join(heads) + " |")
    print("| --- |" + " ---: |" * (len(heads) - 1))
    for server, rounds in servers.items():
        cells = [
            server,
            f"{median([r['requests_per_second'] for r in rounds]):,.0f}",
            f"{median([r['cpu_per_request_us'] for r in rounds]):.3f}",
            f"{median([r['p50_us'] for r in rounds]):.0f}",
            f"{median([r['p99_us'] for r in rounds]):.0f}",
            f"{median([r['p999_us'] for r in rounds]):.0f}",
            str(sum(r["errors"] for r in rounds)),
        ]
        for floor in floors:
            cells.append(ratio(rounds, servers[floor], "requests_per_second"))
            cells.append(ratio(rounds, servers[floor], "cpu_per_request_us"))
        print("| " + " | ".join(cells) + " |")


def print_idle(cell, servers):
    first = servers[next(iter(servers))][0]
    print(f"\n**{cell}**: {first['connections']} idle connections after one echo each\n")
    print("| server | resident bytes each | mapped data bytes each |\n| --- | ---: | ---: |")
    for server, rounds in servers.items():
        resident = median([r["resident_bytes_per_connection"] for r in rounds])
        data = median([r["data_bytes_per_connection"] for r in rounds])
        print(f"| {server} | {resident:,.0f} | {data:,.0f} |")


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: table.py FILE")
    for cell, servers in read(sys.argv[1]).items():
        if servers[next(iter(servers))][0]["mode"] == "idle":
            print_idle(cell, servers)
        else:
            print_traffic(cell, servers)


if __name__ == "__main__":
    main()
