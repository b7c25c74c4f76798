//! A task as the core of 2025-11-25 has it: its result is asked for, which waits for the end and brings the server's questions; and meanwhile
//! how it stands.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{Leg, TaskEnd, TaskFollower};
use crate::{
    call_attempt::CallRoute,
    call_listener::{AnswerEnd, CallListener, time_is_up, unreadable},
    mailbox::{Mail, Reply, RpcError},
    server_task::{ServerTask, TaskStatus},
    session::{PendingRequest, RequestOptions},
};

/// How often it is looked at the most how a task stands, however often its server says that this has changed.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// How long the result of a task that has failed may take: the error is in it.
const RESULT_WAIT: Duration = Duration::from_secs(10);

impl TaskFollower<'_> {
    /// 2025-11-25: the result is asked for, which waits for the end and brings the server's questions; and how it stands meanwhile.
    pub(super) async fn follow_core(&mut self, route: &CallRoute) -> Leg {
        let mut result = None;
        let mut looked = Instant::now();
        let mut look_at = looked + self.poll;
        let mut give_up_at = None;
        let mut ask_at = looked;
        loop {
            if result.is_none() && self.waits && ask_at <= Instant::now() {
                let options = RequestOptions {
                    call: Some(self.attempt.tool_call(route, Some(&self.id))),
                    token: self.token,
                    ..RequestOptions::default()
                };
                match route.client.send("tasks/result", self.params(), options) {
                    Ok(pending) => result = Some(pending),
                    Err(_) => return Leg::Lost,
                }
            }
            let elsewhere = self.works_elsewhere();
            let event = tokio::select! {
                biased;
                () = self.run.canceled() => return Leg::End(TaskEnd::Over(self.cancel(route, "canceled", "it was canceled").await)),
                mail = next_mail(result.as_ref()) => Some(mail),
                () = time_is_up(self.run) => return Leg::End(TaskEnd::Over(self.cancel(route, "timed-out", "its time was up").await)),
                () = sleep_until(look_at) => None,
            };
            drop(elsewhere);
            let looks = match event {
                None => true,
                Some(mail) => match self.take(route, result.as_ref(), mail).await {
                    Taken::GoOn => false,
                    Taken::Look => {
                        look_at = look_at.min(looked + LOOK_PAUSE);
                        false
                    }
                    Taken::Refused(error) => {
                        result = None;
                        if let Some(leg) = self.look_after(route, error).await {
                            return leg;
                        }
                        // One that refuses it while its task asks may do so for as long as that takes.
                        looked = Instant::now();
                        look_at = looked + self.poll.max(LOOK_PAUSE);
                        ask_at = look_at;
                        false
                    }
                    Taken::Leg(leg) => return leg,
                },
            };
            if !looks {
                continue;
            }
            match self.get(route).await {
                Err(leg) => return leg,
                Ok(None) => {}
                Ok(Some(task)) => match task.status {
                    TaskStatus::Working => {
                        // Whoever is asked now is asked through the result, and is not left alone by this.
                        self.withdraw_old().await;
                    }
                    TaskStatus::InputRequired(_) | TaskStatus::Completed(_) => self.waits = true,
                    TaskStatus::Canceled => return Leg::End(self.canceled_by_server(&task)),
                    TaskStatus::Failed(_) => {
                        self.waits = true;
                        let give_up_at = *give_up_at.get_or_insert_with(|| Instant::now() + RESULT_WAIT);
                        if give_up_at <= Instant::now() {
                            return Leg::End(self.failed_without_error(&task));
                        }
                    }
                },
            }
            looked = Instant::now();
            look_at = looked + self.poll.max(LOOK_PAUSE);
        }
    }

    /// The server will not give the result: either that is the result, or it is too early to ask for it.
    async fn look_after(&mut self, route: &CallRoute, error: RpcError) -> Option<Leg> {
        match self.get(route).await {
            Err(leg) => Some(leg),
            Ok(Some(ServerTask { status: TaskStatus::Completed(_) | TaskStatus::Failed(_), .. })) => {
                Some(Leg::End(TaskEnd::Error(error)))
            }
            Ok(Some(task @ ServerTask { status: TaskStatus::Canceled, .. })) => {
                Some(Leg::End(self.canceled_by_server(&task)))
            }
            Ok(Some(ServerTask { status: TaskStatus::Working | TaskStatus::InputRequired(_), .. }) | None) => {
                self.waits = false;
                None
            }
        }
    }

    /// One thing that came while the result is waited for.
    async fn take(&mut self, route: &CallRoute, result: Option<&PendingRequest>, mail: Mail) -> Taken {
        let Some(pending) = result else { return Taken::GoOn };
        let target = self.attempt.target;
        self.heard = Instant::now();
        let config = &route.session.config;
        match mail {
            Mail::Progress(progress) => {
                CallListener::new(config, self.run, target, 1, pending).report(&progress);
                Taken::GoOn
            }
            // Something has changed, and nobody says what.
            Mail::Alive => Taken::Look,
            Mail::Question(asked) => {
                self.has_old_question = false;
                let mut listener =
                    CallListener::new(config, self.run, target, 1, pending).of_task(self.checkpoint.answered);
                match listener.answer(asked).await {
                    None => {
                        self.checkpoint.told(self.run, std::iter::empty()).await;
                        Taken::GoOn
                    }
                    Some(AnswerEnd::Reply(reply @ Reply::Result(_))) => self.take_reply(route, reply),
                    Some(AnswerEnd::Reply(reply)) => {
                        // It may be asked again, over another connection.
                        let _ = self.run.withdraw_question().await;
                        self.take_reply(route, reply)
                    }
                    Some(AnswerEnd::Over(_)) if self.is_canceled().await => {
                        Taken::Leg(Leg::End(TaskEnd::Over(self.cancel(route, "canceled", "it was canceled").await)))
                    }
                    Some(AnswerEnd::Over(outcome)) => Taken::Leg(Leg::End(TaskEnd::Over(outcome))),
                }
            }
            Mail::Reply(reply) => self.take_reply(route, reply),
        }
    }

    fn take_reply(&self, route: &CallRoute, reply: Reply) -> Taken {
        match reply {
            Reply::Result(json) => Taken::Leg(Leg::End(TaskEnd::Result(route.session.clone(), json))),
            Reply::Error(error) => Taken::Refused(error),
            Reply::Unreadable(why) => {
                let outcome = unreadable(self.attempt.target, self.run.call().effect, &why);
                Taken::Leg(Leg::End(TaskEnd::Over(outcome)))
            }
            Reply::NotSent(_) | Reply::Broken(_) => Taken::Leg(Leg::Lost),
        }
    }
}

/// What comes of one thing that the server said.
enum Taken {
    GoOn,
    /// It is to be looked how the task stands.
    Look,
    Refused(RpcError),
    Leg(Leg),
}

async fn next_mail(result: Option<&PendingRequest>) -> Mail {
    match result {
        Some(pending) => pending.mailbox.next().await,
        None => std::future::pending().await,
    }
}
