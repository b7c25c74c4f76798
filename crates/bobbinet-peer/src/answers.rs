//! A question of the task over there, and the answer on its way back.

use std::{sync::Arc, time::Duration};

use bobbinet_core::{Json, Message, Outcome, Part, Question, QuestionKind, State};
use bobbinet_engine::{EngineError, Unanswered};
use bobbinet_http::{ClientError, SendOptions};
use bobbinet_wire::view::{StatusView, StreamEvent};
use sha2::{Digest, Sha256};
use tokio::time::{sleep, timeout};
use tracing::debug;

use crate::{
    causes::in_full,
    fault::{self, Failure, kind_of},
    follow::{Following, Next, STORE_AGAIN, Source},
    message,
    send::{self, Answered, Bound},
};

/// How often it is looked whether the task over there has ended meanwhile: somebody else may have answered, or authorised.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What comes of asking.
enum Asked {
    Answer(Json),
    /// The task over there has ended without one.
    Ended(StreamEvent),
    /// It goes on without one, or asks something else.
    MovedOn(StreamEvent),
    Over(Outcome),
}

/// Why an answer was not handed on.
enum NotAnswered {
    /// Which way it goes could not be kept.
    NotKept,
    /// The way that it may have gone before is not on the peer's card any more.
    NoWay,
    Error(ClientError),
}

