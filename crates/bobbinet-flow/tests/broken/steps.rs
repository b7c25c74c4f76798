//! Steps that say something wrong.

use expect_test::expect;

use super::check;

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
