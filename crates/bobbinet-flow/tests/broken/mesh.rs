//! Calls of agents, skills and flows that there are not, and arguments that do not fit.

use expect_test::expect;

use super::check;

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
            broken.yaml:3:18: not checked: agent asleep does not say at the moment what it can do (/do/0/one/call)
              3 |   - one: { call: asleep.anything }
                |                  ^
              hint: start it, by `bobbinet up` or where it belongs, and check again
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
fn an_unknown_flow() {
    check(
        "do:\n  - one: { run: { workflow: { namespace: shop, name: bil, input: { order: 1 } } } }\n",
        expect![[r#"
        broken.yaml:3:54: there is no flow "bil" (/do/0/one/run/workflow)
          3 |   - one: { run: { workflow: { namespace: shop, name: bil, input: { order: 1 } } } }
            |                                                      ^
          hint: did you mean "bill"?
    "#]],
    );
}

#[test]
fn a_flow_of_another_namespace() {
    check(
        "do:\n  - one: { run: { workflow: { namespace: office, name: bill, input: { order: 1 } } } }\n",
        expect![[r#"
            broken.yaml:3:56: there is no flow "bill" in the namespace "office" (/do/0/one/run/workflow)
              3 |   - one: { run: { workflow: { namespace: office, name: bill, input: { order: 1 } } } }
                |                                                        ^
              hint: it stands in the namespace "shop"
        "#]],
    );
}

#[test]
fn a_flow_of_another_version() {
    check(
        "do:\n  - one: { run: { workflow: { namespace: shop, name: ship, version: '1.0.0', input: { order: 1 } } } }\n",
        expect![[r#"
            broken.yaml:3:54: the flow shop/ship has no version "1.0.0" (/do/0/one/run/workflow)
              3 |   - one: { run: { workflow: { namespace: shop, name: ship, version: '1.0.0', input: { order: 1 } } } }
                |                                                      ^
              hint: there is "2.1.0"; or write version: latest
        "#]],
    );
}

#[test]
fn a_flow_without_its_input() {
    check(
        "do:\n  - one: { run: { workflow: { namespace: shop, name: bill } } }\n",
        expect![[r#"
        broken.yaml:3:54: the input "order" is missing (/do/0/one/run/workflow/input)
          3 |   - one: { run: { workflow: { namespace: shop, name: bill } } }
            |                                                      ^
          hint: add it: input: { order: … }
    "#]],
    );
}

#[test]
fn a_flow_with_input_of_another_type() {
    check(
        "do:\n  - one:\n      run:\n        workflow:\n          namespace: shop\n          name: bill\n          version: latest\n          input:\n            order: seven\n",
        expect![[r#"
            broken.yaml:10:13: the input "order" does not fit: "seven" is not of type "integer" (/do/0/one/run/workflow/input/order)
              10 |             order: seven
                 |             ^
              hint: the flow wants integer
        "#]],
    );
}

#[test]
fn an_argument_from_a_flow_s_output() {
    check(
        "do:\n  - one: { run: { workflow: { namespace: shop, name: bill, input: { order: 1 } } } }\n  - two: { call: files.read, with: { path: '${ .total }' } }\n",
        expect![[r#"
            broken.yaml:4:38: the argument "path" does not fit: it is number, and string is wanted (/do/1/two/with/path)
              4 |   - two: { call: files.read, with: { path: '${ .total }' } }
                |                                      ^
              hint: the skill wants string
        "#]],
    );
}
