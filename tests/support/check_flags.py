#!/usr/bin/env python3
"""What is deployed fits the programs: flags, variables and files that compose, images, units, jobs and the chart name.

Reads the sources alone, so that it needs no build; prints what does not fit, and fails if anything does not.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
EVERY_PROGRAM = {"help", "version", "print_config", "check_config"}
problems = []


def text_of(path):
    return (ROOT / path).read_text()


def absl_flags(path):
    """Names of the ABSL_FLAGs of a file; one without help is a problem."""
    names = set()
    for name, value in re.findall(r"^ABSL_FLAG\([^,]+, (\w+), ((?:.|\n)*?)\);$", text_of(path), re.MULTILINE):
        names.add(name)
        if re.search(r', ""$', value):
            problems.append(f"{path}: --{name} has no help")
    return names


def cli_flags(path):
    """Flags of the command line's tables: {"name VALUE", &variable, …}."""
    return {name.replace("-", "_") for name in re.findall(r'(?:\{|Flag\()\s*"([a-z][a-z-]+)(?: [^"]*)?",\s*&', text_of(path))}


def programs():
    """Flags by program, as the images call them."""
    transport = absl_flags("common/rpc/transport_flags.cc")
    metrics = absl_flags("common/metrics/metrics.cc")
    daemon = absl_flags("common/rpc/daemon.cc") | transport | metrics
    flags = {}
    for main in sorted(ROOT.glob("services/*/main.cc")):
        path = main.relative_to(ROOT).as_posix()
        name = main.parent.name.replace("_", "-").replace("health", "backflip-health")
        flags[name] = absl_flags(path) | EVERY_PROGRAM
        flags[name] |= metrics if "metrics::ServeByFlag" in text_of(path) else set()
        flags[name] |= daemon if "DaemonMain" in text_of(path) else transport if "SetTransportByFlags" in text_of(path) else set()
    for path in ("tools/labeling_load.cc", "tools/learning_loop.cc"):
        absl_flags(path)
    stack = cli_flags("cli/command.cc")
    commands = set().union(*(cli_flags(path.relative_to(ROOT)) for path in ROOT.glob("cli/commands/*.cc")))
    flags["cli"] = flags["local"] = stack | commands | EVERY_PROGRAM
    return flags, stack


def flags_in(text):
    text = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    return {name.replace("-", "_") for name in re.findall(r"(?<![\w-])--([a-z][\w-]+)", text)}


def check_compose(flags):
    """Each service of Backflip's has only flags of its program, variables of its own, and files that exist."""
    services = text_of("docker-compose.yml").split("\nservices:\n")[1].split("\nnetworks:\n")[0]
    checked = 0
    for name, body in re.findall(r"^  ([\w-]+):\n((?:    .*\n|\n)+)", services, re.MULTILINE):
        image = re.search(r"image: backflip/([\w-]+)", body)
        for source in re.findall(r"- (\./[^:]+):", body):
            if not (ROOT / source).exists():
                problems.append(f"docker-compose.yml: {name} mounts {source}, which does not exist")
        if not image:
            continue
        checked += 1
        if image[1] not in flags:
            problems.append(f"docker-compose.yml: {name} is of {image[1]}, which is no program")
            continue
        for flag in sorted(flags_in(body) - flags[image[1]]):
            problems.append(f"docker-compose.yml: {name} gives --{flag}, which {image[1]} does not take")
        for variable in re.findall(r"^      BACKFLIP_(\w+):", body, re.MULTILINE):
            if variable.lower() not in flags[image[1]]:
                problems.append(f"docker-compose.yml: {name} sets BACKFLIP_{variable}, which {image[1]} does not take")
    if checked < 8:
        problems.append(f"docker-compose.yml: only {checked} services were found")


def check_others(flags):
    """Units, jobs and the chart: every line with one of our programs, or of a list of arguments for them."""
    ours = set().union(*flags.values())
    for unit in sorted(ROOT.glob("deploy/systemd/system/*.service")):
        for program, arguments in re.findall(r"^Exec\w+=([\w-]+)(.*)$", unit.read_text(), re.MULTILINE):
            for flag in sorted(flags_in(arguments) - flags["cli" if program == "backflip" else program]):
                problems.append(f"{unit.name}: {program} does not take --{flag}")
    theirs = {"ntasks", "cpus_per_task", "signal", "job_name", "requeue", "open_mode", "output", "array", "partition",
              "time", "mem", "name"}
    for path in ("deploy/slurm/job", "deploy/slurm/submit", "deploy/slurm/settings.example",
                 "deploy/kubernetes/templates/_helpers.tpl", "deploy/hand-out-tokens"):
        for flag in sorted(flags_in(text_of(path)) - ours - theirs):
            problems.append(f"{path}: no program takes --{flag}")


