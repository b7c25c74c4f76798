//! Configurations: every mistake with its line and what to do about it; an `mcp.json` in each of its dialects.

use serde_json::{Value, json};

use crate::program::TestFolder;

/// What `bobbinet check --strict` finds in a file, as `LINE: MESSAGE -> HINT`, and its exit code.
fn check(file: &str, text: &str, expected: &[&str]) {
    let folder = TestFolder::new();
    folder.write(file, text);
    let ran = folder.run(&["check", file, "--strict", "-o", "json"]);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    let errors: Vec<&Value> =
        report["findings"].as_array().unwrap().iter().filter(|it| it["severity"] == "error").collect();
    let told: Vec<String> = errors
        .iter()
        .map(|finding| {
            let hint = finding["hint"]
                .as_str()
                .map(|hint| format!(" -> {}", hint.lines().next().unwrap()))
                .unwrap_or_default();
            format!("{}: {}{hint}", finding["line"], finding["message"].as_str().unwrap())
        })
        .collect();
    assert_eq!(told, expected, "{text}");
    assert_eq!(ran.code, if expected.is_empty() { 0 } else { 2 }, "{text}");
}

fn check_yaml(text: &str, expected: &[&str]) {
    check("bobbinet.yaml", text, expected);
}

#[test]
fn a_whole_configuration_has_no_faults() {
    check_yaml(
        r#"
node:
  listen: 127.0.0.1:0
  data: ./data
  public_url: https://agents.example.com
  proxies: [10.0.0.0/8, 192.0.2.1, "::1"]
  cors: ["https://ui.example.com"]
  pre_stop_delay: 3s
  grace: 20s
  wait_max: 1m
  version_required: false
  card: 1.0
  otlp: http://127.0.0.1:4318
  limits: { run_limit: 10m, history_max: 100, body_max: 4MiB, drain_ms: 500 }
agents:
  files:
    use: filesystem
    mcp: { command: [ls, -l], cwd: ".", env: { PORT: 0777, EMPTY: , YES: yes } }
  shell:
    title: A shell
    description: Runs
    mcp: { command: sh, args: [-c, "true"] }
    effects: { run: read-only, save: idempotent, pay: keyed, other: at-most-once }
    trust_hints: true
    interactive: [ask]
    slots: 4
    era: legacy
    limits: { idle: 2m, line_bytes_max: 1MiB }
"#,
        &[],
    );
}

