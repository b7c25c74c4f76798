//! Expressions that cannot be.

use expect_test::expect;

use super::check;

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
