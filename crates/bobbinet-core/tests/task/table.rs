//! Every state and every command: what comes of it, as one table.

use std::fmt::Write as _;

use bobbinet_core::{Effect, Fault, Outcome, Plan, QuestionKind, State, limits::CHILD_NAME_LENGTH_MAX};
use expect_test::{Expect, expect};

use crate::talk::{
    By::{Owner, Stranger},
    Run::{Gone, Live},
    Say, Slot, Talk, answer, asks, call, completed, failed, refused, reject, says, unknown,
};

/// Every place where a task can stand, with what is said to bring it there.
fn places() -> Vec<(&'static str, Vec<Say>)> {
    let once = || Say::Submit(call(Effect::AtMostOnce), Slot::Free);
    let again = || Say::Submit(call(Effect::Idempotent), Slot::Free);
    vec![
        ("absent", vec![]),
        ("submitted", vec![Say::Submit(call(Effect::AtMostOnce), Slot::None)]),
        ("submitted, without its agent", vec![Say::Submit(call(Effect::AtMostOnce), Slot::None), Say::Unserve]),
        ("submitted, to be planned", vec![Say::Submit(Plan::Defer, Slot::None)]),
        ("working, at-most-once", vec![once()]),
        ("working, idempotent", vec![again()]),
        ("input-required, to begin", vec![Say::Submit(asks(QuestionKind::Input), Slot::None)]),
        ("input-required, at-most-once", vec![once(), Say::Ask(Owner, QuestionKind::Elicitation)]),
        ("input-required, idempotent", vec![again(), Say::Ask(Owner, QuestionKind::Elicitation)]),
        ("input-required, for an outcome", vec![once(), Say::TakeOver(Slot::None)]),
        ("auth-required, idempotent", vec![again(), Say::Ask(Owner, QuestionKind::Authorization)]),
        ("working, at-most-once, recorded", vec![once(), Say::Record(Owner, &[1], &[])]),
        (
            "input-required, at-most-once, recorded",
            vec![once(), Say::Record(Owner, &[1], &["b"]), Say::Ask(Owner, QuestionKind::Elicitation)],
        ),
        (
            "input-required, for an outcome, recorded",
            vec![once(), Say::Record(Owner, &[1], &[]), Say::Finish(Owner, unknown(false))],
        ),
        ("completed", vec![once(), Say::Finish(Owner, completed())]),
        ("failed", vec![once(), Say::Finish(Owner, failed())]),
        ("canceled, call in flight", vec![once(), Say::Cancel]),
        ("rejected", vec![Say::Submit(reject(), Slot::None)]),
    ]
}

/// A name for a child that is a byte too long.
const LONG_NAME: &str = match std::str::from_utf8(&[b'x'; CHILD_NAME_LENGTH_MAX + 1]) {
    Ok(name) => name,
    Err(_) => unreachable!(),
};

