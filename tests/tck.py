"""Runs A2A's own conformance kit against `examples/conformance`, and writes what came of it to docs/conformance.md:

    cargo build -p conformance
    python3 tests/tck.py KIT

KIT is a checkout of a2aproject/a2a-tck, branch 1.0-dev, of which only copies are used. `--python` names the interpreter of the virtual
environment that the kit is installed in (its README says how). `--commit` says which commit KIT is, if it is not a git checkout.
"""

import argparse
import collections
import datetime
import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "conformance.md"
EXTENSION = "urn:a2a:tck:required-extension"
TRANSPORTS = ["jsonrpc", "http_json", "grpc"]

# Name, flags of the agent, whether the kit is patched.
RUNS = [
    ("all capabilities", [], False),
    ("no streams, no webhooks", ["--no-streaming", "--no-push"], False),
    ("extended card", ["--extended-card"], False),
    ("required extension", ["--require-extension", EXTENSION], False),
    ("all capabilities, kit patched", [], True),
    ("no streams, no webhooks, kit patched", ["--no-streaming", "--no-push"], True),
]

# What specification 1.0.1 changed and the kit, which is of 1.0.0, has not: (file, name of the error or None, before, after).
BASE = "tck/requirements/base.py"
PATCH = [
    (BASE, "TaskNotCancelableError", "http_status=409", "http_status=400"),
    (BASE, "ContentTypeNotSupportedError", "http_status=415", "http_status=400"),
    (BASE, "InvalidAgentResponseError", "http_status=502", "http_status=500"),
    (BASE, "PushNotificationNotSupportedError", "UNIMPLEMENTED", "FAILED_PRECONDITION"),
    (BASE, "UnsupportedOperationError", "UNIMPLEMENTED", "FAILED_PRECONDITION"),
    (BASE, "VersionNotSupportedError", "UNIMPLEMENTED", "FAILED_PRECONDITION"),
    (
        "tests/compatibility/core_operations/test_transport_behavior.py",
        "class TestRestFormat",
        'if "application/json" not in ct:',
        'if "application/json" not in ct and "application/a2a+json" not in ct:',
    ),
]

# Rows of the kit that fail because of the kit: (pattern of the test's name, only in runs whose name has this, why).
STALE = "is of specification 1.0.0, and says other than 1.0.1 (a2a-tck#231, #240)"
INVERTED = "demands success where the specification demands an error"
KNOWN = [
    (r"TestRestFormat::test_response_content_type", "", STALE),
    (r"test_content_type_not_supported_returns_415", "", STALE),
    (r"TestGrpcStatusCodes::test_.*_returns_unimplemented", "", STALE),
    (r"GRPC-ERR-002", "", STALE),
    (r"CARD-EXT-001", "extended", INVERTED),
    (r"CARD-EXT-002", "extended", INVERTED),
    (r"HTTP_JSON-SSE-001|http_json.*test_sse_content_type|TestRestSse", "no streams", "reads a response that it has not fetched"),
]


def patched(kit, to):
    """A copy of the kit that knows specification 1.0.1."""
    shutil.copytree(kit, to, ignore=shutil.ignore_patterns(".git", ".venv", "venv", "reports", "__pycache__"))
    for file, near, before, after in PATCH:
        path = to / file
        text = path.read_text()
        start = text.find(near)
        at = text.find(before, start)
        if start < 0 or at < 0:
            sys.exit(f"{file} has no {before!r} after {near!r}: this is another kit than the patch is for")
        path.write_text(text[:at] + after + text[at + len(before):])
    return to


def run(kit, binary, python, flags, transports):
    """One run of the kit against an agent with these flags: for each test its name, result, and why."""
    with tempfile.TemporaryDirectory() as data:
        command = [binary, "--listen", "127.0.0.1:0", "--data-dir", data, "--log", "error", *flags]
        agent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            line = agent.stdout.readline()
            if not line.startswith("listening on "):
                sys.exit(f"the agent has not started: {line!r}")
            reports = kit / "reports"
            shutil.rmtree(reports, ignore_errors=True)
            url = line.split()[-1]
            test = [python, "run_tck.py", "--sut-host", url, "--transport", ",".join(transports), "--", "--webhook-host", "127.0.0.1"]
            done = subprocess.run(test, cwd=kit, capture_output=True, text=True)
            if not (reports / "junitreport.xml").exists():
                sys.exit(f"the kit did not run:\n{done.stdout}\n{done.stderr}")
            return results(reports / "junitreport.xml"), scores(reports / "compatibility.json")
        finally:
            agent.send_signal(signal.SIGTERM)
            agent.wait(60)


