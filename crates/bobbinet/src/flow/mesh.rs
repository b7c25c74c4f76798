//! The agents that a flow may call, as far as they are known here: by the configuration, by what their servers said when they ran last, by
//! shipped cards, by the cards of those that are elsewhere, and by the node that runs here. Nothing is started.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use bobbinet_core::{Effect, Skill};
use bobbinet_flow::check::{Catalog, KnownFlow, KnownSkill};
use bobbinet_http::client::{Client, ClientOptions};
use bobbinet_wire::v1_0::CardView;
use tokio::time::timeout;

use crate::{
    config::{self, AgentConfig, PeerSettings, Reading, Strictness, default_file},
    failure::{Code, Failure},
    node::{AGENTS_FOLDER, Running},
    peers::{self, Kept},
    remark::{Remark, remark},
};

/// How long the card of an agent on this machine is waited for.
const CARD_MAX: Duration = Duration::from_secs(3);

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Mesh {
    agents: BTreeMap<String, Agent>,
    /// The flows of the configuration, if there is one.
    flows: Option<Vec<KnownFlow>>,
}

#[derive(Debug, Default)]
struct Agent {
    skills: BTreeMap<String, KnownSkill>,
    /// Why it may have others.
    why_unknown: Option<String>,
}

/// The agents of a configuration, or of the one that is taken where none is named, and of the node that runs on its data. Nothing if there
/// is neither.
pub(super) async fn known(configuration: Option<PathBuf>, data: Option<PathBuf>) -> Result<Option<Mesh>, Failure> {
    let is_named = configuration.is_some();
    let mut mesh = Mesh::default();
    let mut folder = data.clone().unwrap_or_else(|| PathBuf::from(config::DATA));
    let file = configuration.or_else(default_file);
    if let Some(file) = &file {
        let Reading { config, findings } = config::read(file, Strictness::Lenient);
        let name = file.display();
        if findings.iter().any(config::Finding::is_error) {
            if is_named && config.agents.is_empty() {
                let failure = Failure::new(Code::Config, format!("{name} has faults"));
                return Err(failure.hint("bobbinet check shows every mistake"));
            }
            let text = format!("{name} has faults, so not all its agents may be known: see bobbinet check");
            remark(Remark::Warning, text);
        }
        folder = data.unwrap_or(config.node.data);
        if let Some(name) = &config.flows.of_messages {
            let why_unknown = Some(format!("{name} runs whatever flow it is sent"));
            mesh.agents.insert(name.as_str().to_owned(), Agent { skills: BTreeMap::new(), why_unknown });
        }
        for (name, agent) in config.agents {
            mesh.agents.insert(name.as_str().to_owned(), remembered(name.as_str(), agent, &folder));
        }
        for (name, flow) in &config.flows.files {
            let known = KnownFlow::of(&flow.definition);
            let skill = KnownSkill { input: known.input, output: known.output, effect: Effect::Keyed };
            let skills = BTreeMap::from([(known.name, skill)]);
            mesh.agents.insert(name.as_str().to_owned(), Agent { skills, why_unknown: None });
        }
        mesh.flows = Some(config.flows.files.values().map(|flow| KnownFlow::of(&flow.definition)).collect());
        for (name, model) in &config.models {
            let description = bobbinet_model::describe(&model.model);
            let skills =
                description.skills.iter().map(|skill| (skill.id.as_str().to_owned(), of_skill(skill))).collect();
            mesh.agents.insert(name.as_str().to_owned(), Agent { skills, why_unknown: None });
        }
        // The node that runs here says itself what it knows of them.
        if Running::at(&folder).is_none() {
            let nodes = [config.peers, Kept::read(&folder).unwrap_or_default().nodes()].concat();
            let remotes: Vec<PeerSettings> = config.remotes.values().cloned().collect();
            let maker = peers::maker(&folder, &remotes, &nodes)?;
            let mut urls = peers::at_nodes(&maker, &nodes, &folder).await;
            urls.extend(config.remotes.into_iter().map(|(name, peer)| (name, peer.url)));
            for (name, url) in urls {
                let asked = asked(url.as_str()).await;
                let why_unknown = asked.is_none().then(|| format!("agent {name} does not answer at {url}"));
                let agent = Agent { skills: asked.unwrap_or_default(), why_unknown };
                mesh.agents.entry(name.as_str().to_owned()).or_insert(agent);
            }
        }
    }
    let running = Running::at(&folder);
    if let Some(node) = &running {
        for (name, url) in &node.agents {
            // What a server says now is above what it said when it ran last.
            if let Some(skills) = asked(url).await {
                mesh.agents.insert(name.clone(), Agent { skills, why_unknown: None });
            } else {
                let why_unknown = Some(format!("agent {name} does not say at the moment what it can do"));
                mesh.agents.entry(name.clone()).or_insert(Agent { skills: BTreeMap::new(), why_unknown });
            }
        }
    }
    Ok((file.is_some() || running.is_some()).then_some(mesh))
}

