#!/usr/bin/env python3
"""How long a run stands still when its learner, its trainer, or the broker is killed.

    tools/measure_hand_over.py [--kills 10] [--out FILE]

Starts a PostgreSQL of its own, a broker, two learners, two trainers, a worker and a teacher, and kills (SIGKILL) the
learner that serves the run, then the trainer, then the broker, --kills times each; what was killed is started again
once the run goes on, so that the other one takes over by the database's lease (the broker at once). `claimed_s` is from the
kill to the other one's claim, by the database's clock; `working_s` to the second batch that is complete beyond those
at the kill: simulated, rewarded and learned from, after what the checkpoint lacked was repeated. `undisturbed` is how
long two batches take while nothing happens. Prints JSON.
"""
import argparse
import json
import math
import pathlib
import shutil
import time

from measuring import origin
from stack import ENDLESS, Broker, Database, Program, await_true, queue, server_folder


def percentile(values, share):
    return sorted(values)[math.ceil(share * len(values)) - 1]


class Measurement:
    def __init__(self, database, broker):
        self.database, self.broker = database, broker
        self.pairs = {role: [Program(broker, binary, role, f"{role}-{i}") for i in (1, 2)]
                      for role, binary in (("learner", "policy-learner"), ("trainer", "reward-trainer"))}
        self.programs = [*self.pairs["learner"], *self.pairs["trainer"],
                         Program(broker, "rollout-worker", "worker", "worker", "--threads=1"),
                         Program(broker, "labeler", "teacher", "teacher")]

    def value(self, sql):
        return self.database.sql(sql)[0][0]

    def epoch(self, role):
        return int(self.value(f"SELECT epoch FROM claims WHERE run_id = {self.run} AND role = '{role}'"))

    def holder(self, role):
        """Whoever says in its log that it serves the run under the newest epoch."""
        epoch = self.epoch(role)
        for program in self.pairs[role]:
            if program.epoch() == epoch:
                return program
        return None

    def begin(self):
        for program in self.programs:
            program.start()
        self.run = queue(self.broker, "hopper_backflip_guided", ENDLESS, 3)
        await_true(lambda: self.database.iterations(self.run) >= 3, "the run has begun")

    def disturb(self, role):
        """What came of a kill; of nothing, where `role` is "undisturbed"."""
        claimed = role in self.pairs
        if claimed:
            await_true(lambda: self.holder(role), f"somebody holds the run as {role}")
        victim = self.holder(role) if claimed else self.broker
        epoch = self.epoch(role) if claimed else 0
        goal = self.database.iterations(self.run) + 2
        killed_at = self.value("SELECT clock_timestamp()")
        begin = time.monotonic()
        if role != "undisturbed":
            victim.kill()
        if role == "broker":
            victim.start()
        await_true(lambda: self.database.iterations(self.run) >= goal, "the run goes on")
        result = {"working_s": time.monotonic() - begin}
        if claimed:
            await_true(lambda: self.epoch(role) > epoch, "the claim is another one")
            result["claimed_s"] = float(self.value(
                f"SELECT extract(epoch FROM claimed_at - '{killed_at}') FROM claims WHERE run_id = {self.run} AND role = '{role}'"))
            victim.start()
        # further than the claim's first batch, which clears what is held against it
        await_true(lambda: self.database.iterations(self.run) >= goal + 2, "the run goes on")
        return result

    def end(self):
        for program in self.programs:
            if program.process:
                program.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, help="of each role")
    parser.add_argument("--out", help="JSON file to write")
    args = parser.parse_args()
    folder = server_folder()
    database = Database(folder)
    broker = Broker(database, folder)
    measurement = Measurement(database, broker)
    result = {}
    try:
        broker.start()
        measurement.begin()
        for role in ("undisturbed", "learner", "trainer", "broker"):
            kills = [measurement.disturb(role) for _ in range(args.kills)]
            result[role] = {name: {"p50": percentile([kill[name] for kill in kills], 0.5),
                                   "p95": percentile([kill[name] for kill in kills], 0.95),
                                   "all": [round(kill[name], 2) for kill in kills]} for name in kills[0]}
    finally:
        measurement.end()
        if broker.process:
            broker.stop()
        database.stop("immediate")
        shutil.rmtree(folder)
    text = json.dumps({**origin(), "kills": args.kills, **result}, indent=1)
    print(text)
    if args.out:
        pathlib.Path(args.out).write_text(text + "\n")


if __name__ == "__main__":
    main()
