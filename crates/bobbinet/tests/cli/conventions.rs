//! The conventions of the A2A project's CLI specification: streams, formats, exit codes, the error envelope, settings.

use serde_json::{Value, json};

use crate::program::TestFolder;

#[test]
fn exit_codes_say_whether_the_command_did_its_job() {
    let check = |arguments: &[&str], expected: i32| {
        let ran = TestFolder::new().run(arguments);
        assert_eq!(ran.code, expected, "{arguments:?}: {ran:?}");
        assert_eq!(ran.stdout.is_empty(), expected != 0, "{arguments:?}: {ran:?}");
    };
    check(&["--help"], 0);
    check(&["--version"], 0);
    check(&["-v"], 0);
    check(&["completion", "bash"], 0);
    check(&[], 2);
    check(&["nonsense"], 2);
    check(&["send"], 2);
    check(&["send", "--media-type", "text/plain", "--text", "a"], 2);
    check(&["send", "--media-type", "text/plain", "hello"], 2);
    check(&["send", "hello", "--media-type", "text/plain"], 3);
    check(&["send", "hello", "--metadata", "[]", "-a", "http://127.0.0.1:1"], 2);
    check(&["call", "skill-without-agent"], 2);
    check(&["task", "list", "--state", "sleeping"], 2);
    check(&["agent", "--", "bobbinet-test-no-such-program"], 2);
    check(&["up"], 2);
    check(&["token", "mint", "--audience", "http://x", "--ttl", "1h", "--data-dir", "."], 4);
    check(&["send", "hello"], 3);
    check(&["send", "hello", "-a", "nobody"], 3);
    check(&["card", "get", "http://127.0.0.1:1"], 3);
    check(&["task", "list"], 3);
    check(&["key", "list"], 4);
    check(&["store", "check"], 1);
}

#[test]
fn errors_are_one_object_for_programs() {
    let check = |arguments: &[&str], code: &str, has_hint: bool| {
        let ran = TestFolder::new().run(arguments);
        let envelope: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
        let error = envelope["error"].as_object().unwrap();
        let names: Vec<&str> = error.keys().map(String::as_str).collect();
        assert_eq!(names, ["a2aCode", "code", "hint", "message"], "{arguments:?}");
        assert_eq!((&error["code"], error["hint"].is_string()), (&json!(code), has_hint), "{envelope}");
        assert_eq!(ran.stderr, "", "{arguments:?}");
    };
    check(&["-o", "json", "nonsense"], "A2ACLI_ERR_USAGE", true);
    check(&["nonsense", "--output=json"], "A2ACLI_ERR_USAGE", true);
    check(&["send", "-ojson", "hello"], "A2ACLI_ERR_UNREACHABLE", true);
    check(&["card", "get", "http://127.0.0.1:1", "-o", "json"], "A2ACLI_ERR_UNREACHABLE", true);
    check(&["card", "get", "nobody", "-o", "json"], "A2ACLI_ERR_CARD_NOT_FOUND", true);
    check(&["key", "jwks", "-o", "json"], "A2ACLI_ERR_CREDENTIALS_MISSING", true);
    check(&["up", "nowhere.yaml", "-o", "json"], "BOBBINET_ERR_CONFIG", true);
}

#[test]
fn errors_are_a_sentence_and_a_hint_for_people() {
    let ran = TestFolder::new().run(&["send", "hello", "-a", "nobody"]);
    let expected = "error: no node on this machine has an agent \"nobody\"\n\
                    hint: no node is running here: start one with `bobbinet up`, or name the agent by its URL\n";
    assert_eq!(ran.stderr, expected);
}

#[test]
fn settings_come_from_flags_then_the_environment_then_files() {
    let folder = TestFolder::new();
    folder.write(".env", "A2ACLI_OUTPUT=json\n");
    folder.write("other.env", "# mine\nexport A2ACLI_OUTPUT='text'\n");
    folder.write("home/.config/a2a-cli/.env", "A2ACLI_AGENT_CARD=from-home\n");
    let is_json = |arguments: &[&str], environment: &[(&str, &str)]| {
        let ran = folder.run_with(&[&["send", "hello"], arguments].concat(), environment);
        let is_json = ran.stdout.starts_with('{');
        let said = if is_json { &ran.stdout } else { &ran.stderr };
        assert!(said.contains("from-home") || said.contains("from-flag"), "{ran:?}");
        is_json
    };
    assert!(is_json(&[], &[]), "the nearest .env");
    assert!(!is_json(&[], &[("A2ACLI_OUTPUT", "text")]), "the environment is above it");
    assert!(is_json(&["-o", "json"], &[("A2ACLI_OUTPUT", "text")]), "a flag is above that");
    assert!(!is_json(&["--config", "other.env"], &[]), "a file that is named stands in its place");
    assert!(is_json(&["-a", "from-flag"], &[]), "and so for every flag");
}

