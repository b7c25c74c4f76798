"""What a durable step costs: a chain of ten steps that do nothing, run by Bobbinet, by Restate and by LangGraph with its SQLite
checkpointer, in one run on one machine; and what else is promised of flows.

    cargo build --release -p echo -p bobbinet && python3 tests/bench/flows.py --date 2026-11-27

Servers run on the first core, the load on the second. Each is started afresh for each round, the rounds take turns, and what is told
is the median of the rounds with the smallest and the largest. `--quick` tells whether everything works, and not how fast it is.
Processor time is that of the server and all it has started, from /proc/PID/stat; for Restate that of its server and of the SDK's
process, apart. It needs `taskset` (util-linux), and for the yardsticks npm and python3 with venv; what cannot be had is named.
"""
import argparse
import asyncio
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
CACHE = TARGET / "bench-yardsticks"
DATA = TARGET / "bench-data" / f"flows-{os.getpid()}"
YARDSTICKS = ROOT / "tests/bench/yardsticks"
TICKS = os.sysconf("SC_CLK_TCK")
STEPS = 10
SERVER_CORE, LOAD_CORE = 0, 1


def tree(root):
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = open(f"/proc/{entry}/stat").read().rsplit(")", 1)[1].split()
                parents[int(entry)] = int(fields[1])
            except OSError:
                pass
    found = [root]
    for pid in found:
        found.extend(child for child, parent in parents.items() if parent == pid)
    return found


def cpu(pid):
    total = 0
    for one in tree(pid):
        try:
            fields = open(f"/proc/{one}/stat").read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        except OSError:
            pass
    return total / TICKS


def resident(pid):
    total = 0
    for one in tree(pid):
        try:
            total += sum(int(line.split()[1]) for line in open(f"/proc/{one}/status") if line.startswith("VmRSS"))
        except OSError:
            pass
    return total / 1024


class Process:
    """A server on the first core, in a group of its own, with its output in a file."""

    def __init__(self, name, command, environment=None):
        self.log = DATA / f"{name}.log"
        self.child = subprocess.Popen(
            ["taskset", "-c", str(SERVER_CORE), *map(str, command)],
            stdout=open(self.log, "wb"), stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, **(environment or {})}, cwd=DATA,
        )
        self.pid = self.child.pid

    def lines(self, prefix, patience=30):
        end = time.monotonic() + patience
        while time.monotonic() < end:
            for line in self.log.read_text(errors="replace").splitlines():
                if line.startswith(prefix):
                    return line[len(prefix):].strip()
            if self.child.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"{self.log} does not say {prefix!r}:\n{self.log.read_text(errors='replace')[-2000:]}")

    def stop(self):
        try:
            os.killpg(self.pid, signal.SIGTERM)
            self.child.wait(10)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(self.pid, signal.SIGKILL)
            self.child.wait()


class Connection:
    """HTTP/1.1 on one kept connection, one request at a time."""

    def __init__(self, host, port):
        self.host, self.port = host, port

    async def open(self):
        self.reader, self.writer = await asyncio.open_connection(self.host, self.port)

    async def post(self, path, headers, body):
        head = f"POST {path} HTTP/1.1\r\nhost: {self.host}:{self.port}\r\ncontent-type: application/json\r\n"
        self.writer.write((head + headers + f"content-length: {len(body)}\r\n\r\n").encode() + body)
        status = (await self.reader.readline()).split()[1]
        length, chunked = 0, False
        while True:
            line = (await self.reader.readline()).strip().lower()
            if not line:
                break
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
            chunked |= line == b"transfer-encoding: chunked"
        if not chunked:
            return status, await self.reader.readexactly(length)
        body = b""
        while size := int(await self.reader.readline(), 16):
            body += await self.reader.readexactly(size)
            await self.reader.readline()
        await self.reader.readline()
        return status, body


