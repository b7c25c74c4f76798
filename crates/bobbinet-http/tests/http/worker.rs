//! The agent under test: what it does is said in the message, and when it goes on is said by the test.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use bobbinet_core::{
    Artifact, ArtifactId, Call, Content, Description, Effect, Json, Message, Outcome, Part, Plan, Question,
    QuestionKind, Role, Skill, SkillId,
};
use bobbinet_engine::{Agent, BlobKind, Request, Run};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

/// - `echo TEXT` completes with TEXT.
/// - `steps N SIZE` makes an artifact in N pieces of SIZE bytes, one for each permit of the gate.
/// - `ask` asks for a text, and echoes it; asked to `ask` again, it does.
/// - `visit` asks its user to authorise something elsewhere, and echoes what is said then.
/// - `reject` is refused.
/// - `back` completes with the whole message, as the run sees it.
/// - `keep TEXT` completes with the URL of TEXT, which it has kept beside its task.
/// - `fetch URL` completes with what was uploaded there.
/// - `panic` makes it panic when it plans.
///
/// By the URL of the skill `shout`, any text is echoed in capitals.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) gate: Semaphore,
    /// What its steps have added, shared with all who hold it.
    pub(crate) added: Mutex<Vec<Arc<str>>>,
    /// Whether it panics when it is asked what it is.
    pub(crate) is_broken: AtomicBool,
}

impl Worker {
    pub(crate) fn new() -> Self {
        Self { gate: Semaphore::new(0), added: Mutex::default(), is_broken: AtomicBool::new(false) }
    }
}

#[async_trait]
impl Agent for Worker {
    fn describe(&self) -> Arc<Description> {
        assert!(!self.is_broken.load(Ordering::SeqCst), "as the test says");
        let skill = |id: &str| Skill {
            id: SkillId::parse(id).unwrap(),
            name: id.to_owned(),
            description: format!("{id} something"),
            tags: vec!["test".to_owned()],
            examples: Vec::new(),
            input: None,
            output: None,
            effect: Effect::ReadOnly,
        };
        Arc::new(Description {
            name: "worker".to_owned(),
            description: "Does what the test says".to_owned(),
            version: "1".to_owned(),
            skills: vec![skill("echo"), skill("shout")],
            ..Description::default()
        })
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        let call = |arguments: Value| {
            Plan::Call(Arc::new(Call {
                skill: None,
                arguments: Some(Json::from(&arguments)),
                converted: Vec::new(),
                effect: Effect::ReadOnly,
            }))
        };
        let text = request.message.text();
        if request.skill.is_some_and(|skill| skill.as_str() == "shout") {
            return call(json!({ "do": "echo", "text": text.to_uppercase() }));
        }
        if request.question().is_some() && !text.starts_with("ask") {
            return call(json!({ "do": "echo", "text": text }));
        }
        let mut words = text.split(' ');
        match words.next() {
            Some("echo") => call(json!({ "do": "echo", "text": words.collect::<Vec<_>>().join(" ") })),
            Some("say") => {
                let words = vec![Part::text(words.collect::<Vec<_>>().join(" "))];
                Plan::Say(Arc::new(Message::from_agent(request.question_id.clone(), words)))
            }
            Some(word @ ("keep" | "fetch")) => call(json!({ "do": word, "text": words.collect::<Vec<_>>().join(" ") })),
            Some("back") => call(json!({ "do": "back" })),
            Some("panic") => panic!("as the message says"),
            Some("steps") => {
                let mut number = || words.next().and_then(|word| word.parse::<usize>().ok()).unwrap_or(1);
                call(json!({ "do": "steps", "count": number(), "size": number() }))
            }
            Some(word @ ("ask" | "visit")) => {
                let message = Message::from_agent(request.question_id.clone(), vec![Part::text("What?")]);
                assert_eq!(message.role, Role::Agent);
                let kind = if word == "ask" { QuestionKind::Input } else { QuestionKind::Authorization };
                Plan::Ask(Arc::new(Question { kind, message: Arc::new(message), schema: None }))
            }
            _ => Plan::Reject(bobbinet_core::Fault::new("unknown", "nothing that the worker knows")),
        }
    }

    fn max_concurrency(&self) -> usize {
        64
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    async fn run(&self, run: Run) -> Outcome {
        let arguments = run.call().arguments.as_ref().unwrap().to_value();
        let artifact =
            |text: String| Arc::new(Artifact::new(ArtifactId::parse("result").unwrap(), vec![Part::text(text)]));
        if arguments["do"] == "echo" {
            let text = arguments["text"].as_str().unwrap().to_owned();
            return Outcome::Completed { artifacts: vec![artifact(text)], message: None };
        }
        if arguments["do"] == "keep" {
            let text = arguments["text"].as_str().unwrap().to_owned();
            let kind = BlobKind { media_type: Some("text/html".into()), filename: Some("a b.html".into()) };
            let kept = run.keep_blob(kind, [Bytes::from(text)].into_iter()).await.unwrap();
            return Outcome::Completed { artifacts: vec![artifact(kept.url)], message: None };
        }
        if arguments["do"] == "fetch" {
            let read = run.read_blob(arguments["text"].as_str().unwrap(), 1 << 20).await;
            let told =
                read.map(|(bytes, _)| String::from_utf8(bytes).unwrap()).unwrap_or_else(|error| error.to_string());
            return Outcome::Completed { artifacts: vec![artifact(told)], message: None };
        }
        if arguments["do"] == "back" {
            return Outcome::Completed { artifacts: vec![artifact(run.message().text())], message: None };
        }
        let (count, size) = (arguments["count"].as_u64().unwrap(), arguments["size"].as_u64().unwrap());
        for step in 1..=count {
            tokio::select! {
                biased;
                () = run.canceled() => return Outcome::Failed(bobbinet_core::Fault::new("canceled", "told to stop")),
                permit = self.gate.acquire() => permit.unwrap().forget(),
            }
            let piece = artifact(step.to_string().repeat(usize::try_from(size).unwrap()));
            if let Content::Text(text) = &piece.parts[0].content {
                self.added.lock().unwrap().push(text.clone());
            }
            if run.add(piece, step > 1, step == count).await.is_err() {
                break;
            }
        }
        Outcome::Completed { artifacts: Vec::new(), message: None }
    }

    async fn shutdown(&self) {}
}
