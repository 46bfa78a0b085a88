#!/usr/bin/env python3
"""Measures `backflip task new` on the models of a folder, and compares what MuJoCo and the pages draw of each; or how
long it takes until a policy has learned from people's answers about each.

    tools/measure_robots.py FOLDER [--json FILE]
    tools/measure_robots.py FOLDER --answers 20 --json FILE

Entries are MJCF and URDF files that no other file of the folder includes and that are no mere part. For each, one
after the other: seconds until its preview is there, or the sentence of the refusal; the least and the greatest share of
the picture's height or width that the robot fills through a random clip, and whether it stays in the picture; and of the
silhouettes of MuJoCo and of the page, from the same poses, intersection over union. Prints a table. Needs what
`tests/run browser` builds.

With --answers N: `task new`, then `train --human` with batches of 1,024 steps; a labeler answers N questions by the
page's JSON API, at random, and the first update of the policy that an ensemble rewarded which had learned from all of
them ends the run. FILE has a line for each model as soon as it is done, and models that are in it are not measured
again. All runs are in one data folder.
"""
import argparse
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import tempfile
import time
import uuid

from measuring import BIN, ROOT, call, data_folder, origin

LIMIT = 120  # seconds
RUN_LIMIT = 600
SPEC = """labels: {labels} steps: 10000000 steps_per_label: 100000 warm_up_labels: 0
collection {{ environments: 4 batch_steps: 1024 clips_per_batch: {clips} }}
ppo {{ minibatch_steps: 512 epochs: 2 }}
queries {{ first_labels: {answers} }}
quality {{ max_fast_answers: 0 max_one_sided: 0 }}
"""


def entries(folder):
    files = {path: path.read_text(errors="replace") for path in sorted(folder.rglob("*")) if path.suffix in (".xml", ".urdf")}
    included = {(path.parent / name).resolve()
                for path, text in files.items() for name in re.findall(r'<include\s+file\s*=\s*"([^"]*)"', text)}
    # a part has neither bodies nor a file that has some
    return [path for path, text in files.items()
            if path.resolve() not in included and re.search(r"<worldbody|<include|<robot", text)]


