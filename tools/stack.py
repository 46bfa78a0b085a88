"""The real programs on a database of their own, for what measures and breaks them."""
import json
import os
import pathlib
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request

from measuring import BIN

CONNECTIONS = 8  # of the broker to the database: its default


def server_folder():
    """A new folder for a database and a broker, which PostgreSQL's user may enter."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="backflip-measure-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    folder.chmod(0o755)
    return folder


def cpu_seconds(process):
    """What it has used since its start."""
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def await_true(condition, what, patience=120):
    until = time.monotonic() + patience
    while not condition():
        if time.monotonic() > until:
            sys.exit(f"waited in vain until {what}")
        time.sleep(0.02)


class Database:
    """A PostgreSQL with the settings that ./backflip gives its own."""

    def __init__(self, folder):
        self.folder = folder
        self.data = folder / "data"
        self.bin = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))[-1]
        # PostgreSQL refuses to run as root
        self.user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        self.name = "postgres" if os.geteuid() == 0 else None
        self.url = f"postgresql:///backflip?host={folder}" + (f"&user={self.name}" if self.name else "")
        self.run("initdb", "-D", self.data, "--auth=trust", "--encoding=UTF8", "--locale=C")
        self.start()
        self.run("createdb", "-h", folder, "backflip")

    def run(self, tool, *arguments):
        subprocess.run([*self.user, self.bin / tool, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.PIPE, cwd="/")

    def start(self):
        settings = {"listen_addresses": "''", "unix_socket_directories": self.folder, "shared_buffers": "32MB",
                    "max_connections": 60, "fsync": "on", "synchronous_commit": "on"}
        self.run("pg_ctl", "start", "-w", "-D", self.data, "-l", self.data / "server.log",
                 "-o", " ".join(f"-c {name}={value}" for name, value in settings.items()))

    def stop(self, mode="fast"):
        self.run("pg_ctl", "stop", "-w", "-m", mode, "-D", self.data)

    def sql(self, statement):
        """Rows as lists of text."""
        out = subprocess.run([self.bin / "psql", "-qAtX", "-F", "\t", "-v", "ON_ERROR_STOP=1", self.url, "-c", statement],
                             check=True, capture_output=True, text=True).stdout
        return [line.split("\t") for line in out.splitlines()]

    def iterations(self, run):
        """Batches of that run that are complete."""
        return int(self.sql(f"SELECT iterations FROM runs WHERE id = {run}")[0][0])


class Broker:
    def __init__(self, database, folder):
        self.database, self.folder = database, folder
        self.log = folder / "broker.log"
        subprocess.run([BIN / "preference-broker", "migrate", f"--database_url={database.url}", f"--tokens={folder}/tokens"],
                       check=True, capture_output=True)
        self.grpc = f"unix:{folder}/broker.sock"
        self.http = None
        self.process = None

    def start(self, tls=False):
        """`tls`: with the certificate in pem/ of the folder (deploy/certificates)."""
        flags = [f"--tls_certificate={self.folder}/pem/broker.pem", f"--tls_key={self.folder}/pem/broker.key"] if tls else []
        with open(self.log, "ab") as log:
            begin = log.tell()
            self.process = subprocess.Popen(
                [BIN / "preference-broker", "serve", f"--database_url={self.database.url}", f"--listen={self.grpc}",
                 # the same port after a restart
                 f"--http_listen={self.http or '127.0.0.1:0'}", f"--database_connections={CONNECTIONS}", *flags],
                stdout=log, stderr=log)
        while self.http is None:
            for line in self.log.read_bytes()[begin:].splitlines():
                if b'"serving"' in line:
                    self.http = json.loads(line)["http"].split("//")[1]
            self.check()
            time.sleep(0.05)
        while True:
            try:
                urllib.request.urlopen(f"http{'s' * tls}://{self.http}/healthz", timeout=5,
                                       context=ssl._create_unverified_context() if tls else None).read()
                return
            except OSError:
                self.check()
                time.sleep(0.05)

    def cpu_seconds(self):
        return cpu_seconds(self.process)

    def check(self):
        if self.process.poll() is not None:
            sys.exit(f"the broker has ended: {self.log.read_text()[-2000:]}")

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()
            self.process = None

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None


class Program:
    """A program that works for the broker. `arguments`: beside the broker and the token of its role. `host`: the network
    namespace that it runs in, where that is not this one."""

    def __init__(self, broker, binary, role, name, *arguments, host=None):
        self.name, self.log = name, broker.folder / f"{name}.jsonl"
        self.command = [*(["ip", "netns", "exec", host] if host else []), BIN / binary, f"--broker={broker.grpc}",
                        f"--token-file={broker.folder}/tokens/{role}.token", *arguments]
        self.process = None

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)

    def cpu_seconds(self):
        return cpu_seconds(self.process)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def drain(self, patience):
        """Whether it ends well within so many seconds of being asked to."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(patience) == 0
        except subprocess.TimeoutExpired:
            self.kill()
            return False

    def entries(self):
        """What it has logged."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines if line.startswith("{")]

    def epoch(self):
        """Of the claim under which it took up a run last; 0: none yet."""
        return max((entry["epoch"] for entry in self.entries() if "epoch" in entry), default=0)


def call(broker, token, method, body, timeout=30):
    """A call of the JSON interface; HTTPError and OSError where it fails."""
    request = urllib.request.Request(f"http://{broker.http}/backflip.v1.{method}", json.dumps(body).encode(), {
        "Authorization": f"Bearer {token}", "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=timeout) as response:
        return json.load(response)


# Hours of small batches, with two labels each.
ENDLESS = """
labels: 200000 steps: 80000000 queries { schedule: UNIFORM initial_share: 0.0001 pool: 100 }
collection { environments: 4 batch_steps: 800 clips_per_batch: 8 } ppo { epochs: 2 }
reward_model { updates_per_label: 0.5 updates_per_batch: 2 }
"""


def queue(broker, task, spec, seed):
    """Queues a run by `backflip train` at that broker, and leaves it there; returns its id."""
    before = {row[0] for row in broker.database.sql("SELECT id FROM runs")}
    file = broker.folder / "run.textproto"
    file.write_text(f"{spec} seed: {seed}")
    command = [BIN / "backflip", "train", "--task", task, "--spec", file, "--broker", broker.grpc, "--token-file",
               broker.folder / "tokens" / "operator.token"]
    train = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    while True:
        made = {row[0] for row in broker.database.sql("SELECT id FROM runs")} - before
        if made:
            # without a word of farewell it neither pauses nor cancels
            train.kill()
            train.wait()
            return int(made.pop())
        if train.poll() is not None:
            sys.exit(f"`{' '.join(map(str, command))}` ended with {train.returncode}")
        time.sleep(0.1)
