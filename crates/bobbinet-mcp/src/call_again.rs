//! A call that its server could not carry out though it lives: made again where it may run twice, after a pause, and within the agent's
//! budget for that.

use std::{sync::Arc, time::Duration};

use bobbinet_core::{Fault, Message, Outcome, Part};
use tokio::time::Instant;

use crate::{
    call_attempt::CallAttempt,
    call_listener::{time_is_up, unknown},
    config::McpLimits,
    supervised_session::chance,
};

impl CallAttempt<'_> {
    /// Waits until the call may be made again that has come to this after so many tries. `Err`: it is over, with this.
    pub(crate) async fn again(&self, outcome: Outcome, tries: u32) -> Result<(), Outcome> {
        let Outcome::Unknown { fault, again: true } = outcome else { return Err(outcome) };
        if !self.run.call().effect.may_run_again() {
            return Err(Outcome::Unknown { fault, again: true });
        }
        // What its caller has answered meanwhile is in the log, and only the next run reads it there.
        let answers = self.run.current().await.map(|task| task.answers.len());
        if answers.is_ok_and(|answers| answers > self.run.task().answers.len()) {
            return Err(Outcome::Unknown { fault, again: true });
        }
        let limits = &self.shared.config.limits;
        if tries >= limits.tries_max {
            return Err(no_more(fault, &format!("it was tried {tries} times")));
        }
        if !self.sessions.retries.try_again(Instant::now()) {
            let why = format!(
                "it is not tried again, as no more than {} of 100 calls of this agent are (retry_percent)",
                limits.retry_percent
            );
            return Err(no_more(fault, &why));
        }
        let pause = pause(limits, tries, chance());
        let text = format!("{}. Try {} of {} in {pause:.1?}", fault.text, tries + 1, limits.tries_max);
        let message = Message::from_agent(self.run.message_id(&format!("try{}", tries + 1)), vec![Part::text(text)]);
        self.run.progress(Some(Arc::new(message)), None);
        let aside = self.run.step_aside();
        tokio::select! {
            biased;
            () = self.run.canceled() => return Err(unknown("canceled", self.target, "it was canceled between two tries", false)),
            () = time_is_up(self.run) => return Err(no_more(fault, "its time was up")),
            () = tokio::time::sleep(pause) => {}
        }
        aside.come_back().await;
        self.run.progress(None, None);
        Ok(())
    }
}

fn no_more(fault: Fault, why: &str) -> Outcome {
    let text = format!("{}; {why}", fault.text);
    Outcome::Unknown { fault: Fault { text, ..fault }, again: false }
}

/// The pause after so many tries. `chance` is from 0 to 1: it keeps those apart that failed together.
fn pause(limits: &McpLimits, tries: u32, chance: f64) -> Duration {
    let doublings = tries.saturating_sub(1).min(16);
    let pause = limits.retry_first_ms.saturating_mul(1 << doublings).min(limits.retry_max_ms);
    Duration::from_millis(pause).mul_f64(0.5 + chance / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_no_two_are_alike() {
        let limits = McpLimits::default();
        let of = |tries, chance| pause(&limits, tries, chance).as_millis();
        assert_eq!([1, 2, 3, 6, 60].map(|tries| of(tries, 1.0)), [1_000, 2_000, 4_000, 30_000, 30_000]);
        assert_eq!([0.0, 0.5].map(|chance| of(2, chance)), [1_000, 1_500]);
    }
}
