#!/usr/bin/env python3
"""Measures labeling: answers per second, time to the next pair, and labels under faults.

    tools/measure_labeling.py answers [--seconds 15] [--rounds 3]
    tools/measure_labeling.py tls [--seconds 8] [--rounds 5]
    tools/measure_labeling.py latency [--seconds 60]
    tools/measure_labeling.py faults [--seconds 600]

Each starts a PostgreSQL of its own, set up as ./backflip's, a broker, and labeling_load, and ends all of them. Prints
one JSON object (and writes it to --out).

answers: lease and submit in turn, by gRPC and as JSON over HTTP, beside pgbench, which runs the very statements of
one lease and one submit, with as many connections as the broker has. The statements are taken from PostgreSQL's log
of one such pair of calls. Rounds alternate between the three; ratios are of the medians.

tls: answers as JSON over HTTP from scripts, with a bearer token, and over HTTPS as from pages, with a cookie. Each
round has both, one after the other; the ratio is of the medians. The load generator has its share of TLS on the same
machine. Where others use its CPUs too, the broker's CPU time for an answer says more than the rates.

latency: 1,000 labelers who answer every 3 s, as JSON over HTTP and by gRPC. `next_pair` counts from when the answer was
due until the next pair was there, `lease` the call for it alone; the whole sample, nothing left out.

faults: 200 labelers who answer every 3 s, of whom 10 % never answer and 5 % answer twice, while the broker is killed
(SIGKILL) every 30 s and PostgreSQL restarted twice. Then SQL says whether an acknowledged label is lost or doubled,
or a question has more answers than it wants. Exits with 1 if so.
"""
import argparse
import json
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time

from measuring import BIN, ROOT, origin
from stack import CONNECTIONS, Broker, Database, server_folder


def load(broker, mode, **flags):
    command = [BIN / "labeling_load", f"--mode={mode}", f"--broker={broker.grpc}"]
    command += [f"--{name}={value}" for name, value in flags.items()]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"labeling_load {mode}: {result.stderr[-2000:]}")
    return json.loads(result.stdout)


def spread_ids(database):
    """Callers and questions get ids that no other number is."""
    for table, start in (("callers", 310_000_001), ("questions", 720_000_001)):
        database.sql(f"ALTER TABLE {table} ALTER COLUMN id RESTART WITH {start}")


def make_labelers(database, count):
    database.sql(f"""
        WITH made AS (INSERT INTO callers (name, role) SELECT 'load ' || i, 'labeler' FROM generate_series(0, {count - 1}) i
                      ORDER BY i RETURNING id, name)
        INSERT INTO tokens (sha256, caller_id)
        SELECT sha256(convert_to('load labeler ' || substr(name, 6), 'UTF8')), id FROM made""")


def await_numbered(database):
    """Until every label has its place in the feed: work that would else fall into the next measurement."""
    while database.sql("SELECT count(*) FROM labels WHERE position IS NULL") != [["0"]]:
        time.sleep(0.2)


# --- pgbench -----------------------------------------------------------------

def logged_statements(text):
    """(statement, parameters) of each execution in a server log, in order of time."""
    entries = re.split(r"^(?=\d{4}-\d\d-\d\d [\d:.]+ \w+ \[\d+\] )", text, flags=re.M)
    statements = []
    for entry in entries:
        match = re.match(r"\S+ \S+ \S+ \[(\d+)\] (\w+):  (?:execute [^:]*|statement): (.*)", entry, flags=re.S)
        if match:
            statements.append([match[1], match[3].strip(), {}])
            continue
        match = re.match(r"\S+ \S+ \S+ \[(\d+)\] DETAIL:  parameters: (.*)", entry, flags=re.S)
        if match:
            assert statements and statements[-1][0] == match[1], "a statement of somebody else is in between"
            for number, quoted in re.findall(r"\$(\d+) = (NULL|'(?:[^']|'')*')", match[2]):
                statements[-1][2][int(number)] = None if quoted == "NULL" else quoted[1:-1].replace("''", "'")
    return [(statement, parameters) for _, statement, parameters in statements]


def transactions(statements):
    """Lists of statements between BEGIN and COMMIT."""
    found, current = [], None
    for statement, parameters in statements:
        word = statement.split()[0].upper()
        if word == "BEGIN":
            current = []
        elif word in ("COMMIT", "ROLLBACK"):
            found.append(current)
            current = None
        elif current is not None:
            current.append((statement, parameters))
    return found


