#!/usr/bin/env python3
"""The whole loop for a while, with a random fault every so often.

    tools/soak.py [--minutes 30] [--every 20] [--seed 1] [--out FILE]

Starts a PostgreSQL of its own, a broker, two learners, two trainers, two workers and a teacher on a run that has no
end, and labelers of its own, who answer by the JSON interface and keep the key of every answer that was
acknowledged. Every --every seconds something happens: a program is killed (SIGKILL) or stopped where it stands for
12 s, which is longer than its lease; PostgreSQL is restarted, killed, or stopped where it stands; its clock is set
an hour forward or back (what it has stored of the time is moved instead); the newest checkpoint is damaged; or
everything is killed at once. What was killed is started again at once.

At the end nothing more happens, and it is looked at whether
  labels     each acknowledged answer is a label once, and the labelers have no others; feeds have no gaps
  curve      every iteration up to the newest has its point in the chart of the policy
  going on   the run goes further within 60 s, whatever happened
  leaks      no program that lived for two minutes, and served the same run or none in them, has grown by more than
             64 MiB, or 32 descriptors, from the least of the first third of that time after a minute to the least of the
             last
  hanging    every program ends well within 40 s of being asked to
Prints JSON; exits with 1 if one of them is not so.
"""
import argparse
import collections
import http.client
import json
import math
import os
import pathlib
import random
import secrets
import shutil
import signal
import sys
import threading
import time
import urllib.error

from measuring import origin
from stack import ENDLESS, Broker, Database, Program, call, queue, server_folder

LABELERS = 4
STOPPED_S = 12
PATIENCE_S = 60
# What programs may grow by once they have lived for a minute.
MIB, DESCRIPTORS = 64, 32


class Labeler(threading.Thread):
    """Answers as a teacher does, two questions a second, and is never killed."""

    def __init__(self, broker, number):
        super().__init__(daemon=True)
        self.broker, self.token = broker, self.join_in(broker, number)
        self.acknowledged, self.refused, self.retries = set(), collections.Counter(), 0
        self.stopping = threading.Event()

    @staticmethod
    def join_in(broker, number):
        operator = (broker.folder / "tokens" / "operator.token").read_text().strip()
        invited = call(broker, operator, "PeopleService/Invite", {
            "requestId": f"soak-invites-labeler-{number}", "role": "INVITE_TEACHER", "name": f"soak-{number}"})
        return call(broker, operator, "PeopleService/AcceptInvite", {
            "requestId": f"soak-accepts-labeler-{number}", "secret": invited["secret"]})["token"]

    def attempt(self, method, body):
        """The answer, tried for as long as it takes; None where the broker refuses for good."""
        while True:
            try:
                return call(self.broker, self.token, f"LabelingService/{method}", body)
            except urllib.error.HTTPError as error:
                if error.code not in (408, 429, 499, 500, 503, 504):
                    self.refused[f"{method} {error.code}: {json.loads(error.read()).get('message', '')}"[:200]] += 1
                    return None
            except (OSError, http.client.HTTPException, json.JSONDecodeError):
                pass  # the broker was killed meanwhile
            self.retries += 1
            time.sleep(0.2)

    def run(self):
        while not self.stopping.is_set():
            leased = self.attempt("Lease", {"waitMs": 2000}) or {}
            for question in leased.get("questions", []):
                left, right = (sum(clip.get("trueRewards", [])) for clip in question["clips"])
                key = secrets.token_hex(16)
                if self.attempt("Submit", {"leaseId": question["leaseId"], "idempotencyKey": key,
                                           "answer": {"choice": "LEFT" if left > right else "RIGHT"}}) is not None:
                    self.acknowledged.add(key)
            self.stopping.wait(0.5)