impl Following<'_> {
    /// Asks our caller what the task over there asks, and hands the answer on.
    pub(crate) async fn ask(&mut self, status: StatusView) -> Next {
        let name = name_of(&status);
        let question = self.question(&status);
        let mut bound = self.bound_answer(&name);
        let asked = match self.earlier_answer(&name, &question).await {
            Some(answer) => Asked::Answer(answer),
            None => {
                self.checkpoint.asking = Some(name.clone());
                self.checkpoint.answered = self.answers_before();
                // It most likely goes that way, and is then not kept anew.
                self.checkpoint.answer_way = self.drops_repeats().then(|| self.client.way());
                bound = Bound::Free;
                if let Err(error) = self.keep().await {
                    debug!(error = &error as &dyn std::error::Error, "a question is not asked any more");
                    return Next::Over(Outcome::Declined);
                }
                self.ask_caller(&question, &status).await
            }
        };
        match asked {
            Asked::Answer(answer) => self.hand_on(&answer, &name, bound).await,
            Asked::Ended(event) => self.take(event).await,
            Asked::MovedOn(event) => match self.withdraw().await {
                Ok(()) => self.take(event).await,
                Err(outcome) => Next::Over(outcome),
            },
            Asked::Over(outcome) => Next::Over(outcome),
        }
    }

    fn question(&self, status: &StatusView) -> Question {
        let config = &self.peer.config;
        let kind = match status.state {
            State::AuthRequired => QuestionKind::Authorization,
            State::InputRequired
            | State::Submitted
            | State::Working
            | State::Completed
            | State::Failed
            | State::Canceled
            | State::Rejected => QuestionKind::Elicitation,
        };
        let said = status.message.clone().unwrap_or_else(|| {
            let text = format!("{} waits for an answer, and does not say to what.", config.name);
            Message::from_agent(self.run.message_id("peer-asks"), vec![Part::text(text)])
        });
        let schema = message::schema_of(&said);
        let task = self.checkpoint.task.as_deref().unwrap_or_default();
        let message = message::with_origin(said, config.name.as_str(), task);
        Question { kind, message: Arc::new(message), schema }
    }

    /// Which way the answer to a question goes: an earlier run may have handed on one that had been given before this one began.
    fn bound_answer(&self, name: &str) -> Bound {
        let is_asked = self.checkpoint.asking.as_deref() == Some(name);
        match &self.checkpoint.answer_way {
            _ if !is_asked || self.run.task().answers.len() <= self.checkpoint.answered => Bound::Free,
            Some(way) => Bound::To(way.clone()),
            None => Bound::ToPreferred,
        }
    }

    /// How many answers our caller had given before this question.
    fn answers_before(&self) -> usize {
        self.checkpoint.answered.max(self.run.task().answers.len())
    }

    /// The answer to what an earlier run has asked: given while no run was there to hand it on, or since this one has begun.
    async fn earlier_answer(&mut self, name: &str, question: &Question) -> Option<Json> {
        if self.checkpoint.asking.as_deref() != Some(name) {
            return None;
        }
        if self.run.task().answers.len() > self.checkpoint.answered {
            return self.run.answer_to(&question.message.text(), question.schema.as_ref());
        }
        // Asked again it would be another question, and who has answered the first one would not know of it.
        let open = self.run.task().question.clone().filter(|open| open.message.id == question.message.id)?;
        let run = self.run.clone();
        let (_rest, answered) = (run.rest(), run.answered(&open.message.id));
        tokio::pin!(answered);
        let mut is_kept = false;
        loop {
            tokio::select! {
                biased;
                answer = &mut answered => return answer.ok(),
                () = sleep(LOOK_EVERY) => {}
            }
            self.keep_once(&mut is_kept).await;
            if let Ok(StreamEvent::Task(task)) = self.look().await
                && is_other(&task.status, name)
            {
                return None;
            }
        }
    }

    /// Keeps that this run has come as far as this: one that has waited for a while has not died of the task, however its process ends.
    async fn keep_once(&self, is_kept: &mut bool) {
        if std::mem::replace(is_kept, true) {
            return;
        }
        if let Err(error) = self.run.checkpoint(self.checkpoint.to_json()).await {
            debug!(error = &error as &dyn std::error::Error, "it is not kept that a run waits");
        }
    }

    async fn ask_caller(&mut self, question: &Question, status: &StatusView) -> Asked {
        let run = self.run.clone();
        let asked = run.ask(Arc::new(question.clone()));
        tokio::pin!(asked);
        let mut is_kept = false;
        loop {
            let result = tokio::select! {
                biased;
                answer = &mut asked => answer,
                () = sleep(LOOK_EVERY) => {
                    self.keep_once(&mut is_kept).await;
                    match self.look().await {
                        Ok(StreamEvent::Task(task)) if task.status.state.is_terminal() => {
                            return Asked::Ended(StreamEvent::Task(task));
                        }
                        Ok(StreamEvent::Task(task)) if has_moved_on(&task.status, status) => {
                            return Asked::MovedOn(StreamEvent::Task(task));
                        }
                        // As long as it waits, so do we; what is wrong is seen when the answer is handed on.
                        Ok(_) | Err(_) => continue,
                    }
                }
            };
            return match result {
                Ok(answer) => Asked::Answer(answer),
                // The question stays with our task, and with the one over there.
                Err(Unanswered::Expired) => Asked::Over(Outcome::Declined),
                Err(Unanswered::Over) => Asked::Over(self.cancel("its task is canceled here").await),
                Err(Unanswered::NotAsked(error)) => {
                    self.cancel("its question cannot be asked here").await;
                    let why = format!("its question could not be asked: {}", in_full(&error));
                    Asked::Over(Outcome::Failed(fault::of_peer(&self.peer.config, "question-not-asked", &why)))
                }
            };
        }
    }

    /// Our caller is not asked any more, as somebody else has answered over there.
    async fn withdraw(&mut self) -> Result<(), Outcome> {
        loop {
            match self.run.withdraw_question().await {
                // An answer that came at the same moment is one to nothing.
                Ok(()) | Err(EngineError::Refused(_)) => break,
                Err(EngineError::Unavailable(_)) => sleep(STORE_AGAIN).await,
                Err(error) => {
                    debug!(error = &error as &dyn std::error::Error, "a question is not withdrawn");
                    return Err(Outcome::Declined);
                }
            }
        }
        let Ok(own) = self.run.current().await else { return Err(Outcome::Declined) };
        (self.checkpoint.asking, self.checkpoint.answer_way) = (None, None);
        self.checkpoint.answered = self.checkpoint.answered.max(own.answers.len());
        self.source = Source::Look;
        self.keep().await.map_err(|error| {
            debug!(error = &error as &dyn std::error::Error, "it is not kept that a question is withdrawn");
            Outcome::Declined
        })
    }

    /// Sends an answer, until it is there: whether it is, the task over there says.
    async fn hand_on(&mut self, answer: &Json, name: &str, mut bound: Bound) -> Next {
        let message = message::handed_on(answer);
        let key = format!("{}/{}", self.run.key(), &hex::encode(Sha256::digest(name))[..16]);
        let mut options = SendOptions {
            idempotency_key: Some(key),
            is_patient: true,
            traceparent: self.run.task().trace.as_deref().map(str::to_owned),
            way: None,
        };
        let mut tries = 0;
        let event = loop {
            let task = self.checkpoint.task.clone().unwrap_or_default();
            let error = match self.answer_over(&bound, (&task, &message), &mut options).await {
                Ok((event, stream)) => {
                    self.source = stream.map_or(Source::Look, |stream| Source::Stream(Box::new(stream)));
                    break event;
                }
                Err(NotAnswered::NotKept) => return Next::Over(Outcome::Declined),
                Err(NotAnswered::NoWay) => {
                    let why =
                        "whether it has the answer is not known: what that was sent over is not on its card any more";
                    return Next::Over(fault::unknown(&self.peer.config, why, false));
                }
                Err(NotAnswered::Error(error)) => error,
            };
            debug!(task, tries, error = &error as &dyn std::error::Error, "an answer was not taken");
            let kind = kind_of(&error);
            if kind == Failure::Unknown {
                if let (Bound::Free, Some(way)) = (&bound, &options.way) {
                    bound = Bound::To(way.clone());
                }
                // It may have got there all the same. Said twice, it would answer the next question too, unless the repeat is dropped.
                let honours_keys = self.drops_repeats();
                let looks = if honours_keys { 1 } else { 1 + self.peer.config.limits.retries_max };
                if let Some(event) = self.has_moved_on(name, looks).await {
                    self.source = Source::Look;
                    break event;
                }
                if !honours_keys {
                    let why = format!("whether it has the answer is not known: {}", fault::told(&error));
                    return Next::Over(fault::unknown(&self.peer.config, &why, false));
                }
            }
            if kind == Failure::Refused || tries >= self.peer.config.limits.retries_max {
                let why = format!("it does not take the answer: {}", fault::told(&error));
                return Next::Over(fault::unknown(&self.peer.config, &why, false));
            }
            if matches!(error, ClientError::Unauthorized { .. }) {
                self.peer.config.auth.forget();
            }
            sleep(self.peer.config.limits.pause(tries)).await;
            tries += 1;
        };
        (self.checkpoint.asking, self.checkpoint.answer_way) = (None, None);
        self.checkpoint.answered = self.answers_before().max(self.checkpoint.answered + 1);
        if let Err(error) = self.keep().await {
            debug!(error = &error as &dyn std::error::Error, "it is not kept that an answer was handed on");
        }
        // The first word may still be the question that was answered.
        match event {
            StreamEvent::Task(ref task) if !is_other(&task.status, name) => self.after_answer(name).await,
            StreamEvent::Task(_)
            | StreamEvent::Message(_)
            | StreamEvent::StatusUpdate(_)
            | StreamEvent::ArtifactUpdate(_) => self.take(event).await,
        }
    }

    /// Sends an answer one way after another until one is open. Which one it is, is kept before.
    async fn answer_over(
        &mut self,
        bound: &Bound,
        (task, message): (&str, &Message),
        options: &mut SendOptions,
    ) -> Result<Answered, NotAnswered> {
        let ways = match self.drops_repeats() {
            true => bound.ways(&self.client).into_iter().map(Some).collect(),
            false => vec![None],
        };
        let mut unsent = None;
        for way in ways {
            if way.is_some() && self.checkpoint.answer_way != way && *bound != Bound::ToPreferred {
                self.checkpoint.answer_way.clone_from(&way);
                self.keep().await.map_err(|error| {
                    debug!(task, error = &error as &dyn std::error::Error, "it is not kept which way an answer goes");
                    NotAnswered::NotKept
                })?;
            }
            options.way = way;
            let (config, client) = (&self.peer.config, &self.client);
            match send::answer(config, client, self.streams, (task, message.clone()), options).await {
                Err(error) if error.is_unsent() => drop(unsent.get_or_insert(error)),
                sent => return sent.map_err(NotAnswered::Error),
            }
        }
        Err(unsent.map_or(NotAnswered::NoWay, NotAnswered::Error))
    }

    fn drops_repeats(&self) -> bool {
        self.peer.cards.last().is_some_and(|known| known.honours_keys)
    }

    /// The task over there, if one of so many looks finds it elsewhere than at this question.
    async fn has_moved_on(&mut self, name: &str, looks: u32) -> Option<StreamEvent> {
        for tries in 0..looks {
            if tries > 0 {
                sleep(self.peer.config.limits.pause(tries)).await;
            }
            if let Ok(StreamEvent::Task(task)) = self.look().await
                && is_other(&task.status, name)
            {
                return Some(StreamEvent::Task(task));
            }
        }
        None
    }

    /// Waits a moment until the task over there has taken notice of the answer.
    async fn after_answer(&mut self, name: &str) -> Next {
        if matches!(self.source, Source::Stream(_)) {
            let next = timeout(self.peer.config.limits.answer, self.next()).await;
            return match next {
                Ok(Ok(event)) => self.take(event).await,
                Ok(Err(outcome)) => Next::Over(outcome),
                Err(_) => Next::GoOn,
            };
        }
        sleep(self.peer.config.limits.poll).await;
        match self.look().await {
            Ok(StreamEvent::Task(task)) if is_other(&task.status, name) => self.take(StreamEvent::Task(task)).await,
            Ok(_) | Err(_) => Next::GoOn,
        }
    }
}

/// What tells a question from the next one of the same task.
fn name_of(status: &StatusView) -> String {
    let message = status.message.as_ref().map(|message| message.id.as_str()).unwrap_or_default();
    let at = status.at.map(|at| at.to_string()).unwrap_or_default();
    format!("{message}@{at}")
}

/// Whether a task surely does not wait for the answer to this question any more. Another time alone says nothing: some agents say the
/// same at another time in their streams.
fn has_moved_on(now: &StatusView, asked: &StatusView) -> bool {
    let id = |status: &StatusView| status.message.as_ref().map(|message| message.id.clone());
    let is_another = matches!((id(now), id(asked)), (Some(now), Some(asked)) if now != asked);
    !now.state.is_interrupted() || is_another
}

/// Whether a task stands elsewhere than at this question.
fn is_other(status: &StatusView, name: &str) -> bool {
    !status.state.is_interrupted() || name_of(status) != name
}
