//! A task as the extension of 2026-07-28 has it: everything is said of it by the answer to how it stands.

use std::time::Duration;

use bobbinet_core::Json;
use tokio::time::{Instant, sleep, timeout};

use super::{GET_WAIT, Leg, RECONNECT_PAUSE, TaskEnd, TaskFollower, Untaken};
use crate::{
    call_attempt::CallRoute,
    call_listener::{time_is_up, unreadable},
    json_object::JsonObject,
    mailbox::Reply,
    server_questions::{Questions, not_offered},
    server_task::{ServerTask, TaskStatus},
};

/// How often, at the most, it is looked after a task that waits for our caller, which may take days.
const ASKING_POLL: Duration = Duration::from_secs(15);

/// How often an answer is given to a server that does not take it.
const UPDATES_MAX: u32 = 3;

impl TaskFollower<'_> {
    /// 2026-07-28: everything is said of the task by the server's answer to how it stands.
    pub(super) async fn follow_extension(&mut self, route: &CallRoute) -> Leg {
        loop {
            let elsewhere = self.works_elsewhere();
            tokio::select! {
                biased;
                () = self.run.canceled() => return Leg::End(TaskEnd::Over(self.cancel(route, "canceled", "it was canceled").await)),
                () = time_is_up(self.run) => return Leg::End(TaskEnd::Over(self.cancel(route, "timed-out", "its time was up").await)),
                () = sleep(self.poll) => {}
            }
            drop(elsewhere);
            let task = match self.get(route).await {
                Ok(Some(task)) => task,
                Ok(None) => continue,
                Err(leg) => return leg,
            };
            match task.status {
                TaskStatus::Working => self.withdraw_old().await,
                TaskStatus::InputRequired(ref asked) => {
                    if let Some(leg) = self.tell(route, asked).await {
                        return leg;
                    }
                }
                TaskStatus::Completed(Some(result)) => return Leg::End(TaskEnd::Result(route.session.clone(), result)),
                TaskStatus::Completed(None) => {
                    let outcome = unreadable(self.attempt.target, self.run.call().effect, "its task has no result");
                    return Leg::End(TaskEnd::Over(outcome));
                }
                TaskStatus::Failed(Some(error)) => return Leg::End(TaskEnd::Error(error)),
                TaskStatus::Failed(None) => return Leg::End(self.failed_without_error(&task)),
                TaskStatus::Canceled => return Leg::End(self.canceled_by_server(&task)),
            }
        }
    }

    /// Tells the server what it asks for, as far as it was not told yet, when our caller has said it.
    async fn tell(&mut self, route: &CallRoute, asked: &JsonObject) -> Option<Leg> {
        let is_new = |key: &str| !self.checkpoint.told.iter().any(|told| told == key);
        let fresh = asked.iter().filter(|(key, _)| is_new(key)).collect::<Vec<_>>();
        // It has been told, and does not show it yet.
        let names = fresh.iter().map(|(key, _)| (*key).to_owned()).collect::<Vec<_>>();
        if names.is_empty() {
            return None;
        }
        let answers = match self.untaken.of(&names) {
            Some(answers) => answers,
            None => match self.ask(route, fresh, &names).await {
                Ok(answers) => answers?,
                Err(leg) => return Some(leg),
            },
        };
        self.give(route, names, answers).await
    }

    /// Asks our caller. `None`: nobody wants to know any more.
    async fn ask(
        &mut self,
        route: &CallRoute,
        fresh: Vec<(&str, &Json)>,
        names: &[String],
    ) -> Result<Option<JsonObject>, Leg> {
        let target = self.attempt.target;
        let questions = match Questions::read(fresh.into_iter(), self.run, &route.session.config) {
            Ok(questions) => questions,
            Err(what) => {
                let _ = self.cancel(route, "unsupported-question", "it asks for what it was not offered").await;
                return Err(Leg::End(TaskEnd::Over(not_offered(target, &what))));
            }
        };
        let (run, answered) = (self.run, self.checkpoint.answered);
        let round = u32::try_from(self.checkpoint.told.len()).unwrap_or(u32::MAX).saturating_add(1);
        let answer = {
            let asking = questions.answer(run, &route.session.config, target, round, answered);
            tokio::pin!(asking);
            tokio::select! {
                biased;
                answer = &mut asking => Some(answer),
                () = self.until_moved_on(route, names) => None,
            }
        };
        self.heard = Instant::now();
        match answer {
            // What was asked nobody wants to know any more.
            None => {
                let _ = self.run.withdraw_question().await;
                Ok(None)
            }
            Some(Ok(answers)) => {
                self.has_old_question = false;
                Ok(Some(answers))
            }
            Some(Err(_)) if self.is_canceled().await => {
                Err(Leg::End(TaskEnd::Over(self.cancel(route, "canceled", "it was canceled").await)))
            }
            // Its task waits at the server, and whoever answers goes on with it.
            Some(Err(outcome)) => Err(Leg::End(TaskEnd::Over(outcome))),
        }
    }

    /// Gives the server what our caller has said. What it does not take it is given again, and nobody is asked again for that.
    async fn give(&mut self, route: &CallRoute, names: Vec<String>, answers: JsonObject) -> Option<Leg> {
        let mut params = self.params();
        params.set("inputResponses", answers.to_json());
        self.untaken.answers = answers;
        let why = match timeout(GET_WAIT, route.client.request("tasks/update", params.to_json())).await {
            Ok(Reply::Result(_)) => {
                self.untaken = Untaken::default();
                self.checkpoint.told(self.run, names.into_iter()).await;
                return None;
            }
            Ok(Reply::NotSent(_) | Reply::Broken(_)) => return Some(Leg::Lost),
            Ok(Reply::Error(error)) => format!("{} ({})", error.message, error.code),
            Ok(Reply::Unreadable(why)) => why,
            Err(_) => format!("it did not answer within {GET_WAIT:?}"),
        };
        self.untaken.times += 1;
        if self.untaken.times < UPDATES_MAX {
            self.poll = self.poll.max(RECONNECT_PAUSE);
            return None;
        }
        let why = format!("it did not take the answer to its question: {why}");
        Some(Leg::End(TaskEnd::Over(self.unknown("not-taken", &why))))
    }

    /// Returns when the server waits for none of this any more.
    async fn until_moved_on(&self, route: &CallRoute, names: &[String]) {
        loop {
            sleep(self.poll.max(ASKING_POLL)).await;
            let reply = timeout(GET_WAIT, route.client.request("tasks/get", self.params().to_json())).await;
            let Ok(Reply::Result(json)) = reply else { continue };
            let Ok(task) = ServerTask::read(&json) else { continue };
            match task.status {
                TaskStatus::InputRequired(asked) if names.iter().any(|name| asked.get(name).is_some()) => {}
                TaskStatus::InputRequired(_)
                | TaskStatus::Working
                | TaskStatus::Completed(_)
                | TaskStatus::Failed(_)
                | TaskStatus::Canceled => return,
            }
        }
    }
}
