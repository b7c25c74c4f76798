"""Runs MCP's own conformance suite, as client, against the agent that wraps a server (crates/bobbinet-mcp/examples/conformance_client.rs):

    cargo build -p bobbinet-mcp --example conformance_client
    python3 tests/mcp_client_conformance.py SUITE [--client PROGRAM] [--write]

SUITE is a folder whose node_modules has `@modelcontextprotocol/conformance` and `node@24` (`cargo xtask tools` fills target/tools/conformance).
What may fail is in tests/mcp_client_conformance.yaml, each scenario with its reason: one that fails and is not there, or is there and does not
fail, ends this with 1. `--write` writes docs/mcp-client-conformance.md.
"""

import argparse
import concurrent.futures
import datetime
import json
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "mcp-client-conformance.md"
KNOWN = ROOT / "tests" / "mcp_client_conformance.yaml"
CLIENT = ROOT / "target" / "debug" / "examples" / "conformance_client"
REVISIONS = ["2025-11-25", "2026-07-28"]


def run(suite, client, revision, folder):
    """Each scenario: (checks that pass, checks that fail, whether it counts)."""
    node = suite / "node_modules" / "node" / "bin" / "node"
    main = suite / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
    command = [node, main, "client", "--command", client, "--requirements", revision, "-o", folder]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=600)
    summary = done.stdout.partition("SUITE SUMMARY")[2]
    if not summary:
        sys.exit(f"the suite has run nothing:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    scored, _, rest = summary.partition("Not scored")
    extra = set(re.findall(r"^  \S (\S+) \(", rest, re.MULTILINE))
    found = {}
    lines = re.findall(r"^\S (\S+): (\d+) passed, (\d+) failed(?:, (\d+) warnings)?", scored, re.MULTILINE)
    for scenario, passed, failed, warned in lines:
        found[scenario] = (int(passed), int(failed) + int(warned or 0), scenario not in extra)
    return found


def known():
    """What may fail, and why: one line for each scenario, below `client:`."""
    reasons = {}
    for line in KNOWN.read_text().splitlines():
        scenario, _, reason = line.strip().removeprefix("- ").partition(" # ")
        if line.startswith("  - "):
            reasons[scenario.strip()] = reason.strip()
    return reasons


def page(found, date, version):
    lines = [
        "# Conformance with MCP: client role",
        "",
        f"What the official suite (`@modelcontextprotocol/conformance@{version}`) says of the agent that wraps an MCP server, on {date}. This page",
        "is made by `python3 tests/mcp_client_conformance.py SUITE --write`, and the same is run in the tests. The program that the suite starts is",
        "[conformance_client.rs](../crates/bobbinet-mcp/examples/conformance_client.rs): an engine with one wrapped server, whose skills are called as",
        "tasks; where a task is `auth-required`, the program goes where a browser would and brings back what it is given.",
        "",
        "| revision | scenarios that count | checks of those | all others |",
        "|---|---|---|---|",
    ]
    for revision, scenarios in found.items():
        counted = [it for it in scenarios.values() if it[2]]
        rest = [it for it in scenarios.values() if not it[2]]
        good = sum(failed == 0 for _, failed, _ in counted)
        passed = sum(it[0] for it in counted)
        checks = passed + sum(it[1] for it in counted)
        others = sum(it[1] == 0 for it in rest)
        lines.append(f"| {revision} | {good} of {len(counted)} | {passed} of {checks} | {others} of {len(rest)} |")
    lines += [
        "",
        "The others are extensions, and scenarios that are younger than the revision: they are run, and count for nobody.",
        "",
        "## What fails, and why",
        "",
        "| revision | scenario | counts | why |",
        "|---|---|---|---|",
    ]
    reasons = known()
    for revision, scenarios in found.items():
        for scenario, (_, failed, counts) in sorted(scenarios.items()):
            if failed:
                why = reasons.get(scenario, "**not known**")
                lines.append(f"| {revision} | `{scenario}` | {'yes' if counts else 'no'} | {why} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", type=pathlib.Path)
    parser.add_argument("--client", default=str(CLIENT))
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--date", default=datetime.date.today().isoformat())
    arguments = parser.parse_args()
    suite = arguments.suite.absolute()
    package = suite / "node_modules" / "@modelcontextprotocol" / "conformance" / "package.json"
    version = json.loads(package.read_text())["version"]
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(1) as pool:
        out = pathlib.Path(folder)
        jobs = {it: pool.submit(run, suite, arguments.client, it, out / it) for it in REVISIONS}
        found = {revision: job.result() for revision, job in jobs.items()}
    wrong, may_fail = 0, known()
    for revision, scenarios in found.items():
        counted = [failed == 0 for _, failed, counts in scenarios.values() if counts]
        print(f"{revision}: {sum(counted)} of {len(counted)} scenarios that count")
        for scenario, (_, failed, _) in sorted(scenarios.items()):
            if failed and scenario not in may_fail:
                wrong += 1
                print(f"  fails: {scenario}: {failed} checks")
            if not failed and scenario in may_fail:
                wrong += 1
                print(f"  passes: {scenario}: take it off the list")
    if arguments.write:
        PAGE.write_text(page(found, arguments.date, version))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