#[test]
fn settings_are_shown_with_where_they_come_from() {
    let folder = TestFolder::new();
    folder.write(".env", "A2ACLI_TIMEOUT=5s\nA2ACLI_BEARER=a-token-that-nobody-may-see\nA2ACLI_TIMEUOT=1s\n");
    folder.write("home/.config/a2a-cli/.env", "A2ACLI_TIMEOUT=9s\nA2ACLI_HISTORY=3\n");
    let environment = [("A2ACLI_AGENT_CARD", "http://a.example"), ("A2ACLI_HISTORY", "4")];
    let ran = folder.run_with(&["config", "show", "--verbose", "--api-key", "a-key-that-nobody-may-see"], &environment);
    let check = |line: &str| assert!(ran.stdout.lines().any(|shown| shown == line), "{line}: {}", ran.stdout);
    assert_eq!(ran.code, 0, "{ran:?}");
    let root = folder.path().canonicalize().unwrap();
    check(&format!("A2ACLI_TIMEOUT: 5s (file {}/.env)", root.display()));
    check(&format!("A2ACLI_BEARER: … (file {}/.env)", root.display()));
    check("A2ACLI_API_KEY: … (flag)");
    check("A2ACLI_VERBOSE: true (flag)");
    check("A2ACLI_AGENT_CARD: http://a.example (environment)");
    check("A2ACLI_HISTORY: 4 (environment)");
    check("A2ACLI_OUTPUT: text (default)");
    check("A2ACLI_INSECURE: false (default)");
    check("A2ACLI_CONTEXT_ID: not set (default)");
    assert!(!format!("{ran:?}").contains("nobody-may-see"), "{ran:?}");
    assert_eq!(ran.stderr, format!("warning: {}/.env: there is no setting A2ACLI_TIMEUOT\n", root.display()));

    let ran = folder.run_with(&["config", "show", "-o", "json", "--config", "home/.config/a2a-cli/.env"], &environment);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    let settings = document["settings"].as_array().unwrap();
    let timeout = settings.iter().find(|setting| setting["name"] == "A2ACLI_TIMEOUT").unwrap();
    let expected = json!({
        "name": "A2ACLI_TIMEOUT", "flag": "--timeout", "value": "9s", "source": "file",
        "path": "home/.config/a2a-cli/.env",
    });
    assert_eq!((ran.code, timeout), (0, &expected));
}

#[test]
fn a_token_is_never_shown() {
    let secret = "a-token-that-nobody-may-see";
    let ran = TestFolder::new().run(&["card", "get", "http://127.0.0.1:1", "--bearer", secret, "--debug", "--verbose"]);
    assert_eq!(ran.code, 3);
    assert!(!ran.stderr.contains(secret) && !ran.stdout.contains(secret), "{ran:?}");
    let ran = TestFolder::new().run_with(&["send", "--help"], &[("A2ACLI_BEARER", secret)]);
    assert!(!ran.stdout.contains(secret), "{ran:?}");
}

#[test]
fn nothing_controls_a_terminal_that_is_none() {
    let folder = TestFolder::new();
    folder.write("bobbinet.yaml", "agents: {}\n");
    for arguments in [&["--help"][..], &["check"], &["send", "hello"], &["nonsense"]] {
        let ran = folder.run(arguments);
        assert!(!ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'), "{arguments:?}: {ran:?}");
    }
}

/// Characters that a terminal obeys, or that a person does not see or reads in another order.
const UNFIT: [char; 6] = ['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}', '\u{200b}', '\u{2028}'];

#[test]
fn what_stands_in_a_file_controls_no_terminal() {
    let folder = TestFolder::new();
    let evil: String = UNFIT.iter().collect();
    folder
        .write("bobbinet.yaml", &format!("agents:\n  a:\n    mcp: {{ comand: [\"x{evil}\"] }}\n    use: \"{evil}\"\n"));
    folder.write("mcp.json", &format!("{{ \"mcpServers\": {{ \"a\": {{ \"command\": \"no{evil}\" }} }} }}"));
    folder.write(&format!("{evil}.json"), "{");
    folder.write("evil.env", &format!("A2ACLI_OUTPUT=\"{evil}\"\nA2ACLI_{evil}=1\n"));
    folder.write("more.env", &format!("A2ACLI_TIMEOUT=1s\nA2ACLI_AGENT_CARD=\"{evil}\"\n"));
    let named = format!("{evil}.json");
    for arguments in [
        &["check"][..],
        &["check", "mcp.json"],
        &["check", &named],
        &["check", "-o", "json"],
        &["check", "mcp.json", "-o", "json"],
        &["up", "bobbinet.yaml"],
        &["--config", "evil.env", "task", "list"],
        &["--config", "more.env", "config", "show"],
        &["--config", "more.env", "config", "show", "-o", "json"],
        &["--config", "more.env", "task", "list"],
        &["--config", "more.env", "task", "list", "-o", "json", "--debug"],
        &["--config", "more.env", "send", "--help"],
        &["call", &evil],
        &["card", "get", "files", "--data-dir", &evil],
        &["card", "get", &format!("http://127.0.0.1:1/{evil}")],
    ] {
        let ran = folder.run(arguments);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!said.is_empty() && !said.contains(UNFIT), "{arguments:?}: {ran:?}");
    }
}

#[test]
fn help_names_every_command_and_hides_what_is_not_for_people() {
    let help = TestFolder::new().run(&["--help"]).stdout;
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names: Vec<&str> = commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let expected = [
        "up",
        "agent",
        "mcp",
        "demo",
        "card",
        "send",
        "call",
        "task",
        "blob",
        "check",
        "import",
        "flow",
        "login",
        "logout",
        "auth",
        "token",
        "peers",
        "push",
        "key",
        "policy",
        "store",
        "config",
        "completion",
        "help",
    ];
    assert_eq!(names, expected);
}

#[test]
fn short_help_fits_on_a_screen_and_the_long_one_has_all() {
    /// Lines that are looked over at once.
    const LINES_MAX: usize = 40;
    let commands =
        [&["send"][..], &["call"], &["task", "get"], &["task", "list"], &["task", "reply"], &["up"], &["agent"]];
    for command in commands {
        let [short, long] = ["-h", "--help"].map(|flag| TestFolder::new().run(&[command, &[flag]].concat()).stdout);
        let lines = short.lines().count();
        assert!(lines <= LINES_MAX && lines < long.lines().count() / 2, "{command:?}: {short}");
        for rare in ["--insecure", "--svc-param", "--api-key", "--debug", "--log"] {
            assert!(!short.contains(rare) && long.contains(rare), "{command:?} {rare}: {short}");
        }
    }
}
