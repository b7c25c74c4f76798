//! Schedules that name no time.

use expect_test::expect;

use super::check;

#[test]
fn a_cron_of_four() {
    check(
        r#"schedule: { cron: '0 0 * *' }
do:
  - one: { set: { a: 1 } }
"#,
        expect![[r#"
            broken.yaml:2:20: a cron expression has five fields, and here are 4 (/schedule/cron)
              2 | schedule: { cron: '0 0 * *' }
                |                    ^
              hint: write minute, hour, day, month and weekday: '0 0 * * *' is every midnight (UTC)
        "#]],
    );
}

#[test]
fn a_cron_with_seconds() {
    check(
        "schedule: { cron: '0 0 0 * * *' }\ndo: [ { one: { set: { a: 1 } } } ]\n",
        expect![[r#"
        broken.yaml:2:20: a cron expression has five fields, and here are 6: seconds and years are not among them (/schedule/cron)
          2 | schedule: { cron: '0 0 0 * * *' }
            |                    ^
          hint: write minute, hour, day, month and weekday: '0 0 * * *' is every midnight (UTC)
    "#]],
    );
}

#[test]
fn an_hour_that_no_day_has() {
    check(
        "schedule:\n  cron: '0 9-24 * * *'\ndo: [ { one: { set: { a: 1 } } } ]\n",
        expect![[r#"
            broken.yaml:3:12: "24" is no hour (/schedule/cron)
              3 |   cron: '0 9-24 * * *'
                |            ^
              hint: hours are 0 to 23: 5, 1-5, */2, or several with commas
        "#]],
    );
}

#[test]
fn a_day_that_no_year_has() {
    check(
        "schedule: { cron: 0 0 30 feb * }\ndo: [ { one: { set: { a: 1 } } } ]\n",
        expect![[r#"
        broken.yaml:2:19: there is no such day in any year (/schedule/cron)
          2 | schedule: { cron: 0 0 30 feb * }
            |                   ^
          hint: look at the day and the month
    "#]],
    );
}

#[test]
fn a_step_of_nothing() {
    check(
        "schedule: { cron: '*/0 * * * *' }\ndo: [ { one: { set: { a: 1 } } } ]\n",
        expect![[r#"
            broken.yaml:2:20: "*/0" has no step (/schedule/cron)
              2 | schedule: { cron: '*/0 * * * *' }
                |                    ^
              hint: minutes are 0 to 59: 5, 1-5, */2, or several with commas
        "#]],
    );
}

#[test]
fn a_misspelt_nickname() {
    check(
        "schedule: { cron: '@dayly' }\ndo: [ { one: { set: { a: 1 } } } ]\n",
        expect![[r#"
        broken.yaml:2:20: there is no schedule "@dayly" (/schedule/cron)
          2 | schedule: { cron: '@dayly' }
            |                    ^
          hint: did you mean @daily?
    "#]],
    );
}

#[test]
fn no_interval() {
    check(
        "schedule: { every: PT0S }\ndo: [ { one: { set: { a: 1 } } } ]\n",
        expect![[r#"
            broken.yaml:2:20: schedule.every is at least a second, and here it is less (/schedule/every)
              2 | schedule: { every: PT0S }
                |                    ^
              hint: write a longer time, such as PT1M
        "#]],
    );
}

#[test]
fn an_interval_to_be_worked_out() {
    check(
        "schedule: { after: '${ \"PT1H\" }' }\ndo: [ { one: { set: { a: 1 } } } ]\n",
        expect![[r#"
        broken.yaml:2:20: schedule.after is worked out before any run, and here is an expression (/schedule/after)
          2 | schedule: { after: '${ "PT1H" }' }
            |                    ^
          hint: write it as PT1H or as {hours: 1}
    "#]],
    );
}

#[test]
fn no_time_at_all() {
    check(
        "schedule: {}\ndo: [ { one: { set: { a: 1 } } } ]\n",
        expect![[r#"
        broken.yaml:2:11: this schedule says no time (/schedule)
          2 | schedule: {}
            |           ^
          hint: add every, cron, after or on, or take schedule out
    "#]],
    );
}

#[test]
fn read_without_events() {
    check(
        "schedule: { every: PT1H, read: data }\ndo: [ { one: { set: { a: 1 } } } ]\n",
        expect![[r#"
        broken.yaml:2:11: schedule.read says how events are read, and there are none (/schedule)
          2 | schedule: { every: PT1H, read: data }
            |           ^
          hint: add schedule.on, or take read out
    "#]],
    );
}
