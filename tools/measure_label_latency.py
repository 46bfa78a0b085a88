#!/usr/bin/env python3
"""How long an answer takes to reach the policy.

    tools/measure_label_latency.py --labelers 0
    tools/measure_label_latency.py --labelers 5 --labels 200
    tools/measure_label_latency.py --labelers 1 --labels-per-minute 17.5 --labels 890 --to-the-end

With --labelers 0 it follows a whole `./backflip train --seed S` as it is, with its teacher and in lockstep, by SQL in
its database. Otherwise it starts `./backflip train --human` on a fresh data folder, with oracles in the place of people: each answers one
question at a time, --labels-per-minute of them, by the public labeling interface. For each answer that counts, the
latency is from when the broker had committed it to the end of the first policy update whose batch was rewarded by an
ensemble that had trained on it (the learner reports how many labels that was: policy/reward_labels; labels are fitted
in the order of the feed). The update itself is part of it, so the figure is an upper bound.

Those labels that the first ensemble waited for (queries.first_labels) are told apart. With steps_per_label, as people
have it, a batch waits for batch_steps / steps_per_label labels, and for more while warm_up_labels are not reached: at
the pace of a single person that wait is most of the latency. With --to-the-end the run of 900 labels is let end, and
what came of it is told. Prints JSON.
"""
import argparse
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from measuring import BIN, ROOT, call


def broker_address(parent):
    """The Unix socket of the broker that a process has started."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = pathlib.Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()
            arguments = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if int(stat[1]) == parent and "preference-broker" in arguments[0]:
            for argument in arguments:
                if argument.startswith("--listen="):
                    return argument.removeprefix("--listen=")
    return None


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def plain_run(args, data, output):
    """Times of the answers and (labels, time) of the updates, seconds, of a run with its teacher."""
    command = [str(BIN / "backflip"), "train", "--task", args.task, "--seed", str(args.seed), "--data", data]
    train = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    server = pathlib.Path(data) / "postgres" / "postmaster.pid"
    psql = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/psql"), key=lambda p: int(p.parts[-3]))[-1]

    def read(query):
        lines = server.read_text().splitlines()  # the fifth is the socket's folder
        out = subprocess.run([psql, "-qAtX", "-h", lines[4], "-U", "postgres" if os.geteuid() == 0 else os.environ["USER"],
                              "-c", query, "backflip"], check=True, capture_output=True, text=True).stdout
        return [[float(value) for value in line.split("|")] for line in out.splitlines()]

    answered, updates = [], []
    while train.poll() is None:
        try:
            answered = read("SELECT extract(epoch FROM answered_at) FROM standing_labels "
                            "WHERE run_id = 1 AND counts ORDER BY position")
            updates = read("SELECT value, extract(epoch FROM at) FROM metric_points "
                           "WHERE run_id = 1 AND name = 'policy/reward_labels' ORDER BY at")
        except (OSError, IndexError, subprocess.CalledProcessError):
            pass  # it is not up yet, or ends
        time.sleep(0.5)
    if train.returncode:
        sys.exit(f"`{' '.join(command)}` ended with {train.returncode}; its output is {data}/output.txt")
    return [at for at, in answered], updates


def human_run(args, data, output):
    """The same of a run that people answer."""
    command = [str(BIN / "backflip"), "train", "--task", args.task, "--human", "--teacher", "none", "--seed",
               str(args.seed), "--data", data, "--labels", "900", "--json", os.path.join(data, "result.json")]
    train = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    teachers = []
    try:
        pages = pathlib.Path(data) / "pages.url"
        while not pages.exists() or not broker_address(train.pid):
            if train.poll() is not None:
                sys.exit(f"`{' '.join(command)}` ended; its output is {data}/output.txt")
            time.sleep(0.1)
        url = pages.read_text().strip()
        operator = (pathlib.Path(data) / "tokens" / "operator.token").read_text().strip()
        for i in range(args.labelers):
            # invited like anybody else, but as a teacher, who sees true rewards
            name = f"teacher-{i + 1}"
            invited = call(url, operator, "PeopleService/Invite", {
                "requestId": f"measure-label-latency-{i}", "role": "INVITE_TEACHER", "name": name})
            accepted = call(url, operator, "PeopleService/AcceptInvite", {
                "requestId": f"measure-label-latency-{i}-go", "secret": invited["secret"]})
            token = pathlib.Path(data) / f"{name}.token"
            token.write_text(accepted["token"] + "\n")
            token.chmod(0o600)
            teachers.append(subprocess.Popen(
                [str(BIN / "labeler"), f"--broker={broker_address(train.pid)}", f"--token-file={token}", "--count=1",
                 f"--labels-per-minute={args.labels_per_minute}", f"--seed={i + 1}"], stdout=output, stderr=output))
            time.sleep(0.3)  # people do not begin at the same instant
        while True:
            points = call(url, operator, "RunService/ListMetrics", {"runId": "1", "names": ["policy/reward_labels"]})
            updates = [(float(p["value"]), int(p["atMs"]) / 1000) for p in points.get("points", [])]
            if train.poll() is not None or (updates and updates[-1][0] >= args.labels):
                break
            time.sleep(1)
        exported = subprocess.run([BIN / "backflip", "labels", "export", "1", "--data", data], check=True,
                                  capture_output=True, text=True).stdout
        if args.to_the_end:
            train.wait()
    finally:
        for process in [*teachers, train]:
            process.send_signal(signal.SIGINT)
        for process in [*teachers, train]:
            process.wait()
    labels = [json.loads(line) for line in exported.splitlines()]
    # those that are trained on: not the checks of labelers and the questions about progress
    return [int(l["answered_ms"]) / 1000 for l in labels
            if l["purpose"] == "TRAIN" and l["answer"].get("choice") in ("LEFT", "RIGHT", "TIE")], updates


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="hopper_backflip_guided")
    parser.add_argument("--labels", type=int, default=200)
    parser.add_argument("--labelers", type=int, default=5, help="0: ./backflip train as it is")
    parser.add_argument("--labels-per-minute", type=float, default=20, help="of each labeler; 0: as fast as they can")
    parser.add_argument("--to-the-end", action="store_true", help="with labelers: until the run ends; then its result")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", help="JSON file to write")
    args = parser.parse_args()

    data = tempfile.mkdtemp(prefix="backflip-latency-")
    os.chmod(data, 0o755)
    with open(os.path.join(data, "output.txt"), "w") as output:
        answered, updates = (human_run if args.labelers else plain_run)(args, data, output)

    first = updates[0][0]
    latencies, waited = [], []
    for number, at in enumerate(answered, start=1):
        used = [ended for trained_on, ended in updates if trained_on >= number]
        if used:
            (waited if number <= first else latencies).append(min(used) - at)
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    result = {
        "commit": commit, "machine": f"{os.cpu_count()} cores", "task": args.task, "seed": args.seed, "labelers": args.labelers,
        "labels_per_minute": args.labels_per_minute, "labels": len(latencies), "updates": len(updates),
        "p50_s": percentile(latencies, 0.5), "p90_s": percentile(latencies, 0.9), "p99_s": percentile(latencies, 0.99),
        "mean_s": statistics.mean(latencies) if latencies else None,
        "before_the_first_ensemble": {"labels": len(waited), "p50_s": percentile(waited, 0.5)},
    }
    if args.labelers and args.to_the_end:
        result["run"] = json.loads(pathlib.Path(data, "result.json").read_text())
    print(json.dumps(result, indent=1))
    if args.out:
        pathlib.Path(args.out).write_text(json.dumps(result, indent=1) + "\n")
    shutil.rmtree(data)


main()
