//! Broken flows: each gives one finding, with its line, its pointer and what to do.
#![allow(clippy::unwrap_used, reason = "a test")]

use bobbinet_flow::{
    check::{Catalog, KnownSkill, check_in},
    document::Definition,
    finding::Finding,
    limits::Limits,
};
use expect_test::{Expect, expect};
use serde_json::json;

struct Mesh;

impl Catalog for Mesh {
    fn agents(&self) -> Vec<String> {
        vec!["files".into(), "search".into(), "asleep".into()]
    }

    fn skills(&self, agent: &str) -> Option<Vec<String>> {
        match agent {
            "files" => Some(vec!["read".into(), "write".into(), "list".into()]),
            "search" => Some(vec!["query".into()]),
            _ => None,
        }
    }

    fn skill(&self, agent: &str, skill: &str) -> Option<KnownSkill> {
        let text = |name: &str| json!({"type": "object", "properties": {name: {"type": "string"}}, "required": [name]});
        Some(match (agent, skill) {
            ("files", "read") => KnownSkill {
                input: Some(text("path")),
                output: Some(
                    json!({"type": "object", "properties": {"text": {"type": "string"}, "size": {"type": "integer"}}}),
                ),
                effect: bobbinet_core::Effect::ReadOnly,
            },
            ("files", "write") => KnownSkill { input: Some(text("path")), ..KnownSkill::default() },
            ("files", "list") => KnownSkill {
                input: Some(json!({"type": "object", "additionalProperties": false})),
                ..KnownSkill::default()
            },
            ("search", "query") => KnownSkill {
                input: Some(
                    json!({"type": "object", "properties": {"q": {"type": "string"}, "limit": {"type": "integer", "minimum": 1}}, "required": ["q"]}),
                ),
                output: Some(
                    json!({"type": "object", "properties": {"hits": {"type": "array", "items": {"type": "object", "properties": {"id": {"type": "integer"}, "path": {"type": "string"}}}}}}),
                ),
                effect: bobbinet_core::Effect::ReadOnly,
            },
            _ => return None,
        })
    }
}

const HEAD: &str = "document: { dsl: '1.0.3', namespace: test, name: broken, version: '1.0.0' }\n";

fn findings(flow: &str) -> Vec<Finding> {
    let text =
        if flow.contains("document:") && !flow.contains("schema") { flow.to_owned() } else { format!("{HEAD}{flow}") };
    let reading = Definition::read("broken.yaml", &text, &Limits::default());
    let mut findings = reading.findings;
    if let Some(definition) = &reading.definition {
        findings.extend(check_in(definition, "broken.yaml", &text, &Mesh));
    }
    findings
}

#[track_caller]
fn check(flow: &str, expected: Expect) {
    let findings = findings(flow);
    let text: Vec<String> = findings.iter().map(ToString::to_string).collect();
    expected.assert_eq(&format!("{}\n", text.join("\n")));
    let [finding] = &findings[..] else { panic!("{} findings", findings.len()) };
    assert!(finding.at.line > 0 && finding.hint.is_some() && finding.excerpt.is_some(), "{finding:?}");
}

