//! `bobbinet flow run`: one flow, once, on a node of its own that is gone when the flow has ended.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    time::Duration,
};

use bobbinet_core::AgentName;
use bobbinet_http::Mount;
use tokio_util::sync::CancellationToken;

use crate::{
    cli::{FlowRun, Global, Target},
    client::Client,
    config::{self, CallersConfig, Config, INTERNAL_AGENTS, NoFlow, NodeConfig, Strictness},
    failure::{Code, Failure},
    node::{self, CallersSource, Plan},
    output::Output,
    own_folder::OwnFolder,
};

/// Bytes of an input.
const INPUT_LENGTH_MAX: u64 = 3 << 20;

/// What is to be run.
#[derive(Debug)]
pub(crate) struct Prepared {
    plan: Plan,
    name: AgentName,
    input: String,
    /// Gone with this, if nobody named one.
    data: Folder,
}

#[derive(Debug)]
enum Folder {
    Named(PathBuf),
    Own(OwnFolder),
}

impl Folder {
    fn path(&self) -> PathBuf {
        match self {
            Self::Named(path) => path.clone(),
            Self::Own(folder) => folder.path().to_owned(),
        }
    }

    /// What becomes of a task that has not ended when its node does.
    fn fate(&self) -> String {
        match self {
            Self::Named(path) => format!(
                "its task is kept: to go on with it, name the flow under `flows` of a bobbinet.yaml, and start that with --data-dir {}",
                path.display()
            ),
            Self::Own(_) => "its task is gone with its node: --data-dir FOLDER keeps it".to_owned(),
        }
    }
}

/// Reads all that the flow needs, before anything is started.
pub(crate) fn prepare(output: Output, command: &FlowRun) -> Result<Prepared, Failure> {
    if command.delivery.is_async && command.data_dir.is_none() {
        let failure = Failure::new(Code::Usage, "a flow that is not waited for is gone with its node");
        return Err(failure.hint("--data-dir FOLDER keeps its task, for a node that goes on with it; or leave --async away, and A2ACLI_ASYNC"));
    }
    let mut config = match &command.config {
        Some(path) => read(output, path)?,
        None => config::default_file().map(|path| read(output, &path)).transpose()?.unwrap_or_default(),
    };
    let secrets = secrets(command)?;
    let flow = match config::load_flow(command.file.clone(), secrets) {
        Ok(flow) => flow,
        Err(NoFlow::Unreadable { path, why }) => {
            return Err(Failure::new(Code::Usage, format!("{} cannot be read: {why}", path.display()))
                .hint("name a file with a flow in it; `bobbinet flow check FILE` says what is wrong with one"));
        }
        Err(NoFlow::Faulty(findings)) => {
            node::tell(output, &findings)?;
            return Err(Failure::told(Code::Config, "the flow has faults"));
        }
    };
    let missing: Vec<&str> = flow
        .definition
        .secrets
        .iter()
        .filter(|name| !flow.flow.secrets.contains_key(*name))
        .map(String::as_str)
        .collect();
    if let Some(first) = missing.first() {
        return Err(Failure::new(Code::Usage, format!("the flow reads the secret {first}, which it is not given"))
            .hint(format!("name a variable that has it: --secret {first}=VARIABLE")));
    }
    let input = input(command.input.as_deref())?;
    let name = free_name(&flow.definition.name, &config);
    config.flows.files.insert(name.clone(), flow);
    let data = match &command.data_dir {
        Some(path) => Folder::Named(path.clone()),
        None => Folder::Own(OwnFolder::new("flow").map_err(|error| Failure::of(Code::Internal, &error))?),
    };
    let node = NodeConfig {
        listen: "127.0.0.1:0".parse().expect("an address"),
        data: data.path(),
        pre_stop_delay: Duration::ZERO,
        grace: Duration::from_secs(2),
        limits: config.node.limits.clone(),
        ..NodeConfig::default()
    };
    let home = Some(config.node.data);
    let Config { agents, remotes, models, peers, flows, .. } = config;
    let callers = CallersConfig::default();
    Ok(Prepared {
        plan: Plan {
            node,
            agents,
            remotes,
            models,
            peers,
            home,
            callers,
            callers_source: CallersSource::fixed(),
            flows,
            mount: Mount::EachByName,
        },
        name,
        input,
        data,
    })
}

fn read(output: Output, path: &std::path::Path) -> Result<Config, Failure> {
    let reading = config::read(path, Strictness::Lenient);
    node::tell(output, &reading.findings)?;
    Ok(reading.config)
}