def check_units():
    """systemd reads the units, whose programs need not be here."""
    if not shutil.which("systemd-analyze"):
        return
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "deploy/systemd/system", folder, dirs_exist_ok=True)
        units = sorted(pathlib.Path(folder).glob("*.service"))
        for unit in units:
            unit.write_text(re.sub(r"^(Exec\w+=)\S+", r"\1/bin/true", unit.read_text(), flags=re.MULTILINE))
        verified = subprocess.run(["systemd-analyze", "verify", *units], env={**os.environ, "SYSTEMD_UNIT_PATH": folder + ":"},
                                  capture_output=True, text=True)
        problems.extend(line for line in verified.stderr.splitlines() if folder in line)


def check_known(flags, stack):
    """flags.cc knows every variable that may stand in an environment, and no others."""
    known = set(re.findall(r'"(\w+)"', re.search(r"kKnown\[\] = \{(.*?)\}", text_of("common/base/flags.cc"), re.DOTALL)[1]))
    wanted = stack | set().union(*(names for name, names in flags.items() if name not in ("cli", "local"))) - EVERY_PROGRAM
    wanted |= {name.lower() for name in re.findall(r"BACKFLIP_([A-Z_]+)\b", text_of("docker-compose.yml"))}
    for test in ROOT.glob("tests/browser/*.mjs"):
        wanted |= {name.lower() for name in re.findall(r"process\.env\.BACKFLIP_([A-Z_]+)", test.read_text())}
    for name in sorted(wanted - known):
        problems.append(f"common/base/flags.cc: kKnown lacks {name}")
    for name in sorted(known - wanted):
        problems.append(f"common/base/flags.cc: kKnown has {name}, which nothing takes")


def check_images():
    """What the Dockerfile copies exists, and what it builds is what is installed."""
    text = text_of("deploy/Dockerfile").replace("\\\n", " ")
    for arguments in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE):
        for source in arguments.split()[:-1]:
            if not (ROOT / source).exists():
                problems.append(f"deploy/Dockerfile: COPY {source}, which does not exist")
    built = set(re.search(r"for program in ([\w -]+);", text)[1].split())
    installed = set(re.search(r"set\(_programs ([\w -]+)\)", text_of("cmake/Installation.cmake"))[1].split())
    if built != installed:
        problems.append(f"deploy/Dockerfile builds {sorted(built)}, and cmake/Installation.cmake installs {sorted(installed)}")
    for program in re.findall(r"/out/bin/([\w-]+)", text):
        if program not in built:
            problems.append(f"deploy/Dockerfile: COPY of {program}, which it does not build")
    stages = set(re.findall(r"^FROM \S+ AS (\S+)", text, re.MULTILINE))
    for target in re.findall(r"target: ([\w-]+)", text_of("docker-compose.yml")):
        if target not in stages:
            problems.append(f"docker-compose.yml: deploy/Dockerfile has no stage {target}")
    # deploy/publish builds these, and has the chart name its own by digests
    for image in sorted(set(re.findall(r"image: backflip/([\w-]+)", text_of("docker-compose.yml"))) - stages):
        problems.append(f"docker-compose.yml: deploy/Dockerfile has no stage {image}, whose image is backflip/{image}")
    run = set(re.findall(r"^\w+: \{ image: ([\w-]+)", text_of("deploy/kubernetes/templates/_helpers.tpl"), re.MULTILINE))
    schema = json.loads(text_of("deploy/kubernetes/values.schema.json"))["properties"]["image"]["properties"]["digests"]
    if not run or run != set(schema["properties"]) or run != set(schema["anyOf"][1]["required"]) or run - stages:
        problems.append(f"deploy/kubernetes runs {sorted(run)}, and image.digests of values.schema.json has others")


def main():
    flags, stack = programs()
    check_compose(flags)
    check_others(flags)
    check_units()
    check_known(flags, stack)
    check_images()
    print(*problems, sep="\n", end="\n" if problems else "")
    sys.exit(f"{len(problems)} things that are deployed do not fit the programs" if problems else 0)


main()