async def load(ask, connections, warm_up, seconds, pids):
    """Asks on so many connections, and tells how often, how long, and what it cost each of the processes."""
    begin = time.monotonic() + warm_up
    end, times, counts = begin + seconds, [], [0] * connections

    async def worker(number):
        connection = await ask.connection()
        while (start := time.monotonic()) < end:
            counts[number] += 1
            await ask(connection, f"say-{number}-{counts[number]}")
            done = time.monotonic()
            if begin <= done < end:
                times.append(done - start)

    tasks = [asyncio.create_task(worker(number)) for number in range(connections)]
    await asyncio.sleep(warm_up)
    before = [cpu(pid) for pid in pids]
    await asyncio.sleep(end - time.monotonic())
    after = [cpu(pid) for pid in pids]
    memory = sum(resident(pid) for pid in pids)
    await asyncio.wait_for(asyncio.gather(*tasks), 60)
    steps = max(1, len(times)) * STEPS
    return {
        "steps/s": len(times) * STEPS / seconds,
        "chain ms p50": statistics.median(times) * 1000,
        "chain ms p99": sorted(times)[int(len(times) * 0.99)] * 1000,
        "cpu us/step": [(b - a) * 1e6 / steps for a, b in zip(before, after)],
        "MB": memory,
    }


class A2a:
    """A flow behind A2A's JSON-RPC."""

    def __init__(self, url, token, message=None, check=True):
        self.host, port = url.removeprefix("http://").split("/")[0].split(":")
        self.port, self.path = int(port), "/" + "/".join(url.removeprefix("http://").split("/")[1:])
        self.headers = f"authorization: Bearer {token}\r\na2a-version: 1.0\r\n"
        self.message, self.check = message, check

    async def connection(self):
        connection = Connection(self.host, self.port)
        await connection.open()
        return connection

    async def __call__(self, connection, text, immediately=False):
        part = self.message or {"text": text}
        body = {
            "jsonrpc": "2.0", "id": 1, "method": "SendMessage",
            "params": {
                "message": {"messageId": text, "role": "ROLE_USER", "parts": [part]},
                "configuration": {"returnImmediately": immediately},
            },
        }
        status, answer = await connection.post(self.path, self.headers, json.dumps(body).encode())
        is_right = b"TASK_STATE_COMPLETED" in answer and (not self.check or text.encode() in answer)
        if status != b"200" or not (immediately or is_right):
            raise RuntimeError(f"{status}: {answer[:500]}")
        return answer


class Bobbinet:
    name = "Bobbinet (`examples/echo`, a flow over its own agent, on sled)"

    def __init__(self, flow="chain.yaml"):
        self.flow = flow

    def prepare(self):
        self.program = TARGET / "release/echo"
        if not self.program.exists():
            raise RuntimeError("build it first: cargo build --release -p echo")

    def start(self, number):
        data = DATA / f"bobbinet-{number}"
        command = [self.program, "--flow", ROOT / "examples/echo" / self.flow, "--listen", "127.0.0.1:0",
                   "--data-dir", data, "--print-token"]
        self.server = Process(f"bobbinet-{number}", command)
        url, token = self.server.lines("listening on "), self.server.lines("token ")
        self.ask = A2a(url, token)
        return [self.server.pid]

    def stop(self):
        self.server.stop()


class Restate:
    name = "Restate (server and SDK from npm, `ctx.run`, Node 24)"

    def prepare(self):
        self.folder = CACHE / "restate"
        self.folder.mkdir(parents=True, exist_ok=True)
        for file in ["package.json", "chain.js"]:
            shutil.copy(YARDSTICKS / "restate" / file, self.folder)
        if not (self.folder / "node_modules").exists():
            subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent"], cwd=self.folder, check=True)

    def start(self, number):
        binaries = self.folder / "node_modules/.bin"
        self.sdk = Process(f"restate-sdk-{number}", [binaries / "node", self.folder / "chain.js"], {"PORT": "9181"})
        base = DATA / f"restate-{number}"
        self.server = Process(f"restate-{number}", [binaries / "restate-server"], {"RESTATE_BASE_DIR": str(base)})
        end = time.monotonic() + 60
        while True:
            try:
                body = json.dumps({"uri": "http://127.0.0.1:9181"}).encode()
                request = urllib.request.Request(
                    "http://127.0.0.1:9070/deployments", body, {"content-type": "application/json"})
                urllib.request.urlopen(request, timeout=5).read()
                break
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)
        self.ask = self
        time.sleep(1)
        return [self.server.pid, self.sdk.pid]

    async def connection(self):
        connection = Connection("127.0.0.1", 8080)
        await connection.open()
        return connection

    async def __call__(self, connection, text):
        status, answer = await connection.post("/chain/run", "", json.dumps(text).encode())
        if status != b"200" or json.loads(answer) != text:
            raise RuntimeError(f"{status}: {answer[:500]}")

    def stop(self):
        self.server.stop()
        self.sdk.stop()


