//! The agents under test.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bobbinet_core::{
    Artifact, ArtifactId, Base64, Call, Content, Description, Effect, Fault, Json, Message, Outcome, Part, Plan,
    Question, QuestionKind, Skill, SkillId,
};
use bobbinet_engine::{Agent, BlobKind, Offers, Request, Run};
use serde_json::{Value, json};
use tokio::sync::Notify;

/// An agent with the skills that are named after what they do.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// Whether `hang` was told to stop.
    pub(crate) is_stopped: AtomicBool,
    /// Lets `hang` end.
    pub(crate) go: Notify,
    pub(crate) hangs: Notify,
}

/// One without skills, which repeats what it is told.
#[derive(Debug)]
pub(crate) struct Talker;

/// One with resources and prompts beside a tool, and another of it may be there under another name.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    /// Whether it has one more prompt.
    pub(crate) has_more: AtomicBool,
    /// Says that what is followed has changed.
    pub(crate) changed: Notify,
    /// How many have begun to follow.
    pub(crate) following: AtomicUsize,
    /// How often one who followed was told to stop.
    pub(crate) unfollowed: AtomicUsize,
}

/// One whose server hangs while it starts.
#[derive(Debug)]
pub(crate) struct Hanging;

/// One whose server is gone.
#[derive(Debug)]
pub(crate) struct Dead;

/// One whose server takes so long to start, once somebody waits for it.
#[derive(Debug)]
pub(crate) struct Late {
    pub(crate) takes: Duration,
    pub(crate) has_started: AtomicBool,
}

fn skill(id: &str, input: Option<Value>, output: Option<Value>, effect: Effect) -> Skill {
    Skill {
        id: SkillId::parse(id).unwrap(),
        name: id.to_uppercase(),
        description: format!("{id} something"),
        tags: Vec::new(),
        examples: Vec::new(),
        input: input.as_ref().map(Json::from),
        output: output.as_ref().map(Json::from),
        effect,
    }
}

fn described(name: &str, skills: Vec<Skill>) -> Arc<Description> {
    let description = format!("The {name}.");
    Arc::new(Description {
        name: name.to_owned(),
        description,
        version: "1".to_owned(),
        skills,
        ..Description::default()
    })
}

fn artifact(parts: Vec<Part>) -> Arc<Artifact> {
    Arc::new(Artifact::new(ArtifactId::parse("result").unwrap(), parts))
}

fn done(text: &str) -> Outcome {
    Outcome::Completed { artifacts: vec![artifact(vec![Part::text(text)])], message: None }
}

/// A text of more than a megabyte.
pub(crate) fn large() -> String {
    "0123456789".repeat(150_000)
}

fn call(request: &Request<'_>) -> Plan {
    let arguments =
        request.message.data().cloned().or_else(|| Some(Json::from(&json!({"text": request.message.text()}))));
    let skill = request.skill.cloned();
    Plan::Call(Arc::new(Call { skill, arguments, converted: Vec::new(), effect: Effect::ReadOnly }))
}

