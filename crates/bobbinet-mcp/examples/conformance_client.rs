//! The agent as the client that MCP's official conformance suite looks at: `conformance_client URL`.
//!
//! It does what a node does with that server: it lists what there is, calls each of it once as a task, answers what is asked of it, and
//! where somebody has to log in, it is his browser. What the suite says of the scenario comes in the environment, as the suite has it
//! (`MCP_CONFORMANCE_SCENARIO`, `MCP_CONFORMANCE_CONTEXT`). It ends with 1 if there is no login, or nothing was listed.

use std::{path::Path, process::ExitCode, sync::Arc, time::Duration};

use bobbinet_core::{
    AgentName, Caller, Json, Limits, Message, MessageId, Part, Principal, QuestionKind, Role, SkillId, State, Task,
    Tenant,
};
use bobbinet_engine::{Agent, AllowAll, Engine, Env, Handle, NewTask, Reply, Setup, SystemEnv};
use bobbinet_mcp::{
    Launcher, LoginAddress, LoginConfig, LoginDesk, LoginReturn, McpAgent, McpConfig, OAuthClientConfig, ProtocolEra,
    ServerAddress, ServerAuth, ServerUrl, TokenAuthority,
};
use bobbinet_outbound::{
    Guard, OutboundLimits, SecretSource,
    oauth::{ClientCredential, ClientKey},
};
use bobbinet_store::MemoryStore;
use reqwest::{Method, Url};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

/// Where the suite wants to see that a client says who it is.
const CLIENT_URL: &str = "https://conformance-test.local/client-metadata.json";

/// How often somebody may have to log in, or to answer, for one task.
const QUESTIONS_MAX: usize = 8;

/// How long a task may take until it ends or asks.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a task has to go on by itself after a login.
const OWN_PACE: Duration = Duration::from_secs(2);

