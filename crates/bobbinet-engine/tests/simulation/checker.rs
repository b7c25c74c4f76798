//! The judge: a pure function of a history, that finds what was promised (DESIGN section 8) and not kept.

use std::collections::{BTreeMap, BTreeSet};

use bobbinet_core::{
    Effect, Event, QuestionKind, State, Task, TaskId, Timestamp,
    answer::Verdict,
    limits::TAKEOVERS_MAX,
    task::{CallOutcome, Claim},
};
use tokio::time::Duration;

use crate::{
    agent::is_about,
    client::{MARK, agent},
    history::{Away, Execution, Forgotten, History, Logged, Moment, Read, Refusal, Returned, Wanted},
    scene::BEGINNING,
};

/// How long after a task's end its run may still be on its way out: `LATE_MAX`, and what slow commits and reads add.
const LATE_MAX: u64 = 5_000 + 8_000;

/// How long a process must live on after a call has returned for its outcome to be kept for certain.
const KEPT_WITHIN: u64 = 20_000;

/// How soon a process that is back has noticed that others took over what it ran: a renewal of its lease that comes through, or what
/// it follows, and `LATE_MAX`.
const NOTICED_WITHIN: u64 = 20_000;

/// How long a lease lasts after its last renewal: `LEASE_LIFE` of the engine.
const LEASE_LIFE: u64 = 10_000;

/// How much of a run's time may go by before its calls and between them, where the store is slow and fails.
const TIMED_OUT: u64 = 15_000;

/// How long after the request to stop a commit that was on its way may still begin a run.
const DRAINED_WITHIN: u64 = 5_000;

/// How long after its time a task that has ended may still be there.
const DROPPED_WITHIN: u64 = 60_000;

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Promise {
    /// What was acknowledged is in the log, and was before it was acknowledged.
    Durable,
    /// A task ends once, and nothing public follows.
    OneEnd,
    /// Generations have no gap and no repetition, in the log and for each subscriber.
    Gapless,
    /// Every reader gets the same events, and never an older state after a newer one.
    SameForAll,
    /// A subscriber is told all, to the end.
    ToldAll,
    /// An answer reaches the question that it was checked against.
    Answered,
    /// An at-most-once call is made once, unless its caller says to retry; any call once for each intent. No call begins once it is
    /// durable that another process has taken it over, however long its own was away between the intent and the call.
    NotDoubled,
    /// What may run again does not fail for crashes.
    Survives,
    /// No task is nobody's.
    Progress,
    /// The same key, the same task.
    OneForKey,
    /// Somebody else's task is not found.
    Private,
    /// No run outlives its task; no two runs of one task; no more runs than slots, but for those that asked; none begins while draining.
    ///
    /// A process that is paused, or cut off from the store, cannot know that others took over what it ran: such a run may go on beside
    /// its successor until its process is back, and so long after as that takes to notice. None begins then: see `NotDoubled`.
    RunsBounded,
    /// What a process runs is another's only once its lease was ended: by itself, or by one who has seen no renewal for as long as a
    /// lease lasts.
    Leased,
    /// What a call came to is kept.
    OutcomeKept,
    /// The same answer counts once, and whoever says it again gets what the first got.
    Once,
    /// A task that has ended is there for as long as it is kept, and not for longer.
    Kept,
    /// A task whose agent is gone waits for it as long as is said, and ends for nothing else.
    Waits,
    /// A change of a counter that was acknowledged is made once, one without an answer once or not at all, one that was refused not,
    /// and nobody else's is; and one is refused only for what the counter was between question and answer.
    Counted,
    /// A transaction is made whole, by one commit, or not at all.
    Whole,
    /// Nothing breaks, nothing is left behind.
    Clean,
}

/// A promise that was not kept.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) promise: Promise,
    pub(crate) detail: String,
}

struct Judge<'a> {
    history: &'a History,
    violations: Vec<Violation>,
}