def capture(database, broker):
    """The transactions of one lease and one submit, from the server's log."""
    log = database.data / "server.log"
    # one connection, one cycle: nothing else is in between but what the broker does by itself
    load(broker, "answers", labelers=1, seconds=0.3)
    await_numbered(database)
    database.sql("ALTER SYSTEM SET log_line_prefix = '%m [%p] '")
    database.sql("ALTER SYSTEM SET log_min_duration_statement = -1")
    database.sql("ALTER SYSTEM SET log_statement = 'all'")
    database.sql("SELECT pg_reload_conf()")
    time.sleep(0.5)
    begin = log.stat().st_size
    answered = load(broker, "answers", labelers=1, seconds=0.3)
    database.sql("ALTER SYSTEM SET log_statement = 'none'")
    database.sql("SELECT pg_reload_conf()")
    assert answered["answers"] > 0, answered
    by_session = {}
    text = log.read_bytes()[begin:].decode()
    for entry in re.split(r"^(?=\d{4}-\d\d-\d\d [\d:.]+ \w+ \[\d+\] )", text, flags=re.M):
        match = re.match(r"\S+ \S+ \S+ \[(\d+)\] ", entry)
        if match:
            by_session.setdefault(match[1], []).append(entry)
    leases, submits = {}, {}
    for entries in by_session.values():
        for transaction in transactions(logged_statements("".join(entries))):
            for statement, parameters in transaction:
                if "INSERT INTO leases" in statement:
                    # of several shapes (sides turned or not) the longest
                    for value in parameters.values():
                        for lease in re.findall(r"[0-9a-f]{32}", value or ""):
                            leases[lease] = transaction
                if "INSERT INTO labels" in statement:
                    for value in parameters.values():
                        if value and re.fullmatch(r"[0-9a-f]{32}", value):
                            submits[value] = transaction
    both = sorted(set(leases) & set(submits), key=lambda lease: -len(leases[lease]))
    assert both, "no lease and submit were seen in the server's log"
    # sides are turned in every second lease, which takes a statement more: the one with fewer is in pgbench's favour
    lease = both[-1]
    return lease, leases[lease], submits[lease]


def pgbench_script(database, lease, lease_transaction, submit_transaction, labelers):
    """The same statements with other leases and keys each time, for one of as many labelers as the load has."""
    caller, question = database.sql(f"SELECT caller_id, question_id FROM leases WHERE id = '{lease}'")[0]
    key, = database.sql(f"SELECT idempotency_key FROM labels WHERE lease_id = '{lease}'")[0]
    fresh = "lpad(to_hex(:{0}a::bigint), 16, '0') || lpad(to_hex(:{0}b::bigint), 16, '0')"
    # ids are far apart (spread_ids): a number tells what it is
    lines = [rf"\set {name} random(0, 4611686018427387903)" for name in ("la", "lb", "ka", "kb")]
    # Labelers take turns, each on one connection. How many they are matters: who has answered what is first looks
    # further for theirs.
    lines.append(rf"\set caller {int(caller)} + :client_id + {CONNECTIONS} * random(0, {labelers // CONNECTIONS - 1})")

    def value(text):
        if text is None:
            return "NULL"
        if text == caller:
            return ":caller"
        if text == key:
            return f"({fresh.format('k')})"
        if text == lease:
            return f"({fresh.format('l')})"
        if text == "{" + lease + "}" or text == '{"' + lease + '"}':
            return f"ARRAY[{fresh.format('l')}]"
        if text == question:
            return ":picked_id"
        if text in ("{" + question + "}", '{"' + question + '"}'):
            return "ARRAY[:picked_id]"
        for known in (lease, key):
            assert known not in text, f"cannot replace {text}"
        return "'" + text.replace("'", "''") + "'"

    for transaction in (lease_transaction, submit_transaction):
        lines.append("BEGIN;")
        for statement, parameters in transaction:
            text = re.sub(r"\$(\d+)", lambda match: value(parameters[int(match[1])]), statement)
            text = " ".join(text.split())
            if "SKIP LOCKED" in statement:
                lines.append(text + r" \gset picked_")  # gives :picked_id
            else:
                lines.append(text + ";")
        lines.append("COMMIT;")
    return "\n".join(lines) + "\n"


def run_pgbench(database, script, seconds):
    out = subprocess.run(
        [database.bin / "pgbench", "-n", "-M", "prepared", "-c", str(CONNECTIONS), "-j", "1", "-T", str(seconds), "-f", script,
         "-h", str(database.folder), *(["-U", database.name] if database.name else []), "backflip"],
        capture_output=True, text=True, cwd="/")
    match = re.search(r"tps = ([\d.]+)", out.stdout)
    failed = re.search(r"number of failed transactions: (\d+)", out.stdout)
    if out.returncode or not match or (failed and failed[1] != "0"):
        sys.exit(f"pgbench: {out.stdout[-1000:]} {out.stderr[-2000:]}")
    return float(match[1])


