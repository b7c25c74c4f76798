//! Whose a question is, how long it is held open, and when its call may go on.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    admission::{ExclusiveTools, sleep_until_or_never},
    profile::ConcurrencyClass,
    queue::{RunningCall, blocks},
};

/// How long an answer is kept back until calls of others are over that were admitted while it was waited for. They are
/// reads, and short; after that, what the call asks next may be anybody's and is declined.
const RESUME_MAX: Duration = Duration::from_secs(10);

/// Questions that wait for their answers at a time, on one server. Each more is declined.
const QUESTIONS_MAX: usize = 48;

impl ExclusiveTools {
    /// Whose a question is: of those calls that are at the server, the one that can have asked it. `Err` has those that
    /// can, if nobody knows which: the owners of several calls, or nobody.
    pub(crate) fn attribute(self: &Arc<Self>, at_server: &[u64]) -> Result<OpenQuestion, Vec<u64>> {
        let mut queue = self.queue();
        queue.drop_expired(Instant::now());
        let may_ask = |running: &RunningCall| running.call.class != ConcurrencyClass::Silent;
        let is_full = queue.running.values().map(|running| running.questions).sum::<usize>() >= QUESTIONS_MAX;
        let suspects = queue.running.iter().filter(|(ticket, running)| {
            may_ask(running) && (running.abandoned_until.is_some() || at_server.contains(ticket))
        });
        let owners = suspects.clone().map(|(_, running)| &running.call.owner).collect::<BTreeSet<_>>();
        let live = suspects.filter(|(_, running)| running.abandoned_until.is_none()).collect::<Vec<_>>();
        let at_work = live.iter().filter(|(_, running)| running.questions == 0);
        let known_to_ask = at_work.clone().filter(|(_, running)| running.call.class == ConcurrencyClass::Interactive);
        // Of one owner's calls: one that does not wait for an answer already; of several, one that is known to ask; else
        // the newest, since questions come early. Whichever it is, its owner gets the question.
        let chosen = match (at_work.clone().count(), known_to_ask.clone().count()) {
            (0, _) => live.last(),
            (1, _) => at_work.clone().next_back(),
            (_, 0) => at_work.clone().next_back(),
            _ => known_to_ask.clone().next_back(),
        };
        let chosen = chosen.map(|(ticket, _)| **ticket).filter(|_| owners.len() == 1 && !is_full);
        let Some(ticket) = chosen else {
            let passed_over = live.iter().map(|(ticket, _)| **ticket).collect::<Vec<_>>();
            // Reads are not learned from a suspicion: one caller could keep everybody else's apart for good.
            let suspected =
                live.iter().filter(|(_, running)| running.call.class == ConcurrencyClass::Unknown && owners.len() > 1);
            let tools = suspected.map(|(_, running)| running.call.tool.clone()).collect::<Vec<_>>();
            self.interactive().extend(tools);
            return Err(passed_over);
        };
        let running = queue.running.get_mut(&ticket).expect("it was found there");
        running.questions += 1;
        if running.call.class != ConcurrencyClass::CrashSuspect {
            running.call.class = ConcurrencyClass::Interactive;
        }
        let tool = running.call.tool.clone();
        self.interactive().insert(tool);
        self.change(queue);
        Ok(OpenQuestion { exclusive_tools: self.clone(), ticket, is_named: false })
    }

    /// A question that says itself which call it is of: nobody is kept out for its sake.
    pub(crate) fn named(self: &Arc<Self>, ticket: u64) -> OpenQuestion {
        OpenQuestion { exclusive_tools: self.clone(), ticket, is_named: true }
    }
}

/// A question of a call that waits for its answer. Dropped, it does not any more.
#[derive(Debug)]
pub(crate) struct OpenQuestion {
    exclusive_tools: Arc<ExclusiveTools>,
    pub(crate) ticket: u64,
    is_named: bool,
}

impl OpenQuestion {
    /// Returns when others have waited long enough for the answer.
    pub(crate) async fn hold_over(&self) {
        if self.is_named {
            return std::future::pending().await;
        }
        loop {
            let mut changed = std::pin::pin!(self.exclusive_tools.changed.notified());
            changed.as_mut().enable();
            let since =
                self.exclusive_tools.queue().running.get(&self.ticket).and_then(|running| running.blocking_since);
            let until = since.map(|since| since + self.exclusive_tools.hold);
            if until.is_some_and(|until| until <= Instant::now()) {
                return;
            }
            tokio::select! {
                biased;
                () = changed => {}
                () = sleep_until_or_never(until) => {}
            }
        }
    }

    /// Waits until the call may go on with its answer: until calls of others that were admitted meanwhile are over.
    pub(crate) async fn resume(&self) {
        if self.is_named {
            return;
        }
        let until = Instant::now() + RESUME_MAX;
        loop {
            let mut changed = std::pin::pin!(self.exclusive_tools.changed.notified());
            changed.as_mut().enable();
            if self.may_go_on() {
                return;
            }
            tokio::select! {
                biased;
                () = changed => {}
                () = tokio::time::sleep_until(until) => return,
            }
        }
    }