/// What is called with arguments; everything else without.
const ARGUMENTS: [(&str, &str); 3] = [
    ("add_numbers", r#"{"a":5,"b":3}"#),
    ("resource:read", r#"{"uri":"file:///path/to/file%20name.txt"}"#),
    ("valid_tool", r#"{"region":"us-west1"}"#),
];

/// Called while another tool waits for an answer, if it is there.
const BETWEEN: &str = "test_mrtr_unrelated";

/// A tool, and the one that is told its schema.
const SCHEMA_TOOL: &str = "json_schema_2020_12_tool";
const SCHEMA_ECHO: &str = "json_schema_echo";

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter("info,rmcp=warn").init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Failure> {
    let server: Url = std::env::args().next_back().unwrap_or_default().parse()?;
    let scenario = std::env::var("MCP_CONFORMANCE_SCENARIO").unwrap_or_default();
    let context = std::env::var("MCP_CONFORMANCE_CONTEXT").ok();
    let context: Value = context.map(|text| serde_json::from_str(&text)).transpose()?.unwrap_or_default();
    let folder = tempfile::tempdir()?;
    let guard = Guard::new([], OutboundLimits::default())?.without_redirects()?.trusting_loopback();
    let desk = Arc::new(LoginDesk::default());
    desk.open(LoginAddress {
        redirect: "http://127.0.0.1:7420/oauth/callback".parse()?,
        client_metadata: Some(CLIENT_URL.parse()?),
        client_name: "bobbinet".to_owned(),
    });
    let auth = match scenario.starts_with("auth/") {
        true => Some(auth(&scenario, &context, &server, folder.path(), &guard).await?),
        false => None,
    };
    let mut config = McpConfig::of("server", ServerAddress::Url(ServerUrl { auth, ..ServerUrl::new(server) }));
    config.logins = desk.clone();
    // The suite says which era it is about; where a server has to be asked, a slow machine may greet it in both.
    if std::env::var("MCP_CONFORMANCE_PROTOCOL_VERSION").is_ok_and(|version| version == "2026-07-28") {
        config.era = ProtocolEra::Modern;
    }
    // Nothing is started here.
    let launcher = Launcher::this_program("none", Vec::new());
    let agent = McpAgent::start(config, launcher, &guard, folder.path().join("agent"));
    let name = AgentName::parse("server")?;
    let agents = [(name.clone(), agent.clone() as Arc<dyn Agent>)].into();
    let (store, env, authorizer) = (Arc::new(MemoryStore::new()), Arc::new(SystemEnv), Arc::new(AllowAll));
    let engine = Engine::open(Setup { store, agents, env, limits: Limits::default(), authorizer }).await?;
    let client = Client { engine, agent, name, desk, guard };
    let done = client.call_everything(&context).await;
    client.engine.shutdown(Duration::from_millis(100)).await;
    client.agent.shutdown().await;
    done
}

/// How the node is shown to the server. Who gives out tokens is written down by an operator, who knows it; here the server is asked.
async fn auth(
    scenario: &str,
    context: &Value,
    server: &Url,
    folder: &Path,
    guard: &Guard,
) -> Result<ServerAuth, Failure> {
    let text = |name: &str| context[name].as_str().map(str::to_owned);
    let Some(id) = text("client_id") else { return Ok(ServerAuth::Login(LoginConfig::default())) };
    let metadata = server.join("/.well-known/oauth-protected-resource/mcp")?;
    let metadata = guard.http(&metadata)?.request(Method::GET, &metadata)?.send().await?.text().await?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let issuer = metadata["authorization_servers"][0].as_str().ok_or("the server names no authorization server")?;
    let credential = match (text("client_secret"), text("private_key_pem")) {
        (Some(secret), _) => ClientCredential::Secret(SecretSource::Text(secret)),
        (None, Some(pem)) => {
            let file = folder.join("key.pem");
            std::fs::write(&file, pem)?;
            ClientCredential::Key(ClientKey { file, id: None })
        }
        (None, None) => return Err(format!("{scenario} wants what this node does not have").into()),
    };
    let (issuer, scope) = (issuer.to_owned(), None);
    Ok(match scenario.starts_with("auth/client-credentials") {
        true => {
            let authority = TokenAuthority::Issuer(issuer);
            ServerAuth::ClientCredentials(OAuthClientConfig { authority, id, credential, scope })
        }
        false => ServerAuth::Login(LoginConfig { issuer: Some(issuer), client: Some((id, credential)), scope }),
    })
}

/// A node in small, and whoever calls it.
struct Client {
    engine: Engine,
    agent: Arc<McpAgent>,
    name: AgentName,
    desk: Arc<LoginDesk>,
    guard: Guard,
}

impl Client {
    async fn call_everything(&self, context: &Value) -> Result<(), Failure> {
        // What is not there is refused once it is known what is.
        self.call("no-such-skill", "{}").await?;
        let skills: Vec<String> = self.agent.describe().skills.iter().map(|skill| skill.id.to_string()).collect();
        self.agent.ready()?;
        if let Some(calls) = context["toolCalls"].as_array() {
            for call in calls {
                // What a tool's schema does not have cannot be said to a node; that there is nothing is said by leaving it out.
                let arguments = call["arguments"].as_object().cloned().unwrap_or_default();
                let arguments: serde_json::Map<_, _> = arguments.into_iter().filter(|(_, it)| !it.is_null()).collect();
                self.call(call["name"].as_str().unwrap_or_default(), &Value::Object(arguments).to_string()).await?;
            }
            return Ok(());
        }
        // The suite looks at what is left of a schema by the time that it comes back.
        let schema = self.agent.describe().skills.iter().find(|skill| skill.id.as_str() == SCHEMA_TOOL).cloned();
        if let Some(schema) = schema.and_then(|skill| skill.input) {
            let arguments = json!({ "schema": schema.to_value() }).to_string();
            return self.call(SCHEMA_ECHO, &arguments).await;
        }
        let has_between = skills.iter().any(|skill| skill == BETWEEN);
        for skill in skills.iter().filter(|skill| *skill != BETWEEN) {
            let arguments = ARGUMENTS.iter().find(|(name, _)| name == skill).map_or("{}", |(_, arguments)| arguments);
            let handle = self.submit(skill, arguments)?;
            let task = self.settled(&handle).await?;
            if has_between && task.state == State::InputRequired {
                self.call(BETWEEN, "{}").await?;
            }
            self.see_through(handle).await?;
        }
        Ok(())
    }

    async fn call(&self, skill: &str, arguments: &str) -> Result<(), Failure> {
        let handle = self.submit(skill, arguments)?;
        self.see_through(handle).await
    }

    fn submit(&self, skill: &str, arguments: &str) -> Result<Handle, Failure> {
        let message = said(vec![Part::data(Json::parse(arguments)?)])?;
        let skill = Some(SkillId::parse(skill)?);
        let new = NewTask { message, context: None, skill, trace: None, idempotency: None };
        Ok(self.engine.submit(&caller()?, &self.name, new)?)
    }

    async fn settled(&self, handle: &Handle) -> Result<Arc<Task>, Failure> {
        Ok(tokio::time::timeout(PATIENCE, handle.settled()).await??)
    }

    /// Answers all that the task asks, and logs in.
    async fn see_through(&self, mut handle: Handle) -> Result<(), Failure> {
        for _ in 0..QUESTIONS_MAX {
            let task = self.settled(&handle).await?;
            let question = task.question.clone().filter(|_| !task.state.is_terminal());
            let Some(question) = question else {
                let words = task.status_message.as_ref().map(|message| message.text()).unwrap_or_default();
                let skill = task.calls.last().and_then(|call| call.skill.as_ref().map(ToString::to_string));
                eprintln!("{}: {} {words}", skill.unwrap_or_default(), task.state.as_str());
                return Ok(());
            };
            let answer = match question.kind {
                QuestionKind::Authorization => {
                    let data = question.message.data().map(Json::to_value).unwrap_or_default();
                    self.log_in(data["url"].as_str().ok_or("there is no address to log in at")?).await?;
                    if self.goes_on(&task).await? {
                        continue;
                    }
                    said(vec![Part::text("done")])?
                }
                QuestionKind::Input | QuestionKind::Elicitation | QuestionKind::Outcome { .. } => {
                    said(vec![Part::data(Json::from(&json!({"action": "accept", "content": {}})))])?
                }
            };
            let reply = Reply { message: answer, context: None, skill: None, idempotency: None };
            handle = self.engine.reply(&caller()?, &self.name, &task.id, reply).await?;
        }
        Err("it asked again and again".into())
    }

    /// Whether a task that has waited for a login goes on by itself.
    async fn goes_on(&self, task: &Task) -> Result<bool, Failure> {
        if task.calls.is_empty() {
            return Ok(false);
        }
        let looking = async {
            while self.engine.get(&caller()?, &self.name, &task.id).await?.state == State::AuthRequired {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok::<_, Failure>(())
        };
        match tokio::time::timeout(OWN_PACE, looking).await {
            Ok(looked) => looked.map(|()| true),
            Err(_elapsed) => Ok(false),
        }
    }

    /// Does what a browser does: it goes where it is sent, and from there to where it is sent back.
    async fn log_in(&self, url: &str) -> Result<(), Failure> {
        let url: Url = url.parse()?;
        let answer = self.guard.http(&url)?.request(Method::GET, &url)?.send().await?;
        let back = answer.headers().get("location").ok_or("it is sent nowhere")?.to_str()?;
        let back: Url = back.parse()?;
        match self.desk.come_back(back.query().unwrap_or_default()).await {
            LoginReturn::LoggedIn { .. } => Ok(()),
            other @ (LoginReturn::Unknown | LoginReturn::Refused | LoginReturn::Failed(_)) => {
                Err(format!("there is no login: {other:?}").into())
            }
        }
    }
}

fn caller() -> Result<Caller, Failure> {
    let (principal, tenant) = (Principal::parse("suite")?, Tenant::parse("main")?);
    let (scopes, chain) = (Vec::new(), Vec::new());
    Ok(Caller { principal, tenant, is_node_owner: true, scopes, chain, issuer: None, claims: None })
}

fn said(parts: Vec<Part>) -> Result<Message, Failure> {
    let id = MessageId::parse(&SystemEnv.uuid().to_string())?;
    Ok(Message { role: Role::User, ..Message::from_agent(id, parts) })
}
