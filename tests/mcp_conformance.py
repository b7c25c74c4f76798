"""Runs MCP's own conformance suite, as server, against three servers and in two revisions:

- a server of our own that has what the suite calls for (tests/fixtures/conformance_server.py), directly;
- the same through a node: suite -> /mcp -> A2A task -> wrapper -> that server, so that whatever a hop loses is a failed check;

    cargo build -p bobbinet
    python3 tests/mcp_conformance.py SUITE [--write]

SUITE is a folder whose node_modules has `@modelcontextprotocol/conformance` and `node@24` (`cargo xtask tools` fills target/tools/conformance).
What may fail is in tests/mcp_conformance.yaml, each check with its reason: a check that fails and is not there, or is there and does not
fail, ends this with 1. `--write` writes docs/mcp-conformance.md.
"""

import argparse
import concurrent.futures
import datetime
import json
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "mcp-conformance.md"
KNOWN = ROOT / "tests" / "mcp_conformance.yaml"
FIXTURE = ROOT / "tests" / "fixtures" / "conformance_server.py"
REVISIONS = ["2025-11-25", "2026-07-28"]
GOOD = ("SUCCESS", "INFO", "SKIPPED", "WARNING")
PATIENCE = 60


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(port, process):
    for _ in range(PATIENCE * 10):
        if process.poll() is not None:
            sys.exit(f"{process.args[0]} ended with {process.returncode}")
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
    sys.exit(f"nothing listens on {port}")


class Front:
    """Adds a token to each request: the suite has no way to show one. All else passes as it is, also names of hosts and pages."""

    def __init__(self, port):
        self.target, self.token = port, b""
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            near, _ = self.listener.accept()
            threading.Thread(target=self.carry, args=(near,), daemon=True).start()

    def carry(self, near):
        head = b""
        while b"\r\n\r\n" not in head:
            piece = near.recv(65536)
            if not piece:
                return near.close()
            head += piece
        head, _, body = head.partition(b"\r\n\r\n")
        # One request for each connection, so that each gets its token.
        kept = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
        kept += [b"Authorization: Bearer " + self.token, b"Connection: close"]
        # The node is known by its own address; another name of this machine's is another node's.
        far = socket.create_connection(("127.0.0.1", self.target))
        far.sendall(b"\r\n".join(kept) + b"\r\n\r\n" + body)
        back = threading.Thread(target=self.pump, args=(far, near), daemon=True)
        back.start()
        self.pump(near, far)

    @staticmethod
    def pump(source, sink):
        try:
            while piece := source.recv(65536):
                sink.sendall(piece)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def run(suite, url, revision, folder):
    """Every check of every scenario of a revision: (scenario, check) -> (status, what was wrong). And which scenarios do not count."""
    node = suite / "node_modules" / "node" / "bin" / "node"
    main = suite / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
    command = [node, main, "server", "--url", url, "--requirements", revision, "-o", folder]
    said = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=600).stdout
    tail = said.partition("Not scored")[2]
    extra = dict(re.findall(r"^  . (\S+) \(([^)]+)\)", tail, re.MULTILINE))
    checks = {}
    for file in sorted(folder.glob("*/checks.json")):
        scenario = re.sub(r"^server-(.*?)-\d{4}-\d\d-\d\dT.*$", r"\1", file.parent.name)
        for check in json.loads(file.read_text()):
            key, status = (scenario, check["id"]), check["status"]
            if checks.get(key, ("SUCCESS",))[0] in GOOD:
                checks[key] = (status, check.get("errorMessage") or "")
    if not checks:
        sys.exit(f"the suite has run nothing against {url}:\n{said}")
    return checks, extra


def known():
    """What may fail: run -> {"scenario:check" or "scenario": reason}."""
    runs, current = {}, None
    for line in KNOWN.read_text().splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            name, _, reason = line.strip().partition(": ")
            if line.startswith(" "):
                current[name] = reason.strip().strip('"')
            else:
                current = runs.setdefault(name.removesuffix(":"), {})
    return runs


def excuse(known_of_run, scenario, check):
    return known_of_run.get(f"{scenario}:{check}") or known_of_run.get(scenario)


