//! Every bound of a task: one below it, at it, and one above.

use std::fmt::Write as _;

use bobbinet_core::{Effect, Limits, QuestionKind};
use expect_test::{Expect, expect};

use crate::talk::{
    By::Owner,
    Run::{Gone, Live},
    Say, Slot, Talk, answer, call, completed,
};

/// What the last of what was said comes to, under each of the limits.
fn check(limits: impl IntoIterator<Item = Limits>, said: &[Say], expected: &Expect) {
    let mut lines = String::new();
    for limits in limits {
        let mut talk = Talk::new(limits);
        let last = said.iter().map(|say| talk.print(say)).last().unwrap();
        writeln!(lines, "{last}").unwrap();
    }
    expected.assert_eq(&lines);
}

fn begin() -> Say {
    Say::Submit(call(Effect::Idempotent), Slot::Free)
}

fn add(id: &'static str, append: bool) -> Say {
    Say::Add(Owner, id, 10, append)
}

fn elicit() -> Say {
    Say::Ask(Owner, QuestionKind::Elicitation)
}

#[test]
fn history_max() {
    let limits = [2, 3].map(|history_max| Limits { history_max, ..Limits::default() });
    check(
        limits,
        &[begin(), elicit(), Say::Reply("42", answer(), Live, Slot::None)],
        &expect![[r#"
        no: history_max would exceed 2
        Replied(answer resumed) -> working
    "#]],
    );
}

#[test]
fn artifacts_max() {
    let limits = || [1, 2, 3].map(|artifacts_max| Limits { artifacts_max, ..Limits::default() });
    check(
        limits(),
        &[begin(), add("a", false), add("b", false)],
        &expect![[r#"
        no: artifacts_max would exceed 1
        Added(b) -> working
        Added(b) -> working
    "#]],
    );
    // More of the same artifact, and the same again, are no more artifacts.
    check(
        limits(),
        &[begin(), add("a", false), add("a", true)],
        &expect![[r#"
        Added(a+) -> working
        Added(a+) -> working
        Added(a+) -> working
    "#]],
    );
    check(
        limits(),
        &[begin(), add("a", false), add("a", false)],
        &expect![[r#"
        Added(a) -> working
        Added(a) -> working
        Added(a) -> working
    "#]],
    );
    check(
        limits(),
        &[begin(), add("a", false), add("b", false), Say::Finish(Owner, completed())],
        &expect![[r#"
        Settled(1 Done) Ended(failed: result-too-large) -> failed
        Settled(1 Done) Ended(failed: result-too-large) -> failed
        Settled(1 Done) Added(result) Ended(completed) -> completed
    "#]],
    );
    // A result that is too much is an end with a word, whether or not a question is open.
    check(
        limits(),
        &[begin(), add("a", false), elicit(), Say::Finish(Owner, completed())],
        &expect![[r#"
        Settled(1 Done) Ended(failed: result-too-large) -> failed
        Settled(1 Done) Added(result) Ended(completed) -> completed
        Settled(1 Done) Added(result) Ended(completed) -> completed
    "#]],
    );
}

#[test]
fn task_bytes_max() {
    // "go" and two artifacts of ten bytes, and 64 for each of their parts.
    let limits = || [213, 214, 215].map(|task_bytes_max| Limits { task_bytes_max, ..Limits::default() });
    check(
        limits(),
        &[begin(), add("a", false), add("b", false)],
        &expect![[r#"
        no: task_bytes_max would exceed 213
        Added(b) -> working
        Added(b) -> working
    "#]],
    );
    check(
        limits(),
        &[begin(), add("a", false), add("a", true)],
        &expect![[r#"
        no: task_bytes_max would exceed 213
        Added(a+) -> working
        Added(a+) -> working
    "#]],
    );
    // "which?" and the answer count as well.
    let answer = Say::Reply("4 and 10 more.", answer(), Gone, Slot::None);
    check(
        limits(),
        &[begin(), elicit(), answer],
        &expect![[r#"
        no: task_bytes_max would exceed 213
        Replied(answer released) -> submitted
        Replied(answer released) -> submitted
    "#]],
    );
}

#[test]
fn events_max() {
    // Three records so far, and 32 are kept free for the end.
    let limits = || [35, 36].map(|events_max| Limits { events_max, ..Limits::default() });
    check(
        limits(),
        &[begin(), add("a", false)],
        &expect![[r#"
        no: events_max would exceed 35
        Added(a) -> working
    "#]],
    );
    check(
        limits(),
        &[begin(), Say::Progress(Owner)],
        &expect![[r#"
        no: events_max would exceed 35
        Progressed -> working
    "#]],
    );
    check(
        limits(),
        &[begin(), elicit()],
        &expect![[r#"
        no: events_max would exceed 35
        Asked(elicitation) -> input-required
    "#]],
    );
    check(
        limits(),
        &[begin(), Say::Finish(Owner, completed())],
        &expect![[r#"
        Settled(1 Done) Added(result) Ended(completed) -> completed
        Settled(1 Done) Added(result) Ended(completed) -> completed
    "#]],
    );
}
