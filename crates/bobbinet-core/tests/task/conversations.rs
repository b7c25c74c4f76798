//! Conversations: what a task comes to when one thing is said after another.

use std::fmt::Write as _;

use bobbinet_core::{
    Effect, Outcome, QuestionKind,
    limits::{ATTEMPTS_MAX, TAKEOVERS_MAX},
};
use expect_test::{Expect, expect};

use crate::talk::{
    By::{Owner, Stranger},
    EFFECTS,
    Run::{Gone, Live},
    Say, Slot, Talk, answer, asks, call, completed, failed, refused, reject, unknown,
};

fn check(said: &[Say], expected: &Expect) {
    let mut talk = Talk::after(&[]);
    let mut lines = String::new();
    for say in said {
        writeln!(lines, "{}", talk.print(say)).unwrap();
    }
    expected.assert_eq(&lines);
}

/// The same for each effect class; those that come to the same stand together.
fn check_effects(said: impl Fn(Effect) -> Vec<Say>, expected: &Expect) {
    let mut classes: Vec<(String, String)> = Vec::new();
    for effect in EFFECTS {
        let mut talk = Talk::after(&[]);
        let mut lines = String::new();
        for say in said(effect) {
            writeln!(lines, "    {}", talk.print(&say)).unwrap();
        }
        match classes.iter_mut().find(|(_, known)| *known == lines) {
            Some((names, _)) => write!(names, ", {}", effect.as_str()).unwrap(),
            None => classes.push((effect.as_str().to_owned(), lines)),
        }
    }
    let text: String = classes.into_iter().map(|(names, lines)| format!("{names}\n{lines}")).collect();
    expected.assert_eq(&text);
}

fn begin(effect: Effect) -> Say {
    Say::Submit(call(effect), Slot::Free)
}

fn elicit() -> Say {
    Say::Ask(Owner, QuestionKind::Elicitation)
}

fn finish(outcome: Outcome) -> Say {
    Say::Finish(Owner, outcome)
}

fn reply(text: &'static str, run: crate::talk::Run) -> Say {
    Say::Reply(text, answer(), run, Slot::Free)
}

