//! `bobbinet up` and `bobbinet agent`: what was typed, as a plan.

use std::{
    collections::BTreeMap,
    env,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use bobbinet_core::AgentName;
use bobbinet_http::{Mount, TlsFiles};
use bobbinet_mcp::McpLimits;

use super::{plan::Plan, reload::CallersSource, start::AGENTS_FOLDER};
use crate::{
    alike_names,
    cli::{Agent, Check, NodeArgs, Up},
    config::{
        self, AgentConfig, CallersConfig, CommandConfig, Config, Finding, FlowConfig, Flows, ModelSettings, NoCard,
        NodeConfig, PeerSettings, Reading, ServerConfig, Severity, Source, Strictness, TlsSettings, default_file,
        default_files, find_card, program, share_words, whole_millis,
    },
    failure::{Code, Failure},
    output::Output,
    remark::{Remark, remark},
};

/// The plan of `bobbinet up`.
pub(crate) fn up(output: Output, command: Up) -> Result<Plan, Failure> {
    let Up { file, strict, node } = command;
    let file = file.or_else(default_file).ok_or_else(|| {
        let failure = Failure::new(Code::Usage, "there is no configuration here");
        failure
            .hint(format!("name a file: bobbinet up FILE; without one it is the first there is of {}", default_files()))
    })?;
    let mut plan = of_file(output, file, strictness(strict))?;
    over(&mut plan.node, node);
    Ok(plan)
}

/// The plan of a node that a command has for itself: the agents of a file, at any port of this machine. What it keeps is beside the file, or
/// in the folder that is named.
pub(crate) fn of_own(output: Output, file: PathBuf, data: Option<PathBuf>) -> Result<Plan, Failure> {
    let folder = file.parent().map(Path::to_owned).unwrap_or_default();
    let mut plan = of_file(output, file, Strictness::Lenient)?;
    plan.node.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    plan.node.tls = TlsSettings::Off;
    plan.node.data = data.unwrap_or_else(|| folder.join(&plan.node.data));
    Ok(plan)
}

fn of_file(output: Output, file: PathBuf, strictness: Strictness) -> Result<Plan, Failure> {
    let callers_source = CallersSource::config(file.clone(), strictness);
    let Reading { config, findings } = config::read(&file, strictness);
    tell(output, &findings)?;
    let Config { node, agents, remotes, models, peers, callers, flows, is_lenient: _ } = config;
    let mount = Mount::EachByName;
    Ok(Plan { node, agents, remotes, models, peers, home: None, callers, callers_source, flows, mount })
}

fn strictness(strict: bool) -> Strictness {
    if strict { Strictness::Strict } else { Strictness::Lenient }
}

/// The plan of `bobbinet agent`.
pub(crate) fn agent(output: Output, command: Agent) -> Result<Plan, Failure> {
    let Agent { era, idle, start_timeout, isolation, callers, .. } = command;
    let Agent { name, node: typed, card, trust_hints, description, cwd, env, url, headers, command, .. } = command;
    let name = match name {
        Some(name) => name,
        None => url.as_deref().map_or_else(|| name_of(&command), name_of_url),
    };
    let here = env::current_dir().map_err(|error| Failure::of(Code::Internal, &error))?;
    let card = card.map(|text| find(output, &text, &here)).transpose()?;
    let mut limits = McpLimits::default();
    if let Some(idle) = idle {
        limits.idle_ms = whole_millis(idle);
    }
    if let Some(timeout) = start_timeout {
        limits.start_patience_ms = whole_millis(timeout);
        limits.start_limit_ms = limits.start_patience_ms;
    }
    let server = match url {
        Some(url) => {
            let (agent, findings) = config::read_typed(&name, &url, &headers, &here, env::vars().collect());
            tell(output, &findings)?;
            agent.server
        }
        None => {
            let cwd = cwd.as_deref().map(Path::to_string_lossy);
            ServerConfig::Command(started(CommandConfig::new(command, variables(&env)?, cwd.as_deref(), &here))?)
        }
    };
    let mut agent = AgentConfig {
        server,
        card,
        description,
        trust_hints,
        isolation: isolation.unwrap_or_default(),
        era,
        limits,
        ..AgentConfig::default()
    };
    tell(output, agent.take_known_card(name.as_str(), "bobbinet agent").as_slice())?;
    let mut node = NodeConfig::default();
    over(&mut node, typed);
    let (callers, callers_source) = match callers {
        Some(file) => {
            let source = CallersSource::callers(file.clone(), name.clone());
            let (callers, findings) = config::read_callers(&file, &name);
            tell(output, &findings)?;
            (callers, source)
        }
        None => (CallersConfig::default(), CallersSource::fixed()),
    };
    let agents = BTreeMap::from([(name.clone(), agent)]);
    let (remotes, models, peers, flows) = (BTreeMap::new(), BTreeMap::new(), Vec::new(), Flows::default());
    let mount = Mount::Root(name);
    Ok(Plan { node, agents, remotes, models, peers, home: None, callers, callers_source, flows, mount })
}

/// A command whose program is there.
fn started(server: CommandConfig) -> Result<CommandConfig, Failure> {
    if !server.cwd.is_dir() {
        return Err(Failure::new(Code::Usage, format!("there is no folder {}", server.cwd.display())));
    }
    if program(&server).is_none() {
        let program = server.words.first().map(String::as_str).unwrap_or_default();
        return Err(Failure::new(Code::Usage, format!("there is no program {program}"))
            .hint("name it by its path, or put its folder into PATH"));
    }
    Ok(server)
}

/// What was typed of TLS, if anything was.
fn tls(typed: &NodeArgs) -> Option<TlsSettings> {
    if typed.no_tls {
        return Some(TlsSettings::Off);
    }
    let (certificate, key) = typed.tls_cert.clone().zip(typed.tls_key.clone())?;
    let is_client_required = typed.tls_client_required;
    Some(TlsSettings::Files(TlsFiles { certificate, key, client_ca: typed.tls_client_ca.clone(), is_client_required }))
}

/// What was typed is above what the file says.
fn over(node: &mut NodeConfig, typed: NodeArgs) {
    let tls = tls(&typed);
    let NodeArgs { listen, data_dir, public_url, proxy, cors, pre_stop_delay, grace, otlp, .. } = typed;
    node.tls = tls.unwrap_or_else(|| std::mem::take(&mut node.tls));
    node.listen = listen.unwrap_or(node.listen);
    node.data = data_dir.unwrap_or_else(|| node.data.clone());
    node.public_url = public_url.or(node.public_url.take());
    node.proxies = if proxy.is_empty() { std::mem::take(&mut node.proxies) } else { proxy };
    node.cors = if cors.is_empty() { std::mem::take(&mut node.cors) } else { cors };
    // In a pod the address is taken out of the rotation a while after the pod was told to end.
    let is_pod = env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    let default =
        if is_pod && node.pre_stop_delay.is_zero() { config::PRE_STOP_DELAY_IN_POD } else { node.pre_stop_delay };
    node.pre_stop_delay = pre_stop_delay.unwrap_or(default);
    node.grace = grace.unwrap_or(node.grace);
    node.otlp = otlp.or(node.otlp.take());
}

fn find(output: Output, text: &str, here: &Path) -> Result<config::Card, Failure> {
    let source = Source { name: "--use".to_owned(), text: String::new(), folder: here.to_owned() };
    match find_card(text, &source) {
        Ok(card) => Ok(card),
        Err(NoCard::Unknown { hint }) => {
            Err(Failure::new(Code::Usage, format!("there is no card {text:?}")).hint(hint))
        }
        Err(NoCard::Faults(findings)) => {
            tell(output, &findings)?;
            Err(Failure::told(Code::Config, "the card has faults"))
        }
    }
}

fn variables(typed: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let variable = |text: &String| match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => match env::var(text) {
            Ok(value) => Ok((text.clone(), value)),
            Err(_) => Err(Failure::new(Code::Usage, format!("the variable {text} is not set"))
                .hint(format!("set it, or write --env {text}=VALUE"))),
        },
    };
    typed.iter().map(variable).collect()
}

