//! A model as an agent.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bobbinet_core::{
    Artifact, ArtifactId, Description, Effect, Fault, Json, Message, MessageId, Outcome, Part, Plan, Question,
    QuestionKind, Skill, SkillId,
};
use bobbinet_engine::{Agent, Aggregates, ChildError, EngineError, Request, Run, Unanswered};
use bobbinet_outbound::{OutboundError, OutboundLimits, fetch};
use http::{Method, StatusCode};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::time::sleep;
use tracing::debug;

use crate::{
    account::{AccountCommand, AccountId, TokenAccount},
    config::ModelConfig,
    prompt::{self, Prompt, SKILL},
    wire::{self, Completion, Usage},
};

/// How often a request that the endpoint was too busy for is made again.
const RETRIES_MAX: u32 = 4;

/// The first pause before that; each is twice the last.
const PAUSE: Duration = Duration::from_millis(500);

/// For an answer: a model may think for long.
const ANSWER: Duration = Duration::from_secs(300);

/// How soon what the store could not do is tried again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A model as an agent.
#[derive(Debug)]
pub struct ModelAgent {
    config: ModelConfig,
    url: Url,
    description: Arc<Description>,
}

/// Why there is no answer.
enum NoAnswer {
    /// This is said of it.
    Outcome(Outcome),
    /// The endpoint is too busy, or away for the moment.
    Passing(String),
}

impl ModelAgent {
    /// An agent of this model.
    ///
    /// # Errors
    /// If its URL is none.
    pub fn new(config: ModelConfig) -> Result<Arc<Self>, String> {
        let text = format!("{}/chat/completions", config.url.trim_end_matches('/'));
        let url = Url::parse(&text).map_err(|error| format!("{:?} is no URL: {error}", config.url))?;
        let usual = describe(&config.model);
        let name = config.title.clone().unwrap_or(usual.name);
        let description = config.description.clone().unwrap_or(usual.description);
        let description = Arc::new(Description { name, description, ..usual });
        Ok(Arc::new(Self { config, url, description }))
    }

    async fn think(&self, run: &Run, prompt: &Prompt) -> Result<Completion, Outcome> {
        let mut pause = PAUSE;
        for tries in 0.. {
            match self.ask(prompt).await {
                Ok(completion) => return Ok(completion),
                Err(NoAnswer::Outcome(outcome)) => return Err(outcome),
                Err(NoAnswer::Passing(why)) if tries >= RETRIES_MAX => {
                    return Err(Outcome::Failed(Fault::new("model-unavailable", why)));
                }
                Err(NoAnswer::Passing(why)) => debug!(task = %run.task().id, why, "asking the model again"),
            }
            sleep(pause).await;
            pause *= 2;
        }
        unreachable!("the loop ends with its last try")
    }

    async fn ask(&self, prompt: &Prompt) -> Result<Completion, NoAnswer> {
        let failed = |code, why: String| NoAnswer::Outcome(Outcome::Failed(Fault::new(code, why)));
        let http = self.config.guard.http(&self.url).map_err(|error| failed("model-refused", error.to_string()))?;
        let request =
            http.request(Method::POST, &self.url).map_err(|error| failed("model-refused", error.to_string()))?;
        let request = request.json(&wire::body(&self.config, prompt));
        let request = match &self.config.key {
            Some(key) => request.bearer_auth(&key.0),
            None => request,
        };
        let limits = OutboundLimits { answer: ANSWER, whole: ANSWER, silence: ANSWER, ..*http.limits() };
        let fetched = match fetch(request, &limits).await {
            Ok(fetched) => fetched,
            Err(error @ OutboundError::Refused(_)) => return Err(failed("model-refused", error.to_string())),
            Err(error) => return Err(NoAnswer::Passing(error.to_string())),
        };
        match fetched.status {
            status if status.is_success() => serde_json::from_slice(&fetched.body)
                .map_err(|error| failed("model-garbage", format!("the model's answer cannot be read: {error}"))),
            StatusCode::TOO_MANY_REQUESTS => Err(NoAnswer::Passing("the model's endpoint is too busy".to_owned())),
            status if status.is_server_error() => {
                Err(NoAnswer::Passing(format!("the model's endpoint answers with {status}")))
            }
            status => {
                let said = error_text(&fetched.body).unwrap_or_default();
                Err(failed("model-refused", format!("the model's endpoint answers with {status} {said}")))
            }
        }
    }

    /// Asks whoever has begun the tree, once it has spent its budget.
    async fn may_spend(&self, run: &Run, account: AccountId) -> Result<(), Outcome> {
        let accounts = run.aggregates::<TokenAccount>();
        loop {
            let known = match accounts.get(&account).await {
                Ok(known) => known.unwrap_or_default(),
                Err(EngineError::Unavailable(_) | EngineError::Draining) => {
                    sleep(LOOK_AGAIN).await;
                    continue;
                }
                Err(error) => return Err(Outcome::Failed(Fault::new("no-account", error.to_string()))),
            };
            if known.has_left(self.config.budget) {
                return Ok(());
            }
            let budget = self.config.budget;
            let allowed = budget.saturating_add(known.granted);
            let text = format!(
                "The tasks beneath {} have spent {} tokens on models, of {allowed} that they may. May they spend {budget} more?",
                account.0, known.spent
            );
            let schema = prompt::answer_schema();
            let answer = match run.answer_to(&text, Some(&schema)) {
                Some(answer) => answer,
                None => {
                    let id = run.message_id(&format!("budget-{}-{allowed}", known.spent));
                    ask_for_more(run, id, &text, schema).await?
                }
            };
            if answer.read::<bool>().ok() != Some(true) {
                return Err(Outcome::Failed(Fault::new("over-budget", format!("{text} No."))));
            }
            // One answer may have cost many budgets.
            let tokens = known.spent.saturating_sub(allowed).saturating_add(budget);
            grant(&accounts, &account, AccountCommand::Grant { tokens, question: text }).await?;
        }
    }