# --- the three measurements --------------------------------------------------

def measure_answers(args, database, broker):
    make_labelers(database, 64)
    broker.start()
    load(broker, "fill", tokens=f"{broker.folder}/tokens", questions=args.questions)
    script = broker.folder / "cycle.sql"
    lease, lease_transaction, submit_transaction = capture(database, broker)
    if args.script:
        print(pgbench_script(database, lease, lease_transaction, submit_transaction, args.in_flight), file=sys.stderr)
    script.write_text(pgbench_script(database, lease, lease_transaction, submit_transaction, args.in_flight))
    # Each begins alike: everything numbered, statistics as autovacuum keeps them in a database that is in use (plans
    # made on empty tables would last through a measurement), and sessions without plans.
    def settle():
        await_numbered(database)
        broker.stop()
        database.sql("VACUUM ANALYZE")
        database.sql("CHECKPOINT")

    load(broker, "answers", labelers=args.in_flight, seconds=2)
    rates = {"pgbench": [], "grpc": [], "json": []}
    for _ in range(args.rounds):
        settle()
        rates["pgbench"].append(run_pgbench(database, script, int(args.seconds)))
        broker.start()
        for name in ("grpc", "json"):
            settle()
            broker.start()
            flags = {"http": broker.http} if name == "json" else {}
            run = load(broker, "answers", labelers=args.in_flight, seconds=args.seconds, **flags)
            assert not run["errors"] and not run["nothing_to_label"], run
            rates[name].append(run["answers_per_second"])
    medians = {name: statistics.median(values) for name, values in rates.items()}
    return {"answers_per_second": medians, "rounds": rates,
            "ratio": {name: medians[name] / medians["pgbench"] for name in ("grpc", "json")},
            "statements": {"lease": len(lease_transaction), "submit": len(submit_transaction)},
            "in_flight": args.in_flight, "connections": CONNECTIONS}


def measure_tls(args, database, broker):
    make_labelers(database, args.labelers)
    subprocess.run([ROOT / "deploy/certificates", broker.folder / "pem"], check=True)
    broker.start()
    load(broker, "fill", tokens=f"{broker.folder}/tokens", questions=args.questions)
    rates, cpu = {"plain": [], "tls": []}, {"plain": [], "tls": []}
    for _ in range(args.rounds):
        for name, measured in rates.items():
            await_numbered(database)
            broker.stop()
            database.sql("VACUUM ANALYZE")
            database.sql("CHECKPOINT")
            broker.start(tls=name == "tls")
            begin = broker.cpu_seconds()
            run = load(broker, "answers", labelers=args.labelers, seconds=args.seconds, http=broker.http, tls=name == "tls")
            cpu[name].append(1000 * (broker.cpu_seconds() - begin) / max(1, run["answers"]))
            assert not run["errors"] and not run["nothing_to_label"], run
            measured.append(run["answers_per_second"])
    medians = {name: statistics.median(values) for name, values in rates.items()}
    return {"answers_per_second": medians, "rounds": rates, "ratio": medians["tls"] / medians["plain"],
            "broker_cpu_ms_per_answer": {name: statistics.median(values) for name, values in cpu.items()},
            "in_flight": args.labelers, "connections": CONNECTIONS}


def measure_latency(args, database, broker):
    make_labelers(database, args.labelers)
    broker.start()
    load(broker, "fill", tokens=f"{broker.folder}/tokens", questions=args.questions)
    result = {}
    for name in ("json", "grpc"):
        flags = {"http": broker.http} if name == "json" else {}
        result[name] = load(broker, "latency", labelers=args.labelers, seconds=args.seconds, **flags)
    return result


def measure_faults(args, database, broker):
    make_labelers(database, args.labelers)
    broker.start()
    load(broker, "fill", tokens=f"{broker.folder}/tokens", questions=args.questions)
    acknowledged = broker.folder / "acknowledged"
    result = {}
    flags = {"http": broker.http} if args.protocol == "json" else {}
    thread = threading.Thread(target=lambda: result.update(load(
        broker, "faults", labelers=args.labelers, seconds=args.seconds, acknowledged=acknowledged, **flags)))
    thread.start()
    begin = time.monotonic()
    kills = restarts = 0
    restart_at = [args.seconds / 3, 2 * args.seconds / 3]
    while thread.is_alive() and time.monotonic() - begin < args.seconds:
        since = time.monotonic() - begin
        if restart_at and since >= restart_at[0]:
            restart_at.pop(0)
            # once in good order, once as if the machine had lost power
            database.stop("fast" if restarts == 0 else "immediate")
            database.start()
            restarts += 1
        elif since >= 30 * (kills + 1):
            broker.kill()
            broker.start()
            kills += 1
        time.sleep(0.1)
    thread.join()
    await_numbered(database)
    broker.stop()
    return {**result, "kills": kills, "restarts": restarts, "checks": check_labels(database, acknowledged)}


