#!/usr/bin/env python3
"""Folders depend one way, and third-party types stay behind one facade each (docs/architecture.md).

Reads every #include below common/, services/, cli/ and tools/, prints those that break a rule, and fails if there is one.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# which folders of ours a folder may include, besides itself
MAY_INCLUDE = {
    "common/base": [],
    "common/metrics": ["common/base"],
    "common/options": ["common/base"],
    "common/experience": ["common/base"],
    "common/nn": ["common/base"],
    "common/sim": ["common/base", "common/experience", "common/nn"],
    "common/learn": ["common/base", "common/experience", "common/nn"],
    "common/teachers": ["common/base"],
    "common/method": ["common/base", "common/experience", "common/options", "common/nn", "common/learn"],
    "common/rpc": ["common/base", "common/metrics"],
    "common/client": ["common/base", "common/metrics", "common/rpc"],
    "cli": ["common"],
    "tools": ["common", "services"],
}
# a service may use whatever is common, and no other service

# the same for the folders inside the broker; what stands beside them may use all
BROKER = "services/preference_broker/"
BROKER_MAY_INCLUDE = {
    "trust": [],
    "http": [],
    "store/db": [],
    "store/people": ["store/db"],
    "store/runs": ["store/db", "store/people"],
    "store/labeling": ["store/db", "store/people", "store/runs"],
    "store/labels": ["store/db", "store/people", "store/runs", "store/labeling"],
    "store/review": ["store/db", "store/people", "store/runs", "store/labeling", "trust"],
    "rpc": ["store"],
}

# third-party headers, and the only folders that may see them
FACADES = {
    r"torch/|c10/|ATen/": ["common/learn"],
    r"mujoco/": ["common/sim/mujoco"],
    r"pqxx/|libpq": ["services/preference_broker/store"],
    r"grpc|backflip/v1/.*\.grpc\.pb\.h": ["common/rpc", "common/client", "services", "cli", "tools"],
    r"boost/": ["services/preference_broker", "tools"],
    r"prometheus/": ["common/metrics"],
    r"curl/": ["services/preference_broker/rpc"],
    r"Eigen/": ["common/nn", "tools"],
}

INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]')


def below(path, folders):
    return any(path == f or path.startswith(f + "/") for f in folders)


def owner(path):
    parts = path.split("/")
    return "/".join(parts[:2]) if parts[0] in ("common", "services") else parts[0]


def broker_folder(path):
    """Where a file of the broker is, relative to it; None: elsewhere."""
    return path.removeprefix(BROKER).rpartition("/")[0] if path.startswith(BROKER) else None


def broken_rules(path, line):
    match = INCLUDE.match(line)
    if not match:
        return
    included = match.group(1)
    here = owner(path)
    if included.startswith(("common/", "services/", "cli/", "tools/")):
        there = owner(included)
        allowed = MAY_INCLUDE.get(here, ["common"])
        if there != here and not below(there, allowed):
            yield f"{here} may not include {there}"
    here, there = broker_folder(path), broker_folder(included)
    if here and there is not None and here != there and not below(there, BROKER_MAY_INCLUDE[here]):
        yield f"{BROKER}{here} may not include {there or 'what stands above it'}"
    if included.startswith("tests/"):
        yield "only tests may include tests"
    for pattern, folders in FACADES.items():
        if re.match(pattern, included) and not below(path, folders):
            yield f"{included} belongs behind {', '.join(folders)}"


def main():
    count = 0
    for folder in ("common", "services", "cli", "tools"):
        for file in sorted((ROOT / folder).rglob("*")):
            if file.suffix not in (".h", ".cc"):
                continue
            path = file.relative_to(ROOT).as_posix()
            for number, line in enumerate(file.read_text().splitlines(), 1):
                for rule in broken_rules(path, line):
                    print(f"{path}:{number}: {rule}")
                    count += 1
    sys.exit(f"{count} includes break the layering" if count else 0)


main()
