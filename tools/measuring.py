"""What the measurements share: the programs, what a figure is of, and a run in a fresh data folder."""
import contextlib
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
BIN = ROOT / "build" / "release" / "bin"


def origin():
    """The commit and the machine."""
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    return {"commit": commit, "machine": f"{os.cpu_count()} cores, {platform.machine()}"}


def build():
    """The launcher compiles what has changed: not while something is measured."""
    subprocess.run([ROOT / "backflip", "train", "--help"], check=True, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def data_folder():
    """A new one, which PostgreSQL's user can enter. Stays where something fails: its output is in it."""
    data = tempfile.mkdtemp(prefix="backflip-measure-")
    os.chmod(data, 0o755)
    yield data
    shutil.rmtree(data)


def train(data, *flags):
    """Runs `./backflip train` to its end and returns its results."""
    result = os.path.join(data, "result.json")
    command = [str(ROOT / "backflip"), "train", *flags, "--data", data, "--json", result]
    with open(os.path.join(data, "output.txt"), "w") as output:
        code = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL).returncode
    if code != 0:
        sys.exit(f"`{' '.join(command)}` ended with {code}; its output is {data}/output.txt")
    return json.loads(pathlib.Path(result).read_text())


def call(url, token, method, body):
    """A method of the broker's JSON API, as the pages call it."""
    request = urllib.request.Request(f"{url}/backflip.v1.{method}", json.dumps(body).encode(), {
        "Authorization": f"Bearer {token}", "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)
