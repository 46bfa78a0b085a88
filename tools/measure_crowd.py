#!/usr/bin/env python3
"""What a faulty crowd costs, with and without learning how reliable each labeler is.

    tools/measure_crowd.py --seeds 1-5 --out crowd.json

Five teachers with names and tokens of their own answer each run of hopper_backflip_guided (900 labels, lockstep, as
./backflip train has it), one question at a time, as they come to it. Three arms for each seed:

    honest    five oracles
    learned   three oracles, one who turns every answer around, one who answers half of the questions at random:
              30 % of the answers are inverted or random
    ignored   the same crowd with quality.learn_reliability off

Each run is a fresh data folder. Landed backflips are the mean of 20 fresh episodes of the best snapshot, which is
chosen by predicted return. Writes one JSON object with a row for each run, and prints a Markdown table with the
ratios of the means over seeds. --arms runs some of them; --merge takes rows of an earlier file.
"""
import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess

from measuring import ROOT, build, data_folder, origin, train

FAULTY = "oracle,oracle,oracle,inverted,half_random"
ARMS = {"honest": ("oracle,oracle,oracle,oracle,oracle", True), "learned": (FAULTY, True), "ignored": (FAULTY, False)}


def labelers(data):
    """Name, labels and reliability interval of each teacher, as `backflip labeler list` prints them."""
    out = subprocess.run([ROOT / "backflip", "labeler", "list", "--run", "1", "--data", data], check=True,
                         capture_output=True, text=True).stdout
    found = []
    for line in out.splitlines():
        match = re.match(r"(teacher-\d+-\w+)\s.*?\s(\d+)\s", line)
        if match:
            interval = re.search(r"(\d\.\d+)-(\d\.\d+)", line)
            found.append({"name": match[1], "labels": int(match[2]),
                          "reliability": [float(interval[1]), float(interval[2])] if interval else None})
    return found


def run_once(task, seed, arm):
    teachers, learn = ARMS[arm]
    with data_folder() as data:
        spec = os.path.join(data, "spec.textproto")
        pathlib.Path(spec).write_text(f"quality {{ learn_reliability: {str(learn).lower()} }}\n")
        results = train(data, "--task", task, "--seed", str(seed), "--teacher", teachers, "--spec", spec)
        return {"arm": arm, **results, "labelers": labelers(data)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="hopper_backflip_guided")
    parser.add_argument("--seeds", default="1-5", help="A-B")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--merge", help="an earlier file, whose rows are kept")
    parser.add_argument("--out", required=True, help="JSON file to write")
    args = parser.parse_args()
    first, last = (int(s) for s in args.seeds.split("-"))
    rows = json.loads(pathlib.Path(args.merge).read_text())["rows"] if args.merge else []
    done = {(row["arm"], row["seed"]) for row in rows}
    build()

    def summary():
        landed = {arm: {r["seed"]: r["landed_backflips"] for r in rows if r["arm"] == arm} for arm in ARMS}
        means = {arm: statistics.mean(of.values()) for arm, of in landed.items() if of}
        ratios = {f"{arm}_over_honest": means[arm] / means["honest"] for arm in ("learned", "ignored")
                  if arm in means and means.get("honest")}
        return landed, {**origin(), "teachers": {a: t for a, (t, _) in ARMS.items()},
                        "mean_landed_backflips": means, "ratios": ratios, "rows": rows}

    for seed in range(first, last + 1):
        for arm in args.arms.split(","):
            if (arm, seed) in done:
                continue
            rows.append(run_once(args.task, seed, arm))
            print(json.dumps(rows[-1]), flush=True)
            pathlib.Path(args.out).write_text(json.dumps(summary()[1], indent=1) + "\n")
    landed, result = summary()
    print("\nLanded backflips per episode of 1000 steps:\n\n| seed | " + " | ".join(ARMS) + " |\n|" + "---|" * (len(ARMS) + 1))
    for seed in sorted({row["seed"] for row in rows}):
        print(f"| {seed} | " + " | ".join(f"{landed[a][seed]:.2f}" if seed in landed[a] else "" for a in ARMS) + " |")
    means = result["mean_landed_backflips"]
    print("| **mean** | " + " | ".join(f"**{means[a]:.2f}**" if a in means else "" for a in ARMS) + " |")
    print("| ÷ honest | | " + " | ".join(f"{result['ratios'].get(a + '_over_honest', float('nan')):.2f}"
                                        for a in ("learned", "ignored")) + " |")


main()