/// A name after what is started: `npx -y @scope/server-files` is `files`.
fn name_of(command: &[String]) -> AgentName {
    let is_runner = |word: &&String| {
        let program = Path::new(word.as_str()).file_name().and_then(|name| name.to_str()).unwrap_or_default();
        ["npx", "npm", "exec", "bunx", "uvx", "uv", "pipx", "run", "node", "python", "python3", "env", "sh", "bash"]
            .contains(&program)
    };
    let word = command.iter().find(|word| !word.starts_with('-') && !is_runner(word) && !word.contains('='));
    let path = PathBuf::from(word.map(String::as_str).unwrap_or_default());
    let last = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let stem = last.split('@').find(|part| !part.is_empty()).unwrap_or_default();
    let stem = [".py", ".js", ".mjs", ".ts"].iter().find_map(|suffix| stem.strip_suffix(suffix)).unwrap_or(stem);
    let stem = ["mcp-server-", "server-", "mcp-"].iter().find_map(|prefix| stem.strip_prefix(prefix)).unwrap_or(stem);
    let clean: String =
        stem.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect();
    AgentName::parse(clean.trim_matches('-')).unwrap_or_else(|_| AgentName::parse("agent").expect("a well-formed name"))
}

/// A name after where a server is: `https://mcp.example.com/mcp` is `example`.
fn name_of_url(url: &str) -> AgentName {
    let usual = || AgentName::parse("agent").expect("a well-formed name");
    let Some(host) = reqwest::Url::parse(url).ok().and_then(|url| url.domain().map(str::to_lowercase)) else {
        return usual();
    };
    let is_telling = |label: &&str| !matches!(*label, "mcp" | "api" | "www" | "localhost");
    host.split('.').find(is_telling).and_then(|label| AgentName::parse(label).ok()).unwrap_or_else(usual)
}

