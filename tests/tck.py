"""Runs A2A's own conformance kit against `examples/conformance`, and writes what came of it to docs/conformance.md:

    cargo build -p conformance
    python3 tests/tck.py KIT --python VENV/bin/python

KIT is a checkout of a2aproject/a2a-tck, branch 1.0-dev, of which only copies are used, and VENV the virtual environment that it is installed
in (its README says how). `--commit` says which commit KIT is, if it is not a git checkout. Ends with 1 if a row fails or is skipped
and `KNOWN` and `SKIPS` below do not say why that is right.
"""

import argparse
import collections
import concurrent.futures
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

# Name, flags of the agent, whether the kit is patched, which tests if not all: those that say nothing of an extension are all refused
# where one is required.
RUNS = [
    ("all capabilities", [], False, None),
    ("no streams, no webhooks", ["--no-streaming", "--no-push"], False, None),
    ("extended card", ["--extended-card"], False, None),
    ("required extension", ["--require-extension", EXTENSION], False, "TestCapabilityExtensionRequired"),
    ("all capabilities, kit patched", [], True, None),
    ("no streams, no webhooks, kit patched", ["--no-streaming", "--no-push"], True, None),
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

# Rows of the kit that fail because of the kit: pattern of the test's name, word that the run's name must have, word that it must not
# have (or ""), why.
STALE = "it is of specification 1.0.0, and wants other than 1.0.1 says (a2a-tck#231, #240)"
UNREAD = "it reads a refusal that it has not fetched (httpx.ResponseNotRead)"
KNOWN = [
    (r"TestRestFormat::test_response_content_type", "", "patched", STALE),
    (r"test_content_type_not_supported_returns_415", "", "patched", STALE),
    (r"TestGrpcStatusCodes::test_\w+_returns_unimplemented", "", "patched", STALE),
    (r"TestRestStreaming::test_streaming_content_type", "no streams", "", UNREAD),
]

# Rows that are skipped with good reason: pattern of what the kit says, words as above, why.
OTHER_RUN = "tested in the run"
SKIPS = [
    (r"Agent does not support push notifications", "no webhooks", "", f"{OTHER_RUN} with all capabilities"),
    (r"Agent does not support streaming", "no streams", "", f"{OTHER_RUN} with all capabilities"),
    (r"capabilities for: \['streaming'\]", "no streams", "", f"{OTHER_RUN} with all capabilities"),
    (r"[Ss]treaming not supported: The agent has no streams", "no streams", "", f"{OTHER_RUN} with all capabilities"),
    (r"Agent supports (push|streaming)", "", "no streams", f"{OTHER_RUN} without streams and webhooks"),
    (r"capabilities for: \['agent-card'\]", "", "extended", f"{OTHER_RUN} with an extended card"),
    (r"Agent (declares|supports) (support for )?extended", "extended", "", f"{OTHER_RUN} with all capabilities"),
    (r"does not declare urn:a2a:tck:required-extension as required", "", "required", f"{OTHER_RUN} with a required extension"),
    (r"No requirements at this level", "", "", "there is nothing to test: the kit's list of such rows is empty"),
]


def copied(kit, to, patch):
    """A copy of the kit, with these changes."""
    shutil.copytree(kit, to, ignore=shutil.ignore_patterns(".git", ".venv", "venv", "reports", "__pycache__"))
    for file, near, before, after in patch:
        path = to / file
        text = path.read_text()
        start = text.find(near)
        at = text.find(before, start)
        if start < 0 or at < 0:
            sys.exit(f"{file} has no {before!r} after {near!r}: this is another kit than the patch is for")
        path.write_text(text[:at] + after + text[at + len(before):])
    return to


def run(kit, binary, python, flags, transports, chosen):
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
            test += ["-k", chosen] if chosen else []
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


def transport(place, name):
    """Which of the transports a test is of; what is of none is of the card."""
    words = f"{place}.{name}".lower()
    marks = [("http_json", r"http_json|[._]rest|testrest"), ("grpc", "grpc"), ("jsonrpc", "jsonrpc")]
    return next((found for found, mark in marks if re.search(mark, words)), "card and other")


def reason(table, run_name, text):
    for pattern, only, never, why in table:
        if only in run_name and not (never and never in run_name) and re.search(pattern, text):
            return why
    return None


def known(run_name, place, name):
    return reason(KNOWN, run_name, f"{place}::{name}")


def short(text):
    return re.sub(r"\s+", " ", text).replace("|", "\\|")[:160]


def counts(cases):
    count = collections.Counter(result for _, _, result, _ in cases)
    return f"{count['pass']} / {count['fail'] + count['xfail']} / {count['skip']}"


def page(found, commit, date, transports):
    """The page, and how much on it is neither right nor explained."""
    wrong = 0
    columns = [*transports, "card and other"]
    lines = [
        "# Conformance with A2A",
        "",
        "What the official conformance kit (a2aproject/a2a-tck, branch 1.0-dev, "
        f"commit `{commit}`) says of [examples/conformance](../examples/conformance), an agent written with `bobbinet-agent`, on {date}.",
        "This page is made by `python3 tests/tck.py KIT`.",
        "",
        "The kit is of specification 1.0.0, and Bobbinet speaks 1.0.1. Patched, it knows what 1.0.1 changed: the patch is `PATCH` in "
        "[tests/tck.py](../tests/tck.py), applied to a copy. Where an extension is required, only its tests run: the others do not name it, and "
        "are all refused.",
        "",
        "Flows have a kit of their own: [flow-conformance.md](flow-conformance.md). MCP has one for each role: [server](mcp-conformance.md), [client](mcp-client-conformance.md).",
        "",
        "Tests that pass / fail / are skipped:",
        "",
        f"| run | all | {' | '.join(columns)} | fail by the kit's fault |",
        f"|---|---|{'---|' * len(columns)}---|",
    ]
    for name, (cases, _) in found.items():
        of = {column: [case for case in cases if transport(case[0], case[1]) == column] for column in columns}
        of_kit = sum(1 for place, test, result, _ in cases if result == "fail" and known(name, place, test))
        cells = " | ".join(counts(of[column]) for column in columns)
        lines.append(f"| {name} | {counts(cases)} | {cells} | {of_kit} |")
    lines += ["", "## What fails", "", "| run | test | why |", "|---|---|---|"]
    for name, (cases, _) in found.items():
        for place, test, result, why in cases:
            if result in ("fail", "xfail"):
                excuse = known(name, place, test)
                wrong += excuse is None
                said = f"the kit's fault: {excuse}" if excuse else short(why)
                lines.append(f"| {name} | `{test}` | {said} |")
    lines += ["", "## What is skipped", "", "| run | what the kit says | why that is right | tests |", "|---|---|---|---|"]
    for name, (cases, _) in found.items():
        skipped = collections.defaultdict(list)
        for _, test, result, why in cases:
            if result == "skip":
                skipped[re.sub(r"^.*?Skipped: ", "", why)].append(test)
        for why, tests in sorted(skipped.items(), key=lambda entry: (-len(entry[1]), entry[0])):
            excuse = reason(SKIPS, name, why)
            wrong += 0 if excuse else len(tests)
            lines.append(f"| {name} | {short(why)} | {excuse or '**not known to be right**'} | {names(tests)} |")
    return "\n".join(lines) + "\n", wrong


def names(tests):
    """Tests by name, each with how often it is there."""
    count = collections.Counter(re.sub(r"-?(jsonrpc|http_json|grpc)(?=\])", "", test).replace("[]", "") for test in tests)
    return ", ".join(f"`{name}`" + (f" ×{number}" if number > 1 else "") for name, number in sorted(count.items()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kit", type=pathlib.Path)
    parser.add_argument("--python", default=sys.executable, help="the interpreter that the kit is installed for")
    parser.add_argument("--binary", default=ROOT / "target" / "debug" / "conformance", help="the agent")
    parser.add_argument("--commit", help="which commit the kit is")
    parser.add_argument("--date", default=datetime.date.today().isoformat())
    parser.add_argument("--transports", default=",".join(TRANSPORTS), help="which of its transports")
    parser.add_argument("--jobs", type=int, default=2, help="how many runs at once: most of a run is waiting")
    parser.add_argument("--only", help="only runs whose name has this; writes no page")
    arguments = parser.parse_args()
    commit = arguments.commit
    if not commit:
        commit = subprocess.check_output(["git", "-C", arguments.kit, "rev-parse", "HEAD"], text=True).strip()
    transports = arguments.transports.split(",")
    python = str(pathlib.Path(arguments.python).absolute()) if "/" in arguments.python else arguments.python
    runs = [run for run in RUNS if not arguments.only or arguments.only in run[0]]
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:

        def one(number):
            _, flags, is_patched, chosen = runs[number]
            kit = copied(arguments.kit, pathlib.Path(folder) / str(number), PATCH if is_patched else [])
            return run(kit, arguments.binary, python, flags, transports, chosen)

        found = {}
        for (name, *_), result in zip(runs, pool.map(one, range(len(runs)))):
            found[name] = result
            count = collections.Counter(case[2] for case in result[0])
            print(name, dict(count), result[1], flush=True)
    text, wrong = page(found, commit, arguments.date, transports)
    if arguments.only:
        print(text)
    else:
        PAGE.write_text(text)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
