//! Whose a question is, how long it is held open, and when its call may go on.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Inside, Lane, Manner, keeps_out, sleep_until_or_never};

/// How long an answer is kept back until calls of others are over that were let in while it was waited for. They are
/// reads, and short; after that, what the call asks next may be anybody's and is declined.
const RESUME_MAX: Duration = Duration::from_secs(10);

/// Questions that wait for their answers at a time, on one server. Each more is declined.
const QUESTIONS_MAX: usize = 48;

impl Lane {
    /// Whose a question is: of those calls that are at the server, the one that can have asked it. `Err` has those that
    /// can, if nobody knows which: the owners of several calls, or nobody.
    pub(crate) fn whose(self: &Arc<Self>, at_server: &[u64]) -> Result<Question, Vec<u64>> {
        let mut inner = self.inner();
        inner.forget_old(Instant::now());
        let may_ask = |inside: &Inside| inside.guest.manner != Manner::Silent;
        let is_full = inner.inside.values().map(|inside| inside.questions).sum::<usize>() >= QUESTIONS_MAX;
        let suspects = inner.inside.iter().filter(|(ticket, inside)| {
            may_ask(inside) && (inside.given_up_until.is_some() || at_server.contains(ticket))
        });
        let owners = suspects.clone().map(|(_, inside)| &inside.guest.owner).collect::<BTreeSet<_>>();
        let live = suspects.filter(|(_, inside)| inside.given_up_until.is_none()).collect::<Vec<_>>();
        let at_work = live.iter().filter(|(_, inside)| inside.questions == 0);
        let known_to_ask = at_work.clone().filter(|(_, inside)| inside.guest.manner == Manner::Asks);
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
                live.iter().filter(|(_, inside)| inside.guest.manner == Manner::Unknown && owners.len() > 1);
            let tools = suspected.map(|(_, inside)| inside.guest.tool.clone()).collect::<Vec<_>>();
            self.asking().extend(tools);
            return Err(passed_over);
        };
        let inside = inner.inside.get_mut(&ticket).expect("it was found there");
        inside.questions += 1;
        if inside.guest.manner != Manner::Deadly {
            inside.guest.manner = Manner::Asks;
        }
        let tool = inside.guest.tool.clone();
        self.asking().insert(tool);
        self.change(inner);
        Ok(Question { lane: self.clone(), ticket })
    }
}

/// A question of a call that waits for its answer. Dropped, it does not any more.
#[derive(Debug)]
pub(crate) struct Question {
    lane: Arc<Lane>,
    pub(crate) ticket: u64,
}

impl Question {
    /// Returns when others have waited long enough for the answer.
    pub(crate) async fn hold_over(&self) {
        loop {
            let mut changed = std::pin::pin!(self.lane.changed.notified());
            changed.as_mut().enable();
            let since = self.lane.inner().inside.get(&self.ticket).and_then(|inside| inside.in_the_way_since);
            let until = since.map(|since| since + self.lane.hold);
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

    /// Waits until the call may go on with its answer: until calls of others that were let in meanwhile are over.
    pub(crate) async fn resume(&self) {
        let until = Instant::now() + RESUME_MAX;
        loop {
            let mut changed = std::pin::pin!(self.lane.changed.notified());
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
        let mut inner = self.lane.inner();
        inner.forget_old(Instant::now());
        let Some(own) = inner.inside.get_mut(&self.ticket) else { return true };
        let is_news = !std::mem::replace(&mut own.is_resuming, true);
        let guest = own.guest.clone();
        let is_held_up = inner.inside.iter().any(|(ticket, other)| {
            let is_at_work = *ticket != self.ticket && other.questions == 0;
            is_at_work && keeps_out(other, &guest).is_some()
        });
        if is_news {
            self.lane.change(inner);
        }
        !is_held_up
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        let mut inner = self.lane.inner();
        if let Some(inside) = inner.inside.get_mut(&self.ticket) {
            inside.questions = inside.questions.saturating_sub(1);
            inside.is_resuming = false;
        }
        self.lane.change(inner);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::lane::{
        Place, Why,
        tests::{enter, guest, lane, line_up},
    };

    #[test]
    fn a_question_is_whose_it_can_be_and_across_owners_nobodys() {
        let lane = lane();
        let tickets = |places: &[&Place]| places.iter().map(|place| place.ticket).collect::<Vec<_>>();
        let [first, second] = [(); 2].map(|()| enter(&lane, "ann", Manner::Unknown).unwrap());
        assert_eq!(lane.whose(&[]).unwrap_err(), [0; 0], "nothing is at the server");
        let one = lane.whose(&tickets(&[&first])).unwrap();
        assert_eq!(one.ticket, first.ticket);
        // The first waits for its answer, so this one is the second's.
        let two = lane.whose(&tickets(&[&first, &second])).unwrap();
        assert_eq!(two.ticket, second.ticket);
        let others = enter(&lane, "bob", Manner::Reads).unwrap();
        let all = tickets(&[&first, &second, &others]);
        assert_eq!(lane.whose(&all).unwrap_err(), all, "a read that was thought not to ask may have asked");
        let silent = enter(&lane, "eve", Manner::Silent).unwrap();
        drop((one, two, first, second));
        let only = lane.whose(&tickets(&[&others, &silent])).unwrap();
        assert_eq!(only.ticket, others.ticket);
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_others_wait_for_is_let_go_of_after_a_while() {
        let lane = lane();
        let asker = enter(&lane, "ann", Manner::Unknown).unwrap();
        let question = lane.whose(&[asker.ticket]).unwrap();
        let hour = Duration::from_secs(3_600);
        assert!(tokio::time::timeout(hour, question.hold_over()).await.is_err(), "nobody waits");
        let begun = Instant::now();
        let words = Mutex::new(Vec::new());
        let waiting_guest = guest("bob", Manner::Unknown);
        let mut waiting = std::pin::pin!(line_up(&lane, &waiting_guest, |why| words.lock().unwrap().push(why)));
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
        let lane = lane();
        let asker = enter(&lane, "ann", Manner::Asks).unwrap();
        let question = lane.whose(&[asker.ticket]).unwrap();
        let read = enter(&lane, "bob", Manner::Reads).unwrap();
        let resume = question.resume();
        let mut resume = std::pin::pin!(resume);
        assert!(tokio::time::timeout(Duration::from_secs(1), resume.as_mut()).await.is_err());
        assert_eq!(enter(&lane, "bob", Manner::Reads).unwrap_err(), Why::Asks);
        drop(read);
        tokio::time::timeout(Duration::from_secs(1), resume).await.unwrap();
    }
}
