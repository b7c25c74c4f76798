"""The chart, with Helm's own library and no cluster: lint, install, and what is installed.

    PYTHONPATH=FOLDER_OF_HELM_SDKPY python chart.py CHART [BOBBINET]     checks; with the binary, also runs what is installed
    python chart.py CHART --write-readme                             makes the README's table from values.yaml

Helm renders, validates and installs into a Kubernetes API of some lines on loopback, which keeps what it is given. Then the
objects are held against Pod Security "restricted" and our own promises. With BOBBINET, the pod's command is started as the
kubelet would start it, its probes are asked, the test pod's command is run, and the pod is ended and started again.
"""
import asyncio
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml

NAMESPACE = "mesh"
PATIENCE = 60

# What the API has: group and version, plural, kind.
RESOURCES = [
    ("v1", "services", "Service"),
    ("v1", "pods", "Pod"),
    ("v1", "configmaps", "ConfigMap"),
    ("v1", "secrets", "Secret"),
    ("v1", "serviceaccounts", "ServiceAccount"),
    ("v1", "persistentvolumeclaims", "PersistentVolumeClaim"),
    ("apps/v1", "statefulsets", "StatefulSet"),
    ("apps/v1", "deployments", "Deployment"),
    ("networking.k8s.io/v1", "networkpolicies", "NetworkPolicy"),
]


class Api(BaseHTTPRequestHandler):
    """A Kubernetes API that keeps objects by their path, and no more."""

    protocol_version = "HTTP/1.1"
    objects: dict = {}

    def log_message(self, *_):
        pass

    def answer(self, body, code=200):
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def missing(self):
        self.answer({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}, 404)

    def sent(self):
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")

    def do_GET(self):
        path = self.path.split("?")[0].rstrip("/")
        groups = sorted({group for group, _, _ in RESOURCES if "/" in group})
        if path == "/version":
            return self.answer({"major": "1", "minor": "34", "gitVersion": "v1.34.0"})
        if path == "/api":
            return self.answer({"kind": "APIVersions", "versions": ["v1"]})
        if path == "/apis":
            versions = [{"groupVersion": group, "version": group.split("/")[1]} for group in groups]
            listed = [
                {"name": version["groupVersion"].split("/")[0], "versions": [version], "preferredVersion": version}
                for version in versions
            ]
            return self.answer({"kind": "APIGroupList", "apiVersion": "v1", "groups": listed})
        group = path.removeprefix("/apis/").removeprefix("/api/")
        if any(group == known for known, _, _ in RESOURCES):
            verbs = ["create", "delete", "get", "list", "patch", "update"]
            listed = [
                {"name": plural, "singularName": "", "namespaced": True, "kind": kind, "verbs": verbs}
                for known, plural, kind in RESOURCES
                if known == group
            ]
            return self.answer(
                {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group, "resources": listed}
            )
        if path in self.objects:
            return self.answer(self.objects[path])
        return self.missing()

    def do_POST(self):
        sent = self.sent()
        path = f"{self.path.split('?')[0]}/{sent['metadata']['name']}"
        sent["metadata"].setdefault("uid", path)
        self.objects[path] = sent
        self.answer(sent, 201)

    def do_PATCH(self):
        path = self.path.split("?")[0]
        if path not in self.objects:
            return self.missing()
        self.answer(self.objects[path])

    def do_DELETE(self):
        self.sent()
        found = self.objects.pop(self.path.split("?")[0], None)
        return self.missing() if found is None else self.answer(found)