    fn may_go_on(&self) -> bool {
        let mut queue = self.exclusive_tools.queue();
        queue.drop_expired(Instant::now());
        let Some(own) = queue.running.get_mut(&self.ticket) else { return true };
        let is_news = !std::mem::replace(&mut own.is_resuming, true);
        let call = own.call.clone();
        let is_held_up = queue.running.iter().any(|(ticket, other)| {
            let is_at_work = *ticket != self.ticket && other.questions == 0;
            is_at_work && blocks(other, &call).is_some()
        });
        if is_news {
            self.exclusive_tools.change(queue);
        }
        !is_held_up
    }
}

impl Drop for OpenQuestion {
    fn drop(&mut self) {
        if self.is_named {
            return;
        }
        let mut queue = self.exclusive_tools.queue();
        if let Some(running) = queue.running.get_mut(&self.ticket) {
            running.questions = running.questions.saturating_sub(1);
            running.is_resuming = false;
        }
        self.exclusive_tools.change(queue);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::exclusive_tools::{
        admission::{
            CallPermit,
            tests::{acquire, call, enqueue, exclusive_tools},
        },
        profile::WaitReason,
    };

    #[test]
    fn a_question_is_whose_it_can_be_and_across_owners_nobodys() {
        let exclusive_tools = exclusive_tools();
        let tickets = |permits: &[&CallPermit]| permits.iter().map(|permit| permit.ticket).collect::<Vec<_>>();
        let [first, second] = [(); 2].map(|()| acquire(&exclusive_tools, "ann", ConcurrencyClass::Unknown).unwrap());
        assert_eq!(exclusive_tools.attribute(&[]).unwrap_err(), [0; 0], "nothing is at the server");
        let one = exclusive_tools.attribute(&tickets(&[&first])).unwrap();
        assert_eq!(one.ticket, first.ticket);
        // The first waits for its answer, so this one is the second's.
        let two = exclusive_tools.attribute(&tickets(&[&first, &second])).unwrap();
        assert_eq!(two.ticket, second.ticket);
        let others = acquire(&exclusive_tools, "bob", ConcurrencyClass::ReadOnly).unwrap();
        let all = tickets(&[&first, &second, &others]);
        assert_eq!(
            exclusive_tools.attribute(&all).unwrap_err(),
            all,
            "a read that was thought not to ask may have asked"
        );
        let silent = acquire(&exclusive_tools, "eve", ConcurrencyClass::Silent).unwrap();
        drop((one, two, first, second));
        let only = exclusive_tools.attribute(&tickets(&[&others, &silent])).unwrap();
        assert_eq!(only.ticket, others.ticket);
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_others_wait_for_is_let_go_of_after_a_while() {
        let exclusive_tools = exclusive_tools();
        let asker = acquire(&exclusive_tools, "ann", ConcurrencyClass::Unknown).unwrap();
        let question = exclusive_tools.attribute(&[asker.ticket]).unwrap();
        let hour = Duration::from_secs(3_600);
        assert!(tokio::time::timeout(hour, question.hold_over()).await.is_err(), "nobody waits");
        let begun = Instant::now();
        let words = Mutex::new(Vec::new());
        let waiting_call = call("bob", ConcurrencyClass::Unknown);
        let mut waiting =
            std::pin::pin!(enqueue(&exclusive_tools, &waiting_call, |why| words.lock().unwrap().push(why)));
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("it must wait"),
            () = question.hold_over() => {}
        }
        assert_eq!(begun.elapsed().as_secs(), 60);
        drop((question, asker));
        waiting.await;
        let words = words.lock().unwrap().clone();
        assert!(
            matches!(words.as_slice(), [why] if why.contains("another caller's call waits for an answer")),
            "{words:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_waits_for_reads_of_others_that_were_let_in_and_no_more_are() {
        let exclusive_tools = exclusive_tools();
        let asker = acquire(&exclusive_tools, "ann", ConcurrencyClass::Interactive).unwrap();
        let question = exclusive_tools.attribute(&[asker.ticket]).unwrap();
        let read = acquire(&exclusive_tools, "bob", ConcurrencyClass::ReadOnly).unwrap();
        let resume = question.resume();
        let mut resume = std::pin::pin!(resume);
        assert!(tokio::time::timeout(Duration::from_secs(1), resume.as_mut()).await.is_err());
        assert_eq!(acquire(&exclusive_tools, "bob", ConcurrencyClass::ReadOnly).unwrap_err(), WaitReason::Interactive);
        drop(read);
        tokio::time::timeout(Duration::from_secs(1), resume).await.unwrap();
    }
}