/// What an agent said of itself when its server ran last; else what its card says of it.
fn remembered(name: &str, config: AgentConfig, data: &Path) -> Agent {
    let card = config.card.clone().unwrap_or_default();
    let effects = config.effects.clone();
    let config = config.into_mcp(name);
    match bobbinet_mcp::remembered(&config, &data.join(AGENTS_FOLDER).join(name)) {
        Some(description) => Agent {
            skills: description.skills.iter().map(|skill| (skill.id.as_str().to_owned(), of_skill(skill))).collect(),
            why_unknown: None,
        },
        None => {
            let effect = |name: &str, own: Option<Effect>| effects.get(name).copied().or(own).unwrap_or_default();
            let skill = |(name, skill): (&String, &config::CardSkill)| {
                (name.clone(), KnownSkill { effect: effect(name, skill.effect), ..KnownSkill::default() })
            };
            Agent {
                skills: card.skills.iter().map(skill).collect(),
                why_unknown: Some(format!("agent {name} has never been started here")),
            }
        }
    }
}

fn of_skill(skill: &Skill) -> KnownSkill {
    KnownSkill {
        input: skill.input.as_ref().map(bobbinet_core::Json::to_value),
        output: skill.output.as_ref().map(bobbinet_core::Json::to_value),
        effect: skill.effect,
    }
}

/// What a running agent's card says; nothing if none is to be had, or it says nothing yet.
async fn asked(url: &str) -> Option<BTreeMap<String, KnownSkill>> {
    let options = ClientOptions::default();
    let card = timeout(CARD_MAX, Client::card_at(url, &options)).await.ok()?.ok()?;
    let skills = of_card(&card.value);
    (!skills.is_empty()).then_some(skills)
}

fn of_card(card: &CardView) -> BTreeMap<String, KnownSkill> {
    let ours = card.extension_skills();
    let known = |id: &String| {
        let Some(skill) = ours.get(id) else { return KnownSkill::default() };
        let all = [Effect::ReadOnly, Effect::Idempotent, Effect::Keyed, Effect::AtMostOnce];
        let effect = all.into_iter().find(|effect| Some(effect.as_str()) == skill.effects.as_deref());
        KnownSkill {
            input: skill.input.as_ref().map(bobbinet_core::Json::to_value),
            output: skill.output.as_ref().map(bobbinet_core::Json::to_value),
            effect: effect.unwrap_or_default(),
        }
    };
    card.skills.iter().map(|skill| (skill.id.clone(), known(&skill.id))).collect()
}

impl Mesh {
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.agents.keys().map(String::as_str)
    }
}

impl Catalog for Mesh {
    fn agents(&self) -> Vec<String> {
        self.agents.keys().cloned().collect()
    }

    fn skills(&self, agent: &str) -> Option<Vec<String>> {
        let agent = self.agents.get(agent).filter(|agent| agent.why_unknown.is_none())?;
        Some(agent.skills.keys().cloned().collect())
    }

    fn skill(&self, agent: &str, skill: &str) -> Option<KnownSkill> {
        self.agents.get(agent)?.skills.get(skill).cloned()
    }

    fn flows(&self) -> Option<Vec<KnownFlow>> {
        self.flows.clone()
    }

    fn why_unknown(&self, agent: &str) -> String {
        let why = self.agents.get(agent).and_then(|agent| agent.why_unknown.clone());
        why.unwrap_or_else(|| format!("agent {agent} does not say at the moment what it can do"))
    }
}
