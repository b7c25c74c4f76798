//! `bobbinet policy test`: what it says of a policy, and what it ends with.

use serde_json::Value;

use crate::program::TestFolder;

const CONFIG: &str = "\
agents:
  files: { mcp: { command: [ls] } }
  vault: { mcp: { command: [ls] } }
principals:
  ci: { tenant: acme }
trust:
  - issuer: https://idp.example
    jwks: { url: https://idp.example/jwks.json }
    tenant: guests
    principals: { 00u1: ci }
policy:
  - { allow: \"caller.principal == 'ci' && skill == 'read_text_file' && !arguments.path.contains('..')\", on: files }
  - allow: \"'oncall' in caller.claims.groups && operation != 'cancel'\"
    on: vault
  - allow: \"operation == 'events.publish' && arguments.type == 'order.paid'\"
";

/// Right ones, each of a kind of its own.
const CASES: &str = "\
policy: ./bobbinet.yaml
cases:
  - { caller: ci, agent: files, skill: read_text_file, arguments: { path: a.txt }, expect: allow, by: 12 }
  - { caller: ci, agent: files, skill: read_text_file, arguments: { path: ../a.txt }, expect: deny }
  - { caller: ci, agent: files, expect: allow }
  - { caller: ci, agent: vault, expect: deny }
  - { caller: stranger, agent: files, operation: get, expect: deny }
  - { caller: { issuer: https://idp.example, subject: 00u1 }, agent: files, operation: list, expect: allow, by: 12 }
  - caller: { issuer: https://idp.example, subject: u2, claims: { groups: [oncall] } }
    agent: vault
    skill: open
    expect: allow
    by: 13
  - { caller: { issuer: https://idp.example, subject: u2, claims: { groups: [oncall] } }, agent: vault, operation: cancel, expect: deny }
  - { caller: ci, operation: events.publish, arguments: { type: order.paid }, expect: allow }
  - { caller: node-owner, agent: vault, skill: open, expect: allow }
";

fn folder(cases: &str) -> TestFolder {
    let folder = TestFolder::new();
    std::fs::write(folder.path().join("bobbinet.yaml"), CONFIG).unwrap();
    std::fs::write(folder.path().join("cases.yaml"), cases).unwrap();
    folder
}

#[test]
fn a_policy_that_says_what_is_expected_ends_well() {
    let ran = folder(CASES).run(&["policy", "test", "cases.yaml"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{}", ran.stdout);
    assert_eq!(ran.stdout.lines().filter(|line| line.starts_with("ok ")).count(), 10, "{}", ran.stdout);
    assert!(ran.stdout.ends_with("Cases: 10\nWrong: 0\n"), "{}", ran.stdout);
    let first = ran.stdout.lines().next().unwrap();
    assert!(first.contains("cases.yaml:3: ci of acme, call read_text_file of files: allow: "), "{first}");
    assert!(first.ends_with("bobbinet.yaml:12"), "{first}");
    // Why not, and what would: what only the owner of a configuration may know.
    let denied = ran.stdout.lines().nth(3).unwrap();
    assert!(denied.contains("deny: no line allows it") && denied.contains("on: vault"), "{denied}");
}

#[test]
fn a_case_that_comes_out_otherwise_ends_with_1_and_is_named() {
    let wrong = "\
cases:
  - { caller: ci, agent: files, skill: write_file, expect: allow }
  - { caller: ci, agent: files, expect: deny }
  - { caller: ci, agent: files, operation: get, expect: allow, by: 13 }
  - { caller: ci, agent: vault, expect: deny }
";
    let folder = folder(wrong);
    let ran = folder.run(&["policy", "test", "cases.yaml", "-f", "bobbinet.yaml"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let lines: Vec<&str> = ran.stdout.lines().filter(|line| line.starts_with("WRONG")).collect();
    assert_eq!(lines.len(), 3, "{}", ran.stdout);
    assert!(lines[0].contains("cases.yaml:2:") && lines[0].contains("deny, expected allow"), "{}", lines[0]);
    assert!(lines[1].contains("allow, expected deny: bobbinet.yaml:12"), "{}", lines[1]);
    assert!(lines[2].contains("expected allow by line 13"), "{}", lines[2]);

    let ran = folder.run(&["policy", "test", "cases.yaml", "-o", "json"]);
    assert_eq!(ran.code, 1);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&report["ok"], &report["wrong"]), (&Value::from(false), &Value::from(3)));
    let found: Vec<(&Value, &Value)> =
        report["cases"].as_array().unwrap().iter().map(|case| (&case["line"], &case["ok"])).collect();
    let expected = [2, 3, 4, 5].map(|line| (Value::from(line), Value::from(line == 5)));
    assert_eq!(found, expected.each_ref().map(|(line, ok)| (line, ok)));
}

#[test]
fn a_file_of_cases_with_faults_says_where() {
    for (cases, expected) in [
        ("cases:\n  - { caller: ci, agent: files }\n", "expects nothing"),
        ("cases:\n  - { agent: files, expect: allow }\n", "names no caller"),
        ("cases:\n  - { caller: ci, expect: allow }\n", "names no agent"),
        ("cases:\n  - { caller: ci, agent: files, expect: maybe }\n", "expect cannot be \"maybe\""),
        ("cases:\n  - { caller: ci, agent: files, operation: gett, expect: deny }\n", "did you mean \"get\"?"),
        ("cases:\n  - { caller: { issuer: x }, agent: files, expect: deny }\n", "or the subject of an issuer"),
        ("cases:\n  - { caller: ci, agents: files, expect: deny }\n", "did you mean \"agent\"?"),
        ("{}\n", "there are no cases"),
    ] {
        let ran = folder(cases).run(&["policy", "test", "cases.yaml"]);
        assert_eq!(ran.code, 2, "{cases}: {}", ran.stdout);
        assert!(ran.stderr.contains(expected), "{cases}: {}", ran.stderr);
    }
    let unknown = "cases:\n  - { caller: { issuer: https://x.example, subject: a }, agent: files, expect: deny }\n";
    let ran = folder(unknown).run(&["policy", "test", "cases.yaml"]);
    assert!(ran.stderr.contains("trusts no issuer"), "{}", ran.stderr);
    assert_eq!(folder(CASES).run(&["policy", "test", "none.yaml"]).code, 2);
}