/// A name for the flow's agent that no other has.
fn free_name(flow: &str, config: &Config) -> AgentName {
    // A flow's name may have capitals; an agent's has none.
    let wanted = flow.to_ascii_lowercase();
    let Config { agents, remotes, models, flows, .. } = config;
    let names = agents.keys().chain(remotes.keys()).chain(models.keys()).chain(flows.names()).map(AgentName::as_str);
    let taken: BTreeSet<&str> = names.chain(INTERNAL_AGENTS).collect();
    let candidate = |number| if number == 1 { wanted.clone() } else { format!("{wanted}-{number}") };
    let free = (1..=taken.len() + 1).map(candidate).find(|name| !taken.contains(name.as_str()));
    AgentName::parse(&free.expect("one more than there are"))
        .expect("a flow's name is short, and a DNS label but for its capitals")
}

/// The values of secrets: the names of variables were typed, not what they hold.
fn secrets(command: &FlowRun) -> Result<BTreeMap<String, serde_json::Value>, Failure> {
    let mut secrets = BTreeMap::new();
    for text in &command.secret {
        let (name, variable) = text.split_once('=').unwrap_or((text, text));
        let value = std::env::var(variable).map_err(|_| {
            Failure::new(Code::Usage, format!("the variable {variable} is not set"))
                .hint("--secret NAME=VARIABLE takes the name of a variable of the environment, and never the value")
        })?;
        secrets.insert(name.to_owned(), value.into());
    }
    Ok(secrets)
}

fn input(typed: Option<&str>) -> Result<String, Failure> {
    let text = match typed {
        None => return Ok("{}".to_owned()),
        Some(text) => match text.strip_prefix('@') {
            None => text.to_owned(),
            Some(path) => {
                let unreadable = |error: &dyn std::fmt::Display| {
                    Failure::new(Code::Usage, format!("the input {path} cannot be read: {error}"))
                };
                let length = fs::metadata(path).map_err(|error| unreadable(&error))?.len();
                if length > INPUT_LENGTH_MAX {
                    return Err(unreadable(&format!("it has more than {INPUT_LENGTH_MAX} bytes")));
                }
                fs::read_to_string(path).map_err(|error| unreadable(&error))?
            }
        },
    };
    match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::new(Code::Usage, format!("the input is not JSON: {error}"))
            .hint("write --input '{\"name\": \"value\"}', or --input @FILE")),
    }
}

/// Runs it, tells what happens, and takes the node down.
pub(crate) async fn run(global: &Global, command: FlowRun, prepared: Prepared) -> Result<(), Failure> {
    let Prepared { plan, name, input, data } = prepared;
    let (stop, folder) = (CancellationToken::new(), data.path());
    let mut life = Box::pin(node::run_until(plan, stop.clone()));
    let target = Target { agent: Some(name.to_string()), data_dir: Some(folder) };
    let client = Client::new(global)?;
    let telling = client.run_flow(target, &input, &command.answer, &command.delivery);
    tokio::select! {
        biased;
        // It ends before the flow has only if it cannot start, or was told to stop.
        ended = &mut life => {
            ended?;
            return Err(Failure::new(Code::Internal, "the flow was stopped before it had ended").hint(data.fate()));
        }
        told = telling => {
            stop.cancel();
            let ended = life.await;
            told.map_err(|failure| {
                if !matches!(failure.code(), Code::Timeout | Code::Interrupted) {
                    return failure;
                }
                let text = "the flow has not ended, and is not waited for any more";
                Failure::new(failure.code().clone(), text).hint(data.fate())
            })?;
            ended?;
        }
    }
    drop(data);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AuthSettings, PeerSettings};

    #[test]
    fn a_flow_has_a_name_that_no_agent_has_wherever_that_is() {
        let name = |text: &str| AgentName::parse(text).unwrap();
        let peer = PeerSettings::new("http://127.0.0.1:1/".parse().unwrap(), AuthSettings::None);
        let mut config = Config::default();
        assert_eq!(free_name("Words", &config), name("words"));
        config.remotes.insert(name("words"), peer);
        config.flows.of_messages = Some(name("words-2"));
        config.agents.insert(name("words-3"), config::AgentConfig::default());
        assert_eq!(free_name("Words", &config), name("words-4"));
        assert_eq!(free_name("call-http", &config), name("call-http-2"));
    }
}