    async fn spend(&self, run: &Run, account: AccountId, usage: Usage) {
        let accounts = run.aggregates::<TokenAccount>();
        let spend = AccountCommand::Spend { tokens: usage.total() };
        while let Err(EngineError::Unavailable(_)) = accounts.command(&account, spend.clone()).await {
            sleep(LOOK_AGAIN).await;
        }
    }

    async fn go(&self, run: &Run) -> Result<Outcome, Outcome> {
        let prompt: Prompt = run
            .call()
            .arguments
            .as_ref()
            .and_then(|arguments| arguments.read().ok())
            .ok_or_else(|| Outcome::Rejected(Fault::new("bad-arguments", "this is no prompt")))?;
        let root = run.root().await.map_err(|error| match error {
            ChildError::Over => Outcome::Unknown { fault: Fault::new("over", "the run is over"), again: false },
            ChildError::Denied(fault) => Outcome::Failed(fault),
            ChildError::Engine(error) => Outcome::Failed(Fault::new("no-account", error.to_string())),
        })?;
        let account = AccountId(root);
        self.may_spend(run, account).await?;
        let completion = self.think(run, &prompt).await?;
        let usage = completion.usage(&prompt);
        self.spend(run, account, usage).await;
        let text = completion.text().map_err(|why| Outcome::Failed(Fault::new("model-refused", why)))?;
        let part = match &prompt.schema {
            None => Part::text(text),
            Some(_) => match serde_json::from_str::<Value>(text) {
                Ok(value) => Part::data(Json::from(&value)),
                Err(error) => {
                    let why = format!("the model was to answer in JSON, and this is none: {error}");
                    return Err(Outcome::Failed(Fault::new("model-garbage", why)));
                }
            },
        };
        let mut artifact = Artifact::new(ArtifactId::parse("answer").expect("a word"), vec![part]);
        artifact.metadata = Some(Json::from(&json!({
            "model": completion.model().unwrap_or(&self.config.model),
            "usage": {
                "promptTokens": usage.prompt_tokens, "completionTokens": usage.completion_tokens,
                "totalTokens": usage.total(),
            },
        })));
        Ok(Outcome::Completed { artifacts: vec![Arc::new(artifact)], message: None })
    }
}

/// Keeps what was granted: a yes is not asked for twice.
async fn grant(accounts: &Aggregates<TokenAccount>, account: &AccountId, grant: AccountCommand) -> Result<(), Outcome> {
    loop {
        match accounts.command(account, grant.clone()).await {
            Ok(_) | Err(EngineError::Refused(_)) => return Ok(()),
            Err(EngineError::Unavailable(_) | EngineError::Draining) => sleep(LOOK_AGAIN).await,
            Err(error) => return Err(Outcome::Failed(Fault::new("no-account", error.to_string()))),
        }
    }
}

async fn ask_for_more(run: &Run, id: MessageId, text: &str, schema: Json) -> Result<Json, Outcome> {
    let message = Arc::new(Message::from_agent(id, vec![Part::text(text)]));
    let question = Question { kind: QuestionKind::Elicitation, message, schema: Some(schema) };
    run.ask(Arc::new(question)).await.map_err(|unanswered| match unanswered {
        Unanswered::Expired | Unanswered::Over => Outcome::Declined,
        Unanswered::NotAsked(error) => Outcome::Failed(Fault::new("over-budget", error.to_string())),
    })
}

/// What an endpoint says of its error.
fn error_text(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let text = value.pointer("/error/message").or_else(|| value.get("message"))?.as_str()?;
    Some(text.chars().take(500).collect())
}

/// What an agent of this model says of itself.
pub fn describe(model: &str) -> Description {
    let (name, description) = (model.to_owned(), format!("Thinks, with the model {model}."));
    let skill = Skill {
        id: SkillId::parse(SKILL).expect("a word"),
        name: "Think".to_owned(),
        description: "Answers a prompt, in words or as data of a schema.".to_owned(),
        tags: vec!["model".to_owned()],
        examples: vec!["Say in one sentence what a bobbin is.".to_owned()],
        input: Some(prompt::input_schema()),
        output: None,
        effect: Effect::ReadOnly,
    };
    Description { name, description, version: model.to_owned(), skills: vec![skill], ..Description::default() }
}

#[async_trait]
impl Agent for ModelAgent {
    fn describe(&self) -> Arc<Description> {
        self.description.clone()
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        prompt::plan(request)
    }

    fn max_concurrency(&self) -> usize {
        self.config.calls_max
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    async fn run(&self, run: Run) -> Outcome {
        tokio::select! {
            biased;
            () = run.canceled() => Outcome::Failed(Fault::new("canceled", "the model is not waited for any more")),
            done = self.go(&run) => done.unwrap_or_else(|outcome| outcome),
        }
    }

    async fn shutdown(&self) {}
}
