"""Watches a running stack with a real Prometheus, until every query of the dashboards has returned something and everything
that the alert rules name is there; then compares what the programs tell with the table in docs/operating.md.

usage: observe.py ROOT PROGRAM=PORT...
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(sys.argv[1])
TARGETS = dict(argument.split("=") for argument in sys.argv[2:])
HERE = ROOT / "deploy/observability"
BIN = ROOT / ".dependencies/prometheus/usr/bin"
PATIENCE_SECONDS = 300
SELECTOR = re.compile(r"\b(backflip_\w+|process_\w+|up)(\{[^}]*\})?")


def dashboard_queries():
    for file in sorted((HERE / "grafana/dashboards").glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel["targets"]:
                # what Grafana fills in
                yield f"{file.name}: {panel['title']}", target["expr"].replace("$__rate_interval", "10s")


def rule_queries():
    """What each rule reads: an alert itself returns nothing where all is well, and a code may never have come."""
    for line in (HERE / "rules.yml").read_text().splitlines():
        if not line.strip().startswith("expr:"):
            continue
        for name, matchers in SELECTOR.findall(line):
            labels = re.findall(r'(\w+)(=~|=)"([^"]*)"', matchers)
            kept = [f'{label}="{value}"' if how == "=" else f'{label}!=""' for label, how, value in labels]
            yield f"rules.yml: {line.strip()}", name + "{" + ",".join(kept) + "}"
        for labels, name in re.findall(r"by \(([^)]*)\) \((?:\w+ ?\()*(backflip_\w+|process_\w+)", line):
            for label in set(re.split(r",\s*", labels)) - {"le"}:
                yield f"rules.yml: {line.strip()}", f'{name}{{{label}!=""}}'


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()


def told(families):
    """Adds the names that the programs tell now; returns all the text."""
    text = ""
    for port in TARGETS.values():
        page = get(f"http://127.0.0.1:{port}/metrics")
        samples = set(re.findall(r"^(\w+)", page, re.MULTILINE))
        for name in re.findall(r"^# TYPE ((?:backflip|process)_\w+)", page, re.MULTILINE):
            if {name, name + "_count"} & samples:
                families.add(name)
        text += page
    return text


def url_of(prometheus, log):
    """At the port that it has chosen, once it answers queries."""
    while True:
        assert prometheus.poll() is None, log.read_text()
        listening = re.search(r'msg="Listening on" address=(\S+)', log.read_text())
        if listening and "is Ready" in get(f"http://{listening[1]}/-/ready"):
            return f"http://{listening[1]}"
        time.sleep(0.1)


def main():
    subprocess.run([BIN / "promtool", "check", "rules", "--lint=all", HERE / "rules.yml"], check=True)
    subprocess.run([BIN / "promtool", "check", "config", HERE / "prometheus.yml"], check=True)
    subprocess.run([BIN / "promtool", "test", "rules", ROOT / "tests/end_to_end/rules_test.yml"], check=True)
    documented = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/operating.md").read_text(), re.MULTILINE))
    families = set()
    waiting = list(dict.fromkeys([*dashboard_queries(), *rule_queries()]))
    print(f"{len(waiting)} queries")
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "prometheus.yml"
        config.write_text(json.dumps({
            "global": {"scrape_interval": "1s"},
            "scrape_configs": [{"job_name": "backflip", "static_configs": [
                {"targets": [f"127.0.0.1:{port}"], "labels": {"program": program}}
                for program, port in TARGETS.items()]}]}))
        log = pathlib.Path(folder) / "log"
        prometheus = subprocess.Popen([BIN / "prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/data",
                                       "--web.listen-address=127.0.0.1:0"], stderr=log.open("w"))
        try:
            url = url_of(prometheus, log)
            until = time.monotonic() + PATIENCE_SECONDS
            while (waiting or families < documented) and time.monotonic() < until:
                time.sleep(1)
                text = told(families)
                still = []
                for place, query in waiting:
                    answer = json.loads(get(f"{url}/api/v1/query?" + urllib.parse.urlencode({"query": query})))
                    assert answer.get("status") != "error", f"{place}: {query}: {answer['error']}"
                    if not answer["data"]["result"]:
                        still.append((place, query))
                waiting = still
        finally:
            prometheus.terminate()
            prometheus.wait()
    for place, query in waiting:
        print(f"returned nothing: {place}: {query}")
    for name in sorted(families ^ documented):
        print(f"{name} is {'not in docs/operating.md' if name in families else 'in docs/operating.md, and no program tells it'}")
    # whoever calls chooses the name of a method that there is none of
    stranger = "stranger" in text or 'method="other"' not in text
    if stranger:
        print("calls of unknown methods are not counted as one")
    sys.exit(bool(waiting or families != documented or stranger))


main()