/// All promises that were not kept.
pub(crate) fn check(history: &History) -> Vec<Violation> {
    let mut judge = Judge { history, violations: Vec::new() };
    judge.submits();
    judge.said();
    judge.reads();
    for (task, log) in &history.logs {
        judge.log(*task, log);
        judge.words(*task, log);
        judge.failure(*task, log);
        judge.once(*task, log);
        judge.waits(*task, log);
        judge.kept(*task, log);
        judge.leased(*task, log);
    }
    crate::counters_checked::check(history, &mut |promise, detail| judge.accuse(promise, detail));
    judge.missing();
    judge.subscribers();
    judge.executions();
    judge.slots();
    judge.rest();
    judge.violations
}

/// What the message of a reply is marked with.
pub(crate) fn mark_of(event: &Event) -> Option<String> {
    let Event::Replied { message, .. } = event else { return None };
    message.metadata.as_ref()?.to_value()[MARK].as_str().map(ToOwned::to_owned)
}

/// The record of the reply with this mark.
fn reply_of<'a>(log: &'a [Logged], mark: &str) -> Option<&'a Logged> {
    log.iter().find(|logged| mark_of(&logged.event).as_deref() == Some(mark))
}

/// As what an ended task failed.
pub(crate) fn code_of(log: &[Logged]) -> Option<String> {
    let (end, _) = end_of(log)?;
    let Event::Ended { state: State::Failed, message: Some(message), .. } = &end.event else { return None };
    let data = message.data().map(|data| data.to_value());
    Some(data.as_ref().and_then(|data| data["code"].as_str()).unwrap_or("refused").to_owned())
}

fn end_of(log: &[Logged]) -> Option<(&Logged, State)> {
    log.iter().find_map(|logged| {
        let Event::Ended { state, .. } = &logged.event else { return None };
        Some((logged, *state))
    })
}

fn holds(logged: &Logged, chunk: &str) -> bool {
    let Event::ArtifactAdded { artifact, .. } = &logged.event else { return false };
    artifact.parts.iter().any(|part| part.as_text() == Some(chunk))
}

fn is_of(log: &[Logged], tag: &str) -> bool {
    let Some(Event::Submitted(submitted)) = log.first().map(|first| &first.event) else { return false };
    submitted.message.text().split(' ').any(|word| word == tag)
}

fn fold(task: TaskId, log: &[Logged]) -> Option<Task> {
    Task::fold(task, log.iter().map(|logged| (logged.at, &logged.event)))
}

/// How many runs were taken over from a process that was there and did not know.
pub(crate) fn takeovers(history: &History) -> u64 {
    let is_late = |run: &&Execution| {
        let taken = history.taken_over(run);
        taken.is_some_and(|taken| run.ended.is_none_or(|ended| ended.millis > taken.durable.millis))
            && history.deaths.get(&run.process).is_none_or(|death| taken.is_some_and(|taken| *death > taken.durable))
    };
    history.executions.iter().filter(is_late).count() as u64
}

/// How many reads whose callers waited for nothing else were kept by one commit, and by more.
pub(crate) fn reads_by_commits(history: &History) -> (u64, u64) {
    let reads = history.executions.iter().filter(|run| history.may_share(run));
    let logs = reads.map(|run| history.log_of(run.task)).filter(|log| end_of(log).is_some());
    let (one, more): (Vec<_>, Vec<_>) = logs.partition(|log| log.iter().all(|logged| logged.durable == log[0].durable));
    (one.len() as u64, more.len() as u64)
}

/// Where the intent of a run stands.
fn intent_of(log: &[Logged], run: &Execution) -> Option<usize> {
    log.iter().position(|logged| {
        matches!(&logged.event, Event::Intended { call_id, attempt } if call_id.0 == run.call && *attempt == run.attempt)
    })
}

