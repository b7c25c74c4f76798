//! Nodes before the peer, and those who call them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bobbinet_core::{AgentName, Caller, Message, MessageId, Part, Principal, Role, Task, TaskId, Tenant};
use bobbinet_engine::{Agent, Engine, Handle, NewTask, Reply};
use bobbinet_peer::PeerAgent;
use reqwest::Url;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);

/// A node before the peer.
pub(crate) struct Node {
    pub(crate) engine: Engine,
    /// The agent that is called.
    pub(crate) at: AgentName,
    pub(crate) agent: Arc<PeerAgent>,
}

impl Node {
    /// Waits for the card.
    pub(crate) async fn ready(&self) {
        wait_for(|| self.agent.ready().is_ok()).await;
    }

    pub(crate) fn begin(&self, text: &str) -> Handle {
        self.begin_message(said(text))
    }

    pub(crate) fn begin_message(&self, message: Message) -> Handle {
        let new = NewTask { message, context: None, skill: None, trace: None, idempotency: None };
        self.engine.submit(&caller(), &self.at, new).unwrap()
    }

    pub(crate) async fn send(&self, text: &str) -> Arc<Task> {
        self.send_message(said(text)).await
    }

    pub(crate) async fn send_data(&self, data: &Value) -> Arc<Task> {
        let message = Message { parts: vec![Part::data(bobbinet_core::Json::from(data))], ..said("") };
        self.send_message(message).await
    }

    pub(crate) async fn send_message(&self, message: Message) -> Arc<Task> {
        let handle = self.begin_message(message);
        tokio::time::timeout(PATIENCE, handle.settled()).await.expect("it comes to something").unwrap()
    }

    pub(crate) async fn answer(&self, id: &TaskId, text: &str) -> Arc<Task> {
        let handle = self.begin_answer(id, text).await;
        tokio::time::timeout(PATIENCE, handle.settled()).await.expect("it comes to something").unwrap()
    }

    pub(crate) async fn begin_answer(&self, id: &TaskId, text: &str) -> Handle {
        let reply = Reply { message: said(text), context: None, skill: None, idempotency: None };
        self.engine.reply(&caller(), &self.at, id, reply).await.unwrap()
    }

    /// A call of a flow: of this method, of the agent at this URL.
    pub(crate) fn begin_call(&self, method: &str, url: &Url, parameters: &Value) -> Handle {
        let request = json!({"method": method, "uri": url.as_str(), "isCard": false, "parameters": parameters});
        let message = Message { parts: vec![Part::data(bobbinet_core::Json::from(&request))], ..said("") };
        let skill = Some(bobbinet_core::SkillId::parse(method).unwrap());
        let new = NewTask { message, context: None, skill, trace: None, idempotency: None };
        self.engine.submit(&caller(), &name("by-url"), new).unwrap()
    }

    pub(crate) async fn call(&self, method: &str, url: &Url, parameters: &Value) -> Arc<Task> {
        let handle = self.begin_call(method, url, parameters);
        tokio::time::timeout(PATIENCE, handle.settled()).await.expect("it comes to something").unwrap()
    }

    pub(crate) async fn cancel(&self, id: &TaskId) -> Arc<Task> {
        self.engine.cancel(&caller(), &self.at, id).await.unwrap()
    }

    pub(crate) async fn task(&self, handle: &Handle) -> Arc<Task> {
        self.engine.get(&caller(), &self.at, &handle.id()).await.unwrap()
    }

    pub(crate) async fn until(&self, handle: &Handle, is_it: impl Fn(&Task) -> bool) {
        handle.accepted().await.unwrap();
        for _ in 0..1_000 {
            if is_it(&self.engine.get(&caller(), &self.at, &handle.id()).await.unwrap()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it does not come to that");
    }

    pub(crate) async fn settled(&self, id: &TaskId) -> Arc<Task> {
        for _ in 0..1_000 {
            let task = self.engine.get(&caller(), &self.at, id).await.unwrap();
            if task.state.is_terminal() || task.state.is_interrupted() {
                return task;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it does not come to an end");
    }

    /// The process ends in the middle of everything.
    pub(crate) async fn die(self) {
        self.engine.shutdown(Duration::ZERO).await;
        self.agent.shutdown().await;
    }

    /// The process is told to end, and has so long for it.
    pub(crate) async fn stop(self, grace: Duration) {
        self.engine.shutdown(grace).await;
        self.agent.shutdown().await;
    }

    /// How long the agent takes to end, in whole seconds.
    pub(crate) async fn shutdown(self) -> Duration {
        let begun = tokio::time::Instant::now();
        self.die().await;
        Duration::from_secs(begun.elapsed().as_secs())
    }
}

pub(crate) fn name(text: &str) -> AgentName {
    AgentName::parse(text).unwrap()
}

fn caller() -> Caller {
    Caller::new(Principal::parse("me").unwrap(), Tenant::parse("here").unwrap())
}

pub(crate) fn said(text: &str) -> Message {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let id = MessageId::parse(&format!("m-{}", NEXT.fetch_add(1, Ordering::SeqCst))).unwrap();
    Message { role: Role::User, ..Message::from_agent(id, vec![Part::text(text)]) }
}

pub(crate) async fn wait_for(is_it: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if is_it() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it does not come to that");
}
