#!/usr/bin/env python3
"""Measures `backflip task new` on the models of a folder, and compares what MuJoCo and the pages draw of each.

    tools/measure_robots.py FOLDER [--json FILE]

Entries are MJCF and URDF files that no other file of the folder includes and that are no mere part. For each, one
after the other: seconds until its preview is there, or the sentence of the refusal; the least and the greatest share of
the picture's height or width that the robot fills through a random clip, and whether it stays in the picture; and of the
silhouettes of MuJoCo and of the page, from the same poses, intersection over union. Prints a table. Needs what
`tests/run browser` builds.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time

from measuring import BIN, ROOT, origin

LIMIT = 120  # seconds


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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    with tempfile.TemporaryDirectory(prefix="backflip-robots-") as made:
        rows = []
        for number, model in enumerate(entries(folder)):
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
    if arguments.json:
        arguments.json.write_text(json.dumps({**origin(), "robots": rows}, indent=1))


main()