def measure(model, folder, task):
    begin = time.monotonic()
    try:
        made = subprocess.run([BIN / "backflip", "task", "new", model, task], capture_output=True, text=True,
                              errors="replace", timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return {"refusal": f"not done after {LIMIT} s"}
    seconds = time.monotonic() - begin
    if made.returncode != 0:
        last = (made.stderr.strip().splitlines() or [f"ended with {made.returncode}"])
        sentence = " ".join(line for line in last if not line.endswith("…")).replace(f"{folder}/", "")
        return {"seconds": seconds, "refusal": sentence.removeprefix("backflip: ")}
    notes = re.findall(r"^note: (.*)\.$", made.stdout, re.MULTILINE)
    return {"seconds": seconds, "preview": (task / "preview.gif").exists(), "notes": notes}


def compare(tasks):
    node = ROOT / ".dependencies" / "node" / "bin"
    environment = {**os.environ, "PATH": f"{node}:{os.environ['PATH']}"}
    lines = subprocess.run(["node", ROOT / "tests" / "browser" / "silhouettes.mjs", *tasks], check=True,
                           stdout=subprocess.PIPE, text=True, env=environment).stdout.splitlines()
    return {found["name"]: found for found in map(json.loads, lines)}


def answer(url, token, run):
    """Answers what is asked within 5 s, at most one question; how many these were."""
    leased = call(url, token, "LabelingService/Lease", {"runId": run, "waitMs": 5000, "count": 1, "maxClips": 2})
    questions = leased.get("questions", [])
    for question in questions:
        shown = [clip["poses"]["poses"] for clip in question["clips"]]
        scene = call(url, token, "LabelingService/GetScene", {"sceneHash": question["sceneHash"]})["glb"]
        if not scene or not all(shown):
            raise ValueError("a question without pictures")
        call(url, token, "LabelingService/Submit", {
            "leaseId": question["leaseId"], "idempotencyKey": uuid.uuid4().hex,
            "answer": {"choice": random.choice(["LEFT", "RIGHT"])}, "client": "measure_robots"})
    return len(questions)


def learn(task, answers, data):
    """Seconds from the start of `train` to the first question, the last answer and the first update that learned."""
    spec, pages = pathlib.Path(data) / "spec.textproto", pathlib.Path(data) / "pages.url"
    spec.write_text(SPEC.format(answers=answers, labels=2 * answers, clips=2 * answers))
    command = [BIN / "backflip", "train", "--task", task, "--human", "--spec", spec, "--data", data]
    output = pathlib.Path(data) / "output.txt"
    found, begin = {}, time.monotonic()
    with open(output, "w") as lines:
        train = subprocess.Popen(command, stdout=lines, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

    def goes_on():
        return train.poll() is None and time.monotonic() - begin < RUN_LIMIT

    try:
        while goes_on() and not (link := re.search(r"invite=([\w-]+)&run=(\d+)", output.read_text(errors="replace"))):
            time.sleep(0.1)
        if goes_on():
            secret, run = link.groups()
            url = pages.read_text().strip()
            operator = (pathlib.Path(data) / "tokens" / "operator.token").read_text().strip()
            token = call(url, "", "PeopleService/AcceptInvite", {"requestId": uuid.uuid4().hex, "secret": secret})["token"]
            answered = 0
            while goes_on() and answered < answers:
                answered += answer(url, token, run)
                if answered:
                    found.setdefault("first_question", time.monotonic() - begin)
            found["answered"] = time.monotonic() - begin
            while goes_on() and "learned" not in found:
                points = call(url, operator, "RunService/ListMetrics", {"runId": run, "names": ["policy/reward_labels"]})
                if any(point.get("value", 0) >= answers for point in points.get("points", [])):
                    found["learned"] = time.monotonic() - begin
                time.sleep(0.2)
    except (OSError, ValueError) as failure:
        found["error"] = str(failure)
    finally:
        if train.poll() is None:
            train.send_signal(signal.SIGINT)
        train.wait()
    if "learned" not in found:
        words = output.read_text(errors="replace").strip().splitlines()[-3:]
        found["refusal"] = " ".join(words).replace(f"{task}", "TASK")
    return found


def measure_answers(models, folder, answers, path):
    done = {row["model"]: row for row in map(json.loads, path.read_text().splitlines())} if path.exists() else {}
    with data_folder() as data, open(path, "a") as lines:
        for number, model in enumerate(models):
            name = str(model.relative_to(folder))
            if name not in done:
                task = pathlib.Path(data) / f"robot{number}"
                row = {"model": name, **origin(), **measure(model, folder, task)}
                if "refusal" not in row:
                    row.update(learn(task, answers, data))
                done[name] = row
                print(json.dumps(row), file=lines, flush=True)
    print(f"| model | task, s | first question, s | {answers} answers, s | policy, s | |\n|---|---|---|---|---|---|")
    for row in done.values():
        cells = [f"{row[key]:.1f}" if key in row else ""
                 for key in ("seconds", "first_question", "answered", "learned")]
        print(f"| {row['model']} | " + " | ".join([*cells, row.get("refusal", "")]) + " |")


def measure_pictures(models, folder, path):
    with tempfile.TemporaryDirectory(prefix="backflip-robots-") as made:
        rows = []
        for number, model in enumerate(models):
            task = pathlib.Path(made) / f"robot{number}"
            rows.append({"model": str(model.relative_to(folder)), "task": task, **measure(model, folder, task)})
        found = compare([row["task"] for row in rows if "refusal" not in row])
    print("| model | preview, s | of the picture | in it | silhouettes | floors | |\n|---|---|---|---|---|---|---|")
    for row in rows:
        row.update(found.get(row.pop("task").name, {}))
        if "overlap" in row:
            shares = f"{min(row['shares']):.2f}–{max(row['shares']):.2f}"
            cells = [f"{row['seconds']:.1f}", shares, "yes" if row["inside"] else "no", f"{row['overlap']:.3f}",
                     f"{row['floors']:.2f}", "; ".join(row["notes"])]
        else:
            cells = ["", "", "", "", "", row.get("refusal") or row.get("error", "")]
        print(f"| {row['model']} | " + " | ".join(cells) + " |", flush=True)
    if path:
        path.write_text(json.dumps({**origin(), "robots": rows}, indent=1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--answers", type=int, default=0, help="how many, before the policy is to have learned from them")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    if not arguments.answers:
        measure_pictures(entries(folder), folder, arguments.json)
    elif arguments.json:
        measure_answers(entries(folder), folder, arguments.answers, arguments.json)
    else:
        parser.error("--answers needs --json FILE")


main()