class Helm:
    """Helm's library, pointed at the API."""

    def __init__(self, chart):
        from helm_sdkpy import Configuration, Install, Lint, Uninstall

        self.chart = str(chart)
        self.actions = (Install, Uninstall, Lint)
        server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cluster = {"name": "fake", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
        context = {"name": "fake", "context": {"cluster": "fake", "user": "fake"}}
        self.configuration = Configuration(
            namespace=NAMESPACE,
            kubeconfig=yaml.safe_dump({
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [cluster],
                "contexts": [context],
                "users": [{"name": "fake", "user": {}}],
                "current-context": "fake",
            }),
        )

    def lint(self):
        return asyncio.run(self.actions[2](self.configuration).run(self.chart))

    def install(self, values, name="files"):
        """Installs, hands over the release and what the API was given, and takes it away again."""
        Api.objects.clear()
        install, uninstall = self.actions[0](self.configuration), self.actions[1](self.configuration)
        release = asyncio.run(install.run(name, self.chart, values=values, wait=False))
        objects = {(kept["kind"], kept["metadata"]["name"]): kept for kept in Api.objects.values()}
        asyncio.run(uninstall.run(name))
        assert not Api.objects, f"uninstalling leaves {sorted(Api.objects)}"
        return release, json.loads(json.dumps(objects_of(release, objects)))

    def refusal(self, values):
        try:
            self.install(values)
        except Exception as error:
            return str(error)
        raise AssertionError(f"these values are taken: {values}")


def objects_of(release, installed):
    """What was installed, and the hooks, which only `helm test` installs."""
    hooks = [yaml.safe_load(hook["manifest"]) for hook in release.get("hooks") or []]
    return list(installed.values()) + hooks


def one(objects, kind, name):
    [found] = [it for it in objects if it["kind"] == kind and it["metadata"]["name"] == name]
    return found


def pods(objects):
    """The description of every pod, with a name for messages."""
    for it in objects:
        if it["kind"] == "Pod":
            yield it["metadata"]["name"], it["spec"]
        elif "template" in it.get("spec", {}):
            yield it["metadata"]["name"], it["spec"]["template"]["spec"]


def restricted(pod):
    """What Pod Security "restricted" has against a pod, and what we add: a root folder that is read only, no token."""
    faults = []
    security = pod.get("securityContext", {})
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name):
            faults.append(name)
    if security.get("runAsNonRoot") is not True or security.get("runAsUser") == 0:
        faults.append("may run as root")
    if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        faults.append("seccompProfile")
    allowed = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
    for volume in pod.get("volumes", []):
        if not (set(volume) - {"name"}) <= allowed:
            faults.append(f"volume {volume['name']}")
    for container in pod["containers"] + pod.get("initContainers", []):
        own = container.get("securityContext", {})
        if own.get("allowPrivilegeEscalation") is not False:
            faults.append(f"{container['name']}: allowPrivilegeEscalation")
        if own.get("capabilities", {}).get("drop") != ["ALL"] or own["capabilities"].get("add"):
            faults.append(f"{container['name']}: capabilities")
        if own.get("privileged") or own.get("runAsUser") == 0 or own.get("runAsNonRoot") is False:
            faults.append(f"{container['name']}: may run as root")
        if own.get("readOnlyRootFilesystem") is not True:
            faults.append(f"{container['name']}: its root folder can be written to")
        if any(port.get("hostPort") for port in container.get("ports", [])):
            faults.append(f"{container['name']}: hostPort")
        if "memory" not in container.get("resources", {}).get("limits", {}):
            faults.append(f"{container['name']}: no limit of memory")
    if pod.get("automountServiceAccountToken") is not False:
        faults.append("gets a token of the Kubernetes API")
    if pod.get("enableServiceLinks") is not False:
        faults.append("enableServiceLinks")
    return faults


def minimal(**more):
    values = {"image": {"repository": "registry.example/files", "tag": "1"}, "agent": {"command": ["server"]}}
    for path, value in more.items():
        place = values
        *parents, last = path.split("__")
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return values


def check_lint(helm):
    messages = helm.lint()["Messages"] or []
    worst = [message for message in messages if message["Severity"] >= 2]
    assert not worst, worst