def node(bobbinet, folder):
    """A node before the server, whose tools are called as the server calls them: its process and its port."""
    port = free_port()
    front = Front(port)
    own_pages = [f"http://{host}:{front.port}" for host in ("localhost", "127.0.0.1")]
    config = {
        "node": {"listen": f"127.0.0.1:{port}", "data": "./data", "mcp": {"names": "transparent"}, "cors": own_pages},
        "agents": {
            "suite": {
                "mcp": {"command": [sys.executable, str(FIXTURE)]},
                "trust_hints": True,
                # The suite's client has a model and roots where it says so.
                "sampling": "caller",
                "roots": "caller",
                # It has nothing that two calls could spoil for each other, and some take a minute.
                "share": {"writes": "concurrent"},
            }
        },
    }
    (folder / "bobbinet.yaml").write_text(json.dumps(config))
    log = (folder / "node.log").open("w")
    process = subprocess.Popen([bobbinet, "up", "bobbinet.yaml"], cwd=folder, stdout=log, stderr=log)
    wait_for(port, process)
    url = f"http://127.0.0.1:{port}/mcp"
    mint = [bobbinet, "token", "mint", "--data-dir", "data", "--audience", url]
    token = subprocess.run(mint, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
    front.token = token.encode()
    return process, front


def counted(checks, extra):
    """Scenarios and checks that count, and how many of them are good."""
    scored = {key: value for key, value in checks.items() if key[0] not in extra}
    scenarios = {scenario for scenario, _ in scored}
    bad = {key for key, (status, _) in scored.items() if status not in GOOD}
    passed = len(scenarios) - len({scenario for scenario, _ in bad})
    return f"{passed} of {len(scenarios)}", f"{len(scored) - len(bad)} of {len(scored)}"


def page(found, date, version):
    lines = [
        "# Conformance with MCP",
        "",
        f"What the official suite (`@modelcontextprotocol/conformance@{version}`) says, run as server on {date}. This page is made by",
        "`python3 tests/mcp_conformance.py SUITE --write`, and the same is run in the tests.",
        "",
        "*direct*: a server of our own that has the tools, prompts and resources that the suite calls for by name",
        "([conformance_server.py](../tests/fixtures/conformance_server.py)). *through us*: the same server behind a node, which is the whole way of a",
        "call and back: suite → `/mcp` → A2A task → wrapper → server.",
        "",
        "| run | scenarios that count | checks of those | all others: checks |",
        "|---|---|---|---|",
    ]
    for name, (checks, extra) in found.items():
        scenarios, count = counted(checks, extra)
        rest = [status for (scenario, _), (status, _) in checks.items() if scenario in extra]
        good = sum(status in GOOD for status in rest)
        lines.append(f"| {name} | {scenarios} | {count} | {good} of {len(rest)} |")
    lines += [
        "",
        "The others are extensions and what the suite's own example cannot pass yet: they are run, and count for nobody.",
        "",
        "## What fails, and why",
        "",
        "The list is [mcp_conformance.yaml](../tests/mcp_conformance.yaml); the test fails when one is missing there, and when one there passes.",
        "",
        "| run | scenario | check | counts | why |",
        "|---|---|---|---|---|",
    ]
    reasons = known()
    for name, (checks, extra) in found.items():
        for (scenario, check), (status, _) in sorted(checks.items()):
            if status not in GOOD:
                reason = excuse(reasons.get(name, {}), scenario, check) or "**not known**"
                counts = "no" if scenario in extra else "yes"
                lines.append(f"| {name} | {scenario} | `{check}` | {counts} | {reason} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", type=pathlib.Path)
    parser.add_argument("--bobbinet", default=str(ROOT / "target" / "debug" / "bobbinet"))
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--date", default=datetime.date.today().isoformat())
    arguments = parser.parse_args()
    suite = arguments.suite.absolute()
    package = suite / "node_modules" / "@modelcontextprotocol" / "conformance" / "package.json"
    version = json.loads(package.read_text())["version"]
    processes = []
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(4) as pool:
        folder = pathlib.Path(folder)
        try:
            port = free_port()
            processes.append(subprocess.Popen([sys.executable, FIXTURE, "--http", str(port)]))
            wait_for(port, processes[0])
            process, front = node(arguments.bobbinet, folder)
            processes.append(process)
            jobs = {}
            for revision in REVISIONS:
                for way, at in (("direct", port), ("through us", front.port)):
                    out = folder / f"{way}-{revision}"
                    url = f"http://127.0.0.1:{at}/mcp"
                    jobs[f"{revision} {way}"] = pool.submit(run, suite, url, revision, out)
            found = {name: job.result() for name, job in jobs.items()}
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(PATIENCE)
    wrong, may_fail = 0, known()
    for name, (checks, extra) in found.items():
        scenarios, count = counted(checks, extra)
        print(f"{name}: {scenarios} scenarios, {count} checks that count")
        failed = {key: why for key, (status, why) in checks.items() if status not in GOOD}
        excuses = may_fail.get(name, {})
        for (scenario, check), why in sorted(failed.items()):
            if not excuse(excuses, scenario, check):
                wrong += 1
                print(f"  fails: {scenario}:{check}: {why[:300]}")
        used = {f"{scenario}:{check}" for scenario, check in failed} | {scenario for scenario, _ in failed}
        for gone in sorted(excuses.keys() - used):
            wrong += 1
            print(f"  passes, or is gone: {gone}: take it off the list")
    if arguments.write:
        PAGE.write_text(page(found, arguments.date, version))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