/// Says what was found. What must be mended first is the failure.
pub(crate) fn tell(output: Output, findings: &[Finding]) -> Result<(), Failure> {
    let errors: Vec<&Finding> = findings.iter().filter(|finding| finding.is_error()).collect();
    if output.is_json() && !errors.is_empty() {
        let all: Vec<String> = errors.iter().map(|finding| finding.to_string()).collect();
        return Err(Failure::new(Code::Config, all.join("\n")).hint("bobbinet check shows every mistake"));
    }
    for finding in findings {
        super::say::finding(finding);
    }
    match errors.len() {
        0 => Ok(()),
        count => {
            remark(Remark::Error, format_args!("{count} to mend, and nothing was started"));
            Err(Failure::told(Code::Config, "the configuration has faults"))
        }
    }
}

/// What there is to say of the names of a configuration's agents, and of their tools' as far as a node has seen them.
fn names_alike(config: &Config, file: &str) -> Vec<Finding> {
    let folder = config.node.data.join(AGENTS_FOLDER);
    let known = |(name, agent): (&AgentName, &AgentConfig)| {
        bobbinet_mcp::remembered(&agent.clone().into_mcp(name.as_str()), &folder.join(name.as_str()))
            .unwrap_or_default()
    };
    let agents = config.agents.iter().map(|agent| (agent.0, known(agent)));
    alike_names::remarks(agents).into_iter().map(|text| Finding::about(Severity::Note, file, text)).collect()
}

/// `bobbinet check`
pub(crate) fn check(output: Output, command: Check) -> Result<(), Failure> {
    let Check { file, strict } = command;
    let file = file.or_else(default_file).ok_or_else(|| {
        let failure = Failure::new(Code::Usage, "there is no configuration here");
        failure.hint(format!("name a file; without one it is the first there is of {}", default_files()))
    })?;
    let name = file.display().to_string();
    let Reading { config, mut findings } = config::read(&file, strictness(strict));
    findings.extend(config::check(&config, &name));
    findings.extend(names_alike(&config, &name));
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings, notes) = (count(Severity::Error), count(Severity::Warning), count(Severity::Note));
    if output.is_json() {
        let agent = |(name, agent): (&AgentName, &AgentConfig)| match &agent.server {
            ServerConfig::Command(server) => {
                let variables: Vec<&String> = server.env.keys().collect();
                let cwd = (!server.has_own_folder).then_some(&server.cwd);
                serde_json::json!({
                    "name": name, "command": server.words, "cwd": cwd, "env": variables,
                    "share": share_words(agent),
                })
            }
            ServerConfig::Url(server) => {
                let headers: Vec<&String> = server.headers.keys().collect();
                serde_json::json!({ "name": name, "url": server.shown(), "headers": headers, "share": share_words(agent) })
            }
        };
        let remote =
            |(name, peer): (&AgentName, &PeerSettings)| serde_json::json!({ "name": name, "a2a": peer.url.as_str() });
        let model = |(name, model): (&AgentName, &ModelSettings)| serde_json::json!({ "name": name, "model": model.model, "url": model.url.as_str() });
        let agents: Vec<_> = {
            let agents = config.agents.iter().map(agent).chain(config.remotes.iter().map(remote));
            agents.chain(config.models.iter().map(model)).collect()
        };
        let flow = |(name, flow): (&AgentName, &FlowConfig)| serde_json::json!({ "name": name, "file": flow.path });
        let flows: Vec<_> = config.flows.files.iter().map(flow).collect();
        output.json(&serde_json::json!({ "file": name, "ok": errors == 0, "agents": agents, "flows": flows, "findings": findings }))?;
    } else {
        findings.iter().for_each(super::say::finding);
        output.field("File", &name)?;
        let names: Vec<&str> = {
            let names = config.agents.keys().chain(config.remotes.keys()).chain(config.models.keys());
            names.map(AgentName::as_str).collect()
        };
        output.field("Agents", names.join(", "))?;
        if output.is_verbose {
            for (name, agent) in &config.agents {
                let place = agent.command().map(|server| format!("; {}", server.place_words())).unwrap_or_default();
                output.field(name.as_str(), format_args!("{}{place}", share_words(agent)))?;
            }
        }
        if !config.flows.is_empty() {
            output.field("Flows", config.flows.names().map(AgentName::as_str).collect::<Vec<_>>().join(", "))?;
        }
        if !config.peers.is_empty() {
            let urls: Vec<&str> = config.peers.iter().map(|peer| peer.url.as_str()).collect();
            output.field("Peers", urls.join(", "))?;
        }
        output.field("Errors", errors)?;
        output.field("Warnings", warnings)?;
        output.field("Notes", notes)?;
    }
    if errors == 0 { Ok(()) } else { Err(Failure::told(Code::Config, "the configuration has faults")) }
}