/// The claim that this record takes from the process that had it, if it does: its call is open, and it is given to another, given
/// back, or asked about.
fn takes_over(task: TaskId, log: &[Logged], place: usize) -> Option<Claim> {
    let (before, after) = (fold(task, &log[..place])?, fold(task, &log[..=place])?);
    let claim = before.claim.filter(|_| before.open_call().is_some())?;
    let is_asked = |task: &Task| {
        task.question.as_ref().is_some_and(|question| matches!(question.kind, QuestionKind::Outcome { .. }))
    };
    let is_gone = after.claim != Some(claim) || (after.state == State::Submitted && before.state != State::Submitted);
    let is_taken = !is_asked(&before) && !after.state.is_terminal() && (is_gone || is_asked(&after));
    is_taken.then_some(claim)
}

impl History {
    fn log_of(&self, task: TaskId) -> &[Logged] {
        self.logs.get(&task).map_or(&[], Vec::as_slice)
    }

    /// Whether a task was dropped before that.
    fn is_forgotten(&self, task: TaskId, moment: Moment) -> bool {
        self.forgotten.get(&task).is_some_and(|forgotten| forgotten.moment < moment)
    }

    /// What a process's clock said, had it not been set since the process started.
    fn clock(&self, process: u32, moment: Moment) -> Timestamp {
        Timestamp::from_millis(BEGINNING + moment.millis + self.clocks.get(&process).copied().unwrap_or_default())
    }

    /// What the clock of the last process said at the end; of several, what the slowest of all would have said.
    pub(crate) fn last_clock(&self) -> Timestamp {
        let fast_by = if self.is_shared { self.clocks.values().min() } else { self.clocks.values().next_back() };
        Timestamp::from_millis(BEGINNING + self.end.millis + fast_by.copied().unwrap_or_default())
    }

    /// When a process can see what is durable since then: at once, if it was not away.
    fn seen_by(&self, process: u32, durable: Moment) -> u64 {
        let mut seen = durable.millis;
        let mut away: Vec<_> = self.away.iter().filter(|away| away.process == process).collect();
        away.sort_by_key(|away| away.from);
        for away in away {
            // What it has not noticed before it is away again, it notices later.
            if away.from <= seen + NOTICED_WITHIN && away.to > seen {
                seen = away.to;
            }
        }
        seen
    }

    /// Which process has a runner's lease.
    fn process_of(&self, claim: Claim) -> Option<u32> {
        self.leases.get(&claim.runner)?.first().map(|word| word.process)
    }

    /// Where another process has taken a run over, if one has.
    pub(crate) fn taken_over(&self, run: &Execution) -> Option<&Logged> {
        let log = self.log_of(run.task);
        let place = intent_of(log, run)?;
        let claim = fold(run.task, &log[..=place])?.claim?;
        let taken = (place + 1..log.len()).find(|place| takes_over(run.task, log, *place) == Some(claim))?;
        (log[taken].process != run.process).then_some(&log[taken])
    }

    /// Whether a call may be kept with what it comes to, as one commit with all that led to it: it only reads, and its caller hears of
    /// nothing before.
    fn may_share(&self, run: &Execution) -> bool {
        let log = self.log_of(run.task);
        let is_one = |first: &Logged| intent_of(log, run).is_some_and(|place| log[place].durable == first.durable);
        run.effect == Effect::ReadOnly
            && run.attempt == 1
            && self.for_outcome.contains(&run.tag)
            && log.first().is_none_or(is_one)
    }

    /// When what ran it was gone: its process, or before that an engine that could not open.
    fn engine_end(&self, run: &Execution) -> Moment {
        let unopened = self.unopened.iter().filter(|(process, at)| *process == run.process && *at > run.began);
        let death = self.deaths.get(&run.process).copied().unwrap_or(self.end);
        unopened.map(|(_, at)| *at).fold(death, Moment::min)
    }

    fn lasted(&self, run: &Execution) -> u64 {
        run.ended.unwrap_or(self.end).millis - run.began.millis
    }
}