def check_labels(database, acknowledged):
    """What must all be 0, and how much was looked at."""
    copy = acknowledged.read_text().replace(" ", "\t")
    subprocess.run([database.bin / "psql", "-qX", "-v", "ON_ERROR_STOP=1", database.url, "-c",
                    "CREATE TABLE acknowledged (label bigint, lease text, key text, choice text, labeler integer)",
                    "-c", r"\copy acknowledged FROM pstdin"], input=copy, check=True, text=True)
    count = lambda query: int(database.sql(query)[0][0])
    return {
        "acknowledged": count("SELECT count(*) FROM acknowledged"),
        "labels": count("SELECT count(*) FROM labels"),
        # every acknowledged answer is there, as it was given and by whom
        "lost": count("SELECT count(*) FROM acknowledged a WHERE NOT EXISTS (SELECT FROM labels l JOIN callers c ON c.id = l.caller_id "
                      "WHERE l.id = a.label AND l.lease_id = a.lease AND l.choice = a.choice AND NOT l.retraction "
                      "AND c.name = 'load ' || a.labeler)"),
        # no answer is there that nobody was told of: whoever was not told asked again until they were
        "labels_never_acknowledged": count("SELECT count(*) FROM labels l WHERE NOT EXISTS "
                                           "(SELECT FROM acknowledged a WHERE a.label = l.id)"),
        "doubled": count("SELECT count(*) FROM (SELECT FROM labels GROUP BY caller_id, question_id HAVING count(*) > 1) d") +
                   count("SELECT count(*) - count(DISTINCT label) FROM acknowledged"),
        "overlap_overshot": count("SELECT count(*) FROM questions q WHERE q.overlap < "
                                  "(SELECT count(*) FROM labels l WHERE l.question_id = q.id AND NOT l.surplus)"),
        "slots_that_do_not_add_up": count("SELECT count(*) FROM questions q WHERE q.overlap <> q.open_slots + "
                                          "(SELECT count(*) FROM leases l WHERE l.question_id = q.id AND l.holds_slot)"),
        "gaps_in_the_feed": count("SELECT coalesce(max(position), 0) - count(*) FROM labels"),
        "surplus": count("SELECT count(*) FROM labels WHERE surplus"),
    }


MUST_BE_ZERO = ("lost", "labels_never_acknowledged", "doubled", "overlap_overshot", "slots_that_do_not_add_up",
                "gaps_in_the_feed")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["answers", "tls", "latency", "faults"])
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--labelers", type=int)
    parser.add_argument("--in-flight", type=int, default=16, help="answers: labelers at once")
    parser.add_argument("--questions", type=int)
    parser.add_argument("--protocol", choices=["grpc", "json"], default="json", help="faults")
    parser.add_argument("--script", action="store_true", help="answers: show what pgbench runs")
    parser.add_argument("--out")
    args = parser.parse_args()
    defaults = {"answers": (15, 16, 250_000), "tls": (8, 16, 250_000), "latency": (60, 1000, 60_000), "faults": (600, 200, 40_000)}[args.mode]
    args.rounds = args.rounds or {"tls": 5}.get(args.mode, 3)
    args.seconds = args.seconds or defaults[0]
    args.labelers = args.labelers or defaults[1]
    args.questions = args.questions or defaults[2]

    folder = server_folder()
    database = Database(folder)
    broker = Broker(database, folder)
    spread_ids(database)
    try:
        result = {"answers": measure_answers, "tls": measure_tls, "latency": measure_latency, "faults": measure_faults}[args.mode](
            args, database, broker)
    finally:
        if broker.process:
            broker.process.kill()
            broker.process.wait()
        database.stop("immediate")
        shutil.rmtree(folder)
    text = json.dumps({**origin(), **result}, indent=2)
    print(text)
    if args.out:
        pathlib.Path(args.out).write_text(text + "\n")
    if args.mode == "faults" and any(result["checks"][name] for name in MUST_BE_ZERO):
        sys.exit("labels are not what they should be: see `checks`")


if __name__ == "__main__":
    main()