#[test]
fn no_yaml() {
    check(
        r#"do:
  - one: { set: { a: 1 }
  - two: {}
"#,
        expect![[r#"
            broken.yaml:4:3: this is not YAML: "-" is only valid inside a block
              4 |   - two: {}
                |   ^
              hint: look at the indentation, and put texts with a colon, @ or ${ in quotes
        "#]],
    );
}

#[test]
fn a_tab() {
    check(
        r#"do:
	- one: { set: { a: 1 } }
"#,
        expect![[r#"
            broken.yaml:3:2: this is not YAML: tabs disallowed within this context (block indentation)
              3 | 	- one: { set: { a: 1 } }
                | 	^
              hint: look at the indentation, and put texts with a colon, @ or ${ in quotes
        "#]],
    );
}

#[test]
fn no_document() {
    check(
        r#"do: [ { one: { set: { a: 1 } } } ]
document: { dsl: '1.0.3', name: x, version: '1.0.0' }
"#,
        expect![[r#"
            broken.yaml:2:11: document says no "namespace" (/document)
              2 | document: { dsl: '1.0.3', name: x, version: '1.0.0' }
                |           ^
              hint: add namespace: …
        "#]],
    );
}

#[test]
fn another_dsl() {
    check(
        r#"document: { dsl: '0.8', namespace: a, name: x, version: '1.0.0' }
do: [ { one: { set: { a: 1 } } } ]
"#,
        expect![[r#"
            broken.yaml:1:18: we read the DSL 1.0.x, and not 0.8 (/document/dsl)
              1 | document: { dsl: '0.8', namespace: a, name: x, version: '1.0.0' }
                |                  ^
              hint: write dsl: '1.0.3'
        "#]],
    );
}

#[test]
fn a_bad_name() {
    check(
        r#"document: { dsl: '1.0.3', namespace: a, name: my_flow, version: '1.0.0' }
do: [ { one: { set: { a: 1 } } } ]
"#,
        expect![[r#"
            broken.yaml:1:47: document.name cannot be "my_flow" (/document/name)
              1 | document: { dsl: '1.0.3', namespace: a, name: my_flow, version: '1.0.0' }
                |                                               ^
              hint: it has up to 63 letters, digits and hyphens, and begins and ends with none of the latter
        "#]],
    );
}

#[test]
fn no_steps() {
    check(
        r#"do: []
"#,
        expect![[r#"
            broken.yaml:2:5: do has no steps (/do)
              2 | do: []
                |     ^
              hint: add a step: - name: { set: { … } }
        "#]],
    );
}

#[test]
fn a_step_that_does_nothing() {
    check(
        r#"do:
  - one: { then: end }
"#,
        expect![[r#"
            broken.yaml:3:5: the step "one" does nothing (/do/0/one)
              3 |   - one: { then: end }
                |     ^
              hint: say what it does: call, do, emit, for, fork, listen, raise, run, set, switch, try, wait
        "#]],
    );
}

#[test]
fn a_step_that_is_no_map() {
    check(
        r#"do:
  - one: hello
"#,
        expect![[r#"
            broken.yaml:3:5: the step "one" does nothing: here is a text (/do/0/one)
              3 |   - one: hello
                |     ^
              hint: say what it does: call, set, do, …
        "#]],
    );
}

#[test]
fn a_misspelt_kind() {
    check(
        r#"do:
  - one:
      cal: files.read
      with: { path: a }
"#,
        expect![[r#"
            broken.yaml:4:7: a step cannot "cal" (/do/0/one/cal)
              4 |       cal: files.read
                |       ^
              hint: did you mean "call"?
        "#]],
    );
}

#[test]
fn a_misspelt_property() {
    check(
        r#"do:
  - one:
      call: files.read
      wiht: { path: a }
"#,
        expect![[r#"
            broken.yaml:5:7: a call step has no property "wiht" (/do/0/one/wiht)
              5 |       wiht: { path: a }
                |       ^
              hint: did you mean "with"?
        "#]],
    );
}

#[test]
fn two_kinds() {
    check(
        r#"do:
  - one:
      set: { a: 1 }
      wait: PT1S
"#,
        expect![[r#"
            broken.yaml:3:5: the step "one" does several things: set, wait (/do/0/one)
              3 |   - one:
                |     ^
              hint: make each a step of its own, with a dash and a name
        "#]],
    );
}

#[test]
fn two_steps_of_one_name() {
    check(
        r#"do:
  - one: { set: { a: 1 } }
  - one: { set: { a: 2 } }
"#,
        expect![[r#"
            broken.yaml:4:5: there are two steps "one" in this list (/do/1/one)
              4 |   - one: { set: { a: 2 } }
                |     ^
              hint: give one of them another name
        "#]],
    );
}

#[test]
fn a_step_without_a_dash() {
    check(
        r#"do:
  - one: { set: { a: 1 } }
    two: { set: { a: 2 } }
"#,
        expect![[r#"
            broken.yaml:3:5: a step has one name, and here are one, two (/do/0)
              3 |   - one: { set: { a: 1 } }
                |     ^
              hint: begin each step with a dash, and indent what it does below its name
        "#]],
    );
}

#[test]
fn a_jump_to_nowhere() {
    check(
        r#"do:
  - one: { set: { a: 1 }, then: too }
  - two: { set: { a: 2 } }
"#,
        expect![[r#"
            broken.yaml:3:33: there is no step "too" here (/do/0/one/then)
              3 |   - one: { set: { a: 1 }, then: too }
                |                                 ^
              hint: did you mean "two"?
        "#]],
    );
}

#[test]
fn a_jump_into_another_list() {
    check(
        r#"do:
  - one: { set: { a: 1 }, then: inner }
  - two: { do: [ { inner: { set: { a: 2 } } } ] }
"#,
        expect![[r#"
            broken.yaml:3:33: there is no step "inner" here (/do/0/one/then)
              3 |   - one: { set: { a: 1 }, then: inner }
                |                                 ^
              hint: inner stands in another list; a step can only lead to one beside it
        "#]],
    );
}

#[test]
fn no_jq() {
    check(
        r#"do:
  - one:
      set:
        a: ${ .items[ }
"#,
        expect![[r#"
            broken.yaml:5:23: this is not jq: closing bracket expected in the expression ".items[" (/do/0/one/set/a)
              5 |         a: ${ .items[ }
                |                       ^
              hint: see jq's manual
        "#]],
    );
}

#[test]
fn no_such_function() {
    check(
        r#"do:
  - one: { set: { a: '${ .x | lenght }' } }
"#,
        expect![[r#"
            broken.yaml:3:31: there is no function lenght/0 in the expression ".x | lenght" (/do/0/one/set/a)
              3 |   - one: { set: { a: '${ .x | lenght }' } }
                |                               ^
              hint: did you mean length?
        "#]],
    );
}

#[test]
fn a_value_that_is_no_text() {
    check(
        r#"do:
  - one: { set: { a: '${ {b: open} }' } }
"#,
        expect![[r#"
            broken.yaml:3:30: there is no function open/0 in the expression "{b: open}" (/do/0/one/set/a)
              3 |   - one: { set: { a: '${ {b: open} }' } }
                |                              ^
              hint: if "open" is meant as a text, put it in double quotes
        "#]],
    );
}

#[test]
fn no_such_variable() {
    check(
        r#"do:
  - one: { set: { a: '${ $imput.x }' } }
"#,
        expect![[r#"
            broken.yaml:3:26: there is no $imput here in the expression "$imput.x" (/do/0/one/set/a)
              3 |   - one: { set: { a: '${ $imput.x }' } }
                |                          ^
              hint: did you mean $input?
        "#]],
    );
}

#[test]
fn secrets_out_of_place() {
    check(
        r#"use: { secrets: [token] }
do:
  - one: { set: { a: '${ $secrets.token }' } }
"#,
        expect![[r#"
            broken.yaml:4:26: there is no $secrets here in the expression "$secrets.token" (/do/0/one/set/a)
              4 |   - one: { set: { a: '${ $secrets.token }' } }
                |                          ^
              hint: secrets can only be read in input.from
        "#]],
    );
}

#[test]
fn output_out_of_place() {
    check(
        r#"do:
  - one: { if: '$output.x', set: { a: 1 } }
"#,
        expect![[r#"
            broken.yaml:3:17: there is no $output here in the expression "$output.x" (/do/0/one/if)
              3 |   - one: { if: '$output.x', set: { a: 1 } }
                |                 ^
              hint: here is $context, $runtime, $task, $workflow
        "#]],
    );
}

#[test]
fn a_loop_s_name_outside_of_the_loop() {
    check(
        r#"do:
  - one: { for: { each: color, in: .colors }, do: [ { two: { set: { a: '${ $color }' } } } ] }
  - three: { set: { a: '${ $color }' } }
"#,
        expect![[r#"
            broken.yaml:4:28: there is no $color here in the expression "$color" (/do/1/three/set/a)
              4 |   - three: { set: { a: '${ $color }' } }
                |                            ^
              hint: here is $authorization, $context, $input, $runtime, $task, $workflow
        "#]],
    );
}

#[test]
fn an_expression_in_a_block() {
    check(
        r#"do:
  - one:
      output:
        as: |
          .a
          | map(.b
      set: { a: 1 }
"#,
        expect![[r#"
            broken.yaml:7:19: this is not jq: closing parenthesis expected in the expression ".a\n| map(.b" (/do/0/one/output/as)
              7 |           | map(.b
                |                   ^
              hint: see jq's manual
        "#]],
    );
}

#[test]
fn the_clock() {
    check(
        r#"do:
  - one: { set: { a: '${ now }' } }
"#,
        expect![[r#"
            broken.yaml:3:26: there is no function now/0 in the expression "now" (/do/0/one/set/a)
              3 |   - one: { set: { a: '${ now }' } }
                |                          ^
              hint: take $workflow.startedAt or $task.startedAt: an expression gives the same whenever it is evaluated
        "#]],
    );
}

#[test]
fn a_condition_that_is_no_text() {
    check(
        r#"do:
  - one: { if: true, set: { a: 1 } }
"#,
        expect![[r#"
            broken.yaml:3:16: if is an expression, and here is true or false (/do/0/one/if)
              3 |   - one: { if: true, set: { a: 1 } }
                |                ^
              hint: write it in quotes: ".count > 3"
        "#]],
    );
}

#[test]
fn no_such_duration() {
    check(
        r#"do:
  - one: { wait: 30s }
"#,
        expect![[r#"
            broken.yaml:3:18: wait: "30s" is no duration of ISO 8601, such as PT30S or P1DT2H (/do/0/one/wait)
              3 |   - one: { wait: 30s }
                |                  ^
              hint: write it as PT30S or as {seconds: 30}
        "#]],
    );
}

#[test]
fn months() {
    check(
        r#"do:
  - one: { wait: P1M }
"#,
        expect![[r#"
            broken.yaml:3:18: wait: years and months have no fixed length: write days (/do/0/one/wait)
              3 |   - one: { wait: P1M }
                |                  ^
              hint: write it as PT30S or as {seconds: 30}
        "#]],
    );
}

#[test]
fn no_such_unit() {
    check(
        r#"do:
  - one: { wait: { second: 30 } }
"#,
        expect![[r#"
            broken.yaml:3:20: wait has no property "second" (/do/0/one/wait/second)
              3 |   - one: { wait: { second: 30 } }
                |                    ^
              hint: did you mean "seconds"?
        "#]],
    );
}

#[test]
fn no_such_retry() {
    check(
        r#"use: { retries: { patient: { delay: PT1S } } }
do:
  - one: { try: [ { two: { call: files.read, with: { path: a } } } ], catch: { retry: pateint } }
"#,
        expect![[r#"
            broken.yaml:4:87: there is no retry policy "pateint" (/do/0/one/catch/retry)
              4 |   - one: { try: [ { two: { call: files.read, with: { path: a } } } ], catch: { retry: pateint } }
                |                                                                                       ^
              hint: did you mean "patient"?
        "#]],
    );
}

#[test]
fn no_such_error() {
    check(
        r#"do:
  - one: { raise: { error: notFound } }
"#,
        expect![[r#"
            broken.yaml:3:28: there is no error "notFound" (/do/0/one/raise/error)
              3 |   - one: { raise: { error: notFound } }
                |                            ^
              hint: add it under use.errors, or write the error here
        "#]],
    );
}

#[test]
fn an_error_without_a_status() {
    check(
        r#"do:
  - one: { raise: { error: { type: 'https://example.com/no' } } }
"#,
        expect![[r#"
            broken.yaml:3:28: an error says no "status" (/do/0/one/raise/error)
              3 |   - one: { raise: { error: { type: 'https://example.com/no' } } }
                |                            ^
              hint: add status: …
        "#]],
    );
}

#[test]
fn no_catch() {
    check(
        r#"do:
  - one: { try: [ { two: { call: files.read, with: { path: a } } } ] }
"#,
        expect![[r#"
            broken.yaml:3:10: a try step says no "catch" (/do/0/one)
              3 |   - one: { try: [ { two: { call: files.read, with: { path: a } } } ] }
                |          ^
              hint: add catch: …
        "#]],
    );
}

#[test]
fn two_backoffs() {
    check(
        r#"do:
  - one: { try: [ { two: { call: files.read, with: { path: a } } } ], catch: { retry: { backoff: { linear: {}, constant: {} } } } }
"#,
        expect![[r#"
            broken.yaml:3:98: backoff is one of constant, linear (/do/0/one/catch/retry/backoff)
              3 |   - one: { try: [ { two: { call: files.read, with: { path: a } } } ], catch: { retry: { backoff: { linear: {}, constant: {} } } } }
                |                                                                                                  ^
              hint: take the others out
        "#]],
    );
}

#[test]
fn an_event_without_a_type() {
    check(
        r#"do:
  - one: { emit: { event: { with: { source: /here } } } }
"#,
        expect![[r#"
            broken.yaml:3:35: this event has no type (/do/0/one/emit/event/with)
              3 |   - one: { emit: { event: { with: { source: /here } } } }
                |                                   ^
              hint: add type: com.example.something-happened
        "#]],
    );
}

#[test]
fn nothing_to_listen_to() {
    check(
        r#"do:
  - one: { listen: { to: {} } }
"#,
        expect![[r#"
            broken.yaml:3:26: this says no events (/do/0/one/listen/to)
              3 |   - one: { listen: { to: {} } }
                |                          ^
              hint: write one, any or all, and what the events must have
        "#]],
    );
}

#[test]
fn mcp() {
    check(
        r#"do:
  - one: { call: mcp, with: { method: tools/list, transport: { http: { endpoint: 'https://example.com' } } } }
"#,
        expect![[r#"
            broken.yaml:3:18: MCP servers are not called from flows yet (/do/0/one/call)
              3 |   - one: { call: mcp, with: { method: tools/list, transport: { http: { endpoint: 'https://example.com' } } } }
                |                  ^
              hint: configure the server as an agent, and call its tools as skills: call: agent.tool
        "#]],
    );
}

#[test]
fn grpc() {
    check(
        r#"do:
  - one: { call: grpc, with: {} }
"#,
        expect![[r#"
            broken.yaml:3:18: gRPC services are not called from flows (/do/0/one/call)
              3 |   - one: { call: grpc, with: {} }
                |                  ^
              hint: wrap the service as an MCP server, and call its skills
        "#]],
    );
}

#[test]
fn a_shell() {
    check(
        r#"do:
  - one: { run: { shell: { command: ls } } }
"#,
        expect![[r#"
            broken.yaml:3:17: shell commands are not run from flows (/do/0/one/run)
              3 |   - one: { run: { shell: { command: ls } } }
                |                 ^
              hint: wrap it as an MCP server, and call its skills: call: agent.skill
        "#]],
    );
}

#[test]
fn an_extension() {
    check(
        r#"use: { extensions: [ { log: { extend: all } } ] }
do:
  - one: { set: { a: 1 } }
"#,
        expect![[r#"
            broken.yaml:2:20: extensions are not carried out here (/use/extensions)
              2 | use: { extensions: [ { log: { extend: all } } ] }
                |                    ^
              hint: put the steps where they belong, or into a function that you call
        "#]],
    );
}

#[test]
fn a_catalog() {
    check(
        r#"do:
  - one: { call: 'log:1.0.0@global' }
"#,
        expect![[r#"
            broken.yaml:3:18: the function "log:1.0.0@global" would have to be fetched from a catalog (/do/0/one/call)
              3 |   - one: { call: 'log:1.0.0@global' }
                |                  ^
              hint: call a skill of an agent (call: agent.skill), or write the function under use.functions
        "#]],
    );
}

#[test]
fn another_language() {
    check(
        r#"evaluate: { language: js }
do:
  - one: { set: { a: 1 } }
"#,
        expect![[r#"
            broken.yaml:2:23: expressions are written in jq, and in no other language (/evaluate/language)
              2 | evaluate: { language: js }
                |                       ^
              hint: take evaluate.language out
        "#]],
    );
}

#[test]
fn no_address() {
    check(
        r#"do:
  - one: { call: http, with: { method: get, endpoint: example.com } }
"#,
        expect![[r#"
            broken.yaml:3:55: "example.com" is no address (/do/0/one/with/endpoint)
              3 |   - one: { call: http, with: { method: get, endpoint: example.com } }
                |                                                       ^
              hint: it begins with https:// or http://
        "#]],
    );
}

#[test]
fn no_such_method() {
    check(
        r#"do:
  - one: { call: a2a, with: { method: message/sent, server: 'https://example.com' } }
"#,
        expect![[r#"
            broken.yaml:3:39: method cannot be "message/sent" (/do/0/one/with/method)
              3 |   - one: { call: a2a, with: { method: message/sent, server: 'https://example.com' } }
                |                                       ^
              hint: did you mean "message/send"?
        "#]],
    );
}

#[test]
fn no_such_secret() {
    check(
        r#"use: { secrets: [apiKey] }
do:
  - one: { call: http, with: { method: get, endpoint: { uri: 'https://example.com', authentication: { bearer: { use: apiKye } } } } }
"#,
        expect![[r#"
            broken.yaml:4:118: there is no secret "apiKye" (/do/0/one/with/endpoint/authentication/bearer/use)
              4 |   - one: { call: http, with: { method: get, endpoint: { uri: 'https://example.com', authentication: { bearer: { use: apiKye } } } } }
                |                                                                                                                      ^
              hint: did you mean "apiKey"?
        "#]],
    );
}

#[test]
fn no_schema() {
    check(
        r#"input: { schema: { document: { type: objekt } } }
do:
  - one: { set: { a: 1 } }
"#,
        expect![[r#"
            broken.yaml:2:30: this is no JSON Schema: "objekt" is not valid under any of the schemas listed in the 'anyOf' keyword (/input/schema/document)
              2 | input: { schema: { document: { type: objekt } } }
                |                              ^
              hint: look at that word; and references may only lead to definitions in this schema
        "#]],
    );
}

#[test]
fn a_schema_from_elsewhere() {
    check(
        r#"input: { schema: { resource: { endpoint: 'https://example.com' } } }
do:
  - one: { set: { a: 1 } }
"#,
        expect![[r#"
            broken.yaml:2:30: a schema is not fetched from elsewhere (/input/schema/resource)
              2 | input: { schema: { resource: { endpoint: 'https://example.com' } } }
                |                              ^
              hint: write it here, under schema.document
        "#]],
    );
}

#[test]
fn an_expression_with_text_around_it() {
    check(
        r#"do:
  - one: { set: { a: 'Hello ${ .name }' } }
"#,
        expect![[r#"
            broken.yaml:3:29: the ${ in this text begins no expression, as there is text around it (/do/0/one/set/a)
              3 |   - one: { set: { a: 'Hello ${ .name }' } }
                |                             ^
              hint: an expression is the whole of a text: ${ "Hello \(.name)" }
        "#]],
    );
}

#[test]
fn a_cron_of_four() {
    check(
        r#"schedule: { cron: '0 0 * *' }
do:
  - one: { set: { a: 1 } }
"#,
        expect![[r#"
            broken.yaml:2:19: "0 0 * *" is no cron expression (/schedule/cron)
              2 | schedule: { cron: '0 0 * *' }
                |                   ^
              hint: write five fields: '0 0 * * *' is every midnight
        "#]],
    );
}

#[test]
fn an_unknown_function() {
    check(
        r#"use: { functions: { greet: { set: { a: 1 } } } }
do:
  - one: { call: great }
"#,
        expect![[r#"
            broken.yaml:4:18: there is no function "great" (/do/0/one/call)
              4 |   - one: { call: great }
                |                  ^
              hint: did you mean "greet"?
        "#]],
    );
}

#[test]
fn an_unknown_agent() {
    check(
        r#"do:
  - one: { call: file.read, with: { path: a } }
"#,
        expect![[r#"
            broken.yaml:3:18: there is no agent "file" (/do/0/one/call)
              3 |   - one: { call: file.read, with: { path: a } }
                |                  ^
              hint: did you mean files.read?
        "#]],
    );
}

#[test]
fn an_unknown_skill() {
    check(
        r#"do:
  - one: { call: files.raed, with: { path: a } }
"#,
        expect![[r#"
            broken.yaml:3:18: the agent files has no skill "raed" (/do/0/one/call)
              3 |   - one: { call: files.raed, with: { path: a } }
                |                  ^
              hint: did you mean files.read?
        "#]],
    );
}

#[test]
fn an_agent_that_is_asleep() {
    check(
        r#"do:
  - one: { call: asleep.anything }
"#,
        expect![[r#"
            broken.yaml:3:18: the skills of asleep are not known at the moment (/do/0/one/call)
              3 |   - one: { call: asleep.anything }
                |                  ^
              hint: check again while it is running
        "#]],
    );
}

#[test]
fn a_missing_argument() {
    check(
        r#"do:
  - one: { call: files.read }
"#,
        expect![[r#"
            broken.yaml:3:18: the argument "path" is missing (/do/0/one/with)
              3 |   - one: { call: files.read }
                |                  ^
              hint: add it: with: { path: … }
        "#]],
    );
}

#[test]
fn a_misspelt_argument() {
    check(
        r#"do:
  - one: { call: files.read, with: { paht: a } }
"#,
        expect![[r#"
            broken.yaml:3:38: the skill takes no argument "paht" (/do/0/one/with/paht)
              3 |   - one: { call: files.read, with: { paht: a } }
                |                                      ^
              hint: did you mean "path"?
        "#]],
    );
}

#[test]
fn an_argument_too_many() {
    check(
        r#"do:
  - one: { call: files.list, with: { path: a } }
"#,
        expect![[r#"
            broken.yaml:3:38: the skill takes no argument "path" (/do/0/one/with/path)
              3 |   - one: { call: files.list, with: { path: a } }
                |                                      ^
              hint: it takes none
        "#]],
    );
}

#[test]
fn an_argument_of_another_type() {
    check(
        r#"do:
  - one: { call: files.read, with: { path: 7 } }
"#,
        expect![[r#"
            broken.yaml:3:38: the argument "path" does not fit: 7 is not of type "string" (/do/0/one/with/path)
              3 |   - one: { call: files.read, with: { path: 7 } }
                |                                      ^
              hint: the skill wants string
        "#]],
    );
}

#[test]
fn an_argument_out_of_range() {
    check(
        r#"do:
  - one: { call: search.query, with: { q: a, limit: 0 } }
"#,
        expect![[r#"
            broken.yaml:3:46: the argument "limit" does not fit: 0 is less than the minimum of 1 (/do/0/one/with/limit)
              3 |   - one: { call: search.query, with: { q: a, limit: 0 } }
                |                                              ^
              hint: the skill wants integer
        "#]],
    );
}

#[test]
fn an_argument_from_an_output_of_another_type() {
    check(
        r#"do:
  - find: { call: search.query, with: { q: a } }
  - read: { call: files.read, with: { path: '${ .hits[0].id }' } }
"#,
        expect![[r#"
            broken.yaml:4:39: the argument "path" does not fit: it is integer, and string is wanted (/do/1/read/with/path)
              4 |   - read: { call: files.read, with: { path: '${ .hits[0].id }' } }
                |                                       ^
              hint: the skill wants string
        "#]],
    );
}

#[test]
fn an_argument_from_the_flow_s_input() {
    check(
        r#"input: { schema: { document: { type: object, properties: { n: { type: integer } } } } }
do:
  - read: { call: files.read, with: { path: '${ .n }' } }
"#,
        expect![[r#"
            broken.yaml:4:39: the argument "path" does not fit: it is integer, and string is wanted (/do/0/read/with/path)
              4 |   - read: { call: files.read, with: { path: '${ .n }' } }
                |                                       ^
              hint: the skill wants string
        "#]],
    );
}

#[test]
fn an_argument_from_a_step_between() {
    check(
        r#"do:
  - find: { call: search.query, with: { q: a }, output: { as: '.hits[0]' } }
  - keep: { set: { where: '${ .id }' } }
  - read: { call: files.read, with: { path: '${ .where }' } }
"#,
        expect![[r#"
            broken.yaml:5:39: the argument "path" does not fit: it is integer, and string is wanted (/do/2/read/with/path)
              5 |   - read: { call: files.read, with: { path: '${ .where }' } }
                |                                       ^
              hint: the skill wants string
        "#]],
    );
}

#[test]
fn what_is_tried_again_may_not_run_twice() {
    check(
        r#"do:
  - one: { try: [ { two: { call: files.write, with: { path: a } } } ], catch: { retry: { delay: PT1S } } }
"#,
        expect![[r#"
            broken.yaml:3:34: "two" is tried again, but its skill may not run twice (/do/0/one/try/0/two/call)
              3 |   - one: { try: [ { two: { call: files.write, with: { path: a } } } ], catch: { retry: { delay: PT1S } } }
                |                                  ^
              hint: a failure that it reports is tried again; where its outcome is unknown, the flow asks. If it may run twice, say so with the agent: effect: idempotent
        "#]],
    );
}

#[test]
fn a_step_that_is_never_reached() {
    check(
        r#"do:
  - one: { set: { a: 1 }, then: three }
  - two: { set: { a: 2 } }
  - three: { set: { a: 3 } }
"#,
        expect![[r#"
            broken.yaml:4:5: the step "two" is never reached (/do/1/two)
              4 |   - two: { set: { a: 2 } }
                |     ^
              hint: lead to it by a then, or take it out
        "#]],
    );
}

#[test]
fn a_loop_without_a_way_out() {
    check(
        r#"do:
  - one: { set: { a: 1 } }
  - two: { set: { a: 2 }, then: one }
"#,
        expect![[r#"
            broken.yaml:3:5: from "one" on this goes round for ever (/do/0/one)
              3 |   - one: { set: { a: 1 } }
                |     ^
              hint: add a switch with a case that leads out: then: exit
        "#]],
    );
}

#[test]
fn a_try_that_catches_nothing() {
    check(
        r#"do:
  - one: { try: [ { two: { set: { a: 1 } } } ], catch: { do: [ { three: { set: { a: 2 } } } ] } }
"#,
        expect![[r#"
            broken.yaml:3:5: nothing in this try can fail, so it catches nothing (/do/0/one)
              3 |   - one: { try: [ { two: { set: { a: 1 } } } ], catch: { do: [ { three: { set: { a: 2 } } } ] } }
                |     ^
              hint: take the try away, and keep its steps
        "#]],
    );
}

#[test]
fn a_branch_that_leads_to_another() {
    check(
        r#"do:
  - both: { fork: { branches: [ { a: { call: files.list, then: b } }, { b: { call: files.list } } ] } }
"#,
        expect![[r#"
            broken.yaml:3:64: a branch leads to no other step, and here is "b" (/do/0/both/fork/branches/0/a/then)
              3 |   - both: { fork: { branches: [ { a: { call: files.list, then: b } }, { b: { call: files.list } } ] } }
                |                                                                ^
              hint: put both steps into one branch, under do
        "#]],
    );
}

#[test]
fn a_text_that_looks_like_an_expression() {
    check(
        r#"do:
  - one: { set: { a: $context.user } }
"#,
        expect![[r#"
            broken.yaml:3:22: "$context.user" is a text, and looks like an expression (/do/0/one/set/a)
              3 |   - one: { set: { a: $context.user } }
                |                      ^
              hint: if it is one, write ${ $context.user }
        "#]],
    );
}

#[test]
fn what_is_right_gives_none() {
    for flow in [
        "do:\n  - find: { call: search.query, with: { q: a } }\n  - read: { call: files.read, with: { path: '${ .hits[0].path }' } }\n",
        "do:\n  - find: { call: search.query, with: { q: '${ .anything }', limit: '${ .count | tonumber }' } }\n",
        "do:\n  - one: { set: { a: 1 } }\n  - two: { switch: [ { out: { when: '.a > 3', then: exit } } ], then: one }\n",
        "do:\n  - one: { set: { a: no, b: on, c: yes } }\n",
    ] {
        let found = findings(flow);
        assert!(found.is_empty(), "{flow}: {}", found[0]);
    }
}

#[test]
fn all_faults_are_found_at_once() {
    let found = findings(
        "do:\n  - one: { set: { a: '${ .x | lenght }' }, than: end }\n  - two: { wait: soon }\n  - two: { cal: x }\n",
    );
    assert_eq!(found.len(), 5, "{found:#?}");
}

#[test]
fn hostile_documents_are_refused() {
    let limits = Limits::default();
    let read = |text: &str| Definition::read("hostile.yaml", text, &limits);
    let deep = format!("{HEAD}do:\n  - one: {{ set: {{ a: {}1{} }} }}\n", "[".repeat(100_000), "]".repeat(100_000));
    let bomb = format!(
        "{HEAD}x:\n  a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n{}",
        (0..12).map(|n| { let (name, from) = (char::from(b'b' + n), char::from(b'a' + n)); format!("  {name}: &{name} [*{from}, *{from}, *{from}, *{from}, *{from}, *{from}, *{from}, *{from}, *{from}]\n") }).collect::<String>()
    );
    let steps: String = (0..3_000).map(|n| format!("  - s{n}: {{ wait: PT1S }}\n")).collect();
    for text in [
        deep,
        bomb,
        format!("{HEAD}do:\n{steps}"),
        "a".repeat(10_000_000),
        String::new(),
        "[".repeat(200_000),
        "- ".repeat(100_000),
    ] {
        let started = std::time::Instant::now();
        let reading = read(&text);
        assert!(reading.definition.is_none());
        let first = &reading.findings[0];
        assert!(started.elapsed().as_secs() < 5, "{first}");
        println!("{:?} {}", started.elapsed(), first.message);
    }
}