#[cfg(test)]
mod tests {
    use bobbinet_mcp::ProtocolEra;
    use clap::Parser;

    use super::*;
    use crate::{
        cli::{Cli, Command},
        format::Format,
    };

    fn check_name(command: &str, expected: &str) {
        let words: Vec<String> = command.split(' ').map(str::to_owned).collect();
        assert_eq!(name_of(&words).as_str(), expected, "{command}");
    }

    #[test]
    fn an_agent_is_named_after_its_server() {
        check_name("npx -y @modelcontextprotocol/server-filesystem ./docs", "filesystem");
        check_name("npx -y @modelcontextprotocol/server-memory@2026.8.31", "memory");
        check_name("uvx mcp-server-time", "time");
        check_name("python3 ./My_Server.py --x", "my_server");
        check_name("/opt/bin/everything", "everything");
        check_name("python3 -m", "agent");
        for (url, expected) in [
            ("https://mcp.example.com/mcp", "example"),
            ("https://api.Example.com", "example"),
            ("http://127.0.0.1:8000/mcp", "agent"),
            ("http://localhost:8000", "agent"),
            ("no url", "agent"),
        ] {
            assert_eq!(name_of_url(url).as_str(), expected, "{url}");
        }
    }

    #[test]
    fn what_is_typed_of_a_server_is_how_it_is_run() {
        let planned = |flags: &[&str]| {
            let words = [&["bobbinet", "agent"], flags, &["--", "ls"]].concat();
            let Command::Agent(command) = Cli::try_parse_from(words).unwrap().command else {
                panic!("another command")
            };
            let mut agents = agent(Output { format: Format::Text, is_verbose: false }, *command).unwrap().agents;
            let (name, config) = agents.pop_first().unwrap();
            config.into_mcp(name.as_str())
        };
        let of = |flags: &[&str]| {
            let config = planned(flags);
            let limits = &config.limits;
            (config.era, limits.idle_ms, limits.start_patience_ms, limits.start_limit_ms)
        };
        let usual = McpLimits::default();
        let start = (usual.start_patience_ms, usual.start_limit_ms);
        assert_eq!(of(&[]), (ProtocolEra::Auto, usual.idle_ms, start.0, start.1));
        assert_eq!(of(&["--era", "legacy"]), (ProtocolEra::Legacy, usual.idle_ms, start.0, start.1));
        assert_eq!(of(&["--idle", "90s"]), (ProtocolEra::Auto, 90_000, start.0, start.1));
        // Said so, it is all the time there is, however much life the server shows.
        assert_eq!(of(&["--start-timeout", "2m"]), (ProtocolEra::Auto, usual.idle_ms, 120_000, 120_000));
        assert!(Cli::try_parse_from(["bobbinet", "agent", "--idle", "0s", "--", "ls"]).is_err());
        let parsed = |words: &[&str]| Cli::try_parse_from([&["bobbinet", "agent"], words].concat()).is_ok();
        assert!(parsed(&["--url", "https://a.example/mcp", "--header", "X-Region=eu"]));
        assert!(!parsed(&[]) && !parsed(&["--url", "https://a.example", "--", "ls"]));
        assert!(!parsed(&["--header", "X-Region=eu", "--", "ls"]) && !parsed(&["--url", "https://a", "--cwd", "."]));
    }
}
