#!/usr/bin/env python3
"""Measures how long the pages take to answer while others do their worst.

    tools/measure_pages.py [--seconds 10] [--connections 10000]

Starts a PostgreSQL of its own, as measure_labeling.py, and a broker, and ends both. A client asks for `/` twenty times
a second, each time on a new connection, while
  quiet   nothing else happens,
  bodies  eight connections send, as fast as they are answered, bodies of 4 KB that decompress to 4 MB of JSON, half of
          them with a labeler's token and half without,
  idle    so many connections are open, and silent.
Prints one JSON object: milliseconds from before the connection until the whole answer.
"""
import argparse
import asyncio
import gzip
import json
import resource
import shutil
import time

from measuring import origin
from stack import Broker, Database, server_folder

BODY = gzip.compress(b'{"answer":{"ranking":{"groups":[' + b"{}," * 1_398_000 + b"{}]}}}")


async def request(address, text):
    """One request on a connection of its own: the status."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(text)
        head = await reader.readuntil(b"\r\n\r\n")
        length = [int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        await reader.readexactly(length[0] if length else 0)
        return int(head.split()[1])
    finally:
        writer.close()


async def watch(address, seconds):
    """Latencies of `/`, in ms; a request begins when it is due, whether or not the one before was answered."""

    async def once():
        begin = time.perf_counter()
        status = await request(address, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert status in (200, 404), status  # 404: pages are not built
        return 1000 * (time.perf_counter() - begin)

    tasks = []
    for _ in range(seconds * 20):
        tasks.append(asyncio.create_task(once()))
        await asyncio.sleep(0.05)
    times = sorted(await asyncio.gather(*tasks))
    return {"requests": len(times), "p50": round(times[len(times) // 2], 1),
            "p99": round(times[len(times) * 99 // 100], 1), "max": round(times[-1], 1)}


async def attack(address, token, counts):
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    head = (f"POST /backflip.v1.LabelingService/Submit HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"{authorization}Content-Encoding: gzip\r\nContent-Length: {len(BODY)}\r\nConnection: close\r\n\r\n").encode()
    while True:
        status = await request(address, head + BODY)
        counts[status] = counts.get(status, 0) + 1


async def measure(address, token, arguments):
    results = {"quiet": await watch(address, arguments.seconds)}
    counts = {}
    attackers = [asyncio.create_task(attack(address, token if i % 2 else "", counts)) for i in range(8)]
    results["bodies"] = await watch(address, arguments.seconds) | {"answers": counts}
    for attacker in attackers:
        attacker.cancel()
    await asyncio.gather(*attackers, return_exceptions=True)
    idle = [await asyncio.open_connection(*address) for _ in range(arguments.connections)]
    results["idle"] = await watch(address, arguments.seconds) | {"connections": len(idle)}
    for _, writer in idle:
        writer.close()
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=10, help="of each part")
    parser.add_argument("--connections", type=int, default=10_000)
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folder = server_folder()
    database = Database(folder)
    broker = Broker(database, folder)
    try:
        broker.start()
        host, port = broker.http.rsplit(":", 1)
        token = (folder / "tokens/labeler.token").read_text().strip()
        print(json.dumps(origin() | asyncio.run(measure((host, int(port)), token, arguments)), indent=1))
    finally:
        broker.stop()
        database.stop("immediate")
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