fn commands() -> Vec<(&'static str, Say)> {
    let reply = |text, plan, run| Say::Reply(text, plan, run, Slot::Free);
    let plan = |plan, slot| Say::Plan(Ok(plan), Owner, slot);
    vec![
        ("submit a call", Say::Submit(call(Effect::AtMostOnce), Slot::None)),
        ("submit a call, slot", Say::Submit(call(Effect::AtMostOnce), Slot::Free)),
        ("submit a question", Say::Submit(asks(QuestionKind::Input), Slot::None)),
        ("submit an answer", Say::Submit(answer(), Slot::None)),
        ("submit nonsense", Say::Submit(reject(), Slot::None)),
        ("submit, to be planned", Say::Submit(Plan::Defer, Slot::None)),
        ("submit what is answered", Say::Submit(says(), Slot::None)),
        ("plan a call", plan(call(Effect::AtMostOnce), Slot::None)),
        ("plan a call, slot", plan(call(Effect::AtMostOnce), Slot::Free)),
        ("plan a question", plan(asks(QuestionKind::Input), Slot::Free)),
        ("plan an answer", plan(answer(), Slot::Free)),
        ("plan nonsense", plan(reject(), Slot::Free)),
        ("plan nothing yet", plan(Plan::Defer, Slot::Free)),
        ("plan what is answered", plan(says(), Slot::Free)),
        ("plan for another message", Say::Plan(Ok(call(Effect::AtMostOnce)), Stranger, Slot::Free)),
        ("fail to plan", Say::Plan(Err(Fault::new("server-not-ready", "it is not there")), Owner, Slot::None)),
        ("claim", Say::Claim),
        ("take over", Say::TakeOver(Slot::None)),
        ("spawn", Say::Spawn(Owner, "a", None)),
        ("spawn with a long name", Say::Spawn(Owner, LONG_NAME, None)),
        ("spawn, fenced", Say::Spawn(Stranger, "a", None)),
        ("record", Say::Record(Owner, &[1, 2], &[])),
        ("record and spawn", Say::Record(Owner, &[1], &["a", "c"])),
        ("spawn the same twice", Say::Record(Owner, &[], &["a", "a"])),
        ("record nothing", Say::Record(Owner, &[], &[])),
        ("record, fenced", Say::Record(Stranger, &[1], &[])),
        ("withdraw", Say::Withdraw(Owner)),
        ("withdraw of another", Say::Withdraw(Stranger)),
        ("checkpoint", Say::Checkpoint(Owner, 1)),
        ("checkpoint, fenced", Say::Checkpoint(Stranger, 1)),
        ("take over, slot", Say::TakeOver(Slot::Free)),
        ("take over what never ran", Say::TakeOverUnrun(Slot::None)),
        ("take over what never ran, slot", Say::TakeOverUnrun(Slot::Free)),
        ("take over too late", Say::LateTakeOver),
        ("release", Say::Release(Owner)),
        ("release of another", Say::Release(Stranger)),
        ("progress", Say::Progress(Owner)),
        ("progress of another", Say::Progress(Stranger)),
        ("add", Say::Add(Owner, "a", 1, false)),
        ("add of another", Say::Add(Stranger, "a", 1, false)),
        ("ask", Say::Ask(Owner, QuestionKind::Elicitation)),
        ("ask to authorize", Say::Ask(Owner, QuestionKind::Authorization)),
        ("ask of another", Say::Ask(Stranger, QuestionKind::Elicitation)),
        ("reply a call", reply("do it", call(Effect::AtMostOnce), Gone)),
        ("reply a call, no slot", Say::Reply("do it", call(Effect::AtMostOnce), Gone, Slot::None)),
        ("reply, to be planned", reply("do it", Plan::Defer, Gone)),
        ("reply what is answered, live", reply("so what", says(), Live)),
        ("reply, live", reply("42", answer(), Live)),
        ("reply, gone", reply("42", answer(), Gone)),
        ("reply too little, live", reply("hm", asks(QuestionKind::Input), Live)),
        ("reply too little, gone", reply("hm", asks(QuestionKind::Input), Gone)),
        ("reply nonsense, live", reply("no", reject(), Live)),
        ("reply retry", reply("retry", answer(), Gone)),
        ("reply happened", reply(r#"{"outcome":"happened","result":1}"#, answer(), Gone)),
        ("reply failed", reply("failed", answer(), Gone)),
        ("finish completed", Say::Finish(Owner, completed())),
        ("finish refused", Say::Finish(Owner, refused())),
        ("finish failed", Say::Finish(Owner, failed())),
        ("finish rejected", Say::Finish(Owner, Outcome::Rejected(Fault::new("unknown-tool", "none")))),
        ("finish unknown", Say::Finish(Owner, unknown(false))),
        ("finish unknown, again", Say::Finish(Owner, unknown(true))),
        ("finish declined", Say::Finish(Owner, Outcome::Declined)),
        ("finish of another", Say::Finish(Stranger, completed())),
        ("cancel", Say::Cancel),
        ("its agent is gone", Say::Unserve),
        ("its agent is back", Say::Serve),
        ("its time is up", Say::Expire(Owner)),
        ("the time of another wait is up", Say::Expire(Stranger)),
    ]
}

fn check(expected: &Expect) {
    let mut table = String::new();
    for (place, said) in places() {
        writeln!(table, "{place}").unwrap();
        // What comes to the same is one line.
        let mut lines: Vec<(String, Vec<&str>)> = Vec::new();
        for (command, say) in commands() {
            let came = Talk::after(&said).print(&say);
            match lines.iter_mut().find(|(line, _)| *line == came) {
                Some((_, commands)) => commands.push(command),
                None => lines.push((came, vec![command])),
            }
        }
        for (came, commands) in lines {
            writeln!(table, "    {}\n        {came}", commands.join(" | ")).unwrap();
        }
    }
    expected.assert_eq(&table);
}

#[test]
fn the_places_are_all_states() {
    let reached: Vec<_> =
        places().iter().filter_map(|(_, said)| Talk::after(said).task.map(|task| task.state)).collect();
    for state in State::ALL {
        assert!(reached.contains(&state), "nothing in the table stands at {state:?}");
    }
}

#[test]
fn every_command_in_every_state() {
    check(&expect![[r#"
        absent
            submit a call
                Submitted -> submitted
            submit a call, slot
                Submitted Started(1) Intended(1.1) -> working
            submit a question
                Submitted Asked(input) -> input-required
            submit an answer
                Submitted Ended(rejected: no-question) -> rejected
            submit nonsense
                Submitted Ended(rejected: bad-arguments) -> rejected
            submit, to be planned
                Submitted Deferred -> submitted
            submit what is answered
                Submitted Ended(completed) -> completed
            plan a call | plan a call, slot | plan a question | plan an answer | plan nonsense | plan nothing yet | plan what is answered | plan for another message | fail to plan | claim | take over | spawn | spawn with a long name | spawn, fenced | record | record and spawn | spawn the same twice | record nothing | record, fenced | withdraw | withdraw of another | checkpoint | checkpoint, fenced | take over, slot | take over what never ran | take over what never ran, slot | take over too late | release | release of another | progress | progress of another | add | add of another | ask | ask to authorize | ask of another | reply a call | reply a call, no slot | reply, to be planned | reply what is answered, live | reply, live | reply, gone | reply too little, live | reply too little, gone | reply nonsense, live | reply retry | reply happened | reply failed | finish completed | finish refused | finish failed | finish rejected | finish unknown | finish unknown, again | finish declined | finish of another | cancel | its agent is gone | its agent is back | its time is up | the time of another wait is up
                no: the task does not exist
        submitted
            submit a call | submit a call, slot | submit a question | submit an answer | submit nonsense | submit, to be planned | submit what is answered
                no: the task exists
            plan a call | plan a call, slot | plan a question | plan an answer | plan nonsense | plan nothing yet | plan what is answered | plan for another message | fail to plan | take over | take over, slot | take over what never ran | take over what never ran, slot | take over too late | its agent is back | its time is up | the time of another wait is up
                no: there is nothing to be done
            claim
                Started(1) Intended(1.1) -> working
            spawn | spawn with a long name | spawn, fenced | record | record and spawn | spawn the same twice | record nothing | record, fenced | withdraw | withdraw of another | checkpoint | checkpoint, fenced | release | release of another | progress | progress of another | add | add of another | ask | ask to authorize | ask of another | finish completed | finish refused | finish failed | finish rejected | finish unknown | finish unknown, again | finish declined | finish of another
                no: another run owns the task
            reply a call | reply a call, no slot | reply, to be planned | reply what is answered, live | reply, live | reply, gone | reply too little, live | reply too little, gone | reply nonsense, live | reply retry | reply happened | reply failed
                no: the task is at work and takes no messages until it asks or ends
            cancel
                Ended(canceled) -> canceled
            its agent is gone
                Unserved -> submitted
        submitted, without its agent
            submit a call | submit a call, slot | submit a question | submit an answer | submit nonsense | submit, to be planned | submit what is answered
                no: the task exists
            plan a call | plan a call, slot | plan a question | plan an answer | plan nonsense | plan nothing yet | plan what is answered | plan for another message | fail to plan | take over | take over, slot | take over what never ran | take over what never ran, slot | take over too late | its agent is gone | the time of another wait is up
                no: there is nothing to be done
            claim
                Started(1) Intended(1.1) -> working
            spawn | spawn with a long name | spawn, fenced | record | record and spawn | spawn the same twice | record nothing | record, fenced | withdraw | withdraw of another | checkpoint | checkpoint, fenced | release | release of another | progress | progress of another | add | add of another | ask | ask to authorize | ask of another | finish completed | finish refused | finish failed | finish rejected | finish unknown | finish unknown, again | finish declined | finish of another
                no: another run owns the task
            reply a call | reply a call, no slot | reply, to be planned | reply what is answered, live | reply, live | reply, gone | reply too little, live | reply too little, gone | reply nonsense, live | reply retry | reply happened | reply failed
                no: the task is at work and takes no messages until it asks or ends
            cancel
                Ended(canceled) -> canceled
            its agent is back
                Released -> submitted
            its time is up
                Ended(failed: unknown-agent) -> failed
        submitted, to be planned
            submit a call | submit a call, slot | submit a question | submit an answer | submit nonsense | submit, to be planned | submit what is answered
                no: the task exists
            plan a call
                Planned -> submitted
            plan a call, slot
                Planned Started(1) Intended(1.1) -> working
            plan a question
                Asked(input) -> input-required
            plan an answer
                Ended(rejected: no-question) -> rejected
            plan nonsense
                Ended(rejected: bad-arguments) -> rejected
            plan nothing yet | plan for another message | claim | take over | take over, slot | take over what never ran | take over what never ran, slot | take over too late | its agent is back | its time is up | the time of another wait is up
                no: there is nothing to be done
            plan what is answered
                Ended(completed) -> completed
            fail to plan
                Ended(failed: server-not-ready) -> failed
            spawn | spawn with a long name | spawn, fenced | record | record and spawn | spawn the same twice | record nothing | record, fenced | withdraw | withdraw of another | checkpoint | checkpoint, fenced | release | release of another | progress | progress of another | add | add of another | ask | ask to authorize | ask of another | finish completed | finish refused | finish failed | finish rejected | finish unknown | finish unknown, again | finish declined | finish of another
                no: another run owns the task
            reply a call | reply a call, no slot | reply, to be planned | reply what is answered, live | reply, live | reply, gone | reply too little, live | reply too little, gone | reply nonsense, live | reply retry | reply happened | reply failed
                no: the task is at work and takes no messages until it asks or ends
            cancel
                Ended(canceled) -> canceled
            its agent is gone
                Unserved -> submitted
        working, at-most-once
            submit a call | submit a call, slot | submit a question | submit an answer | submit nonsense | submit, to be planned | submit what is answered | spawn the same twice
                no: the task exists
            plan a call | plan a call, slot | plan a question | plan an answer | plan nonsense | plan nothing yet | plan what is answered | plan for another message | fail to plan | claim | record nothing | withdraw | take over too late | release | its agent is gone | its agent is back | its time is up | the time of another wait is up
                no: there is nothing to be done
            take over | take over, slot | finish unknown | finish unknown, again | finish declined
                Asked(outcome of 1) -> input-required
            spawn
                Spawned(a: 3124) -> working
            spawn with a long name
                no: child_name_length_max would exceed 512
            spawn, fenced | record, fenced | withdraw of another | checkpoint, fenced | release of another | progress of another | add of another | ask of another | finish of another
                no: another run owns the task
            record
                Recorded Recorded -> working
            record and spawn
                Recorded Spawned(a: 7) Spawned(c: 7) -> working
            checkpoint
                Checkpointed -> working
            take over what never ran
                Settled(1 NotMade) Released -> submitted
            take over what never ran, slot
                Settled(1 NotMade) Started(2) Intended(1.2) -> working
            progress
                Progressed -> working
            add
                Added(a) -> working
            ask
                Asked(elicitation) -> input-required
            ask to authorize
                Asked(authorization) -> auth-required
            reply a call | reply a call, no slot | reply, to be planned | reply what is answered, live | reply, live | reply, gone | reply too little, live | reply too little, gone | reply nonsense, live | reply retry | reply happened | reply failed
                no: the task is at work and takes no messages until it asks or ends
            finish completed
                Settled(1 Done) Added(result) Ended(completed) -> completed
            finish refused
                Settled(1 Failed) Added(result) Ended(failed) -> failed
            finish failed
                Settled(1 Failed) Ended(failed: broken) -> failed
            finish rejected
                Settled(1 Failed) Ended(rejected: unknown-tool) -> rejected
            cancel
                Ended(canceled, with a note) -> canceled
        working, idempotent
            submit a call | submit a call, slot | submit a question | submit an answer | submit nonsense | submit, to be planned | submit what is answered | spawn the same twice
                no: the task exists
            plan a call | plan a call, slot | plan a question | plan an answer | plan nonsense | plan nothing yet | plan what is answered | plan for another message | fail to plan | claim | record nothing | withdraw | take over too late | its agent is gone | its agent is back | its time is up | the time of another wait is up
                no: there is nothing to be done
            take over
                Released -> submitted
            spawn
                Spawned(a: 3124) -> working
            spawn with a long name
                no: child_name_length_max would exceed 512
            spawn, fenced | record, fenced | withdraw of another | checkpoint, fenced | release of another | progress of another | add of another | ask of another | finish of another
                no: another run owns the task
            record
                Recorded Recorded -> working
            record and spawn
                Recorded Spawned(a: 7) Spawned(c: 7) -> working
            checkpoint
                Checkpointed -> working
            take over, slot
                Started(2) Intended(1.2) -> working
            take over what never ran
                Settled(1 NotMade) Released -> submitted
            take over what never ran, slot
                Settled(1 NotMade) Started(2) Intended(1.2) -> working
            release
                Settled(1 Unknown) Released -> submitted
            progress
                Progressed -> working
            add
                Added(a) -> working
            ask
                Asked(elicitation) -> input-required
            ask to authorize
                Asked(authorization) -> auth-required
            reply a call | reply a call, no slot | reply, to be planned | reply what is answered, live | reply, live | reply, gone | reply too little, live | reply too little, gone | reply nonsense, live | reply retry | reply happened | reply failed
                no: the task is at work and takes no messages until it asks or ends
            finish completed
                Settled(1 Done) Added(result) Ended(completed) -> completed
            finish refused
                Settled(1 Failed) Added(result) Ended(failed) -> failed
            finish failed
                Settled(1 Failed) Ended(failed: broken) -> failed
            finish rejected
                Settled(1 Failed) Ended(rejected: unknown-tool) -> rejected
            finish unknown
                Settled(1 Unknown) Ended(failed: server-died) -> failed
            finish unknown, again | finish declined
                Intended(1.2) -> working
            cancel
                Ended(canceled) -> canceled
        input-required, to begin
            submit a call | submit a call, slot | submit a question | submit an answer | submit nonsense | submit, to be planned | submit what is answered
                no: the task exists
            plan a call | plan a call, slot | plan a question | plan an answer | plan nonsense | plan nothing yet | plan what is answered | plan for another message | fail to plan | claim | take over | take over, slot | take over what never ran | take over what never ran, slot | take over too late | its agent is gone | its agent is back | the time of another wait is up
                no: there is nothing to be done
            spawn | spawn with a long name | spawn, fenced | record | record and spawn | spawn the same twice | record nothing | record, fenced | withdraw | withdraw of another | checkpoint | checkpoint, fenced | release | release of another | progress | progress of another | add | add of another | ask | ask to authorize | ask of another | finish completed | finish refused | finish failed | finish rejected | finish unknown | finish unknown, again | finish declined | finish of another
                no: another run owns the task
            reply a call
                Replied(released) Planned Started(1) Intended(1.1) -> working
            reply a call, no slot
                Replied(released) Planned -> submitted
            reply, to be planned
                Replied(released) Deferred -> submitted
            reply what is answered, live
                Replied(released) Ended(completed) -> completed
            reply, live | reply, gone | reply retry | reply happened | reply failed
                Replied(released) Ended(rejected: no-question) -> rejected
            reply too little, live | reply too little, gone
                Replied(released) Asked(input) -> input-required
            reply nonsense, live
                Replied(released) Ended(rejected: bad-arguments) -> rejected
            cancel
                Ended(canceled) -> canceled
            its time is up
                Ended(failed: question-expired) -> failed
        input-required, at-most-once
            submit a call | submit a call, slot | submit a question | submit an answer | submit nonsense | submit, to be planned | submit what is answered
                no: the task exists
            plan a call | plan a call, slot | plan a question | plan an answer | plan nonsense | plan nothing yet | plan what is answered | plan for another message | fail to plan | claim | take over | take over, slot | take over what never ran | take over what never ran, slot | take over too late | its agent is gone | its agent is back | the time of another wait is up
                no: there is nothing to be done
            spawn | spawn with a long name | spawn, fenced | record | record and spawn | spawn the same twice | record nothing | record, fenced | withdraw | withdraw of another | checkpoint | checkpoint, fenced | release | release of another | progress | progress of another | add | add of another | ask | ask to authorize | ask of another | finish of another
                no: another run owns the task
            reply a call | reply a call, no slot | reply, to be planned | reply, gone | reply retry | reply happened | reply failed
                Replied(answer released) Asked(outcome of 1) -> input-required
            reply what is answered, live | reply, live
                Replied(answer resumed) -> working
            reply too little, live
                Replied(resumed) Asked(elicitation) -> input-required
            reply too little, gone
                Replied(released) Asked(elicitation) -> input-required
            reply nonsense, live
                Replied(resumed) Ended(rejected: bad-arguments) -> rejected
            finish completed
                Settled(1 Done) Added(result) Ended(completed) -> completed
            finish refused
                Settled(1 Failed) Added(result) Ended(failed) -> failed
            finish failed
                Settled(1 Failed) Ended(failed: broken) -> failed
            finish rejected
                Settled(1 Failed) Ended(rejected: unknown-tool) -> rejected
            finish unknown | finish unknown, again
                Asked(outcome of 1) -> input-required
            finish declined
                Settled(1 Declined) -> input-required
            cancel
                Ended(canceled, with a note) -> canceled
            its time is up
                Ended(failed: question-expired) -> failed
        input-required, idempotent
            submit a call | submit a call, slot | submit a question | submit an answer | submit nonsense | submit, to be planned | submit what is answered
                no: the task exists
            plan a call | plan a call, slot | plan a question | plan an answer | plan nonsense | plan nothing yet | plan what is answered | plan for another message | fail to plan | claim | take over | take over, slot | take over what never ran | take over what never ran, slot | take over too late | its agent is gone | its agent is back | the time of another wait is up
                no: there is nothing to be done
            spawn | spawn with a long name | spawn, fenced | record | record and spawn | spawn the same twice | record nothing | record, fenced | withdraw | withdraw of another | checkpoint | checkpoint, fenced | release | release of another | progress | progress of another | add | add of another | ask | ask to authorize | ask of another | finish of another
                no: another run owns the task
            reply a call | reply, to be planned | reply, gone | reply retry | reply happened | reply failed
                Replied(answer released) Started(2) Intended(1.2) -> working
            reply a call, no slot
                Replied(answer released) -> submitted
            reply what is answered, live | reply, live
                Replied(answer resumed) -> working
            reply too little, live
                Replied(resumed) Asked(elicitation) -> input-required
            reply too little, gone
                Replied(released) Asked(elicitation) -> input-required
            reply nonsense, live
                Replied(resumed) Ended(rejected: bad-arguments) -> rejected
            finish completed
                Settled(1 Done) Added(result) Ended(completed) -> completed
            finish refused
                Settled(1 Failed) Added(result) Ended(failed) -> failed
            finish failed
                Settled(1 Failed) Ended(failed: broken) -> failed
            finish rejected
                Settled(1 Failed) Ended(rejected: unknown-tool) -> rejected
            finish unknown | finish unknown, again
                Settled(1 Unknown) -> input-required
            finish declined
                Settled(1 Declined) -> input-required
            cancel
                Ended(canceled) -> canceled
            its time is up
                Ended(failed: question-expired) -> failed
        input-required, for an outcome
            submit a call | submit a call, slot | submit a question | submit an answer | submit nonsense | submit, to be planned | submit what is answered
                no: the task exists
            plan a call | plan a call, slot | plan a question | plan an answer | plan nonsense | plan nothing yet | plan what is answered | plan for another message | fail to plan | claim | take over | take over, slot | take over what never ran | take over what never ran, slot | take over too late | finish unknown | finish unknown, again | finish declined | its agent is gone | its agent is back | the time of another wait is up
                no: there is nothing to be done
            spawn | spawn with a long name | spawn, fenced | record | record and spawn | spawn the same twice | record nothing | record, fenced | withdraw | withdraw of another | checkpoint | checkpoint, fenced | release | release of another | progress | progress of another | add | add of another | ask | ask to authorize | ask of another | finish of another
                no: another run owns the task
            reply a call | reply a call, no slot | reply, to be planned | reply what is answered, live | reply, live | reply, gone | reply too little, live | reply too little, gone | reply nonsense, live
                no: the message does not answer the question: say retry, happened or failed, as text or as data {"outcome": "…", "result": …}
            reply retry
                Replied(released) Started(2) Intended(1.2) -> working
            reply happened
                Replied(released) Settled(1 SaidToHaveHappened) Added(result-1) Ended(completed) -> completed
            reply failed
                Replied(released) Settled(1 SaidToHaveFailed) Ended(failed: said-to-have-failed) -> failed
            finish completed
                Settled(1 Done) Added(result) Ended(completed) -> completed
            finish refused
                Settled(1 Failed) Added(result) Ended(failed) -> failed
            finish failed
                Settled(1 Failed) Ended(failed: broken) -> failed
            finish rejected
                Settled(1 Failed) Ended(rejected: unknown-tool) -> rejected
            cancel
                Ended(canceled, with a note) -> canceled
            its time is up
                Settled(1 Unknown) Ended(failed: question-expired) -> failed
        auth-required, idempotent
            submit a call | submit a call, slot | submit a question | submit an answer | submit nonsense | submit, to be planned | submit what is answered
                no: the task exists
            plan a call | plan a call, slot | plan a question | plan an answer | plan nonsense | plan nothing yet | plan what is answered | plan for another message | fail to plan | claim | take over | take over, slot | take over what never ran | take over what never ran, slot | take over too late | its agent is gone | its agent is back | the time of another wait is up
                no: there is nothing to be done
            spawn | spawn with a long name | spawn, fenced | record | record and spawn | spawn the same twice | record nothing | record, fenced | withdraw | withdraw of another | checkpoint | checkpoint, fenced | release | release of another | progress | progress of another | add | add of another | ask | ask to authorize | ask of another | finish of another
                no: another run owns the task
            reply a call | reply, to be planned | reply, gone | reply retry | reply happened | reply failed
                Replied(answer released) Started(2) Intended(1.2) -> working
            reply a call, no slot
                Replied(answer released) -> submitted
            reply what is answered, live | reply, live
                Replied(answer resumed) -> working
            reply too little, live
                Replied(resumed) Asked(authorization) -> auth-required
            reply too little, gone
                Replied(released) Asked(authorization) -> auth-required
            reply nonsense, live
                Replied(resumed) Ended(rejected: bad-arguments) -> rejected
            finish completed
                Settled(1 Done) Added(result) Ended(completed) -> completed
            finish refused
                Settled(1 Failed) Added(result) Ended(failed) -> failed
            finish failed
                Settled(1 Failed) Ended(failed: broken) -> failed
            finish rejected
                Settled(1 Failed) Ended(rejected: unknown-tool) -> rejected
            finish unknown | finish unknown, again
                Settled(1 Unknown) -> auth-required
            finish declined
                Settled(1 Declined) -> auth-required
            cancel
                Ended(canceled) -> canceled
            its time is up
                Ended(failed: question-expired) -> failed
        working, at-most-once, recorded
            submit a call | submit a call, slot | submit a question | submit an answer | submit nonsense | submit, to be planned | submit what is answered | spawn the same twice
                no: the task exists
            plan a call | plan a call, slot | plan a question | plan an answer | plan nonsense | plan nothing yet | plan what is answered | plan for another message | fail to plan | claim | record nothing | withdraw | take over too late | its agent is gone | its agent is back | its time is up | the time of another wait is up
                no: there is nothing to be done
            take over
                Released -> submitted
            spawn
                Spawned(a: 3124) -> working
            spawn with a long name
                no: child_name_length_max would exceed 512
            spawn, fenced | record, fenced | withdraw of another | checkpoint, fenced | release of another | progress of another | add of another | ask of another | finish of another
                no: another run owns the task
            record
                Recorded Recorded -> working
            record and spawn
                Recorded Spawned(a: 7) Spawned(c: 7) -> working
            checkpoint
                Checkpointed -> working
            take over, slot
                Started(2) Intended(1.2) -> working
            take over what never ran
                Settled(1 NotMade) Released -> submitted
            take over what never ran, slot
                Settled(1 NotMade) Started(2) Intended(1.2) -> working
            release
                Settled(1 Unknown) Released -> submitted
            progress
                Progressed -> working
            add
                Added(a) -> working
            ask
                Asked(elicitation) -> input-required
            ask to authorize
                Asked(authorization) -> auth-required
            reply a call | reply a call, no slot | reply, to be planned | reply what is answered, live | reply, live | reply, gone | reply too little, live | reply too little, gone | reply nonsense, live | reply retry | reply happened | reply failed
                no: the task is at work and takes no messages until it asks or ends
            finish completed
                Settled(1 Done) Added(result) Ended(completed) -> completed
            finish refused
                Settled(1 Failed) Added(result) Ended(failed) -> failed
            finish failed
                Settled(1 Failed) Ended(failed: broken) -> failed
            finish rejected
                Settled(1 Failed) Ended(rejected: unknown-tool) -> rejected
            finish unknown | finish unknown, again | finish declined
                Asked(outcome of 1) -> input-required
            cancel
                Ended(canceled, with a note) -> canceled
        input-required, at-most-once, recorded
            submit a call | submit a call, slot | submit a question | submit an answer | submit nonsense | submit, to be planned | submit what is answered | spawn the same twice
                no: the task exists
            plan a call | plan a call, slot | plan a question | plan an answer | plan nonsense | plan nothing yet | plan what is answered | plan for another message | fail to plan | claim | take over | record nothing | take over what never ran | take over too late | its agent is gone | its agent is back | the time of another wait is up
                no: there is nothing to be done
            spawn
                Spawned(a: 3124) -> input-required
            spawn with a long name
                no: child_name_length_max would exceed 512
            spawn, fenced | record, fenced | withdraw of another | checkpoint, fenced | release of another | progress | progress of another | add | add of another | ask | ask to authorize | ask of another | finish of another
                no: another run owns the task
            record
                Recorded Recorded -> input-required
            record and spawn
                Recorded Spawned(a: 7) Spawned(c: 7) -> input-required
            withdraw
                Withdrawn -> working
            checkpoint
                Checkpointed -> input-required
            take over, slot | take over what never ran, slot
                Reclaimed(2 as attempt 2) -> input-required
            release
                Stopped -> input-required
            reply a call | reply, to be planned | reply, gone | reply retry | reply happened | reply failed
                Replied(answer released) Started(2) Intended(1.2) -> working
            reply a call, no slot
                Replied(answer released) -> submitted
            reply what is answered, live | reply, live
                Replied(answer resumed) -> working
            reply too little, live
                Replied(resumed) Asked(elicitation) -> input-required
            reply too little, gone
                Replied(released) Asked(elicitation) -> input-required
            reply nonsense, live
                Replied(resumed) Ended(rejected: bad-arguments) -> rejected
            finish completed
                Settled(1 Done) Added(result) Ended(completed) -> completed
            finish refused
                Settled(1 Failed) Added(result) Ended(failed) -> failed
            finish failed
                Settled(1 Failed) Ended(failed: broken) -> failed
            finish rejected
                Settled(1 Failed) Ended(rejected: unknown-tool) -> rejected
            finish unknown | finish unknown, again
                Asked(outcome of 1) -> input-required
            finish declined
                Settled(1 Declined) -> input-required
            cancel
                Ended(canceled, with a note) -> canceled
            its time is up
                Ended(failed: question-expired) -> failed
        input-required, for an outcome, recorded
            submit a call | submit a call, slot | submit a question | submit an answer | submit nonsense | submit, to be planned | submit what is answered
                no: the task exists
            plan a call | plan a call, slot | plan a question | plan an answer | plan nonsense | plan nothing yet | plan what is answered | plan for another message | fail to plan | claim | take over | take over, slot | take over what never ran | take over what never ran, slot | take over too late | finish unknown | finish unknown, again | finish declined | its agent is gone | its agent is back | the time of another wait is up
                no: there is nothing to be done
            spawn | spawn with a long name | spawn, fenced | record | record and spawn | spawn the same twice | record nothing | record, fenced | withdraw | withdraw of another | checkpoint | checkpoint, fenced | release | release of another | progress | progress of another | add | add of another | ask | ask to authorize | ask of another | finish of another
                no: another run owns the task
            reply a call | reply a call, no slot | reply, to be planned | reply what is answered, live | reply, live | reply, gone | reply too little, live | reply too little, gone | reply nonsense, live
                no: the message does not answer the question: say retry, happened or failed, as text or as data {"outcome": "…", "result": …}
            reply retry
                Replied(released) Started(2) Intended(1.2) -> working
            reply happened
                Replied(released) Settled(1 SaidToHaveHappened) Added(result-1) Ended(completed) -> completed
            reply failed
                Replied(released) Settled(1 SaidToHaveFailed) Ended(failed: said-to-have-failed) -> failed
            finish completed
                Settled(1 Done) Added(result) Ended(completed) -> completed
            finish refused
                Settled(1 Failed) Added(result) Ended(failed) -> failed
            finish failed
                Settled(1 Failed) Ended(failed: broken) -> failed
            finish rejected
                Settled(1 Failed) Ended(rejected: unknown-tool) -> rejected
            cancel
                Ended(canceled, with a note) -> canceled
            its time is up
                Settled(1 Unknown) Ended(failed: question-expired) -> failed
        completed
            submit a call | submit a call, slot | submit a question | submit an answer | submit nonsense | submit, to be planned | submit what is answered
                no: the task exists
            plan a call | plan a call, slot | plan a question | plan an answer | plan nonsense | plan nothing yet | plan what is answered | plan for another message | fail to plan | claim | take over | spawn | spawn with a long name | spawn, fenced | record | record and spawn | spawn the same twice | record nothing | record, fenced | withdraw | withdraw of another | checkpoint | checkpoint, fenced | take over, slot | take over what never ran | take over what never ran, slot | take over too late | release | release of another | progress | progress of another | add | add of another | ask | ask to authorize | ask of another | reply a call | reply a call, no slot | reply, to be planned | reply what is answered, live | reply, live | reply, gone | reply too little, live | reply too little, gone | reply nonsense, live | reply retry | reply happened | reply failed | finish completed | finish refused | finish failed | finish rejected | finish unknown | finish unknown, again | finish declined | finish of another | cancel | its agent is gone | its time is up | the time of another wait is up
                no: the task has ended
            its agent is back
                no: there is nothing to be done
        failed
            submit a call | submit a call, slot | submit a question | submit an answer | submit nonsense | submit, to be planned | submit what is answered
                no: the task exists
            plan a call | plan a call, slot | plan a question | plan an answer | plan nonsense | plan nothing yet | plan what is answered | plan for another message | fail to plan | claim | take over | spawn | spawn with a long name | spawn, fenced | record | record and spawn | spawn the same twice | record nothing | record, fenced | withdraw | withdraw of another | checkpoint | checkpoint, fenced | take over, slot | take over what never ran | take over what never ran, slot | take over too late | release | release of another | progress | progress of another | add | add of another | ask | ask to authorize | ask of another | reply a call | reply a call, no slot | reply, to be planned | reply what is answered, live | reply, live | reply, gone | reply too little, live | reply too little, gone | reply nonsense, live | reply retry | reply happened | reply failed | finish completed | finish refused | finish failed | finish rejected | finish unknown | finish unknown, again | finish declined | finish of another | cancel | its agent is gone | its time is up | the time of another wait is up
                no: the task has ended
            its agent is back
                no: there is nothing to be done
        canceled, call in flight
            submit a call | submit a call, slot | submit a question | submit an answer | submit nonsense | submit, to be planned | submit what is answered
                no: the task exists
            plan a call | plan a call, slot | plan a question | plan an answer | plan nonsense | plan nothing yet | plan what is answered | plan for another message | fail to plan | claim | take over | spawn | spawn with a long name | spawn, fenced | record | record and spawn | spawn the same twice | record nothing | record, fenced | withdraw | withdraw of another | checkpoint | checkpoint, fenced | take over, slot | take over what never ran | take over what never ran, slot | take over too late | release | release of another | progress | progress of another | add | add of another | ask | ask to authorize | ask of another | reply a call | reply a call, no slot | reply, to be planned | reply what is answered, live | reply, live | reply, gone | reply too little, live | reply too little, gone | reply nonsense, live | reply retry | reply happened | reply failed | finish of another | cancel | its agent is gone | its time is up | the time of another wait is up
                no: the task has ended
            finish completed
                Settled(1 Late) -> canceled
            finish refused | finish failed | finish rejected
                Settled(1 Failed) -> canceled
            finish unknown | finish unknown, again
                Settled(1 Unknown) -> canceled
            finish declined
                Settled(1 Declined) -> canceled
            its agent is back
                no: there is nothing to be done
        rejected
            submit a call | submit a call, slot | submit a question | submit an answer | submit nonsense | submit, to be planned | submit what is answered
                no: the task exists
            plan a call | plan a call, slot | plan a question | plan an answer | plan nonsense | plan nothing yet | plan what is answered | plan for another message | fail to plan | claim | take over | spawn | spawn with a long name | spawn, fenced | record | record and spawn | spawn the same twice | record nothing | record, fenced | withdraw | withdraw of another | checkpoint | checkpoint, fenced | take over, slot | take over what never ran | take over what never ran, slot | take over too late | release | release of another | progress | progress of another | add | add of another | ask | ask to authorize | ask of another | reply a call | reply a call, no slot | reply, to be planned | reply what is answered, live | reply, live | reply, gone | reply too little, live | reply too little, gone | reply nonsense, live | reply retry | reply happened | reply failed | finish completed | finish refused | finish failed | finish rejected | finish unknown | finish unknown, again | finish declined | finish of another | cancel | its agent is gone | its time is up | the time of another wait is up
                no: the task has ended
            its agent is back
                no: there is nothing to be done
    "#]]);
}
