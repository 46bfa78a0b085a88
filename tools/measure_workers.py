#!/usr/bin/env python3
"""What rollout-workers are worth when they are many, and when they are killed.

    tools/measure_workers.py scaling|kills [--seconds 60] [--rounds 3] [--out FILE]

Starts a PostgreSQL of its own, a broker, a learner, a trainer and a teacher, a run of the plain hopper that has no
end, and workers of one thread each, every one in a network namespace of its own, with an address of its own (root,
and `ip`).

scaling  Steps of the run for each second of processor time that the workers used, with 1, 2, 3 and 4 workers, --rounds
         times each in turn, for --seconds: from one complete batch to another.
kills    Steps of the run a second with 8 workers, undisturbed, and while a random one of them is killed (SIGKILL) every
         10 s and started again at once; --rounds times each in turn. A step counts once its batch is complete: what a
         killed worker had done of it is done again.
Prints JSON.
"""
import argparse
import contextlib
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import time

from measuring import origin
from stack import Broker, Database, Program, await_true, queue, server_folder

BATCH_STEPS = 4096
RUN = f"""
labels: 900 steps: 80000000
collection {{ environments: 16 batch_steps: {BATCH_STEPS} }}
"""
KILLED_EVERY_S = 10


class Hosts:
    """Network namespaces NAME-1 and so on, with addresses 10.77.0.101 and so on; this machine is 10.77.0.1."""

    HERE = "10.77.0.1"

    def __init__(self, count):
        self.bridge, self.names = f"bf{os.getpid()}", [f"backflip-{os.getpid()}-{i}" for i in range(1, count + 1)]

    @staticmethod
    def ip(*arguments):
        subprocess.run(["ip", *map(str, arguments)], check=True)

    def __enter__(self):
        self.ip("link", "add", self.bridge, "type", "bridge")
        self.ip("addr", "add", f"{self.HERE}/24", "dev", self.bridge)
        self.ip("link", "set", self.bridge, "up")
        for number, name in enumerate(self.names, 1):
            link = f"{self.bridge}p{number}"
            self.ip("netns", "add", name)
            self.ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
            self.ip("link", "set", link, "master", self.bridge, "up")
            self.ip("-n", name, "addr", "add", f"10.77.0.{100 + number}/24", "dev", "eth0")
            self.ip("-n", name, "link", "set", "eth0", "up")
            self.ip("-n", name, "link", "set", "lo", "up")
        return self

    def __exit__(self, *error):
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], check=False)
        subprocess.run(["ip", "link", "del", self.bridge], check=False)


class Measurement:
    def __init__(self, database, broker, hosts):
        self.database = database
        self.services = [Program(broker, "policy-learner", "learner", "learner", f"--listen={hosts.HERE}:0", "--insecure"),
                         Program(broker, "reward-trainer", "trainer", "trainer"),
                         Program(broker, "labeler", "teacher", "teacher")]
        self.workers = [Program(broker, "rollout-worker", "worker", name, "--threads=1", "--insecure",
                                f"--cache={broker.folder}/{name}", host=name) for name in hosts.names]
        for service in self.services:
            service.start()
        self.run = queue(broker, "hopper_backflip", RUN, 3)

    def next_batch(self):
        """Waits until one more is complete, and returns how many are, and when."""
        before = self.database.iterations(self.run)
        await_true(lambda: self.database.iterations(self.run) > before, "a batch is complete")
        return self.database.iterations(self.run), time.monotonic()

    @contextlib.contextmanager
    def working(self, count):
        """That many workers, who have been given work."""
        for worker in self.workers[:count]:
            worker.start()
        for _ in range(2):
            self.next_batch()
        yield self.workers[:count]
        for worker in self.workers[:count]:
            worker.drain(30)

    def scaling(self, seconds):
        """For each number of workers: steps, seconds, and processor seconds of the workers."""
        result = {}
        for count in (1, 2, 3, 4):
            with self.working(count) as workers:
                first, begin = self.next_batch()
                cpu = sum(worker.cpu_seconds() for worker in workers)
                last, end = self.next_batch()
                while end < begin + seconds:
                    last, end = self.next_batch()
                result[count] = {"steps": (last - first) * BATCH_STEPS, "seconds": end - begin,
                                 "cpu_seconds": sum(worker.cpu_seconds() for worker in workers) - cpu}
        return result

    def kills(self, seconds, chance):
        """Steps a second, undisturbed and not."""
        result = {}
        with self.working(len(self.workers)) as workers:
            for killing in (False, True):
                first, begin = self.next_batch()
                last, end, kill_at, killed = first, begin, begin, 0
                while end < begin + seconds:
                    if killing and end >= kill_at:
                        victim = chance.choice(workers)
                        victim.kill()
                        victim.start()
                        kill_at, killed = kill_at + KILLED_EVERY_S, killed + 1
                    last, end = self.next_batch()
                result["killed" if killing else "undisturbed"] = {
                    "steps": (last - first) * BATCH_STEPS, "seconds": end - begin, "kills": killed}
        return result

    def end(self):
        for program in (*self.workers, *self.services):
            if program.process and program.process.poll() is None:
                program.kill()


def summary(what, rounds):
    if what == "scaling":
        by_count = {count: statistics.median(one[count]["steps"] / one[count]["cpu_seconds"] for one in rounds)
                    for count in rounds[0]}
        return {"steps_per_core_second": by_count,
                "to_one_worker": {count: value / by_count[1] for count, value in by_count.items()}}
    rate = {arm: statistics.median(one[arm]["steps"] / one[arm]["seconds"] for one in rounds) for arm in rounds[0]}
    return {"steps_per_second": rate, "share": rate["killed"] / rate["undisturbed"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("scaling", "kills"))
    parser.add_argument("--seconds", type=float, default=60, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1, help="of which worker is killed")
    parser.add_argument("--out", help="JSON file to write")
    args = parser.parse_args()
    folder, chance = server_folder(), random.Random(args.seed)
    database = Database(folder)
    broker = Broker(database, folder)
    measurement, rounds = None, []
    with Hosts(4 if args.what == "scaling" else 8) as hosts:
        try:
            broker.start()
            measurement = Measurement(database, broker, hosts)
            for _ in range(args.rounds):
                rounds.append(measurement.scaling(args.seconds) if args.what == "scaling"
                              else measurement.kills(args.seconds, chance))
        finally:
            if measurement:
                measurement.end()
            if broker.process:
                broker.stop()
            database.stop("immediate")
            shutil.rmtree(folder)
    text = json.dumps({**origin(), "seconds": args.seconds, "rounds": rounds, **summary(args.what, rounds)}, indent=1)
    print(text)
    if args.out:
        pathlib.Path(args.out).write_text(text + "\n")


if __name__ == "__main__":
    main()