class Soak:
    def __init__(self, args, database, broker):
        self.args, self.database, self.broker = args, database, broker
        self.draw = random.Random(args.seed)
        self.learners = [Program(broker, "policy-learner", "learner", f"learner-{i}") for i in (1, 2)]
        self.trainers = [Program(broker, "reward-trainer", "trainer", f"trainer-{i}") for i in (1, 2)]
        self.workers = [Program(broker, "rollout-worker", "worker", f"worker-{i}", "--threads=1") for i in (1, 2)]
        self.teacher = Program(broker, "labeler", "teacher", "teacher", "--labels-per-minute=60")
        self.programs = [*self.learners, *self.trainers, *self.workers, self.teacher]
        self.happened = collections.Counter()
        self.sizes = {}  # of (name, pid): (MiB, descriptors) again and again, after a minute

    # --- what happens --------------------------------------------------------

    def kill(self, program):
        program.kill()
        program.start()

    def stop_for_a_while(self, pids):
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(STOPPED_S)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)

    def server_pids(self):
        server = int((self.database.data / "postmaster.pid").read_text().splitlines()[0])
        children = pathlib.Path(f"/proc/{server}/task/{server}/children").read_text().split()
        return [server, *map(int, children)]

    def restart_database(self, mode):
        self.database.stop(mode)
        self.database.start()

    def set_clock(self, sign):
        for table, columns in (("claims", ("claimed_at", "expires_at")), ("leases", ("leased_at", "expires_at"))):
            moved = ", ".join(f"{column} = {column} {sign} interval '1 hour'" for column in columns)
            live = " WHERE state = 'LIVE'" if table == "leases" else ""
            self.database.sql(f"UPDATE {table} SET {moved}{live}")

    def damage_checkpoint(self):
        # a run none of whose checkpoints can be read fails, as it must
        if int(self.database.sql("SELECT count(*) FROM checkpoints WHERE role = 'learner'")[0][0]) < 2:
            return False
        self.database.sql("UPDATE checkpoints c SET data = set_byte(data, 100, 255 - get_byte(data, 100)) WHERE iteration = "
                          "(SELECT max(iteration) FROM checkpoints n WHERE n.run_id = c.run_id AND n.role = c.role) AND role = 'learner'")
        self.kill(self.learners[0])
        self.kill(self.learners[1])
        return True

    def kill_everything(self):
        for program in [self.broker, *self.programs]:
            program.kill()
        self.restart_database("immediate")
        for program in [self.broker, *self.programs]:
            program.start()

    def faults(self):
        def one_of(programs):
            return self.draw.choice(programs)

        return {
            "a learner is killed": lambda: self.kill(one_of(self.learners)),
            "a trainer is killed": lambda: self.kill(one_of(self.trainers)),
            "a worker is killed": lambda: self.kill(one_of(self.workers)),
            "the teacher is killed": lambda: self.kill(self.teacher),
            "the broker is killed": lambda: self.kill(self.broker),
            "a learner sleeps": lambda: self.stop_for_a_while([one_of(self.learners).process.pid]),
            "a trainer sleeps": lambda: self.stop_for_a_while([one_of(self.trainers).process.pid]),
            "a worker sleeps": lambda: self.stop_for_a_while([one_of(self.workers).process.pid]),
            "the broker sleeps": lambda: self.stop_for_a_while([self.broker.process.pid]),
            "PostgreSQL is restarted": lambda: self.restart_database("fast"),
            "PostgreSQL is killed": lambda: self.restart_database("immediate"),
            "PostgreSQL hangs": lambda: self.stop_for_a_while(self.server_pids()),
            "the clock is set forward": lambda: self.set_clock("-"),
            "the clock is set back": lambda: self.set_clock("+"),
            "a checkpoint is damaged": self.damage_checkpoint,
            "everything is killed": self.kill_everything,
        }

    # --- what is looked at ---------------------------------------------------

    def measure(self):
        # who takes a run up needs memory for it
        epochs = {program.name: program.epoch() for program in (*self.learners, *self.trainers)}
        for program in [self.broker, *self.programs]:
            pid, name = program.process.pid, getattr(program, "name", "broker")
            try:
                status = pathlib.Path(f"/proc/{pid}/status").read_text()
                mib = int(status.split("VmRSS:")[1].split()[0]) / 1024
                descriptors = len(os.listdir(f"/proc/{pid}/fd"))
            except (OSError, IndexError):
                continue
            sizes = self.sizes.setdefault((name, pid, epochs.get(name)), {"since": time.monotonic(), "measured": []})
            sizes["lived_s"] = time.monotonic() - sizes["since"]
            if sizes["lived_s"] >= 60:
                sizes["measured"].append((mib, descriptors))

    def leaks(self):
        grown = {}
        for (name, _, _), sizes in self.sizes.items():
            if sizes["lived_s"] < 120:
                continue
            # the least of the last third and of the first: a fit needs some memory for a while
            third = math.ceil(len(sizes["measured"]) / 3)
            mib, descriptors = map(min, zip(*sizes["measured"][-third:]))
            first_mib, first_descriptors = map(min, zip(*sizes["measured"][:third]))
            grown.setdefault(name, []).append({"lived_s": round(sizes["lived_s"]), "mib": round(mib - first_mib, 1),
                                               "descriptors": descriptors - first_descriptors})
        return grown

    def goes_further(self):
        before, until = self.database.iterations(self.run), time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            if self.database.iterations(self.run) >= before + 2:
                return True
            time.sleep(0.2)
        return False

    def labels(self):
        """What is wrong with the labelers' labels, as counts."""
        stored = collections.Counter(row[0] for row in self.database.sql(
            "SELECT l.idempotency_key FROM labels l JOIN callers c ON c.id = l.caller_id WHERE c.name LIKE 'soak-%'"))
        acknowledged = set().union(*(labeler.acknowledged for labeler in self.labelers))
        gaps = self.database.sql("SELECT count(*) FROM (SELECT run_id FROM labels GROUP BY run_id HAVING "
                                 "count(*) <> max(position) OR count(*) <> count(position)) t")[0][0]
        twice = self.database.sql("SELECT count(*) FROM (SELECT FROM labels WHERE supersedes IS NULL "
                                  "GROUP BY question_id, caller_id HAVING count(*) > 1) t")[0][0]
        return {"acknowledged": len(acknowledged), "lost": len(acknowledged - set(stored)),
                "doubled": sum(count - 1 for count in stored.values()) + int(twice),
                "never_acknowledged": len(set(stored) - acknowledged), "feeds_with_gaps": int(gaps)}

    # --- the course ----------------------------------------------------------

    def begin(self):
        for program in self.programs:
            program.start()
        self.run = queue(self.broker, "hopper_backflip_guided", ENDLESS, self.args.seed)
        self.labelers = [Labeler(self.broker, number) for number in range(LABELERS)]
        for labeler in self.labelers:
            labeler.start()
        while self.database.sql("SELECT count(*) FROM snapshots WHERE kind = 'REWARD'") == [["0"]]:
            if self.database.sql("SELECT state FROM runs WHERE state NOT IN ('QUEUED', 'RUNNING')"):
                sys.exit("the run has ended before it learned from anything")
            time.sleep(0.5)

    def disturb(self):
        faults, end = self.faults(), time.monotonic() + 60 * self.args.minutes
        next_fault = time.monotonic() + self.args.every
        # each once before one comes again
        course = []
        while time.monotonic() < end:
            self.measure()
            if time.monotonic() < next_fault:
                time.sleep(1)
                continue
            course = course or self.draw.sample(sorted(faults), len(faults))
            fault = course.pop()
            print(f"{60 * self.args.minutes - (end - time.monotonic()):6.0f} s: {fault}", file=sys.stderr, flush=True)
            if faults[fault]() is not False:
                self.happened[fault] += 1
            next_fault += self.args.every

    def finish(self):
        result = {"faults": dict(self.happened), "going_on": self.goes_further()}
        for labeler in self.labelers:
            labeler.stopping.set()
        for labeler in self.labelers:
            labeler.join(PATIENCE_S)
        result["labelers_hang"] = sum(labeler.is_alive() for labeler in self.labelers)
        result["retries"] = sum(labeler.retries for labeler in self.labelers)
        result["refused"] = dict(sum((labeler.refused for labeler in self.labelers), collections.Counter()))
        self.measure()
        state, iterations, steps = self.database.sql(
            f"SELECT state, iterations, steps FROM runs WHERE id = {self.run}")[0]
        result |= {"state": state, "iterations": int(iterations), "steps": int(steps), "grown": self.leaks()}
        result["iterations_without_a_point"] = int(self.database.sql(
            f"SELECT count(*) FROM generate_series((SELECT min(iteration) FROM metric_points WHERE run_id = {self.run} AND "
            f"name = 'policy/reward_labels'), {iterations} - 3) i WHERE NOT EXISTS (SELECT FROM metric_points WHERE run_id = "
            f"{self.run} AND name = 'policy/reward_labels' AND iteration = i)")[0][0])
        # after the labels are numbered
        time.sleep(2)
        result["labels"] = self.labels()
        result["ended_badly"] = [program.name for program in self.programs if not program.drain(40)]
        return result


