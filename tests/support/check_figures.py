#!/usr/bin/env python3
"""Prints the figures that the structure is held to, and fails where one is over its bar.

Counts hand-written C++ and TypeScript below common/, services/, cli/, tools/ and web/: what is generated or a test
is not. Functions are found by their indentation, which the formatters keep (`tests/run layers` checks that, too).
"""
import collections
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
MAX_FUNCTION = 80
MAX_FILE = 500

# figure: at most. A figure that falls takes its bar with it.
BARS = {
    f"functions over {MAX_FUNCTION} lines": 0,
    f"files over {MAX_FILE} lines": 0,
    # no bar, since features add lines: after the structure was renewed there were 40,460, and 39,140 before
    "lines of C++ and TypeScript": float("inf"),
    "declarations of Trajectory": 1,
    "declarations of Clip": 1,
    "declarations of Comparison": 1,
    "declarations of Answer": 0,
    "namespaces that are not their folder's": 0,
}
# What flows has one declaration each, beside its message's in proto/: the names that it has gone by in C++.
DECLARED = {
    "Trajectory": "Trajectory",
    "Clip": "Clip",
    "Comparison": "Comparison|Label",
    "Answer": "Verdict|PairValue|LabelEntry",
}

HOUSE = ("common", "services", "cli", "tools", "web")
CONTROL = re.compile(r"\s*(\} )?(if|else|for|while|switch|do|try|catch|case|default|return new|namespace|extern)\b")


def sources():
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard", *HOUSE], check=True,
                            capture_output=True, text=True).stdout.split()
    return [path for path in sorted(listed) if re.search(r"(?<!\.test)\.(h|cc|ts|mts)$", path) and "/test" not in path and (ROOT / path).exists()]


def blanked(text):
    """The text without comments and without what stands in strings over several lines, on the same lines."""
    pattern = r'R"(\w*)\(.*?\)\1"|`[^`]*`|/\*.*?\*/'
    return re.sub(pattern, lambda match: "\n" * match.group().count("\n"), text, flags=re.DOTALL)


def indent_of(line):
    return len(line) - len(line.lstrip())


def functions(text):
    """(first line, last line) of every function and method, and of lambdas outside of one, numbered from 1."""
    lines = blanked(text).splitlines()
    blocks = []
    for end, line in enumerate(lines):
        if not line.lstrip().startswith("}"):
            continue
        indent = indent_of(line)
        begin = end - 1
        # the head of a block is what stands before it at the same indentation; `) {` ends one of several lines
        while begin >= 0 and (not lines[begin].strip() or indent_of(lines[begin]) > indent or
                              re.match(r"\s*(\)|//|public:|private:|protected:|#)", lines[begin])):
            begin -= 1
        head = ""
        for at in range(max(begin, 0), end):
            head += lines[at].split("//")[0].rstrip() + " "
            if head.endswith("{ "):
                break
        if "(" in head and head.endswith("{ ") and not CONTROL.match(lines[begin]):
            blocks = [block for block in blocks if block[0] < begin + 1] + [(begin + 1, end + 1)]
    return blocks


def declarations(path, text):
    """(what is declared, where) for each of DECLARED."""
    for name, names in DECLARED.items():
        for match in re.finditer(rf"^ *(?:struct|class|enum(?: class)?) (?:{names})\b[^;\n]*\{{", text, re.MULTILINE):
            yield name, f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {match.group().strip()}"


def strange_namespaces(path, text):
    """A file's namespace is backflip::X, and X a folder that it is in."""
    for name in re.findall(r"^namespace (backflip[\w:]*) \{", text, re.MULTILINE):
        if name not in {f"backflip::{folder}" for folder in path.split("/")[:-1]}:
            yield f"{path}: namespace {name}"


def main():
    found = collections.defaultdict(list)
    lines = 0
    for path in sources():
        text = (ROOT / path).read_text()
        length = text.count("\n")
        lines += length
        if length > MAX_FILE:
            found[f"files over {MAX_FILE} lines"].append(f"{path}: {length} lines")
        for begin, end in functions(text):
            if end - begin + 1 > MAX_FUNCTION:
                found[f"functions over {MAX_FUNCTION} lines"].append(f"{path}:{begin}: {end - begin + 1} lines")
        if path.startswith(("common/", "services/")) and path.endswith((".h", ".cc")):
            for name, where in declarations(path, text):
                found[f"declarations of {name}"].append(where)
        if not path.startswith("web/"):
            found["namespaces that are not their folder's"] += strange_namespaces(path, text)
    bad = []
    print("| figure | is | at most |\n|---|---|---|")
    for figure, most in BARS.items():
        value = lines if figure == "lines of C++ and TypeScript" else len(found[figure])
        print(f"| {figure} | {value:,} | {'–' if most == float('inf') else most} |")
        if value > most:
            bad.append(figure)
    for figure in BARS if "--list" in sys.argv else bad:
        print(f"\n{figure}:", *found[figure], sep="\n  ")
    sys.exit(f"over the bar: {', '.join(bad)}" if bad else 0)


main()