def check_objects(helm):
    secrets = {"agent__existingSecret": "keys", "agent__secretKeys": ["API_KEY"], "agent__env": {"MODE": "a \"b\" $(C)"}}
    more = {"agent__trustHints": True, "agent__use": "filesystem", "agent__extraArgs": ["--x=a b"]}
    release, objects = helm.install(minimal(**more, **secrets))
    assert sorted((it["kind"], it["metadata"]["name"]) for it in objects) == [
        ("Pod", "files-bobbinet-test-card"),
        ("Service", "files-bobbinet"),
        ("Service", "files-bobbinet-pods"),
        ("StatefulSet", "files-bobbinet"),
    ], objects
    for name, pod in pods(objects):
        assert not restricted(pod), (name, restricted(pod))

    stateful = one(objects, "StatefulSet", "files-bobbinet")["spec"]
    labels = stateful["template"]["metadata"]["labels"]
    for service in ("files-bobbinet", "files-bobbinet-pods"):
        spec = one(objects, "Service", service)["spec"]
        assert spec["selector"].items() <= labels.items(), (spec, labels)
    test_labels = one(objects, "Pod", "files-bobbinet-test-card")["metadata"]["labels"]
    assert not stateful["selector"]["matchLabels"].items() <= test_labels.items(), "the service would find the test's pod"
    assert one(objects, "Service", stateful["serviceName"])["spec"]["clusterIP"] == "None"
    assert stateful["replicas"] == 1
    [claim] = stateful["volumeClaimTemplates"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"], claim
    assert stateful["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}

    pod = stateful["template"]["spec"]
    assert pod["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch", pod
    [agent] = pod["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in agent["volumeMounts"]}
    assert mounts == {"data": "/data", "tmp": "/tmp"}, mounts
    assert agent["command"] == ["bobbinet"], agent
    arguments = agent["args"]
    split = arguments.index("--")
    assert arguments[split + 1 :] == ["server"], arguments
    assert arguments[:split] == [
        "agent",
        "--name=agent",
        "--listen=0.0.0.0:7420",
        "--no-tls",
        "--public-url=http://files-bobbinet.mesh.svc:7420",
        "--grace=50s",
        "--use=filesystem",
        "--trust-hints",
        "--env=API_KEY",
        "--env=MODE",
        "--x=a b",
    ], arguments
    paths = {name: agent[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}, paths
    assert agent["lifecycle"]["preStop"]["sleep"]["seconds"] < pod["terminationGracePeriodSeconds"]

    # A secret stands nowhere: the pod names it, and the kubelet fills it in.
    assert not [it for it in objects if it["kind"] in ("Secret", "ConfigMap")], objects
    variables = {it["name"]: it for it in agent["env"]}
    assert variables["API_KEY"] == {
        "name": "API_KEY",
        "valueFrom": {"secretKeyRef": {"name": "keys", "key": "API_KEY"}},
    }, variables
    assert variables["MODE"]["value"] == "a \"b\" $(C)", variables

    notes = (release.get("info") or release).get("notes") or ""
    assert "http://files-bobbinet.mesh.svc:7420/.well-known/agent-card.json" in notes, notes
    return release


def check_variants(helm):
    """Every value that is left out of the minimal ones, once."""
    digest = "sha256:" + "0" * 64
    _, objects = helm.install(minimal(
        image__digest=digest,
        imagePullSecrets=[{"name": "registry"}],
        fullnameOverride="x" * 63,
        agent__publicUrl="https://files.example.com/",
        storage__className="fast",
        podAnnotations={"a": "b"},
        podLabels={"team": "one"},
        nodeSelector={"disk": "ssd"},
        tolerations=[{"key": "k", "operator": "Exists"}],
        affinity={"nodeAffinity": {}},
    ))
    stateful = one(objects, "StatefulSet", "x" * 52)["spec"]
    pod = stateful["template"]["spec"]
    assert pod["containers"][0]["image"] == f"registry.example/files@{digest}"
    assert "--public-url=https://files.example.com" in pod["containers"][0]["args"]
    assert stateful["volumeClaimTemplates"][0]["spec"]["storageClassName"] == "fast"
    assert pod["imagePullSecrets"] == [{"name": "registry"}] and pod["nodeSelector"] == {"disk": "ssd"}, pod
    assert pod["tolerations"] and pod["affinity"], pod
    assert stateful["template"]["metadata"]["labels"]["team"] == "one"
    assert stateful["template"]["metadata"]["annotations"] == {"a": "b"}


    _, objects = helm.install(minimal(tls__existingSecret="files-tls", tls__client="required"))
    pod = one(objects, "StatefulSet", "files-bobbinet")["spec"]["template"]["spec"]
    [agent] = pod["containers"]
    assert "--no-tls" not in agent["args"] and "--tls-client-required" in agent["args"], agent
    assert "--public-url=https://files-bobbinet.mesh.svc:7420" in agent["args"], agent
    assert {agent[probe]["httpGet"]["scheme"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")} == {"HTTPS"}
    [mount] = [it["mountPath"] for it in agent["volumeMounts"] if it["name"] == "tls"]
    for argument in agent["args"]:
        if argument.startswith("--tls-") and "=" in argument:
            assert argument.split("=")[1].startswith(f"{mount}/"), argument
    [secret] = [it["secret"] for it in pod["volumes"] if it["name"] == "tls"]
    assert secret["secretName"] == "files-tls", secret
    asked = {
        "required": ["probe", "https://files-bobbinet.mesh.svc:7420", "--ca-file=/etc/bobbinet-tls/ca.crt"],
        "off": ["card", "get", "https://files-bobbinet.mesh.svc:7420", "--ca-file=/etc/bobbinet-tls/ca.crt"],
    }
    for client, expected in asked.items():
        _, objects = helm.install(minimal(tls__existingSecret="files-tls", tls__client=client))
        test = one(objects, "Pod", "files-bobbinet-test-card")["spec"]
        assert test["containers"][0]["args"] == expected, test
        [secret] = [it["secret"] for it in test["volumes"] if it["name"] == "tls"]
        assert secret["items"] == [{"key": "ca.crt", "path": "ca.crt"}], "a caller has no key of the agent's"
    # A public authority's secret has no authority, and a pod that names one would never start.
    _, objects = helm.install(minimal(tls__existingSecret="files-tls", tls__ca=False))
    test = one(objects, "Pod", "files-bobbinet-test-card")["spec"]
    assert test["containers"][0]["args"] == asked["off"][:-1], test
    assert [it["name"] for it in test["volumes"]] == ["tmp"] and len(test["containers"][0]["volumeMounts"]) == 1, test


def check_refusals(helm):
    for values, words in [
        (minimal(tls__client="required"), ["tls.existingSecret names no secret"]),
        (minimal(tls__existingSecret="s", tls__ca=False, tls__client="optional"), ["the secret has no ca.crt"]),
        (minimal(replicas=2), ["replicas is 2", "one writer"]),
        (minimal(agent__command=[]), ["agent.command is not set"]),
        ({}, ["image.repository is not set", "agent.command is not set"]),
        (minimal(image__tag=""), ["image.tag is not set"]),
        (minimal(agent__comand=["x"]), ["/agent", "comand", "not allowed"]),
        (minimal(surprise=1), ["surprise", "not allowed"]),
        (minimal(flows={"f": FLOW}), ["there are flows and agent.command"]),
        (minimal(agent__command=[], flows={"F": FLOW}), ["'F' does not match pattern"]),
        (minimal(agent__command=[], flows={"f": FLOW}, peers={"f": "files"}), ["f is in flows and in peers"]),
        (minimal(peers={"files": "files-bobbinet"}), ["there are peers, but no flows"]),
        (minimal(callers=["no name"]), ["/callers/0"]),
        (minimal(agent__command="server"), ["/agent/command", "want array"]),
        (minimal(agent__name="Files"), ["/agent/name", "does not match pattern"]),
        (minimal(agent__env={"A": 1}), ["/agent/env/A", "want string"]),
        (minimal(agent__secretKeys=["K"]), ["agent.existingSecret names no secret"]),
        (minimal(agent__existingSecret="s"), ["agent.secretKeys none of its keys"]),
        (minimal(agent__existingSecret="s", agent__secretKeys=["K"], agent__env={"K": "v"}), ["K is in agent.env"]),
        (minimal(agent__env={"HOME": "/"}), ["HOME is set by the chart"]),
        (minimal(agent__existingSecret="s", agent__secretKeys=["BOBBINET_DATA"]), ["BOBBINET_DATA is set by the chart"]),
        (minimal(drain__gracePeriodSeconds=14), ["must be at least 10 more than drain.preStopSeconds"]),
        (minimal(runAsUser=0), ["/runAsUser"]),
        (minimal(storage__engine="postgres"), ["/storage/engine"]),
    ]:
        refusal = helm.refusal(values)
        for word in words:
            assert word in refusal, f"{values}: {word!r} is not in: {refusal}"


def documented(chart):
    """The rows of the README's table: each value with its default and the comment above it."""
    rows, path, comment = [], [], []
    for line in (chart / "values.yaml").read_text().splitlines():
        text = line.strip()
        if text.startswith("# -- "):
            comment = [text.removeprefix("# -- ")]
        elif text.startswith("#") and comment:
            comment.append(text.removeprefix("#").strip())
        elif match := re.match(r"( *)([A-Za-z]+):(.*)$", line):
            depth, default = len(match[1]) // 2, match[3].strip()
            path = path[:depth] + [match[2]]
            if comment:
                rows.append((".".join(path), default or "see values.yaml", " ".join(comment)))
            comment = []
    return rows


def leaves(values, path=()):
    for key, value in values.items():
        if isinstance(value, dict) and value and path + (key,) != ("resources",):
            yield from leaves(value, path + (key,))
        else:
            yield ".".join(path + (key,))


def readme_with_table(chart):
    text = (chart / "README.md").read_text()
    begin, end = "<!-- values: made from values.yaml -->\n", "<!-- end of values -->"
    before, rest = text.split(begin)
    rows = "".join(f"| `{name}` | `{default}` | {comment} |\n" for name, default, comment in documented(chart))
    return before + begin + "\n| value | default | what it is |\n|---|---|---|\n" + rows + "\n" + end + rest.split(end)[1]


def check_documents(chart):
    values = yaml.safe_load((chart / "values.yaml").read_text())
    names = [name for name, _, _ in documented(chart)]
    assert names == list(leaves(values)), "each value has one comment that begins with --"
    schema = json.loads((chart / "values.schema.json").read_text())
    for name in names:
        place = schema
        for key in name.split("."):
            assert key in place.get("properties", {}), f"the schema does not know {name}"
            place = place["properties"][key]
    assert (chart / "README.md").read_text() == readme_with_table(chart), "run this with --write-readme"


class Kubelet:
    """Runs the agent's container as a process, its volumes as folders."""

    def __init__(self, objects, bobbinet, folder, name="files-bobbinet"):
        pod = next(pod for found, pod in pods(objects) if found == name)
        self.container = pod["containers"][0]
        self.test = one(objects, "Pod", f"{name}-test-card")["spec"]["containers"][0]
        self.bobbinet, self.folder = bobbinet, folder
        self.port = self.container["ports"][0]["containerPort"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        for mount in self.container["volumeMounts"]:
            at = folder / mount["mountPath"].strip("/")
            at.mkdir(parents=True, exist_ok=True)
            if "configMap" in volumes.get(mount["name"], {}):
                configuration = one(objects, "ConfigMap", volumes[mount["name"]]["configMap"]["name"])
                for file, text in configuration["data"].items():
                    (at / file).write_text(self.here(text))

    def here(self, text):
        """What stands for the pod's folders and addresses on this machine."""
        paths = "|".join(mount["mountPath"] for mount in self.container["volumeMounts"])
        text = re.sub(rf"(^|=)({paths})(?=/|$)", rf"\g<1>{self.folder}\g<2>", text)
        text = text.replace("0.0.0.0", "127.0.0.1")
        # The names of Services: here each has another port.
        return re.sub(r"\b[a-z-]+-bobbinet\.mesh\.svc\b", "127.0.0.1", text)

    def command(self, container):
        assert container["command"] == ["bobbinet"], container
        return [self.bobbinet] + [self.here(argument) for argument in container["args"]]

    def environment(self, container):
        given = {it["name"]: self.here(it["value"]) for it in container["env"]}
        return {"PATH": f"{pathlib.Path(self.bobbinet).parent}:{os.environ['PATH']}", **given}

    def start(self):
        log = open(self.folder / "log", "ab")
        return subprocess.Popen(
            self.command(self.container),
            env=self.environment(self.container),
            cwd=self.here(self.container["workingDir"]),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )

    def probe(self, name):
        path = self.container[name]["httpGet"]["path"]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=2) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def until_ready(self, process):
        end = time.monotonic() + PATIENCE
        while not (self.probe("startupProbe") and self.probe("livenessProbe") and self.probe("readinessProbe")):
            assert process.poll() is None, f"ended with {process.returncode}: {(self.folder / 'log').read_text()}"
            assert time.monotonic() < end, f"not ready: {(self.folder / 'log').read_text()}"
            time.sleep(0.01)

    def until_skilled(self, skill):
        """Runs the test pod. Its card has no skills before the MCP server has told them, which a ready node does not wait for."""
        end = time.monotonic() + PATIENCE
        while True:
            card = self.run(self.test, self.command(self.test))
            assert card.returncode == 0, card
            if skill in card.stdout:
                return
            assert time.monotonic() < end, card

    def run(self, container, command):
        """A command in a container: the test's own, or what `kubectl exec` would run."""
        environment = self.environment(container)
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE)


FLOW = """
document: { dsl: '1.0.3', namespace: tests, name: triage, version: '1.0.0' }
do:
  - first: { call: notes.add_note, with: { text: first } }
  - both:
      fork:
        branches:
          - report: { call: report.make_report, with: { topic: looms, sections: 10 } }
          - again: { call: more.add_note, with: { text: again } }
      export: { as: '{ report: .[0] }' }
  - notes: { call: notes.list_notes }
  - more: { call: more.list_notes, export: { as: '$context + { more: . }' } }
  - all: { set: { sections: '${ $context.report | split("## Section") | length - 1 }', more: '${ $context.more }' } }
"""


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def check_names(helm, bobbinet):
    """The configuration is one that a node takes as it is rendered, with the names of a cluster, which nobody here can look up."""
    agents = "agents: { agent: { mcp: { command: [sh] } } }\n"
    for scheme, tls in (("http", {}), ("https", {"tls__existingSecret": "files-tls"})):
        callers = ["triage-bobbinet:7421", "other-bobbinet.elsewhere", "https://far.example/"]
        wrapped = minimal(callers=callers, **tls)
        orchestrator = minimal(agent={}, flows={"triage": FLOW}, callers=callers, peers={name: f"{name}-bobbinet" for name in ("notes", "report", "more")}, **tls)
        for values, file in ((wrapped, "callers.yaml"), (orchestrator, "bobbinet.yaml")):
            _, objects = helm.install(values)
            data = one(objects, "ConfigMap", "files-bobbinet")["data"]
            trusted = [it["issuer"] for it in yaml.safe_load(data[file])["trust"]]
            assert trusted == [
                f"{scheme}://triage-bobbinet.mesh.svc:7421",
                f"{scheme}://other-bobbinet.elsewhere.svc:7420",
                "https://far.example",
            ], trusted
            with tempfile.TemporaryDirectory() as folder:
                for name, text in data.items():
                    pathlib.Path(folder, name).write_text(text)
                if file == "callers.yaml":
                    # Of an agent whose command says the rest.
                    pathlib.Path(folder, "bobbinet.yaml").write_text(agents + data[file])
                checked = subprocess.run([bobbinet, "check", "bobbinet.yaml"], cwd=folder, capture_output=True, text=True)
                assert checked.returncode == 0, (checked, data)


def check_mesh(helm, bobbinet):
    """Three agents and an orchestrator, each a release of its own: a flow runs across them, and one of them is killed meanwhile."""
    servers = {"notes": "notes", "report": "report", "more": "notes"}
    ports = {name: free_port() for name in [*servers, "triage"]}
    values = {
        name: minimal(
            agent__name=name,
            agent__command=["bobbinet", "demo-server", server, "/data/files"],
            agent__trustHints=True,
            service__port=ports[name],
            callers=[f"triage-bobbinet:{ports['triage']}"],
        )
        for name, server in servers.items()
    }
    peers = {name: f"{name}-bobbinet:{ports[name]}" for name in servers}
    values["triage"] = minimal(agent={}, flows={"triage": FLOW}, peers=peers, service__port=ports["triage"])
    with tempfile.TemporaryDirectory() as folder:
        kubelets, processes = {}, {}
        for name in values:
            _, objects = helm.install(values[name], name)
            for pod_name, pod in pods(objects):
                assert not restricted(pod), (pod_name, restricted(pod))
            at = pathlib.Path(folder, name)
            at.mkdir()
            kubelets[name] = Kubelet(objects, bobbinet, at, f"{name}-bobbinet")
        logs = lambda: "".join(f"--- {name}\n{(kubelet.folder / 'log').read_text()}" for name, kubelet in kubelets.items())
        orchestrator = kubelets["triage"]
        run = lambda *words: orchestrator.run(orchestrator.container, [bobbinet, *words])
        try:
            # The orchestrator first: it finds the others when they are there.
            for name in ["triage", *servers]:
                processes[name] = kubelets[name].start()
            for name in values:
                kubelets[name].until_ready(processes[name])
            orchestrator.until_skilled("triage")
            sent = run("send", "-a", "triage", "--async", "-o", "json", "{}")
            assert sent.returncode == 0, (sent, logs())
            task = json.loads(sent.stdout)["task"]["id"]
            end = time.monotonic() + PATIENCE
            runs = kubelets["report"].folder / "data/files/runs.txt"
            while not (runs.exists() and runs.read_text()):
                assert time.monotonic() < end, logs()
                time.sleep(0.01)
            time.sleep(0.5)
            processes["report"].kill()
            processes["report"].wait()
            processes["report"] = kubelets["report"].start()
            done = run("task", "get", task, "--wait", "-o", "json")
            assert done.returncode == 0, (done, logs())
            done = json.loads(done.stdout)
            assert done["status"]["state"] == "TASK_STATE_COMPLETED", (done, logs())
            assert done["artifacts"][0]["parts"][0]["data"] == {"sections": 10, "more": "1. again"}, done
            # It was at work when it was killed, and it began anew, since it only reads. What writes has written once.
            assert len(runs.read_text().splitlines()) == 2, runs.read_text()
            assert (kubelets["notes"].folder / "data/files/notes.txt").read_text() == "first\n"
            tree = run("task", "list", "--tree", "-a", "triage")
            assert "report.make_report" in tree.stdout and "more.add_note" in tree.stdout, tree
        finally:
            for process in processes.values():
                process.kill()
                process.wait()


def check_pod(helm, bobbinet):
    """The pod as it is described starts, is found alive and ready, answers its test, ends when told to, and starts again."""
    port = free_port()
    command = ["bobbinet", "demo-server", "notes", "/data/notes"]
    _, objects = helm.install(minimal(agent__command=command, agent__env={"MODE": "test"}, service__port=port))
    with tempfile.TemporaryDirectory() as folder:
        kubelet = Kubelet(objects, bobbinet, pathlib.Path(folder))
        for start in ("first", "second"):
            process = kubelet.start()
            try:
                kubelet.until_ready(process)
                kubelet.until_skilled("add_note")
                called = kubelet.run(kubelet.container, [bobbinet, "call", "agent.add_note", f"text={start}"])
                assert called.returncode == 0 and f"noted: {start}" in called.stdout, called
                process.send_signal(signal.SIGTERM)
                assert process.wait(PATIENCE) == 0, (kubelet.folder / "log").read_text()
            finally:
                process.kill()
                process.wait()
        assert pathlib.Path(folder, "data/notes/notes.txt").read_text() == "first\nsecond\n"
        keys = list(pathlib.Path(folder, "data/bobbinet").rglob("*.pem"))
        assert keys and all(key.stat().st_mode & 0o777 == 0o600 for key in keys), keys


def main():
    chart = pathlib.Path(sys.argv[1])
    if sys.argv[2:] == ["--write-readme"]:
        (chart / "README.md").write_text(readme_with_table(chart))
        return
    if os.environ.get("HELM_DRIVER") != "memory":
        # Helm's own store of releases would speak protobuf to the API. Its runtime reads the environment that the process
        # was started with, so it is too late to change it here.
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"HELM_DRIVER": "memory"})
    check_documents(chart)
    helm = Helm(chart)
    check_lint(helm)
    check_objects(helm)
    check_variants(helm)
    check_refusals(helm)
    for bobbinet in sys.argv[2:]:
        check_names(helm, str(pathlib.Path(bobbinet).resolve()))
        check_pod(helm, str(pathlib.Path(bobbinet).resolve()))
        check_mesh(helm, str(pathlib.Path(bobbinet).resolve()))
    print("ok")


if __name__ == "__main__":
    main()