impl Judge<'_> {
    fn accuse(&mut self, promise: Promise, detail: String) {
        self.violations.push(Violation { promise, detail });
    }

    fn submits(&mut self) {
        let history = self.history;
        let mut by_tag: BTreeMap<&str, TaskId> = BTreeMap::new();
        for submit in &history.submits {
            let Some((task, acknowledged)) = submit.acknowledged else { continue };
            match history.log_of(task).first() {
                Some(first) if first.durable < acknowledged => {}
                Some(_) => self.accuse(Promise::Durable, format!("{task} was acknowledged before it was durable")),
                None => self.accuse(Promise::Durable, format!("{task} was acknowledged and is lost")),
            }
            let first = *by_tag.entry(&submit.tag).or_insert(task);
            if submit.has_key && first != task {
                self.accuse(Promise::OneForKey, format!("{} is {first} and {task}", submit.tag));
            }
            for list in &history.lists {
                let is_of = list.owner == submit.owner && list.agent == submit.agent;
                let is_there = list.tasks.contains(&task) || history.is_forgotten(task, list.answered);
                if is_of && acknowledged < list.asked && !is_there {
                    self.accuse(Promise::Durable, format!("{task} is missing in its owner's list"));
                }
            }
        }
        for submit in history.submits.iter().filter(|submit| submit.has_key) {
            let kept = history.logs.values().filter(|log| is_of(log, &submit.tag)).count();
            if kept > 1 {
                self.accuse(Promise::OneForKey, format!("{} is {kept} tasks", submit.tag));
            }
        }
    }

    fn said(&mut self) {
        let history = self.history;
        for said in &history.said {
            let log = history.log_of(said.task);
            let found = match &said.message {
                Some(message) => reply_of(log, message),
                None => end_of(log).filter(|(_, state)| *state == State::Canceled).map(|(logged, _)| logged),
            };
            let what = said.message.as_deref().unwrap_or("a cancel");
            match found {
                Some(logged) if logged.durable < said.acknowledged => {}
                Some(_) => self.accuse(Promise::Durable, format!("{what} to {} was acknowledged too early", said.task)),
                None => self.accuse(Promise::Durable, format!("{what} to {} was acknowledged and is lost", said.task)),
            }
        }
        for (task, text) in &history.added {
            let times = history.log_of(*task).iter().filter(|logged| holds(logged, text)).count();
            if times != 1 {
                self.accuse(Promise::Durable, format!("{text} of {task} is kept {times} times"));
            }
        }
    }

    fn reads(&mut self) {
        let history = self.history;
        let mut known: BTreeMap<TaskId, Vec<(Moment, u64)>> = BTreeMap::new();
        for read in &history.reads {
            known.entry(read.task).or_default().push((read.answered, read.generation));
        }
        for subscriber in &history.subscribers {
            let told = subscriber.told.iter().map(|(generation, _, heard)| (*heard, *generation));
            known.entry(subscriber.task).or_default().extend(told);
        }
        for read in &history.reads {
            let log = history.log_of(read.task);
            let place = log.iter().find(|logged| logged.generation == Some(read.generation));
            match place {
                Some(logged) if logged.durable < read.answered => {}
                Some(_) | None => {
                    self.accuse(
                        Promise::Durable,
                        format!("{} was seen at {}, not durable", read.task, read.generation),
                    );
                }
            }
            let earlier = known[&read.task].iter().filter(|(answered, _)| *answered < read.asked);
            if let Some(newest) = earlier.map(|(_, generation)| *generation).max().filter(|it| *it > read.generation) {
                let detail = format!("{} was seen at {newest}, then at {}", read.task, read.generation);
                self.accuse(Promise::SameForAll, detail);
            }
            let upto: Vec<_> = log
                .iter()
                .take_while(|logged| logged.generation.is_none_or(|it| it <= read.generation))
                .cloned()
                .collect();
            let folded = fold(read.task, &upto);
            if folded.is_some_and(|folded| folded.state != read.state) {
                self.accuse(Promise::SameForAll, format!("{} was seen as {:?}", read.task, read.state));
            }
        }
    }

    fn log(&mut self, task: TaskId, log: &[Logged]) {
        let mut expected = 1;
        for generation in log.iter().filter_map(|logged| logged.generation) {
            if generation != expected {
                self.accuse(Promise::Gapless, format!("{task} has {generation} where {expected} belongs"));
            }
            expected = generation + 1;
        }
        if log.iter().any(|logged| logged.event.is_public() != logged.generation.is_some()) {
            self.accuse(
                Promise::Gapless,
                format!("{task} has a generation where none belongs, or none where one does"),
            );
        }
        let begins = log.iter().filter(|logged| matches!(logged.event, Event::Submitted(_))).count();
        let ends = log.iter().filter(|logged| matches!(logged.event, Event::Ended { .. })).count();
        let is_after_end = |logged: &&Logged| !matches!(logged.event, Event::Ended { .. });
        let after = log.iter().skip_while(is_after_end).skip(1);
        if begins != 1 || ends > 1 || after.into_iter().any(|logged| logged.event.is_public()) {
            self.accuse(
                Promise::OneEnd,
                format!("{task} begins {begins} times, ends {ends} times, or goes on after it"),
            );
        }
    }

    /// Answers belong to their questions, and an at-most-once call is intended again only after its caller's word, or because it was
    /// certainly not made: then its tool knows nothing of it.
    fn words(&mut self, task: TaskId, log: &[Logged]) {
        let mut words = 0;
        for (place, logged) in log.iter().enumerate() {
            let Some(before) = fold(task, &log[..place]) else { continue };
            let is_asked = before.question.as_ref().is_some_and(|it| matches!(it.kind, QuestionKind::Outcome { .. }));
            let is_again = before.calls.last().is_some_and(|last| last.effect == Effect::AtMostOnce);
            if let Event::Settled { outcome: CallOutcome::NotMade, .. } = &logged.event
                && let Some(open) = before.open_call()
            {
                let mut runs = self.history.executions.iter().filter(|run| run.task == task);
                if runs.any(|run| run.call == open.call_id.0 && run.attempt == open.attempt) {
                    self.accuse(Promise::NotDoubled, format!("a call of {task} was made, and settled as not made"));
                }
                words += u32::from(open.effect == Effect::AtMostOnce);
            }
            if let Event::Replied { message, .. } = &logged.event
                && is_asked
                && Verdict::read(message) == Some(Verdict::Retry)
            {
                words += 1;
            }
            if let (Event::Settled { call_id, outcome: CallOutcome::NotMade }, Some(open)) =
                (&logged.event, before.open_call())
            {
                // Nothing was called, so calling it now doubles nothing.
                words += 1;
                let is_it = |run: &Execution| (run.task, run.call, run.attempt) == (task, call_id.0, open.attempt);
                if self.history.executions.iter().any(is_it) {
                    self.accuse(Promise::NotDoubled, format!("{task} made a call that its log says was not made"));
                }
            }
            if let Event::Replied { answer: Some(answer), .. } = &logged.event
                && let Some(number) = answer.to_value().as_str().and_then(|answer| answer.strip_prefix("answer "))
                && !before.question.as_ref().is_some_and(|question| is_about(question, number))
            {
                self.accuse(Promise::Answered, format!("{task} takes answer {number} to another question"));
            }
            if matches!(logged.event, Event::Intended { .. }) && is_again {
                if words == 0 {
                    self.accuse(Promise::NotDoubled, format!("{task} intends its call again without a word"));
                    return;
                }
                words -= 1;
            }
        }
    }

    /// What may run again fails only for what its tool said or did.
    fn failure(&mut self, task: TaskId, log: &[Logged]) {
        let Some(code) = code_of(log) else { return };
        let history = self.history;
        let runs: Vec<_> = history.executions.iter().filter(|run| run.task == task).collect();
        let folded = fold(task, log);
        let last = folded.as_ref().and_then(|folded| folded.calls.last());
        if last.is_none_or(|last| last.effect == Effect::AtMostOnce) {
            return;
        }
        let returned = |how| runs.iter().any(|run| run.returned == Some(how));
        let is_just = match code.as_str() {
            "refused" => returned(Returned::Refused),
            "broken" => returned(Returned::Failed),
            "agent-panicked" => returned(Returned::Panicked),
            "declined" => returned(Returned::Declined),
            // One run may make several calls within its time.
            "timed-out" => {
                let is_of = |away: &&Away| runs.iter().any(|run| run.process == away.process);
                let away: u64 = history.away.iter().filter(is_of).map(|away| away.to - away.from).sum();
                let lasted: u64 = runs.iter().map(|run| history.lasted(run)).sum();
                // A process that is away cannot keep what came of a call, and the run's time goes on.
                lasted + away + TIMED_OUT >= history.run_limit
            }
            // One process ran it first, and so many took it over.
            "taken-over-too-often" => runs.len() > TAKEOVERS_MAX as usize,
            "server-died" | "canceled" => returned(Returned::Unknown),
            // See `waits`.
            "unknown-agent" => true,
            _ => false,
        };
        if !is_just {
            self.accuse(Promise::Survives, format!("{task} failed with {code}, and no tool said so"));
        }
    }

    fn once(&mut self, task: TaskId, log: &[Logged]) {
        let mut marks = BTreeSet::new();
        for mark in log.iter().filter_map(|logged| mark_of(&logged.event)) {
            if !marks.insert(mark.clone()) {
                self.accuse(Promise::Once, format!("{mark} counts twice in {task}"));
            }
        }
        let history = self.history;
        for refusal in history.refusals.iter().filter(|refusal| refusal.task == task) {
            if reply_of(log, &refusal.message).is_some_and(|reply| reply.durable < refusal.asked) {
                let Refusal { message, why, .. } = refusal;
                self.accuse(Promise::Once, format!("{message} to {task} has counted, and again it is refused: {why}"));
            }
        }
        for said in history.said.iter().filter(|said| said.task == task) {
            let place = said.message.as_deref().and_then(|mark| reply_of(log, mark)).and_then(|reply| reply.generation);
            if let (Some(place), Some(got), Some(mark)) = (place, said.got, &said.message)
                && got < place
            {
                self.accuse(Promise::Once, format!("{mark} is {place} of {task}, and was answered with {got}"));
            }
        }
    }

    /// A task ends for want of its agent only in a process that lacks it, and after its time.
    fn waits(&mut self, task: TaskId, log: &[Logged]) {
        let history = self.history;
        let Some((end, _)) = end_of(log).filter(|_| code_of(log).as_deref() == Some("unknown-agent")) else { return };
        let Some(Event::Submitted(submitted)) = log.first().map(|first| &first.event) else { return };
        let is_absent = history.absent.get(&end.process).is_some_and(|absent| agent(*absent) == submitted.agent);
        let unserved = log.iter().rev().find(|logged| matches!(logged.event, Event::Unserved { .. }));
        let life = Duration::from_millis(history.unserved_life);
        if !is_absent || unserved.is_none_or(|unserved| end.at < unserved.at.after(life)) {
            self.accuse(Promise::Waits, format!("{task} did not wait for its agent"));
        }
    }

    fn kept(&mut self, task: TaskId, log: &[Logged]) {
        let history = self.history;
        let retention = Duration::from_millis(history.retention);
        let until = end_of(log).and_then(|_| fold(task, log)).map(|folded| folded.status_at.after(retention));
        match (history.forgotten.get(&task), until) {
            (Some(_), None) => self.accuse(Promise::Kept, format!("{task} is forgotten and had not ended")),
            (Some(Forgotten { moment, process }), Some(until)) => {
                if history.clock(*process, *moment) < until {
                    self.accuse(Promise::Kept, format!("{task} is forgotten before its time"));
                }
                // Whoever drops it hears of that when its store answers, and may show it until then.
                let is_late = |read: &&Read| read.task == task && read.asked.millis > moment.millis + KEPT_WITHIN;
                if history.reads.iter().any(|read| is_late(&read)) {
                    self.accuse(Promise::Kept, format!("{task} is forgotten and shown"));
                }
            }
            (None, Some(until)) => {
                if history.last_clock() > until.after(Duration::from_millis(DROPPED_WITHIN)) {
                    self.accuse(Promise::Kept, format!("{task} is there long after its time"));
                }
            }
            (None, None) => {}
        }
    }

    fn missing(&mut self) {
        let history = self.history;
        for (wanted, answered) in &history.missing {
            let is_gone = match wanted {
                Wanted::Task(task) => history.is_forgotten(*task, *answered),
                Wanted::Tag(tag) => {
                    let mut made = history.logs.iter().filter(|(_, log)| is_of(log, tag));
                    made.any(|(task, _)| history.is_forgotten(*task, *answered))
                }
            };
            if !is_gone {
                self.accuse(Promise::Kept, format!("{wanted:?} is not found, and not forgotten"));
            }
        }
    }

    fn subscribers(&mut self) {
        let history = self.history;
        for (index, subscriber) in history.subscribers.iter().enumerate() {
            let log = history.log_of(subscriber.task);
            let Some(after) = subscriber.after else { continue };
            let who = format!("subscriber {index} of {}", subscriber.task);
            if subscriber.was_resynced {
                self.accuse(Promise::ToldAll, format!("{who} had a good cursor and was resynced"));
            }
            let mut expected = after + 1;
            for (generation, bytes, heard) in &subscriber.told {
                if *generation != expected {
                    self.accuse(Promise::Gapless, format!("{who} heard {generation} where {expected} belongs"));
                }
                expected = generation + 1;
                match log.iter().find(|logged| logged.generation == Some(*generation)) {
                    Some(logged) if logged.bytes != *bytes => {
                        self.accuse(Promise::SameForAll, format!("{who} heard another {generation}"));
                    }
                    Some(logged) if logged.durable < *heard => {}
                    Some(_) | None => {
                        self.accuse(Promise::Durable, format!("{who} heard {generation}, not durable"));
                    }
                }
            }
            let last = log.iter().rev().find_map(|logged| logged.generation).unwrap_or(0);
            let is_forgotten = history.forgotten.contains_key(&subscriber.task);
            let is_ended = !is_forgotten
                && end_of(log).is_some_and(|(end, _)| end.durable.millis + 30_000 < history.hung_up.millis);
            if (subscriber.is_over || is_ended) && expected <= last {
                self.accuse(Promise::ToldAll, format!("{who} was told up to {} of {last}", expected - 1));
            }
            if subscriber.is_over && end_of(log).is_none() {
                self.accuse(Promise::ToldAll, format!("{who} was told that it is over"));
            }
        }
    }

    fn executions(&mut self) {
        let history = self.history;
        let mut by_intent: BTreeMap<(TaskId, u32, u32), usize> = BTreeMap::new();
        for (index, run) in history.executions.iter().enumerate() {
            let who = format!("call {}.{} of {}", run.call, run.attempt, run.task);
            let log = history.log_of(run.task);
            let place = intent_of(log, run);
            let intent = place.map(|place| &log[place]);
            let before = place.and_then(|place| place.checked_sub(1)).map(|before| &log[before].event);
            let is_first = matches!(before, Some(Event::Started { .. }));
            if intent.is_none_or(|intent| intent.durable > run.began) && !history.may_share(run) {
                self.accuse(Promise::NotDoubled, format!("{who} was made without a durable intent"));
            }
            if by_intent.insert((run.task, run.call, run.attempt), index).is_some() {
                self.accuse(Promise::NotDoubled, format!("{who} was made twice"));
            }
            let ended = run.ended.unwrap_or(history.end);
            let taken = history.taken_over(run);
            if taken.is_some_and(|taken| taken.durable < run.began) {
                self.accuse(Promise::NotDoubled, format!("{who} began after another process had taken it over"));
            }
            let may_not_know = |other: &Execution| {
                other.process != run.process
                    && taken.is_some_and(|taken| {
                        taken.durable < other.began
                            && ended.millis <= history.seen_by(run.process, taken.durable) + NOTICED_WITHIN
                    })
            };
            let is_beside = |other: &Execution| {
                other.task == run.task && other.began > run.began && other.began < ended && !may_not_know(other)
            };
            if history.executions.iter().any(is_beside) {
                self.accuse(Promise::RunsBounded, format!("{who} ran beside another of its task"));
            }
            if let Some((end, _)) = end_of(log)
                && ended.millis > history.seen_by(run.process, end.durable) + LATE_MAX
            {
                self.accuse(Promise::RunsBounded, format!("{who} outlived its task"));
            }
            if let (Some(drain), Some(intent)) = (history.drains.get(&run.process), intent)
                && is_first
                && intent.durable.millis > drain.millis + DRAINED_WITHIN
            {
                self.accuse(Promise::RunsBounded, format!("{who} began while its process was stopping"));
            }
            let lived_on = history.engine_end(run).millis;
            let is_settled = log.iter().any(|logged| {
                matches!(&logged.event, Event::Settled { call_id, outcome }
                    if call_id.0 == run.call && matches!(outcome, CallOutcome::Done | CallOutcome::Late))
            });
            let has_returned = run.returned == Some(Returned::Completed);
            // Its caller was told that it was not kept, or has not waited.
            let is_nobodys = log.is_empty() && history.may_share(run);
            let is_forgotten =
                history.forgotten.get(&run.task).is_some_and(|it| it.moment.millis < ended.millis + KEPT_WITHIN);
            let could_keep = lived_on > history.seen_by(run.process, ended) + KEPT_WITHIN && taken.is_none();
            if has_returned && could_keep && !is_settled && !is_forgotten && !is_nobodys {
                self.accuse(Promise::OutcomeKept, format!("{who} returned, and nobody knows"));
            }
        }
    }

    fn leased(&mut self, task: TaskId, log: &[Logged]) {
        let history = self.history;
        for (place, logged) in log.iter().enumerate().filter(|_| history.is_shared) {
            let Some(claim) = takes_over(task, log, place) else { continue };
            let Some(owner) = history.process_of(claim).filter(|owner| *owner != logged.process) else { continue };
            let words = &history.leases[&claim.runner];
            let Some(end) = words.iter().position(|word| word.is_end && word.durable < logged.durable) else {
                let what = &logged.event;
                self.accuse(Promise::Leased, format!("{task} is taken over before its runner's lease ended: {what:?}"));
                continue;
            };
            let renewed = words[..end].last().map_or(0, |word| word.durable.millis);
            if words[end].process != owner && words[end].durable.millis < renewed + LEASE_LIFE {
                self.accuse(Promise::Leased, format!("the lease of process {owner} was ended before its time"));
            }
        }
    }

    fn slots(&mut self) {
        let mut changes: Vec<_> = Vec::new();
        for run in &self.history.executions {
            changes.push((run.began, (run.process, &run.agent), 1));
            changes.push((run.asked.or(run.ended).unwrap_or(self.history.end), (run.process, &run.agent), -1));
        }
        changes.sort_unstable();
        let mut at_once: BTreeMap<_, i32> = BTreeMap::new();
        for (moment, seat, change) in changes {
            let count = at_once.entry(seat).or_default();
            *count += change;
            if usize::try_from(*count).unwrap_or(0) > self.history.slots {
                let detail = format!("{seat:?} had {count} calls in flight at {}", moment.millis);
                self.accuse(Promise::RunsBounded, detail);
                return;
            }
        }
    }

    fn rest(&mut self) {
        let history = self.history;
        if let Some((first, others)) = history.orphans.split_first() {
            for task in first.iter().filter(|task| others.iter().all(|orphans| orphans.contains(task))) {
                self.accuse(Promise::Progress, format!("{task} is nobody's, long after the last fault"));
            }
        }
        for (task, log) in &history.logs {
            let folded = fold(*task, log);
            let is_stuck = folded.is_none_or(|folded| !folded.state.is_terminal() && !folded.state.is_interrupted());
            if is_stuck {
                self.accuse(Promise::Progress, format!("{task} has not ended"));
            }
        }
        for (task, what) in &history.leaks {
            self.accuse(Promise::Private, format!("a stranger may {what} {task}"));
        }
        for fault in &history.faults {
            self.accuse(Promise::Clean, fault.clone());
        }
    }
}
