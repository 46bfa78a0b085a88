#!/usr/bin/env python3
"""Measures `./backflip train` over seeds: the figures of docs/results.md.

    tools/measure_train.py --seeds 1-5 --out results.json
    tools/measure_train.py --seeds 1-5 --spec tools/true_reward.textproto --out baseline.json

Each run is a fresh data folder. Before and after it, `mj_step_benchmark` measures the bare simulator on one core
of the same machine, with nothing else running. Memory is the largest sum of PSS of the
whole stack, PostgreSQL included, sampled each second. Writes one JSON object with a row for
each seed and the means, and prints the same as a Markdown table.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import threading

from measuring import BIN, ROOT, build, data_folder, origin, train


def raw_steps_per_second(task):
    """Control steps per second of bare mj_step on one core."""
    folder = task if os.path.isdir(task) else str(ROOT / "tasks" / task)
    out = subprocess.run([BIN / "mj_step_benchmark", "--benchmark_format=json"], check=True,
                         capture_output=True, text=True, env={**os.environ, "BACKFLIP_TASK": folder})
    return json.loads(out.stdout)["benchmarks"][0]["items_per_second"]


def command_lines():
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                yield int(entry), pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                pass


def stack_pss(data):
    """Bytes of PSS of all processes that name the data folder, and of their children."""
    parents, roots = {}, set()
    for pid, line in command_lines():
        try:
            parents[pid] = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        if data in line and pid != os.getpid():
            roots.add(pid)

    def belongs(pid):
        while pid in parents:
            if pid in roots:
                return True
            pid = parents[pid]
        return False

    total = 0
    for pid in parents:
        if belongs(pid):
            try:
                for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        total += int(line.split()[1]) * 1024
            except OSError:
                pass
    return total


def run_once(args, seed):
    raw_before = raw_steps_per_second(args.task)
    peak, done = 0, threading.Event()
    with data_folder() as data:
        def watch():
            nonlocal peak
            while not done.wait(1.0):
                peak = max(peak, stack_pss(data))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            row = train(data, "--task", args.task, "--seed", str(seed), *(["--spec", args.spec] if args.spec else []))
        finally:
            done.set()
            watcher.join()
    raw = statistics.mean([raw_before, raw_steps_per_second(args.task)])
    row.update(raw_steps_per_second=raw, loop_over_raw=row["steps_per_second"] / raw, peak_pss_bytes=peak)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="hopper_backflip_guided")
    parser.add_argument("--seeds", default="1-5", help="A-B")
    parser.add_argument("--spec", help="a RunSpec text file over the task's defaults")
    parser.add_argument("--out", required=True, help="JSON file to write")
    args = parser.parse_args()
    first, last = (int(s) for s in args.seeds.split("-"))
    build()
    rows = []
    for seed in range(first, last + 1):
        rows.append(run_once(args, seed))
        print(json.dumps(rows[-1]), flush=True)
    numbers = [k for k in rows[0] if isinstance(rows[0][k], (int, float)) and k != "seed"]
    summary = {
        **origin(),
        "rows": rows,
        "mean": {k: statistics.mean(r[k] for r in rows if r[k] is not None) for k in numbers},
        "least": {k: min(r[k] for r in rows if r[k] is not None) for k in numbers},
    }
    pathlib.Path(args.out).write_text(json.dumps(summary, indent=1) + "\n")
    print("\n| seed | " + " | ".join(numbers) + " |\n|" + "---|" * (len(numbers) + 1))
    for row in rows:
        print(f"| {row['seed']} | " + " | ".join(f"{row[k]:.4g}" for k in numbers) + " |")
    print("| mean | " + " | ".join(f"{summary['mean'][k]:.4g}" for k in numbers) + " |")


main()