#[async_trait]
impl Agent for Desk {
    fn describe(&self) -> Arc<Description> {
        let text = json!({"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]});
        let none = json!({"type": "object"});
        described(
            "desk",
            vec![
                skill("echo", Some(text), None, Effect::ReadOnly),
                skill("blocks.all", Some(none.clone()), Some(none.clone()), Effect::Idempotent),
                skill("fail", Some(none.clone()), None, Effect::AtMostOnce),
                skill("steps", Some(none.clone()), None, Effect::ReadOnly),
                skill("name", Some(none.clone()), None, Effect::ReadOnly),
                skill("hang", Some(none), None, Effect::ReadOnly),
            ],
        )
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        match request.question().map(|question| question.kind) {
            Some(QuestionKind::Elicitation) => {
                let words = || Json::from(&json!({"action": "accept", "content": {"name": request.message.text()}}));
                Plan::Answer(request.message.data().cloned().unwrap_or_else(words))
            }
            Some(_) | None => call(request),
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
        match run.call().skill.as_ref().unwrap().as_str() {
            "blocks.all" => {
                let note = |text: &str| Some(Json::parse(text).unwrap());
                let data = Json::parse(r#"{"z":1.0,"a":2}"#).unwrap();
                let parts = vec![
                    Part { metadata: note(r#"{"role":"structured","textCopy":true}"#), ..Part::data(data) },
                    Part {
                        media_type: Some("image/png".into()),
                        ..Part::new(Content::Raw(Base64::from_checked("AAEC")))
                    },
                    Part { metadata: note(r#"{"size":3}"#), ..Part::url("file:///a").named("a", "x/y") },
                ];
                Outcome::Completed { artifacts: vec![artifact(parts)], message: None }
            }
            "fail" => {
                let message = Message::from_agent(run.message_id("no"), vec![Part::text("no luck")]);
                Outcome::ToolError { artifacts: Vec::new(), message: Arc::new(message) }
            }
            "steps" => {
                let count = arguments["count"].as_u64().unwrap_or(3);
                for step in 1..=count {
                    let message = Message::from_agent(run.message_id("step"), vec![Part::text(format!("step {step}"))]);
                    let numbers = json!({"progress": {"value": step, "total": count}});
                    run.progress(Some(Arc::new(message)), Some(Json::from(&numbers)));
                    tokio::time::sleep(Duration::from_millis(arguments["pause"].as_u64().unwrap_or(50))).await;
                }
                done("three steps")
            }
            "name" => {
                let schema =
                    json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]});
                let data = json!({"type": "elicitation", "message": "Who are you?", "requestedSchema": schema});
                let parts = vec![Part::text("Who are you?"), Part::data(Json::from(&data))];
                let message = Arc::new(Message::from_agent(run.message_id("who"), parts));
                let kind = QuestionKind::Elicitation;
                let question = Question { kind, message, schema: Some(Json::from(&schema)) };
                match run.ask(Arc::new(question)).await {
                    Ok(answer) => {
                        let answer = answer.to_value();
                        match answer["content"]["name"].as_str() {
                            Some(name) => done(&format!("hello {name}")),
                            None => done(&format!("{}d", answer["action"].as_str().unwrap())),
                        }
                    }
                    Err(_) => Outcome::Failed(Fault::new("unanswered", "nobody answered")),
                }
            }
            "hang" => {
                self.hangs.notify_one();
                tokio::select! {
                    () = self.go.notified() => done("went on"),
                    () = run.canceled() => {
                        self.is_stopped.store(true, Ordering::SeqCst);
                        Outcome::Failed(Fault::new("canceled", "told to stop"))
                    }
                }
            }
            _ => done(arguments["text"].as_str().unwrap_or_default()),
        }
    }

    async fn shutdown(&self) {}
}

#[async_trait]
impl Agent for Talker {
    fn describe(&self) -> Arc<Description> {
        described("talker", Vec::new())
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        call(request)
    }

    fn max_concurrency(&self) -> usize {
        64
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    async fn run(&self, run: Run) -> Outcome {
        done(&format!("you said: {}", run.message().text()))
    }

    async fn shutdown(&self) {}
}

#[async_trait]
impl Agent for Shelf {
    fn describe(&self) -> Arc<Description> {
        let none = json!({"type": "object"});
        let follow = json!({"type": "boolean"});
        let uri = json!({"type": "object", "properties": {"uri": {"type": "string"}, "follow": follow}});
        let mut skills = vec![
            skill("dust", Some(none.clone()), None, Effect::ReadOnly),
            skill("resource:read", Some(uri), None, Effect::ReadOnly),
            skill("prompt:review", Some(none.clone()), None, Effect::ReadOnly),
        ];
        if self.has_more.load(Ordering::SeqCst) {
            skills.push(skill("prompt:more", Some(none), None, Effect::ReadOnly));
        }
        described("shelf", skills)
    }

    fn offers(&self) -> Arc<Offers> {
        let json = |value: Value| Json::from(&value);
        let prompt = |name: &str| {
            let listed = json!({"name": name, "arguments": [{"name": "code", "required": true}]});
            (SkillId::parse(&format!("prompt:{name}")).unwrap(), json(listed))
        };
        let mut prompts = vec![prompt("review")];
        if self.has_more.load(Ordering::SeqCst) {
            prompts.push(prompt("more"));
        }
        let said = json!({"annotations": {"readOnlyHint": true, "openWorldHint": false}, "_meta": {"ui": {"a": 1}}});
        Arc::new(Offers {
            tools: BTreeMap::from([(SkillId::parse("dust").unwrap(), Json::from(&said))]),
            reader: Some(SkillId::parse("resource:read").unwrap()),
            resources: vec![json(json!({"uri": "book:1", "name": "one", "mimeType": "text/plain"}))],
            templates: vec![json(json!({"uriTemplate": "book:{number}/page", "name": "page"}))],
            beside: prompts.iter().map(|(skill, _)| skill.clone()).collect(),
            prompts,
        })
    }

    async fn complete(&self, params: &Json) -> Result<Json, Fault> {
        Ok(Json::from(&json!({"values": [params.to_value()["ref"]["name"]]})))
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        call(request)
    }

    fn max_concurrency(&self) -> usize {
        64
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    async fn run(&self, run: Run) -> Outcome {
        let arguments = run.call().arguments.as_ref().unwrap().to_value();
        let note = |value: Value| Some(Json::from(&value));
        match run.call().skill.as_ref().unwrap().as_str() {
            "resource:read" if arguments["follow"] == true => {
                for count in 0.. {
                    // Before what is read now is told: a change after that is another.
                    let changed = self.changed.notified();
                    let id = ArtifactId::parse(&format!("read-{count}")).unwrap();
                    run.add(Arc::new(Artifact::new(id, vec![Part::text("now")])), false, true).await.unwrap();
                    if count == 0 {
                        self.following.fetch_add(1, Ordering::SeqCst);
                    }
                    tokio::select! {
                        () = changed => {}
                        () = run.canceled() => break,
                    }
                }
                self.unfollowed.fetch_add(1, Ordering::SeqCst);
                Outcome::Failed(Fault::new("canceled", "told to stop"))
            }
            "resource:read" => match arguments["uri"].as_str().unwrap() {
                uri @ ("book:1" | "book:7/page") => {
                    let part = Part::text(format!("{uri} of {}", run.task().agent));
                    let part =
                        Part { media_type: Some("text/plain".into()), metadata: note(json!({"uri": uri})), ..part };
                    Outcome::Completed { artifacts: vec![artifact(vec![part])], message: None }
                }
                // What is too large for its task, as a wrapped server's is kept: a word of it, and where it is.
                uri @ ("book:bytes" | "book:page") => {
                    let of_text = uri == "book:page";
                    let kind = BlobKind { media_type: Some("text/html".into()), filename: None };
                    let kept = run.keep_blob(kind, std::iter::once(large().into())).await.unwrap();
                    let meta = json!({"uri": uri, "_meta": {"ui": {"a": 1}}, "bytes": !of_text, "size": kept.length});
                    let word = Part { metadata: note(json!({"role": "preview"})), ..Part::text("It is large.") };
                    let part = Part { metadata: note(meta), ..Part::url(kept.url).named("x", "text/html") };
                    Outcome::Completed { artifacts: vec![artifact(vec![word, part])], message: None }
                }
                uri => {
                    let data = json!({"code": -32602, "message": "no such book", "data": {"uri": uri}});
                    Outcome::Rejected(Fault { data: note(data), ..Fault::new("bad-arguments", "no such book") })
                }
            },
            "prompt:review" => {
                let said =
                    |role: &str, words: String| Part { metadata: note(json!({"role": role})), ..Part::text(words) };
                let parts =
                    vec![said("user", format!("look at {}", arguments["code"])), said("assistant", "well".into())];
                Outcome::Completed { artifacts: vec![artifact(parts)], message: None }
            }
            _ => done("clean"),
        }
    }

    async fn shutdown(&self) {}
}

#[async_trait]
impl Agent for Hanging {
    fn describe(&self) -> Arc<Description> {
        described("late", Vec::new())
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        call(request)
    }

    fn max_concurrency(&self) -> usize {
        1
    }

    fn ready(&self) -> Result<(), String> {
        Err("it is starting".to_owned())
    }

    fn is_starting(&self) -> bool {
        true
    }

    async fn started(&self, patience: Duration) {
        tokio::time::sleep(patience).await;
    }

    async fn run(&self, _: Run) -> Outcome {
        done("")
    }

    async fn shutdown(&self) {}
}

#[async_trait]
impl Agent for Dead {
    fn describe(&self) -> Arc<Description> {
        described("dead", vec![skill("never", None, None, Effect::ReadOnly)])
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        call(request)
    }

    fn max_concurrency(&self) -> usize {
        1
    }

    fn ready(&self) -> Result<(), String> {
        Err("its server is gone".to_owned())
    }

    async fn run(&self, _: Run) -> Outcome {
        done("")
    }

    async fn shutdown(&self) {}
}

#[async_trait]
impl Agent for Late {
    fn describe(&self) -> Arc<Description> {
        described("late", vec![skill("come", None, None, Effect::ReadOnly)])
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        call(request)
    }

    fn max_concurrency(&self) -> usize {
        1
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    fn is_starting(&self) -> bool {
        !self.has_started.load(Ordering::SeqCst)
    }

    async fn started(&self, _: Duration) {
        tokio::time::sleep(self.takes).await;
        self.has_started.store(true, Ordering::SeqCst);
    }

    async fn run(&self, _: Run) -> Outcome {
        done("here")
    }

    async fn shutdown(&self) {}
}