def results(path):
    """What a JUnit report says."""
    found = []
    for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname', '').rsplit('.', 2)[-1]}::{case.get('name')}"
        place = case.get("classname", "")
        result, why = "pass", ""
        for child in case:
            if child.tag in ("failure", "error"):
                result, why = "fail", child.get("message", "")
            elif child.tag == "skipped":
                result = "xfail" if child.get("type", "").endswith("xfail") else "skip"
                why = child.get("message", "")
        found.append((place, name, result, why))
    return found


def scores(path):
    """The share of requirements of each level that are met, as the kit counts."""
    try:
        summary = json.loads(path.read_text())["summary"]
    except (OSError, KeyError, ValueError):
        return {}
    return {key: value for key, value in summary.items() if isinstance(value, (int, float, dict, str))}


def known(run_name, place, name):
    for pattern, only, why in KNOWN:
        if only in run_name and re.search(pattern, f"{place}::{name}"):
            return why
    return None


def short(text):
    return re.sub(r"\s+", " ", text).replace("|", "\\|")[:160]


def page(found, commit, date, transports):
    lines = [
        "# Conformance with A2A",
        "",
        "What the official conformance kit (a2aproject/a2a-tck, branch 1.0-dev, "
        f"commit `{commit}`) says of [examples/conformance](../examples/conformance), an agent written with `bobbinet-agent`, on {date}.",
        "This page is made by `python3 tests/tck.py KIT`.",
        "",
        "The kit is of specification 1.0.0, and Bobbinet speaks 1.0.1. Patched, it knows what 1.0.1 changed: the patch is `PATCH` in "
        "[tests/tck.py](../tests/tck.py), applied to a copy. A failure that is the kit's own stands with its reason.",
        "",
        "Flows have a kit of their own: [flow-conformance.md](flow-conformance.md).",
        "",
        f"Transports: {', '.join(transports)}.",
        "",
        "| run | pass | fail | of these the kit's | expected failures | skip |",
        "|---|---|---|---|---|---|",
    ]
    failures = 0
    for name, (cases, _) in found.items():
        count = collections.Counter(result for _, _, result, _ in cases)
        of_kit = sum(1 for place, test, result, _ in cases if result == "fail" and known(name, place, test))
        failures += count["fail"] - of_kit
        lines.append(f"| {name} | {count['pass']} | {count['fail']} | {of_kit} | {count['xfail']} | {count['skip']} |")
    lines += ["", "## What fails", "", "| run | test | why |", "|---|---|---|"]
    for name, (cases, _) in found.items():
        for place, test, result, why in cases:
            if result in ("fail", "xfail"):
                reason = known(name, place, test)
                said = f"the kit {reason}" if reason else short(why)
                lines.append(f"| {name} | {test} | {said} |")
    lines += ["", "## What is skipped", "", "| run | tests | why |", "|---|---|---|"]
    for name, (cases, _) in found.items():
        reasons = collections.Counter(short(re.sub(r"^.*?Skipped: ", "", why)) for _, _, result, why in cases if result == "skip")
        for reason, count in sorted(reasons.items(), key=lambda entry: (-entry[1], entry[0])):
            lines.append(f"| {name} | {count} | {reason} |")
    return "\n".join(lines) + "\n", failures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kit", type=pathlib.Path)
    parser.add_argument("--python", default=sys.executable, help="the interpreter that the kit is installed for")
    parser.add_argument("--binary", default=ROOT / "target" / "debug" / "conformance", help="the agent")
    parser.add_argument("--commit", help="which commit the kit is")
    parser.add_argument("--date", default=datetime.date.today().isoformat())
    parser.add_argument("--transports", default=",".join(TRANSPORTS), help="which of its transports")
    parser.add_argument("--only", help="only runs whose name has this; writes no page")
    arguments = parser.parse_args()
    commit = arguments.commit
    if not commit:
        commit = subprocess.check_output(["git", "-C", arguments.kit, "rev-parse", "HEAD"], text=True).strip()
    transports = arguments.transports.split(",")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        copies = {True: patched(arguments.kit, folder / "patched"), False: folder / "plain"}
        shutil.copytree(arguments.kit, copies[False], ignore=shutil.ignore_patterns(".git", ".venv", "venv", "reports"))
        for name, flags, is_patched in RUNS:
            if arguments.only and arguments.only not in name:
                continue
            python = str(pathlib.Path(arguments.python).absolute()) if "/" in arguments.python else arguments.python
            found[name] = run(copies[is_patched], arguments.binary, python, flags, transports)
            count = collections.Counter(result for _, _, result, _ in found[name][0])
            print(name, dict(count), found[name][1], flush=True)
    text, failures = page(found, commit, arguments.date, transports)
    if arguments.only:
        print(text)
    else:
        PAGE.write_text(text)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