#[test]
fn a_task_runs() {
    let said = [
        Say::Submit(call(Effect::Keyed), Slot::None),
        Say::Claim,
        Say::Progress(Owner),
        Say::Add(Owner, "log", 3, false),
        Say::Add(Owner, "log", 3, true),
        finish(completed()),
    ];
    check(
        &said,
        &expect![[r#"
        Submitted -> submitted
        Started(1) Intended(1.1) -> working
        Progressed -> working
        Added(log) -> working
        Added(log+) -> working
        Settled(1 Done) Added(result) Ended(completed) -> completed
    "#]],
    );
}

#[test]
fn ask_then_reply() {
    let too_little = Say::Reply("hm", asks(QuestionKind::Input), Gone, Slot::None);
    let enough = |slot| Say::Reply("do that", call(Effect::AtMostOnce), Gone, slot);
    let ask = || Say::Submit(asks(QuestionKind::Input), Slot::Free);
    check(
        &[ask(), too_little.clone(), enough(Slot::Free), finish(completed())],
        &expect![[r#"
        Submitted Asked(input) -> input-required
        Replied(released) Asked(input) -> input-required
        Replied(released) Planned Started(1) Intended(1.1) -> working
        Settled(1 Done) Added(result) Ended(completed) -> completed
    "#]],
    );
    check(
        &[ask(), enough(Slot::None), Say::Claim, finish(completed())],
        &expect![[r#"
        Submitted Asked(input) -> input-required
        Replied(released) Planned -> submitted
        Started(1) Intended(1.1) -> working
        Settled(1 Done) Added(result) Ended(completed) -> completed
    "#]],
    );
    check(
        &[ask(), Say::Reply("no", reject(), Gone, Slot::Free)],
        &expect![[r#"
        Submitted Asked(input) -> input-required
        Replied(released) Ended(rejected: bad-arguments) -> rejected
    "#]],
    );
}

#[test]
fn an_answer_reaches_the_call_that_lives() {
    let said =
        |effect| vec![begin(effect), elicit(), reply("42", Live), elicit(), reply("43", Live), finish(completed())];
    check_effects(
        said,
        &expect![[r#"
        read-only, idempotent, keyed, at-most-once
            Submitted Started(1) Intended(1.1) -> working
            Asked(elicitation) -> input-required
            Replied(answer resumed) -> working
            Asked(elicitation) -> input-required
            Replied(answer resumed) -> working
            Settled(1 Done) Added(result) Ended(completed) -> completed
    "#]],
    );
}

/// It was checked against the question before.
#[test]
fn an_answer_that_comes_late_does_not_answer_the_next_question() {
    let said = [begin(Effect::AtMostOnce), elicit(), reply("42", Live), elicit(), Say::LateReply("42")];
    check(
        &said,
        &expect![[r#"
        Submitted Started(1) Intended(1.1) -> working
        Asked(elicitation) -> input-required
        Replied(answer resumed) -> working
        Asked(elicitation) -> input-required
        no: the message does not answer the question: another question has been asked since
    "#]],
    );
}

#[test]
fn an_answer_repeats_the_call_that_is_gone() {
    let said = |effect| vec![begin(effect), elicit(), reply("42", Gone), reply("retry", Gone), finish(completed())];
    check_effects(
        said,
        &expect![[r#"
        read-only, idempotent, keyed
            Submitted Started(1) Intended(1.1) -> working
            Asked(elicitation) -> input-required
            Replied(answer released) Started(2) Intended(1.2) -> working
            no: the task is at work and takes no messages until it asks or ends
            Settled(1 Done) Added(result) Ended(completed) -> completed
        at-most-once
            Submitted Started(1) Intended(1.1) -> working
            Asked(elicitation) -> input-required
            Replied(answer released) Asked(outcome of 1) -> input-required
            Replied(released) Started(2) Intended(1.2) -> working
            Settled(1 Done) Added(result) Ended(completed) -> completed
    "#]],
    );
}

/// A keyed tool drops repeats by the call's id: the repetition must have the same.
#[test]
fn a_call_that_died_while_it_asked_is_made_again_under_its_id() {
    let said = |effect| vec![begin(effect), elicit(), finish(unknown(true)), reply("42", Gone)];
    check_effects(
        said,
        &expect![[r#"
        read-only, idempotent, keyed
            Submitted Started(1) Intended(1.1) -> working
            Asked(elicitation) -> input-required
            Settled(1 Unknown) -> input-required
            Replied(answer released) Started(2) Intended(1.2) -> working
        at-most-once
            Submitted Started(1) Intended(1.1) -> working
            Asked(elicitation) -> input-required
            Asked(outcome of 1) -> input-required
            no: the message does not answer the question: say retry, happened or failed, as text or as data {"outcome": "…", "result": …}
    "#]],
    );
}

#[test]
fn a_declined_question_stays_open() {
    let said =
        |effect| vec![begin(effect), elicit(), finish(Outcome::Declined), reply("42", Gone), reply("retry", Gone)];
    check_effects(
        said,
        &expect![[r#"
        read-only, idempotent, keyed
            Submitted Started(1) Intended(1.1) -> working
            Asked(elicitation) -> input-required
            Settled(1 Declined) -> input-required
            Replied(answer released) Started(2) Intended(1.2) -> working
            no: the task is at work and takes no messages until it asks or ends
        at-most-once
            Submitted Started(1) Intended(1.1) -> working
            Asked(elicitation) -> input-required
            Settled(1 Declined) -> input-required
            Replied(answer released) Asked(outcome of 1) -> input-required
            Replied(released) Started(2) Intended(1.2) -> working
    "#]],
    );
}

/// The run is alive for a moment after it has declined; there is nobody to resume all the same.
#[test]
fn an_answer_after_the_decline_does_not_resume_it() {
    let said =
        |effect| vec![begin(effect), elicit(), finish(Outcome::Declined), reply("42", Live), reply("retry", Gone)];
    check_effects(
        said,
        &expect![[r#"
        read-only, idempotent, keyed
            Submitted Started(1) Intended(1.1) -> working
            Asked(elicitation) -> input-required
            Settled(1 Declined) -> input-required
            Replied(answer released) Started(2) Intended(1.2) -> working
            no: the task is at work and takes no messages until it asks or ends
        at-most-once
            Submitted Started(1) Intended(1.1) -> working
            Asked(elicitation) -> input-required
            Settled(1 Declined) -> input-required
            Replied(answer released) Asked(outcome of 1) -> input-required
            Replied(released) Started(2) Intended(1.2) -> working
    "#]],
    );
}

/// The answer came while the question was being declined: it was accepted, so it counts.
#[test]
fn a_decline_after_the_answer_is_an_unknown_outcome() {
    let said =
        |effect| vec![begin(effect), elicit(), reply("42", Live), finish(Outcome::Declined), finish(completed())];
    check_effects(
        said,
        &expect![[r#"
        read-only, idempotent, keyed
            Submitted Started(1) Intended(1.1) -> working
            Asked(elicitation) -> input-required
            Replied(answer resumed) -> working
            Intended(1.2) -> working
            Settled(1 Done) Added(result) Ended(completed) -> completed
        at-most-once
            Submitted Started(1) Intended(1.1) -> working
            Asked(elicitation) -> input-required
            Replied(answer resumed) -> working
            Asked(outcome of 1) -> input-required
            Settled(1 Done) Added(result) Ended(completed) -> completed
    "#]],
    );
}

/// An agent may answer too little with its first question; that does not make the task forget its call.
#[test]
fn too_little_of_an_answer_keeps_the_question_of_the_call() {
    let too_little = |run| Say::Reply("hm", asks(QuestionKind::Input), run, Slot::Free);
    let more = |run| Say::Reply("do it", call(Effect::AtMostOnce), run, Slot::Free);
    let said = move |run| move |effect| vec![begin(effect), elicit(), too_little(run), more(run)];
    check_effects(
        said(Live),
        &expect![[r#"
        read-only, idempotent, keyed, at-most-once
            Submitted Started(1) Intended(1.1) -> working
            Asked(elicitation) -> input-required
            Replied(resumed) Asked(elicitation) -> input-required
            Replied(answer resumed) -> working
    "#]],
    );
    check_effects(
        said(Gone),
        &expect![[r#"
        read-only, idempotent, keyed
            Submitted Started(1) Intended(1.1) -> working
            Asked(elicitation) -> input-required
            Replied(released) Asked(elicitation) -> input-required
            Replied(answer released) Started(2) Intended(1.2) -> working
        at-most-once
            Submitted Started(1) Intended(1.1) -> working
            Asked(elicitation) -> input-required
            Replied(released) Asked(elicitation) -> input-required
            Replied(answer released) Asked(outcome of 1) -> input-required
    "#]],
    );
}

#[test]
fn verdicts() {
    let lost =
        |verdict| vec![begin(Effect::AtMostOnce), Say::TakeOver(Slot::Free), reply(verdict, Gone), finish(completed())];
    check(
        &lost("retry"),
        &expect![[r#"
        Submitted Started(1) Intended(1.1) -> working
        Asked(outcome of 1) -> input-required
        Replied(released) Started(2) Intended(1.2) -> working
        Settled(1 Done) Added(result) Ended(completed) -> completed
    "#]],
    );
    check(
        &lost("happened"),
        &expect![[r#"
        Submitted Started(1) Intended(1.1) -> working
        Asked(outcome of 1) -> input-required
        Replied(released) Settled(1 SaidToHaveHappened) Ended(completed) -> completed
        no: the task has ended
    "#]],
    );
    check(
        &lost(r#"{"outcome":"happened","result":{"n":1}}"#),
        &expect![[r#"
        Submitted Started(1) Intended(1.1) -> working
        Asked(outcome of 1) -> input-required
        Replied(released) Settled(1 SaidToHaveHappened) Added(result-1) Ended(completed) -> completed
        no: the task has ended
    "#]],
    );
    check(
        &lost("failed"),
        &expect![[r#"
        Submitted Started(1) Intended(1.1) -> working
        Asked(outcome of 1) -> input-required
        Replied(released) Settled(1 SaidToHaveFailed) Ended(failed: said-to-have-failed) -> failed
        no: the task has ended
    "#]],
    );
    check(
        &lost("perhaps"),
        &expect![[r#"
        Submitted Started(1) Intended(1.1) -> working
        Asked(outcome of 1) -> input-required
        no: the message does not answer the question: say retry, happened or failed, as text or as data {"outcome": "…", "result": …}
        Settled(1 Done) Added(result) Ended(completed) -> completed
    "#]],
    );
    let wait = Say::Reply("retry", answer(), Gone, Slot::None);
    check(
        &[begin(Effect::AtMostOnce), Say::TakeOver(Slot::Free), wait, Say::Claim],
        &expect![[r#"
        Submitted Started(1) Intended(1.1) -> working
        Asked(outcome of 1) -> input-required
        Replied(released) -> submitted
        Started(2) Intended(1.2) -> working
    "#]],
    );
}

#[test]
fn cancel_while_a_call_is_open() {
    check_effects(
        |effect| vec![begin(effect), Say::Cancel, finish(completed()), finish(failed())],
        &expect![[r#"
        read-only, idempotent, keyed
            Submitted Started(1) Intended(1.1) -> working
            Ended(canceled) -> canceled
            Settled(1 Late) -> canceled
            no: the task has ended
        at-most-once
            Submitted Started(1) Intended(1.1) -> working
            Ended(canceled, with a note) -> canceled
            Settled(1 Late) -> canceled
            no: the task has ended
    "#]],
    );
    check_effects(
        |effect| vec![begin(effect), elicit(), Say::Cancel, finish(Outcome::Declined)],
        &expect![[r#"
        read-only, idempotent, keyed
            Submitted Started(1) Intended(1.1) -> working
            Asked(elicitation) -> input-required
            Ended(canceled) -> canceled
            Settled(1 Declined) -> canceled
        at-most-once
            Submitted Started(1) Intended(1.1) -> working
            Asked(elicitation) -> input-required
            Ended(canceled, with a note) -> canceled
            Settled(1 Declined) -> canceled
    "#]],
    );
}

#[test]
fn a_question_whose_time_is_up_while_a_call_is_open() {
    check_effects(
        |effect| vec![begin(effect), elicit(), Say::Expire(Owner), finish(completed())],
        &expect![[r#"
        read-only, idempotent, keyed, at-most-once
            Submitted Started(1) Intended(1.1) -> working
            Asked(elicitation) -> input-required
            Ended(failed: question-expired) -> failed
            Settled(1 Late) -> failed
    "#]],
    );
}

#[test]
fn an_agent_that_goes_and_comes_back() {
    check(
        &[
            Say::Submit(call(Effect::Idempotent), Slot::None),
            Say::Unserve,
            Say::Unserve,
            Say::Serve,
            Say::Serve,
            Say::Claim,
            Say::Unserve,
            Say::TakeOver(Slot::None),
            Say::Unserve,
            Say::Expire(Owner),
        ],
        &expect![[r#"
        Submitted -> submitted
        Unserved -> submitted
        no: there is nothing to be done
        Released -> submitted
        no: there is nothing to be done
        Started(1) Intended(1.1) -> working
        no: there is nothing to be done
        Released -> submitted
        Unserved -> submitted
        Ended(failed: unknown-agent) -> failed
    "#]],
    );
}

/// The record of the call says what is known, though nobody is told any more: whether the call was made, or may have been.
#[test]
fn what_a_call_comes_to_after_a_cancel() {
    let mut lines = String::new();
    for outcome in [completed(), refused(), failed(), unknown(true), Outcome::Declined] {
        let mut talk = Talk::after(&[begin(Effect::AtMostOnce), Say::Cancel]);
        writeln!(lines, "{}", talk.print(&finish(outcome))).unwrap();
    }
    expect![[r#"
        Settled(1 Late) -> canceled
        Settled(1 Failed) -> canceled
        Settled(1 Failed) -> canceled
        Settled(1 Unknown) -> canceled
        Settled(1 Declined) -> canceled
    "#]]
    .assert_eq(&lines);
}

#[test]
fn a_reply_that_ends_the_task_leaves_the_late_outcome_its_place() {
    let said =
        |effect| vec![begin(effect), elicit(), Say::Reply("no", reject(), Live, Slot::Free), finish(completed())];
    check_effects(
        said,
        &expect![[r#"
        read-only, idempotent, keyed, at-most-once
            Submitted Started(1) Intended(1.1) -> working
            Asked(elicitation) -> input-required
            Replied(resumed) Ended(rejected: bad-arguments) -> rejected
            Settled(1 Late) -> rejected
    "#]],
    );
}

#[test]
fn a_result_while_its_question_is_open() {
    let said = |outcome: fn() -> Outcome| [begin(Effect::AtMostOnce), elicit(), finish(outcome())];
    check(
        &said(completed),
        &expect![[r#"
        Submitted Started(1) Intended(1.1) -> working
        Asked(elicitation) -> input-required
        Settled(1 Done) Added(result) Ended(completed) -> completed
    "#]],
    );
    check(
        &said(crate::talk::refused),
        &expect![[r#"
        Submitted Started(1) Intended(1.1) -> working
        Asked(elicitation) -> input-required
        Settled(1 Failed) Added(result) Ended(failed) -> failed
    "#]],
    );
    check(
        &said(failed),
        &expect![[r#"
        Submitted Started(1) Intended(1.1) -> working
        Asked(elicitation) -> input-required
        Settled(1 Failed) Ended(failed: broken) -> failed
    "#]],
    );
    check(
        &said(|| unknown(true)),
        &expect![[r#"
        Submitted Started(1) Intended(1.1) -> working
        Asked(elicitation) -> input-required
        Asked(outcome of 1) -> input-required
    "#]],
    );
}

#[test]
fn another_run_is_fenced_off() {
    let said = [
        begin(Effect::Idempotent),
        Say::TakeOver(Slot::Free),
        Say::Add(Stranger, "a", 1, false),
        Say::Finish(Stranger, completed()),
        finish(completed()),
        Say::Finish(Stranger, completed()),
    ];
    check(
        &said,
        &expect![[r#"
        Submitted Started(1) Intended(1.1) -> working
        Started(2) Intended(1.2) -> working
        no: another run owns the task
        no: another run owns the task
        Settled(1 Done) Added(result) Ended(completed) -> completed
        no: the task has ended
    "#]],
    );
}

#[test]
fn a_lost_run_is_taken_over() {
    let said = |slot| move |effect| vec![begin(effect), Say::TakeOver(slot), Say::Claim, Say::TakeOver(slot)];
    check_effects(
        said(Slot::Free),
        &expect![[r#"
        read-only, idempotent, keyed
            Submitted Started(1) Intended(1.1) -> working
            Started(2) Intended(1.2) -> working
            no: there is nothing to be done
            Started(3) Intended(1.3) -> working
        at-most-once
            Submitted Started(1) Intended(1.1) -> working
            Asked(outcome of 1) -> input-required
            no: there is nothing to be done
            no: there is nothing to be done
    "#]],
    );
    check_effects(
        said(Slot::None),
        &expect![[r#"
        read-only, idempotent, keyed
            Submitted Started(1) Intended(1.1) -> working
            Released -> submitted
            Started(2) Intended(1.2) -> working
            Released -> submitted
        at-most-once
            Submitted Started(1) Intended(1.1) -> working
            Asked(outcome of 1) -> input-required
            no: there is nothing to be done
            no: there is nothing to be done
    "#]],
    );
}

#[test]
fn a_server_that_dies_is_tried_again_so_often() {
    let mut said = vec![begin(Effect::ReadOnly)];
    said.extend((0..ATTEMPTS_MAX).map(|_| finish(unknown(true))));
    check(
        &said,
        &expect![[r#"
        Submitted Started(1) Intended(1.1) -> working
        Intended(1.2) -> working
        Intended(1.3) -> working
        Settled(1 Unknown) Ended(failed: server-died) -> failed
    "#]],
    );
    check(
        &[begin(Effect::ReadOnly), finish(unknown(false))],
        &expect![[r#"
        Submitted Started(1) Intended(1.1) -> working
        Settled(1 Unknown) Ended(failed: server-died) -> failed
    "#]],
    );
    check(
        &[begin(Effect::AtMostOnce), finish(unknown(true))],
        &expect![[r#"
        Submitted Started(1) Intended(1.1) -> working
        Asked(outcome of 1) -> input-required
    "#]],
    );
}

/// A process that dies says nothing about the server.
#[test]
fn a_run_that_was_taken_over_has_all_its_tries() {
    let mut said = vec![begin(Effect::ReadOnly)];
    said.extend((0..ATTEMPTS_MAX).map(|_| Say::TakeOver(Slot::Free)));
    said.push(finish(unknown(true)));
    check(
        &said,
        &expect![[r#"
        Submitted Started(1) Intended(1.1) -> working
        Started(2) Intended(1.2) -> working
        Started(3) Intended(1.3) -> working
        Started(4) Intended(1.4) -> working
        Intended(1.5) -> working
    "#]],
    );
}

/// What becomes of a task with this past when its process dies so often, at the last two times.
fn check_deaths(past: &[Say], death: &[Say], times: u32, expected: &Expect) {
    let mut talk = Talk::after(past);
    let lines = (0..times).map(|_| {
        let said: Vec<_> = death.iter().map(|say| talk.print(say)).collect();
        said.join("; ") + "\n"
    });
    let lines: Vec<_> = lines.collect();
    expected.assert_eq(&lines[lines.len() - 2..].concat());
}

#[test]
fn a_call_that_kills_processes_is_given_up() {
    check_deaths(
        &[begin(Effect::Keyed)],
        &[Say::TakeOver(Slot::Free)],
        TAKEOVERS_MAX + 1,
        &expect![[r#"
            Started(4) Intended(1.4) -> working
            Settled(1 Unknown) Ended(failed: taken-over-too-often) -> failed
        "#]],
    );
    // Where it waits for a slot in between, it is counted no less and no more.
    check_deaths(
        &[begin(Effect::Keyed)],
        &[Say::TakeOver(Slot::None), Say::Claim],
        TAKEOVERS_MAX + 1,
        &expect![[r#"
            Released -> submitted; Started(4) Intended(1.4) -> working
            Settled(1 Unknown) Ended(failed: taken-over-too-often) -> failed; no: the task has ended
        "#]],
    );
    // What a call says before it kills its process does not save it.
    check_deaths(
        &[begin(Effect::Keyed)],
        &[Say::Progress(Owner), Say::TakeOver(Slot::Free)],
        TAKEOVERS_MAX + 1,
        &expect![[r#"
            Progressed -> working; Started(4) Intended(1.4) -> working
            Progressed -> working; Settled(1 Unknown) Ended(failed: taken-over-too-often) -> failed
        "#]],
    );
}

/// A run that waits for its caller dies like any other; one that is stopped with its process, however often, has not died.
#[test]
fn a_restart_is_no_death_of_a_run_that_waits() {
    let past = || [begin(Effect::AtMostOnce), Say::Record(Owner, &[5], &[]), elicit()];
    check_deaths(
        &past(),
        &[Say::TakeOver(Slot::Free)],
        TAKEOVERS_MAX + 1,
        &expect![[r#"
        Reclaimed(4 as attempt 4) -> input-required
        Settled(1 Unknown) Ended(failed: taken-over-too-often) -> failed
    "#]],
    );
    let restart = [Say::Release(Owner), Say::TakeOver(Slot::Free)];
    check_deaths(
        &past(),
        &restart,
        2 * TAKEOVERS_MAX,
        &expect![[r#"
        Stopped -> input-required; Reclaimed(6 as attempt 6) -> input-required
        Stopped -> input-required; Reclaimed(7 as attempt 7) -> input-required
    "#]],
    );
}

/// A long conversation claims its task with every answer, and no process has died of it.
#[test]
fn a_conversation_is_not_mistaken_for_deaths() {
    let round = || [finish(Outcome::Declined), reply("more", Gone)];
    let rounds = (0..2 * TAKEOVERS_MAX).flat_map(|_| [elicit()].into_iter().chain(round()));
    let past: Vec<_> = std::iter::once(begin(Effect::Idempotent)).chain(rounds).collect();
    check_deaths(
        &past,
        &[Say::TakeOver(Slot::Free)],
        2,
        &expect![[r#"
        Started(8) Intended(1.8) -> working
        Started(9) Intended(1.9) -> working
    "#]],
    );
    // A process that dies between two answers dies of something else each time.
    check_deaths(
        &[begin(Effect::Idempotent)],
        &[Say::TakeOver(Slot::Free), elicit(), reply("more", Live)],
        TAKEOVERS_MAX + 2,
        &expect![[r#"
            Started(5) Intended(1.5) -> working; Asked(elicitation) -> input-required; Replied(answer resumed) -> working
            Started(6) Intended(1.6) -> working; Asked(elicitation) -> input-required; Replied(answer resumed) -> working
        "#]],
    );
}