#[test]
fn unknown_settings_are_refused_wherever_they_stand() {
    check_yaml(
        "nod: {}\nagents: { a: { mcp: { command: [ls] } } }\n",
        &[r#"1: the file has no setting "nod" -> did you mean "node"?"#],
    );
    check_yaml(
        "node:\n  listne: 127.0.0.1:1\n  colour: red\nagents: { a: { mcp: { command: [ls] } } }\n",
        &[
            r#"2: node has no setting "listne" -> did you mean "listen"?"#,
            r#"3: node has no setting "colour" -> there is listen, tls, data, public_url, issuer, proxies, cors, limits, pre_stop_delay, grace, otlp, version_required, card, grpc, mcp, wait_max, webhooks"#,
        ],
    );
    check_yaml(
        "agents:\n  a:\n    mcp: { comand: [ls] }\n    trustHints: true\n    limits: { idel: 1s }\n",
        &[
            r#"3: mcp has no setting "comand" -> did you mean "command"?"#,
            r#"4: agent a has no setting "trustHints" -> did you mean "trust_hints"?"#,
            r#"5: limits has no setting "idel" -> did you mean "idle"?"#,
        ],
    );
}

#[test]
fn wrong_values_are_told_with_what_would_be_right() {
    let agents = "agents: { a: { mcp: { command: [ls] } } }\n";
    let in_node = |line: &str, expected: &str| check_yaml(&format!("node:\n  {line}\n{agents}"), &[expected]);
    in_node(
        "listen: localhost",
        r#"2: "localhost" is no address to listen at -> write an IP address and a port, such as 127.0.0.1:7420 or 0.0.0.0:7420"#,
    );
    in_node("grace: soon", r#"2: grace cannot be "soon" -> write a time such as 500ms, 3s or 10m"#);
    in_node("data: [a]", "2: data is a text, and here is a list");
    in_node("version_required: 1", "2: version_required is true or false, and here is a number");
    in_node(
        "card: 0.2",
        r#"2: card cannot be "0.2" -> write 1.0, 0.3, or hybrid for a card that clients of both can read"#,
    );
    in_node("limits: { history_max: many }", r#"2: history_max cannot be "many""#);
    let tls_hint = "for example tls: { cert: ./tls.crt, key: ./tls.key }; or tls: off, where a proxy or a mesh before the node has it";
    in_node("tls: true", &format!("2: tls cannot be that -> {tls_hint}"));
    in_node("tls: { cert: ./tls.crt }", &format!("2: tls has a cert and a key -> {tls_hint}"));
    in_node(
        "tls: { cert: a, key: b, client: required }",
        "2: callers may show certificates, and nobody is trusted to have signed them -> name the authorities whose certificates callers may show: client_ca: ./ca.crt",
    );
    in_node(
        "tls: { cert: a, key: b, client_ca: c, client: always }",
        "2: client cannot be that -> there is off, optional and required",
    );
    for fit in
        ["tls: off", "tls: false", "tls: { cert: a, key: b, client_ca: c, client: off }", "tls: { cert: a, key: b }"]
    {
        check_yaml(&format!("node:\n  {fit}\n{agents}"), &[]);
    }
    let of_principals = |line: &str, expected: &str| {
        check_yaml(
            &format!("{agents}policy: [{{ allow: \"true\" }}]\nprincipals:\n  {line}\n  b: {{}}\n"),
            &[expected],
        );
    };
    let names = "take a URI or a DNS name of its subjectAltName, or all of its subject: spiffe://prod/cart, cart.example.com, CN=cart,O=Shop";
    of_principals(
        "a: { certificate: \"a b\" }",
        &format!(
            r#"4: "a b" is no name in a certificate: it is no URI, no DNS name and no subject such as CN=cart,O=Shop -> {names}"#
        ),
    );
    of_principals(
        "a: { certificate: [x.example] }\n  c: { certificate: X.example }",
        &format!(r#"5: "X.example" is another principal's already -> {names}"#),
    );
    let in_agent = |line: &str, expected: &str| {
        check_yaml(&format!("agents:\n  a:\n    mcp: {{ command: [ls] }}\n    {line}\n"), &[expected]);
    };
    in_agent("use: filesytem", r#"4: there is no card "filesytem" -> did you mean filesystem?"#);
    in_agent("effects: { x: readonly }", r#"4: "readonly" is no effect -> did you mean read-only?"#);
    in_agent("slots: 0", r#"4: slots cannot be "0""#);
    in_agent("era: old", r#"4: era cannot be "old""#);
    in_agent("effects: [x]", "4: effects is a map, and here is a list");
}

#[test]
fn an_agent_needs_a_server_that_can_be_started() {
    check_yaml("node: {}\n", &["1: there are no agents -> for example:"]);
    check_yaml(
        "agents:\n  a: {}\n",
        &[
            r#"2: agent a has no server -> say how to start it: mcp: { command: [npx, -y, "@scope/server"] }; or where it is: a2a: https://agents.example.com"#,
        ],
    );
    check_yaml(
        "agents:\n  a:\n    mcp: {}\n",
        &[
            r#"3: there is no command and no url -> for example command: ["npx", "-y", "@scope/server"], or url: https://mcp.example.com/mcp"#,
        ],
    );
    check_yaml(
        "agents:\n  a:\n    mcp: { command: npx -y thing }\n",
        &[
            r#"3: "npx -y thing" is one word with a space in it -> no shell splits it: write command: ["npx", "-y", "thing"]"#,
        ],
    );
    check_yaml("agents:\n  a:\n    mcp: { command: [] }\n", &["3: command has no words"]);
    check_yaml(
        "agents:\n  A b:\n    mcp: { command: [ls] }\n",
        &["2: an agent's name may not contain 'A' -> a name has lower-case letters, digits, - and _"],
    );
}

#[test]
fn a_server_has_a_command_or_a_url() {
    check_yaml(
        "agents:\n  a:\n    mcp: { url: http://127.0.0.1:1, headers: { X-Key: k }, transport: streamable }\n",
        &[],
    );
    check_yaml(
        "agents:\n  a:\n    mcp: { url: http://127.0.0.1:1, command: [ls], cwd: . }\n",
        &[
            "3: a server that has a url has no command -> say one or the other",
            "3: a server that has a url has no cwd -> say one or the other",
        ],
    );
    check_yaml(
        "agents:\n  a:\n    mcp: { command: [ls], headers: { A: b } }\n",
        &["3: a server that is started has no headers -> they go with a url"],
    );
    check_yaml(
        "agents:\n  a:\n    mcp: { url: ftp://x, headers: { \"a b\": c, Host: d, E: \"f\\ng\" }, transport: pigeon }\n",
        &[
            "3: \"ftp://x\" cannot be called: it is neither http nor https -> for example url: https://mcp.example.com/mcp",
            "3: \"a b\" is no name of a header",
            "3: the header \"Host\" is the transport's own",
            "3: the value of the header \"E\" cannot be sent: it has a line break or the like",
            "3: transport cannot be \"pigeon\"",
        ],
    );
}

#[test]
fn agents_that_are_elsewhere_are_read_with_every_mistake() {
    check_yaml(
        r#"
node: { listen: "127.0.0.1:0" }
agents:
  near: { mcp: { command: [ls] } }
  plain: { a2a: https://agents.example.com/agents/x }
  whole:
    a2a: http://10.0.0.1:7420
    auth: { client: { token_url: "https://idp.example.com/token", id: node, secret_file: ./secret, scope: a2a } }
    fallback: near
    effect: idempotent
    origin: https://10.0.0.1:8443
    timeout: 30s
    slots: 8
    title: Whole
    description: All that can be said
  node: { a2a: "https://b.example", auth: node }
  named: { a2a: "https://c.example", auth: { node: caller } }
  file: { a2a: "https://d.example", auth: { file: ./token } }
peers: ["https://e.example", { url: "https://f.example", auth: none }]
policy: [{ allow: "true", on: [plain, any-of-a-node] }]
"#,
        &[],
    );
    check_yaml("peers: [\"https://a.example\"]\n", &[]);
    const URL: &str = "write the URL of an agent or of its card, such as https://agents.example.com/agents/planner";
    const AUTH: &str = "say auth: none, auth: node (a short token of this node), or one of { node: NAME }, { bearer: TOKEN }, { file: PATH }, { api_key: KEY } and { client: { token_url, id, secret } }";
    check_yaml(
        "agents:\n  a: { a2a: \"ftp://a.example\" }\n  b: { a2a: \"https://me:secret@b.example/\" }\n  c: { a2a: nowhere }\n",
        &[
            &format!(
                "2: ftp://a.example/ is not called: it is neither http nor https; write a URL such as https://agents.example.com, and credentials beside it -> {URL}"
            ),
            &format!(
                "3: https://b.example/ is not called: it has a name or a password in it; write a URL such as https://agents.example.com, and credentials beside it -> {URL}"
            ),
            &format!("4: \"nowhere\" is no URL -> {URL}"),
        ],
    );
    check_yaml(
        "agents:\n  a: { a2a: \"https://a.example\", auht: none }\n  b: { a2a: \"https://b.example\", auth: maybe }\n  \
         c: { a2a: \"https://c.example\", auth: { bearer: x, file: y } }\n  d: { a2a: \"https://d.example\", mcp: {} }\n",
        &[
            r#"2: agent a has no setting "auht" -> did you mean "auth"?"#,
            &format!("3: auth cannot be that -> {AUTH}"),
            &format!("4: auth says one way -> {AUTH}"),
            r#"5: agent d has no setting "mcp" -> there is a2a, auth, tls, card_keys, fallback, effect, origin, timeout, slots, title, description"#,
        ],
    );
    check_yaml(
        "agents:\n  planner: { mcp: { command: [ls] } }\n  a: { a2a: \"https://a.example\", fallback: planer }\n  \
         b: { a2a: \"https://b.example\", fallback: b }\n",
        &[
            r#"3: there is no agent "planer" to stand in for a -> did you mean "planner"?"#,
            "4: agent b cannot stand in for itself",
        ],
    );
    check_yaml(
        "peers: [\"https://a.example\", \"https://a.example/\", 7, { auth: none }]\n",
        &[
            "1: https://a.example/ stands here twice",
            "1: a peer is a URL, and here is a number -> write the URL of a node or of an agent, or { url, auth }",
            "1: a peer is nowhere -> say where it is: url: https://agents.example.com",
        ],
    );
}

#[test]
fn what_is_not_yaml_is_told_with_what_trips_most_people_up() {
    check_yaml(
        "agents:\n  a:\n    mcp: { command: [npx, -y, @scope/x] }\n",
        &[
            r#"3: this is not YAML: unexpected character: `@' -> put a word that begins with @ or has ${…} in quotes: ["npx", "-y", "@scope/package"]"#,
        ],
    );
    check_yaml(
        "agents:\n\ta: {}\n",
        &[
            "2: this is not YAML: tabs disallowed within this context (block indentation) -> YAML is indented by spaces, never by tabs",
        ],
    );
    check_yaml(
        "agents:\n  a: {}\n  a: {}\n",
        &["3: this is not YAML: duplicate mapping key: a -> take one of them out"],
    );
    check_yaml(
        "agents:\n  a:\n    description: one: two\n",
        &[
            "3: this is not YAML: mapping values are not allowed in this context -> put a text that has a colon followed by a space in quotes",
        ],
    );
}

#[test]
fn variables_that_are_not_set_are_told() {
    check_yaml(
        "agents:\n  a:\n    mcp: { command: [ls, \"${BOBBINET_TEST_UNSET}\", \"${BOBBINET_TEST_UNSET:-x}\"] }\n",
        &[
            "3: the variable BOBBINET_TEST_UNSET is not set -> set it (export BOBBINET_TEST_UNSET=…), or give a default: ${BOBBINET_TEST_UNSET:-…}",
        ],
    );
}

/// The agents that come out of a file, with their commands and the names of their variables.
fn agents(file: &str, text: &str, expected: &Value) {
    let folder = TestFolder::new();
    folder.write(file, text);
    folder.write("server.env", "FROM_FILE=1\n");
    let ran = folder.run(&["check", file, "-o", "json"]);
    let mut report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    assert_eq!(report["ok"], true, "{report:#}");
    let root = folder.path().canonicalize().unwrap();
    for agent in report["agents"].as_array_mut().unwrap() {
        assert_eq!(agent["share"].take(), "session shared, writes one at a time");
        agent.as_object_mut().unwrap().remove("share");
        let cwd = folder.path().join(agent["cwd"].as_str().unwrap()).canonicalize().unwrap();
        agent["cwd"] = Value::from(cwd.strip_prefix(&root).unwrap().display().to_string());
    }
    assert_eq!(&report["agents"], expected, "{text}");
}

#[test]
fn an_mcp_json_is_read_in_its_dialects() {
    agents(
        "mcp.json",
        r#"{ "mcpServers": { "a": { "command": "ls", "args": ["-l", 3], "env": { "K": "v", "N": 1 }, "alwaysAllow": ["x"] } } }"#,
        &json!([{ "name": "a", "command": ["ls", "-l", "3"], "cwd": "", "env": ["K", "N"] }]),
    );
    agents(
        ".vscode/mcp.json",
        r#"{
            // comments, and commas at the end
            "inputs": [{ "type": "promptString", "id": "key", "password": true, }],
            "servers": { /* here too */ "a": { "type": "stdio", "command": "ls", "envFile": "${workspaceFolder}/server.env" }, },
        }"#,
        &json!([{ "name": "a", "command": ["ls"], "cwd": "", "env": ["FROM_FILE"] }]),
    );
    agents(
        "claude.json",
        r#"{ "globalShortcut": "", "mcpServers": {
            "My Files": { "command": "ls", "bobbinet": { "use": "filesystem" } },
            "off": { "command": "not-there", "disabled": true },
            "far": { "type": "http", "url": "https://far.example/mcp", "disabled": true }
        } }"#,
        &json!([{ "name": "my-files", "command": ["ls"], "cwd": "", "env": [] }]),
    );
    agents(
        "ours.json",
        r#"{ "node": { "listen": "127.0.0.1:0" }, "agents": { "a": { "mcp": { "command": ["ls"] } } } }"#,
        &json!([{ "name": "a", "command": ["ls"], "cwd": "", "env": [] }]),
    );
}

#[test]
fn a_server_runs_beside_its_configuration_or_where_it_is_told_to() {
    let folder = TestFolder::new();
    folder.write(
        "mcp.json",
        r#"{ "mcpServers": {
            "here": { "command": "ls" }, "given": { "command": "ls", "cwd": "sub" }, "own": { "command": "ls", "cwd": "own" }
        } }"#,
    );
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    let ran = folder.run(&["check", "--verbose", "mcp.json"]);
    let here = folder.path().canonicalize().unwrap().display().to_string();
    let shown = ran.stdout.replace(&here, "HERE").replace("HERE/.", "HERE");
    for expected in ["runs in HERE\n", "runs in HERE/sub\n", "runs in a folder of its own\n"] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    let json: Value = serde_json::from_str(&folder.run(&["check", "-o", "json", "mcp.json"]).stdout).unwrap();
    let own = json["agents"].as_array().unwrap().iter().find(|agent| agent["name"] == "own").unwrap();
    assert_eq!(own["cwd"], Value::Null);
}

#[test]
fn an_mcp_json_with_mistakes_is_told_where() {
    let check_json = |text: &str, expected: &[&str]| check("mcp.json", text, expected);
    check_json(
        "{\n \"mcpServers\": {\n  \"a\": { \"url\": \"gopher://x\" } } }",
        &[
            "3: \"gopher://x\" cannot be called: it is neither http nor https -> for example url: https://mcp.example.com/mcp",
        ],
    );
    check_json(
        "{ \"servers\": {\n \"a\": { \"type\": \"http\", \"command\": \"ls\" } } }",
        &["2: server a has no url -> or say type: stdio, and a command"],
    );
    check_json(
        "{ \"mcpServers\": {\n \"a\": { \"comand\": \"ls\" } } }",
        &[r#"2: server a has no setting "comand" -> did you mean "command"?"#],
    );
    check_json(
        "{ \"inputs\": [{ \"id\": \"api-key\" }], \"servers\": {\n \"a\": { \"command\": \"ls\", \"env\": { \"K\": \"${input:api-key}\" } } } }",
        &[
            "2: ${input:api-key} would ask a person, and there is nobody to ask -> write ${env:API_KEY} in its place, and set API_KEY before the start",
        ],
    );
    check_json(
        "{ \"mcpServers\": {\n \"a\": { \"command\": \"ls\" }\n \"b\": {} } }",
        &["2: this is not JSON: expected comma"],
    );
    check_json(
        "{ \"mcpServers\": {\n \"a\": { \"command\": \"ls\" },\n \"a\": { \"command\": \"ls\" } } }",
        &[r#"2: "a" stands here twice"#],
    );
    check_json(
        "{ \"mcpServer\": {} }",
        &[
            r#"1: there are no servers -> an mcp.json has {"mcpServers": {…}} or {"servers": {…}}"#,
            r#"1: the file has no setting "mcpServer" -> did you mean "mcpServers"?"#,
        ],
    );
}

/// The agents that a file comes to, and what is warned of, as `LINE: MESSAGE`.
fn lenient(text: &str, names: &[&str], warnings: &[&str]) {
    let folder = TestFolder::new();
    folder.write("mcp.json", text);
    let ran = folder.run(&["check", "mcp.json", "-o", "json"]);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    assert_eq!((ran.code, &report["ok"]), (0, &json!(true)), "{report:#}");
    let found: Vec<&str> =
        report["agents"].as_array().unwrap().iter().map(|agent| agent["name"].as_str().unwrap()).collect();
    assert_eq!(found, names, "{text}");
    let told: Vec<String> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["severity"] == "warning")
        .map(|finding| format!("{}: {}", finding["line"], finding["message"].as_str().unwrap()))
        .collect();
    assert_eq!(told, warnings, "{text}");
}

#[test]
fn a_server_that_is_called_is_read_in_every_hosts_words() {
    let agents = |text: &str| {
        let folder = TestFolder::new();
        folder.write("mcp.json", text);
        let ran = folder.run(&["check", "mcp.json", "--strict", "-o", "json"]);
        let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
        assert_eq!((ran.code, &report["ok"]), (0, &json!(true)), "{report:#}");
        let mut agent = report["agents"][0].clone();
        agent.as_object_mut().unwrap().remove("share");
        agent
    };
    for server in [
        r#"{ "url": "http://x/mcp?key=k" }"#,
        r#"{ "httpUrl": "http://x/mcp" }"#,
        r#"{ "serverUrl": "http://x/mcp" }"#,
        r#"{ "type": "streamableHttp", "url": "http://x/mcp" }"#,
        r#"{ "transport": "streamable-http", "url": "http://x/mcp" }"#,
        r#"{ "transport": { "type": "sse", "url": "http://x/mcp" } }"#,
        r#"{ "type": "sse", "url": "http://x/mcp", "command": "ls" }"#,
    ] {
        let agent = agents(&format!("{{ \"mcpServers\": {{ \"a\": {server} }} }}"));
        assert_eq!(agent, json!({ "name": "a", "url": "http://x", "headers": [] }), "{server}");
    }
    // Their values are secrets as often as not.
    let agent = agents(
        r#"{ "servers": { "a": { "type": "http", "url": "https://x/mcp", "headers": { "X-Key": "${env:HOME}" } } } }"#,
    );
    assert_eq!(agent, json!({ "name": "a", "url": "https://x", "headers": ["x-key"] }));
}

#[test]
fn one_server_that_cannot_be_started_does_not_stop_the_others() {
    let with = |server: &str| {
        format!("{{ \"mcpServers\": {{\n \"good\": {{ \"command\": \"ls\" }},\n \"bad\": {server} }} }}")
    };
    let check_bad =
        |server: &str, why: &str| lenient(&with(server), &["good"], &[&format!("3: server bad is left out: {why}")]);
    check_bad(r#"{ "type": "ws", "url": "ws://x" }"#, "\"ws\" is no type of server");
    check_bad(
        r#"{ "url": "http://x", "headers": { "A": "${BOBBINET_TEST_UNSET}" } }"#,
        "the variable BOBBINET_TEST_UNSET is not set",
    );
    check_bad(
        r#"{ "command": "ls", "env": { "K": "${BOBBINET_TEST_UNSET}" } }"#,
        "the variable BOBBINET_TEST_UNSET is not set",
    );
    check_bad(
        r#"{ "command": "ls", "env": { "K": "$BOBBINET_TEST_UNSET" } }"#,
        "the variable BOBBINET_TEST_UNSET is not set",
    );
    check_bad("{}", "there is no command and no url");
    check_bad("7", "server bad is a map, and here is a number");
    lenient(
        "{ \"mcpServers\": {\n \"a\": { \"command\": \"no\" },\n \"a\": { \"command\": \"ls\" } } }",
        &["a"],
        &[r#"2: server a is left out: "a" stands here twice"#],
    );
    let folder = TestFolder::new();
    folder.write("mcp.json", r#"{ "mcpServers": { "bad": { "url": "x" } } }"#);
    let ran = folder.run(&["up", "mcp.json"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("there is no server that can be started"), "{}", ran.stderr);
    folder.write("mcp.json", &with(r#"{ "url": "ws://x" }"#));
    let ran = folder.run(&["up", "mcp.json", "--strict"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
}

#[test]
fn what_people_write_beside_servers_is_passed_over() {
    lenient(
        r##"{ "$schema": "x", "_comment": "mine", "mcpServers": {
            "_comment": "these", "//": "are mine", "#x": 1, "_old": { "command": "gone" },
            "a": { "_comment": "a list", "description": "Lists", "comment": "x", "command": "ls", "trust": true, "autoApprove": [] },
            "b": { "command": "ls", "disabled": "false" }, "c": { "command": "x", "disabled": "true" },
            "d": { "command": "x", "isActive": false }, "e": { "command": "x", "enabled": false }
        } }"##,
        &["a", "b"],
        &[],
    );
}

#[test]
fn the_servers_of_every_host_are_found() {
    let expected = json!([{ "name": "a", "command": ["ls", "-l"], "cwd": "", "env": ["K"] }]);
    let server = r#"{ "a": { "command": "ls", "args": ["-l"], "env": { "K": "v" } } }"#;
    for text in [
        format!(r#"{{ "mcpServers": {server} }}"#),
        format!(r#"{{ "servers": {server}, "inputs": [] }}"#),
        format!(r#"{{ "context_servers": {server}, "node": {{ "path": "/usr/bin/node" }}, "theme": "One Dark" }}"#),
        format!(r#"{{ "mcp_servers": {server} }}"#),
        format!(r#"{{ "editor.fontSize": 12, "mcp": {{ "inputs": [], "servers": {server} }} }}"#),
        format!(r#"{{ "mcp.servers": {server} }}"#),
        format!(r#"{{ "mcp": {server} }}"#),
        format!(r#"{{ "amp.mcpServers": {server} }}"#),
        format!(r#"{{ "mcp": {{ "allowed": ["a"] }}, "mcpServers": {server} }}"#),
        server.to_owned(),
        r#"{ "mcpServers": [{ "name": "a", "command": "ls", "args": ["-l"], "env": { "K": "v" } }] }"#.to_owned(),
        r#"[{ "name": "a", "command": "ls", "args": ["-l"], "env": { "K": "v" } }]"#.to_owned(),
        r#"{ "context_servers": { "a": { "source": "custom", "command": { "path": "ls", "args": ["-l"], "env": { "K": "v" } } } } }"#.to_owned(),
        r#"{ "mcp": { "a": { "type": "local", "command": ["ls", "-l"], "environment": { "K": "v" }, "enabled": true } } }"#.to_owned(),
        r#"{ "mcpServers": { "a": { "transport": { "type": "stdio", "command": "ls", "args": ["-l"], "env": { "K": "v" } } } } }"#.to_owned(),
    ] {
        agents("some.json", &text, &expected);
    }
    agents("some.yaml", "mcpServers:\n  a:\n    command: ls\n    args: [-l]\n    env: { K: v }\n", &expected);
    agents(
        "goose.yaml",
        "extensions:\n  a: { type: stdio, cmd: ls, args: [-l], envs: { K: v }, enabled: true }\n",
        &expected,
    );
}

#[test]
fn every_server_has_a_name_that_is_its_own() {
    let named = |key: &str| format!(r#""{key}": {{ "command": "ls" }}"#);
    let names = |keys: &[&str], expected: &[&str]| {
        let servers: Vec<String> = keys.iter().map(|key| named(key)).collect();
        lenient(&format!("{{ \"mcpServers\": {{ {} }} }}", servers.join(",\n")), expected, &[]);
    };
    // printf '文件' | sha256sum
    names(&["文件"], &["server-39932f24"]);
    names(&["My Files"], &["my-files"]);
    names(&["My Files", "my-files"], &["my-files", "my-files-a1acceda"]);
    names(&["@scope/Files", "!!!"], &["scope-files", "server-e84c538e"]);
}

#[test]
fn no_value_of_a_variable_or_a_header_is_ever_shown() {
    const SECRET: &str = "sk-live-4711";
    let folder = TestFolder::new();
    let faulty = [
        format!(
            "{{ \"mcpServers\": {{ \"a\": {{ \"url\": \"x?key={SECRET}\", \"headers\": {{ \"Authorization\": \"Bearer {SECRET}\" }} }} }} }}"
        ),
        format!("{{ \"mcpServers\": {{ \"a\": {{ \"comand\": \"x\", \"env\": {{ \"TOKEN\": \"{SECRET}\" }} }} }} }}"),
        format!(
            "{{ \"mcpServers\": {{ \"a\": {{ \"command\": \"ls\", \"env\": {{ \"TOKEN\": \"{SECRET}${{x\" }} }} }} }}"
        ),
        format!(
            "{{ \"mcpServers\": {{ \"a\": {{ \"command\": \"ls\", \"env\": {{ \"TOKEN\": [\"{SECRET}\"] }} }} }} }}"
        ),
        format!("{{ \"mcpServers\": {{ \"a\": {{ \"command\": \"ls\", \"env\": {{ \"TOKEN\": \"{SECRET} }} }} }} }}"),
        format!("{{ \"mcpServers\": {{ \"a\": {{ \"command\": \"ls\", \"env\": {{ \"TOKEN\": {SECRET} }} }} }} }}"),
        format!("{{ \"mcpServers\": {{ \"a\": {{ \"command\": \"ls\", \"env\": {{ \"TOKEN\" \"{SECRET}\" }} }} }} }}"),
        format!("agents:\n  a:\n    mcp: {{ comand: [ls], env: {{ TOKEN: {SECRET} }} }}\n"),
        format!("agents:\n  a:\n    mcp:\n      command: [ls]\n      env: {{ TOKEN: [{SECRET}] }}\n"),
        format!("agents:\n  a:\n    mcp:\n      command: [ls]\n      env: {{ TOKEN: @{SECRET} }}\n"),
        format!("agents:\n  a:\n    mcp:\n      command: [ls]\n      env:\n        TOKEN: one: {SECRET}\n"),
        format!("agents:\n  a:\n    mcp:\n      command: [ls]\n      env:\n\t    TOKEN: {SECRET}\n"),
        format!("agents:\n  a:\n    mcp:\n      command: [ls]\n      env:\n        TOKEN: *{SECRET}\n"),
        format!("agents:\n  a:\n    mcp:\n      command: [ls]\n      env:\n        TOKEN: \"{SECRET}\\q\"\n"),
        format!(
            "{{ \"mcpServers\": {{ \"a\": {{ \"command\": \"ls\", \"env\": {{ \"TOKEN\": \"\\x{SECRET}\" }} }} }} }}"
        ),
    ];
    for text in faulty {
        folder.write("some.json", &text);
        for arguments in [
            ["check", "some.json", "--strict", "-o", "text"],
            ["check", "some.json", "--strict", "-o", "json"],
            ["up", "some.json", "--strict", "-o", "text"],
            ["up", "some.json", "--strict", "-o", "json"],
        ] {
            let ran = folder.run(&arguments);
            let said = format!("{}{}", ran.stdout, ran.stderr);
            assert_eq!(ran.code, 2, "{text}\n{said}");
            assert!(!said.contains(SECRET), "{text}\n{said}");
        }
    }
}

#[test]
fn programs_that_are_not_there_are_told_before_anything_is_started() {
    let folder = TestFolder::new();
    folder.write("bobbinet.yaml", "agents:\n  a:\n    mcp: { command: [bobbinet-test-no-such-program] }\n");
    let ran = folder.run(&["check"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("agent a: there is no program bobbinet-test-no-such-program"), "{}", ran.stderr);
    assert!(ran.stdout.contains("Errors: 1\n"), "{}", ran.stdout);
}

#[test]
fn a_node_is_not_started_from_a_configuration_with_faults() {
    let folder = TestFolder::new();
    folder.write("bobbinet.yaml", "agents:\n  a:\n    mcp: { comand: [ls] }\n");
    let ran = folder.run(&["up"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert!(ran.stderr.contains("bobbinet.yaml:3:12: mcp has no setting \"comand\""), "{}", ran.stderr);
    assert!(!folder.path().join("bobbinet-data").exists(), "nothing was begun");
}

/// The settings of callers below an agent `a`, which takes the first four lines.
fn check_callers(text: &str, expected: &[&str]) {
    check_yaml(
        &format!("node: {{ issuer: https://us.example }}\nagents:\n  a:\n    mcp: {{ command: [ls] }}\n{text}"),
        expected,
    );
}

#[test]
fn who_may_call_is_read_with_every_mistake() {
    let whole = r#"
principals:
  crypto: { tenant: acme, life: 30d, limits: { requests: 8, requests_per_second: 1_000 } }
  ci:
trust:
  - issuer: https://idp.example
    jwks: { url: https://idp.example/jwks.json }
    algorithms: [ES256, PS256]
    audience: https://agents.example
    tenant: acme
    life: 1h
    principals: { "00u1": crypto, ci: ci }
  - { issuer: https://b.example, jwks: { url: "http://127.0.0.1:7421/.well-known/jwks.json" } }
  - { issuer: https://found.example/realms/a, typ: any }
  - { issuer: "http://127.0.0.1:7422" }
api_keys: true
policy:
  - { allow: "caller.principal == 'crypto' && skill == 'sign'", on: a }
  - allow: |
      caller.issuer == 'https://b.example' &&
      arguments.path.startsWith('/public')
    on: [a]
  - allow: caller.tenant == 'acme' && operation in ['get', 'list']
"#;
    check_callers(whole, &[]);
    let hint = "for example caller.principal == 'crypto' && skill == 'sign'";
    let keys = "say where they are: jwks: { url: https://idp.example.com/jwks.json }, or jwks: { file: ./jwks.json }";
    let api_keys = "say false for none, or name a file that `bobbinet key create --file` has made; nothing said means those of the key folder";
    for (text, expected) in [
        ("policy: []\n", vec![]),
        ("policy: yes\n", vec!["5: policy is a list, and here is yes or no".to_owned()]),
        ("policy:\n  - {}\n", vec!["6: a line of the policy allows nothing -> say who may do what: allow: \"caller.principal == 'crypto' && skill == 'sign'\"".to_owned()]),
        ("policy:\n  - { allow: 'true', on: b }\n", vec!["6: there is no agent \"b\" -> there is a".to_owned()]),
        ("policy:\n  - { alow: 'true' }\n", vec!["6: a line of the policy has no setting \"alow\" -> did you mean \"allow\"?".to_owned()]),
        ("policy:\n  - allow: caller.principal = 'x'\n", vec![format!("6: allow: it is not CEL: token recognition error at: '= ' -> {hint}")]),
        ("policy:\n  - allow: true\n  - allow: callers.x\n", vec!["7: allow: there is no \"callers\" -> there is caller.principal, caller.issuer, caller.tenant, caller.claims, caller.scopes, caller.chain, agent, skill, arguments and operation".to_owned()]),
        ("principals: { node-owner: {} }\n", vec!["5: node-owner is the node's owner, and needs no line here".to_owned()]),
        ("principals: { a#b: {} }\n", vec!["5: a name of yours has no #: that ends an issuer's name".to_owned()]),
        ("principals: { ci: { life: 2y } }\n", vec!["5: life cannot be \"2y\" -> write a time such as 1h or 30d, at most 366d: a token cannot be called back".to_owned()]),
        ("principals: { ci: { tenant: '' } }\n", vec!["5: tenant cannot be \"\"".to_owned()]),
        ("principals: { ci: { limits: { request: 8 } } }\n", vec!["5: limits of principal ci has no setting \"request\" -> did you mean \"requests\"?".to_owned()]),
        ("principals: { ci: { limits: { requests: many } } }\n", vec!["5: requests cannot be \"many\"".to_owned()]),
        ("api_keys: false\n", vec![]),
        ("api_keys: []\n", vec![format!("5: api_keys is a file, or false, and here is a list -> {api_keys}")]),
        ("trust:\n  - { issuer: idp }\n", vec![format!("6: an issuer's keys cannot be found by its name: \"idp\" is no URL -> {keys}")]),
        ("trust:\n  - { issuer: http://idp.example }\n", vec![format!("6: an issuer's keys cannot be found by its name: \"http://idp.example/.well-known/openid-configuration\" is http, where anybody on the way could put keys of his: use https -> {keys}")]),
        ("trust:\n  - { issuer: https://x.example, typ: JWT }\n", vec!["6: typ cannot be \"JWT\"".to_owned()]),
        ("trust:\n  - jwks: { url: https://x.example }\n", vec!["6: an issuer has no name -> say what its tokens have as iss: issuer: https://idp.example.com".to_owned()]),
        ("trust:\n  - { issuer: https://us.example, jwks: { url: https://x.example } }\n", vec!["6: issuer \"https://us.example\" is this node itself, whose tokens are taken anyway -> take the iss of its tokens, as it is spelled there".to_owned()]),
        ("trust:\n  - { issuer: bobbinet:node, jwks: { url: https://x.example } }\n", vec!["6: issuer \"bobbinet:node\" is this node itself, whose tokens are taken anyway -> another node needs a name of its own: say node: { issuer: … } there, and the same here".to_owned()]),
        ("trust:\n  - { issuer: 'https://x.example#y', jwks: { url: https://x.example } }\n", vec!["6: issuer \"https://x.example#y\" may not have a #: that is what ends an issuer's name in a principal's -> take the iss of its tokens, as it is spelled there".to_owned()]),
        ("trust:\n  - { issuer: https://x.example, jwks: { url: http://x.example } }\n", vec!["6: \"http://x.example\" is http, where anybody on the way could put keys of his: use https -> where you answer for all that stands in between, say so: jwks: { url: http://…, tls: off }".to_owned()]),
        ("trust:\n  - { issuer: https://x.example, jwks: { url: https://x.example }, algorithms: [HS256] }\n", vec!["6: \"HS256\" is no algorithm that an issuer may use -> there is EdDSA, ES256, RS256, ES384, RS384, RS512, PS256, PS384, PS512".to_owned()]),
        ("trust:\n  - { issuer: https://x.example, jwks: { url: https://x.example }, principals: { s: ci } }\n", vec!["6: there is no principal \"ci\" -> name his tenant: principals: { ci: { tenant: … } }".to_owned()]),
    ] {
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check_callers(text, &expected);
    }
}

#[test]
fn a_line_of_the_policy_is_shown_with_the_place_of_its_fault() {
    let folder = TestFolder::new();
    let told = |policy: &str| {
        folder.write("bobbinet.yaml", &format!("agents: {{ a: {{ mcp: {{ command: [ls] }} }} }}\npolicy:\n{policy}\n"));
        let ran = folder.run(&["check", "bobbinet.yaml"]);
        assert_eq!(ran.code, 2, "{ran:?}");
        let lines: Vec<&str> = ran.stderr.lines().take(3).collect();
        lines.join("\n")
    };
    for (policy, expected) in [
        (
            r#"  - { allow: "true && skil == 'x'", on: a }"#,
            "bobbinet.yaml:3:23: allow: there is no \"skil\"\n  3 |   - { allow: \"true && skil == 'x'\", on: a }\n    |                       ^",
        ),
        (
            "  - allow: caller.name == 'x'",
            "bobbinet.yaml:3:18: allow: there is no caller.name\n  3 |   - allow: caller.name == 'x'\n    |                  ^",
        ),
        (
            "  - allow: |\n      true &&\n        foo == 1",
            "bobbinet.yaml:5:9: allow: there is no \"foo\"\n  5 |         foo == 1\n    |         ^",
        ),
    ] {
        let found = told(policy);
        assert!(found.contains(expected), "{found}\n--\n{expected}");
    }
}

/// A token that is read on the way is anybody's: so a node that others can reach says what keeps it.
#[test]
fn a_node_that_others_can_reach_has_a_certificate_or_something_before_it() {
    let folder = TestFolder::new();
    let refused = |more: &[&str], expected: &[&str]| {
        let listen = ["agent", "--listen", "0.0.0.0:0", "--data-dir", "data"];
        let ran = folder.run(&[&listen, more, &["--", "true"]].concat());
        assert_eq!(ran.code, 2, "{ran:?}");
        for words in expected {
            assert!(ran.stderr.contains(words), "{words}: {ran:?}");
        }
    };
    refused(&[], &["tokens would go there in clear", "--tls-cert FILE --tls-key FILE", "--no-tls"]);
    refused(&["--public-url", "http://agents.example.com"], &["tokens would go there in clear"]);
    refused(&["--tls-cert", "nowhere.crt", "--tls-key", "nowhere.key"], &["nowhere.crt"]);
}