def is_well(result):
    labels = result["labels"]
    return (result["going_on"] and result["state"] == "RUNNING" and not result["labelers_hang"] and not result["ended_badly"] and
            not any(labels[name] for name in ("lost", "doubled", "never_acknowledged", "feeds_with_gaps")) and
            not result["iterations_without_a_point"] and
            all(grown["mib"] <= MIB and grown["descriptors"] <= DESCRIPTORS for each in result["grown"].values() for grown in each))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--every", type=float, default=20, help="seconds from one fault to the next")
    parser.add_argument("--seed", type=int, default=1, help="of the faults and of the run")
    parser.add_argument("--keep", action="store_true", help="the folder with data and logs stays")
    parser.add_argument("--out", help="JSON file to write")
    args = parser.parse_args()
    folder = server_folder()
    database = Database(folder)
    broker = Broker(database, folder)
    soak = Soak(args, database, broker)
    try:
        broker.start()
        soak.begin()
        soak.disturb()
        result = soak.finish()
    finally:
        for program in [*soak.programs, broker]:
            if program.process and program.process.poll() is None:
                program.kill()
        database.stop("immediate")
        if not args.keep:
            shutil.rmtree(folder)
    text = json.dumps({**origin(), "minutes": args.minutes, "seed": args.seed, **result, "well": is_well(result)}, indent=1)
    print(text)
    if args.keep:
        print(f"data and logs are in {folder}", file=sys.stderr)
    if args.out:
        pathlib.Path(args.out).write_text(text + "\n")
    sys.exit(0 if is_well(result) else 1)


if __name__ == "__main__":
    main()
