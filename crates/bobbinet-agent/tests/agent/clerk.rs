//! An agent that does what a message's first word says, and a caller who asks it.

use std::{path::Path, time::Duration};

use bobbinet_agent::{
    Agent, Answer, Artifact, ArtifactId, Card, Effect, Extension, Failure, Json, Message, Node, Part, Serving, Skill,
    Task, file,
};
use serde_json::{Value, json};

/// What the clerk's card declares.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clerk {
    pub(crate) has_no_streams: bool,
    pub(crate) has_no_webhooks: bool,
    pub(crate) requires: Option<&'static str>,
}

impl Agent for Clerk {
    fn card(&self) -> Card {
        let mut card = Card::new("clerk", "Does as it is told.")
            .title("The Clerk")
            .skill(Skill::new("do", "Does it.").example("count 3").effect(Effect::Idempotent))
            .skill(Skill::new("redo", "Does it again.").effect(Effect::ReadOnly))
            .skill_for_known_callers(Skill::new("undo", "Takes it back.").effect(Effect::Idempotent));
        if self.has_no_streams {
            card = card.without_streaming();
        }
        if self.has_no_webhooks {
            card = card.without_push();
        }
        if let Some(uri) = self.requires {
            let description = "Must be spoken.".to_owned();
            card = card.extension(Extension { uri: uri.to_owned(), description, required: true, params: None });
        }
        card
    }

    fn reply(&self, message: &Message) -> Option<Vec<Part>> {
        (message.text() == "hi").then(|| vec![Part::text("hi yourself")])
    }

    async fn run(&self, task: Task) -> Result<Answer, Failure> {
        let text = task.text();
        let (word, rest) = text.split_once(' ').unwrap_or((text.as_str(), ""));
        match word {
            "count" => count(&task, rest.parse()?).await,
            "several" => {
                let one = Artifact::new(ArtifactId::parse("one")?, vec![Part::text("1")]);
                task.add(one).await?;
                let two = Artifact::new(ArtifactId::parse("two")?, vec![file("2.txt", "text/plain", b"2")]);
                Ok(Answer::text("3").and(two))
            }
            "ask" => {
                let name = task.ask("Who are you?").await?.text();
                let why = task.ask("Why?").await?.text();
                Ok(format!("{name}, because {why}").into())
            }
            "visit" => {
                let word = task.ask_to_authorize("Log in first.", "https://login.example").await?.text();
                Ok(format!("you say {word}").into())
            }
            "reject" => Err(Failure::rejected("not my job").with_code("not-mine")),
            "fail" => Err(Failure::failed("it broke")),
            "skill" => Ok(format!("{:?}", task.skill().map(|skill| skill.as_str())).into()),
            "wait" => {
                task.canceled().await;
                Err(Failure::failed("told to stop"))
            }
            _ => Ok(Answer::nothing()),
        }
    }
}

/// Numbers, a piece each.
async fn count(task: &Task, to: u32) -> Result<Answer, Failure> {
    let mut numbers = task.chunked("numbers").named("Numbers");
    for number in 1..to {
        task.progress_with(format!("at {number}"), Json::of(&json!({ "number": number })));
        numbers.push(Part::text(number.to_string())).await?;
    }
    numbers.finish(Part::text(to.to_string())).await?;
    Ok(Answer::nothing().saying("counted"))
}

/// A clerk that is served, and its owner.
pub(crate) struct Office {
    pub(crate) serving: Serving,
    http: reqwest::Client,
    token: String,
}

impl Office {
    pub(crate) async fn open(folder: &Path) -> Self {
        Self::with(Clerk::default(), folder).await
    }

    pub(crate) async fn with(clerk: Clerk, folder: &Path) -> Self {
        let serving = Node::new(clerk).listen(([127, 0, 0, 1], 0).into()).data_dir(folder).start().await.unwrap();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
        let token = serving.token().unwrap();
        Self { serving, http, token }
    }

    pub(crate) async fn card(&self) -> Value {
        let url = format!("{}/.well-known/agent-card.json", self.serving.url());
        let card = self.http.get(url).header("a2a-version", "1.0").send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&card).unwrap()
    }

    pub(crate) fn request(&self, method: &str, params: &Value) -> reqwest::RequestBuilder {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let request = self.http.post(self.serving.url()).bearer_auth(&self.token);
        request.header("content-type", "application/json").header("a2a-version", "1.0").body(body.to_string())
    }

    pub(crate) async fn result(&self, method: &str, params: Value) -> Value {
        let answer = answer(self.request(method, &params)).await;
        assert_eq!(answer["error"], Value::Null);
        answer["result"].clone()
    }

    pub(crate) async fn send(&self, text: &str) -> Value {
        self.result("SendMessage", message(text)).await["task"].clone()
    }

    pub(crate) async fn reply(&self, task: &Value, text: &str) -> Value {
        let mut params = message(text);
        params["message"]["taskId"] = task["id"].clone();
        params["message"]["messageId"] = json!(text);
        self.result("SendMessage", params).await["task"].clone()
    }

    /// All events of a stream, each in a few words.
    pub(crate) async fn stream(&self, text: &str) -> Vec<String> {
        let response = self.request("SendStreamingMessage", &message(text)).send().await.unwrap();
        let events = response.text().await.unwrap();
        let data = events.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(|event| short(&serde_json::from_str::<Value>(event).unwrap()["result"])).collect()
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> Value {
    serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap()
}

pub(crate) fn message(text: &str) -> Value {
    json!({ "message": { "messageId": "m", "role": "ROLE_USER", "parts": [{ "text": text }] } })
}

pub(crate) fn state(task: &Value) -> &str {
    task["status"]["state"].as_str().unwrap().trim_start_matches("TASK_STATE_")
}

pub(crate) fn words(task: &Value) -> &str {
    task["status"]["message"]["parts"][0]["text"].as_str().unwrap_or_default()
}

fn short(event: &Value) -> String {
    if let Some(message) = event.get("message") {
        return format!("says {}", message["parts"][0]["text"].as_str().unwrap());
    }
    if let Some(task) = event.get("task") {
        return format!("task {}", state(task));
    }
    if let Some(update) = event.get("statusUpdate") {
        return format!("{} {} {}", state(update), words(update), update["metadata"]["number"]).replace(" null", "");
    }
    let update = &event["artifactUpdate"];
    let mut text = format!("{} {}", update["artifact"]["artifactId"], update["artifact"]["parts"][0]["text"]);
    for flag in ["append", "lastChunk"] {
        if update[flag] == true {
            text.push_str(&format!(" {flag}"));
        }
    }
    text.replace('"', "")
}