class LangGraph:
    name = "LangGraph (SQLite checkpointer, `durability=\"sync\"`, in process)"

    def prepare(self):
        self.folder = CACHE / "langgraph"
        self.python = self.folder / "bin/python"
        if not (self.folder / "done").exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", self.folder], check=True)
            requirements = YARDSTICKS / "langgraph/requirements.txt"
            subprocess.run([self.python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", requirements],
                           check=True)
            (self.folder / "done").touch()

    def measure(self, number, connections, seconds):
        command = ["taskset", "-c", str(SERVER_CORE), self.python, YARDSTICKS / "langgraph/chain.py",
                   DATA / f"langgraph-{number}-{connections}.db", str(seconds), str(connections)]
        result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        steps, times = result["chains"] * STEPS, result["times"]
        return {
            "steps/s": steps / result["seconds"], "chain ms p50": statistics.median(times) * 1000,
            "chain ms p99": sorted(times)[int(len(times) * 0.99)] * 1000, "cpu us/step": [result["cpu"] * 1e6 / steps],
            "MB": float("nan"),
        }


def spread(values):
    return f"{statistics.median(values):,.0f} ({min(values):,.0f}-{max(values):,.0f})"


def chains(options, entrants):
    print(f"\n## A chain of {STEPS} durable steps that do nothing\n")
    print("| | runs at once | steps/s | a chain, ms (p50) | p99 | CPU us a step | MB |\n|---|---|---|---|---|---|---|")
    samples = {}
    for number in range(options.rounds):
        order = entrants[number % len(entrants):] + entrants[:number % len(entrants)]
        for entrant in order:
            for connections in [1, 64]:
                print(f"round {number + 1}: {entrant.name} at {connections}", file=sys.stderr)
                if isinstance(entrant, LangGraph):
                    sample = entrant.measure(number, connections, options.seconds)
                else:
                    pids = entrant.start(f"{number}-{connections}")
                    try:
                        sample = asyncio.run(load(entrant.ask, connections, options.warm_up, options.seconds, pids))
                    finally:
                        entrant.stop()
                samples.setdefault((entrant.name, connections), []).append(sample)
    for (name, connections), taken in samples.items():
        costs = " + ".join(spread([one["cpu us/step"][part] for one in taken]) for part in range(len(taken[0]["cpu us/step"])))
        cells = [spread([one[key] for one in taken]) for key in ["steps/s"]]
        times = [f"{statistics.median([one[key] for one in taken]):.1f}" for key in ["chain ms p50", "chain ms p99"]]
        memory = f"{statistics.median([one['MB'] for one in taken]):.0f}"
        print(f"| {name} | {connections} | {cells[0]} | {times[0]} | {times[1]} | {costs} | {memory} |")
    return samples


def parallel(options):
    """Eight steps of 200 ms at once."""
    bobbinet = Bobbinet("parallel.yaml")
    bobbinet.prepare()
    times = []
    pids = bobbinet.start("parallel")
    bobbinet.ask.check = False
    try:
        async def go():
            connection = await bobbinet.ask.connection()
            for number in range(10):
                begin = time.monotonic()
                await bobbinet.ask(connection, f"parallel-{number}")
                times.append((time.monotonic() - begin) * 1000)
        asyncio.run(go())
    finally:
        bobbinet.stop()
    print(f"\n8 x 200 ms in parallel: {statistics.median(times):.0f} ms ({min(times):.0f}-{max(times):.0f}) over {len(times)} flows")


def many(options):
    """A thousand flows at once."""
    bobbinet = Bobbinet()
    bobbinet.prepare()
    [pid] = bobbinet.start("many")
    try:
        before = resident(pid)

        async def go():
            connections = [await bobbinet.ask.connection() for _ in range(1000)]
            begin, used = time.monotonic(), cpu(pid)
            running = [bobbinet.ask(connection, f"many-{number}") for number, connection in enumerate(connections)]
            peak = 0

            async def watch():
                nonlocal peak
                while True:
                    peak = max(peak, resident(pid))
                    await asyncio.sleep(0.05)
            watcher = asyncio.create_task(watch())
            await asyncio.gather(*running)
            watcher.cancel()
            return time.monotonic() - begin, cpu(pid) - used, peak
        seconds, used, peak = asyncio.run(go())
    finally:
        bobbinet.stop()
    print(f"1,000 flows of {STEPS} steps at once: {seconds:.2f} s, {1000 * STEPS / seconds:,.0f} steps/s, "
          f"{used * 1e6 / 1000 / STEPS:.0f} us of CPU a step, {before:.0f} -> {peak:.0f} MB")


def hop(options):
    """What one more node on the way costs: a send to an agent, and the same send through a node that has it as a peer."""
    program = TARGET / "release/bobbinet"
    if not program.exists():
        print("\nleft out: one more hop, as there is no target/release/bobbinet")
        return
    back = Bobbinet()
    back.prepare()
    command = [back.program, "--listen", "127.0.0.1:0", "--data-dir", DATA / "hop-back", "--print-token"]
    behind = Process("hop-back", command)
    url, token = behind.lines("listening on "), behind.lines("token ")
    front = DATA / "hop-front"
    front.mkdir()
    (front / "bobbinet.yaml").write_text(
        f"node: {{ listen: \"127.0.0.1:0\", data: ./data }}\nagents:\n"
        f"  far: {{ a2a: \"{url}\", auth: {{ bearer: \"{token}\" }}, effect: idempotent }}\n")
    between = Process("hop-front", [program, "up", front / "bobbinet.yaml"])
    try:
        far = between.lines("agent far at ")
        time.sleep(1)
        mint = [program, "token", "mint", "--data-dir", front / "data", "--audience", far]
        through = A2a(far, subprocess.run(mint, check=True, stdout=subprocess.PIPE, text=True).stdout.strip())
        direct = A2a(url, token)
        print("\n| a send | at once | a second | ms (p50) | CPU us |\n|---|---|---|---|---|")
        for connections in [1, 64]:
            for name, ask, pids in [("direct", direct, [behind.pid]), ("through a peer", through, [behind.pid, between.pid])]:
                sample = asyncio.run(load(ask, connections, options.warm_up, options.seconds, pids))
                costs = " + ".join(f"{one * STEPS:.0f}" for one in sample["cpu us/step"])
                print(f"| {name} | {connections} | {sample['steps/s'] / STEPS:,.0f} | {sample['chain ms p50']:.1f} | {costs} |")
    finally:
        between.stop()
        behind.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--warm-up", type=float, default=2)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="bobbinet,restate,langgraph")
    parser.add_argument("--date", default="")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds, options.warm_up = 1, 1, 0.5
    os.sched_setaffinity(0, {LOAD_CORE})
    DATA.mkdir(parents=True)
    known = {"bobbinet": Bobbinet, "restate": Restate, "langgraph": LangGraph}
    entrants = []
    for name in options.only.split(","):
        entrant = known[name]()
        try:
            entrant.prepare()
            entrants.append(entrant)
        except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
            print(f"left out: {entrant.name}: {error}")
    busy = os.getloadavg()[0]
    print(f"# Flows {options.date}\n\n{options.rounds} rounds of {options.seconds} s; the machine's load before: {busy:.1f}")
    chains(options, entrants)
    if any(isinstance(entrant, Bobbinet) for entrant in entrants):
        parallel(options)
        many(options)
        hop(options)
    shutil.rmtree(DATA, ignore_errors=True)


if __name__ == "__main__":
    main()
