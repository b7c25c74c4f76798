//! Calls of what is not called from here, or of what is not written down.

use expect_test::expect;

use super::check;

#[test]
fn mcp_without_a_server() {
    check(
        r#"do:
  - one: { call: mcp, with: { method: tools/list, transport: {} } }
"#,
        expect![[r#"
            broken.yaml:3:62: this call says no server (/do/0/one/with/transport)
              3 |   - one: { call: mcp, with: { method: tools/list, transport: {} } }
                |                                                              ^
              hint: for example with: { method: tools/call, parameters: { name: search, arguments: {} }, transport: { http: { endpoint: https://… } } }
        "#]],
    );
}

#[test]
fn mcp_by_no_method_of_it() {
    check(
        r#"do:
  - one: { call: mcp, with: { method: tools/run, transport: { http: { endpoint: 'https://example.com' } } } }
"#,
        expect![[r#"
            broken.yaml:3:39: method cannot be "tools/run" (/do/0/one/with/method)
              3 |   - one: { call: mcp, with: { method: tools/run, transport: { http: { endpoint: 'https://example.com' } } } }
                |                                       ^
              hint: it is one of tools/list, tools/call, prompts/list, prompts/get, resources/list, resources/read, resources/templates/list
        "#]],
    );
}

#[test]
fn mcp_with_a_misspelt_command() {
    check(
        r#"do:
  - one: { call: mcp, with: { method: tools/list, transport: { stdio: { comand: ls } } } }
"#,
        expect![[r#"
            broken.yaml:3:73: stdio has no property "comand" (/do/0/one/with/transport/stdio/comand)
              3 |   - one: { call: mcp, with: { method: tools/list, transport: { stdio: { comand: ls } } } }
                |                                                                         ^
              hint: did you mean "command"?
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
fn openapi() {
    check(
        "do:\n  - find:\n      call: openapi\n      with: { document: { endpoint: 'https://example.com/api.json' }, operationId: find }\n",
        expect![[r#"
            broken.yaml:4:13: OpenAPI services are not called from flows (/do/0/find/call)
              4 |       call: openapi
                |             ^
              hint: use call: http, or wrap the service as an MCP server and call its skills
        "#]],
    );
}

#[test]
fn asyncapi() {
    check(
        "do:\n  - tell:\n      call: asyncapi\n      with: { document: {}, operation: tell }\n",
        expect![[r#"
            broken.yaml:4:13: AsyncAPI services are not called from flows (/do/0/tell/call)
              4 |       call: asyncapi
                |             ^
              hint: use emit and listen, or wrap the service as an MCP server
        "#]],
    );
}

#[test]
fn a_container() {
    check(
        "do:\n  - one:\n      run:\n        container: { image: hello-world }\n",
        expect![[r#"
        broken.yaml:5:9: containers are not run from flows (/do/0/one/run)
          5 |         container: { image: hello-world }
            |         ^
          hint: wrap it as an MCP server, and call its skills: call: agent.skill
    "#]],
    );
}

#[test]
fn a_script() {
    check(
        "do:\n  - one:\n      run:\n        script: { language: js, code: 'alert()' }\n",
        expect![[r#"
        broken.yaml:5:9: scripts are not run from flows (/do/0/one/run)
          5 |         script: { language: js, code: 'alert()' }
            |         ^
          hint: wrap it as an MCP server, and call its skills: call: agent.skill
    "#]],
    );
}

#[test]
fn a_function_of_another_catalog() {
    check(
        "do:\n  - log: { call: 'log:1.0.0@default', with: { message: Hello } }\n",
        expect![[r#"
        broken.yaml:3:18: the function "log:1.0.0@default" would have to be fetched from a catalog (/do/0/log/call)
          3 |   - log: { call: 'log:1.0.0@default', with: { message: Hello } }
            |                  ^
          hint: call a skill of an agent (call: agent.skill), or write the function under use.functions
    "#]],
    );
}

#[test]
fn an_a2a_agent_without_an_address() {
    check(
        "do:\n  - ask:\n      call: a2a\n      with: { method: message/send, parameters: {} }\n",
        expect![[r#"
        broken.yaml:5:13: this call says no agent (/do/0/ask/with)
          5 |       with: { method: message/send, parameters: {} }
            |             ^
          hint: add server: https://… or agentCard: { endpoint: https://… }
    "#]],
    );
}

#[test]
fn run_of_nothing() {
    check(
        "do:\n  - one:\n      run: { workflw: { namespace: shop, name: bill } }\n",
        expect![[r#"
        broken.yaml:4:14: run has no property "workflw" (/do/0/one/run/workflw)
          4 |       run: { workflw: { namespace: shop, name: bill } }
            |              ^
          hint: did you mean "workflow"?
    "#]],
    );
}

#[test]
fn a_schema_that_doubles() {
    let definitions: String = (1..40)
        .map(|n| format!("d{n}: {{ anyOf: [ {{ $ref: '#/$defs/d{0}' }}, {{ $ref: '#/$defs/d{0}' }} ] }}, ", n - 1))
        .collect();
    let flow = format!(
        "input:\n  schema:\n    document:\n      $ref: '#/$defs/d39'\n      $defs: {{ {definitions}d0: {{ type: string }} }}\ndo: [ {{ one: {{ set: {{ a: 1 }} }} }} ]\n"
    );
    check(
        &flow,
        expect![[r#"
        broken.yaml:5:7: this schema is too large once its references are followed (/input/schema/document)
          5 |       $ref: '#/$defs/d39'
            |       ^
          hint: refer to a definition less often, or say less of what is in it
    "#]],
    );
}

#[test]
fn a_schema_that_checks_itself_twice() {
    check(
        "input:\n  schema:\n    document:\n      $defs: { t: { properties: { x: { anyOf: [ { $ref: '#/$defs/t' }, { $ref: '#/$defs/t' } ] } } } }\n      $ref: '#/$defs/t'\ndo: [ { one: { set: { a: 1 } } } ]\n",
        expect![[r#"
            broken.yaml:5:7: this schema refers to itself, and applies several schemas to one value (/input/schema/document)
              5 |       $defs: { t: { properties: { x: { anyOf: [ { $ref: '#/$defs/t' }, { $ref: '#/$defs/t' } ] } } } }
                |       ^
              hint: take anyOf, allOf and their like out of it, or the reference that leads back to it
        "#]],
    );
}
