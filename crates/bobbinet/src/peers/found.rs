//! Which agents a node has, or that a URL is one agent.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
    time::Duration,
};

use bobbinet_core::AgentName;
use bobbinet_http::{
    Client, ClientOptions,
    client::{CardFetch, CardKeys, Origin as CalledAt, Outbound},
};
use bobbinet_peer::catalog;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{Maker, kept::PEERS_FOLDER};
use crate::config::{NodePeer, PeerSettings};

/// How long a node that starts waits for the list of another one's agents. One that is away is taken as it was.
const ASK_MAX: Duration = Duration::from_secs(3);

/// The file, in the folder of peers, with what nodes have said.
const FILE: &str = "seen.json";

/// What was found at a URL when it was last asked, by name.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Seen(BTreeMap<String, BTreeMap<AgentName, String>>);

/// The agents at these URLs, by their names here, and what is to be said of those that are left out. Whoever does not answer has the
/// agents that he had when he was last asked.
pub(crate) async fn find(
    maker: &Maker,
    nodes: Vec<NodePeer>,
    taken: &BTreeSet<AgentName>,
    data: &Path,
) -> (BTreeMap<AgentName, PeerSettings>, Vec<String>) {
    let before = Seen::read(data);
    let (mut found, mut remarks, mut seen) = (BTreeMap::new(), Vec::new(), Seen::default());
    for node in nodes {
        let asked = timeout(ASK_MAX, at(maker, &node)).await.unwrap_or_else(|_| Err("it does not answer".to_owned()));
        let agents = match asked {
            Ok(agents) => agents,
            Err(why) => match before.0.get(node.url.as_str()) {
                Some(agents) => {
                    remarks.push(format!("peer {}: {why}; its agents are those that it had last", node.url));
                    agents.iter().filter_map(|(name, url)| Some((name.clone(), Url::parse(url).ok()?))).collect()
                }
                None => {
                    remarks.push(format!(
                        "peer {}: {why}; its agents are found when this node is started again",
                        node.url
                    ));
                    continue;
                }
            },
        };
        for (name, url) in &agents {
            if taken.contains(name) || found.contains_key(name) {
                remarks.push(format!(
                    "peer {}: agent {name} is left out, as there is one of this name; give it another: agents: {{ NAME: {{ a2a: {url} }} }}",
                    node.url
                ));
                continue;
            }
            // Its cards may say another name of it than the one that it was typed by.
            let origin = CalledAt::parse(&node.url.origin().ascii_serialization()).ok();
            found.insert(
                name.clone(),
                PeerSettings {
                    origin,
                    card_keys: node.card_keys.clone(),
                    ..PeerSettings::new(url.clone(), node.auth.clone())
                },
            );
        }
        seen.0.insert(node.url.to_string(), agents.into_iter().map(|(name, url)| (name, url.to_string())).collect());
    }
    if let Err(error) = seen.write(data) {
        remarks.push(format!("which agents peers have could not be kept: {error}"));
    }
    (found, remarks)
}

/// Where the agents of these nodes are, by name: as they say now, or have said to this node when it last started.
pub(crate) async fn at_nodes(maker: &Maker, nodes: &[NodePeer], data: &Path) -> BTreeMap<AgentName, Url> {
    let before = Seen::read(data);
    let mut found = BTreeMap::new();
    for node in nodes {
        match timeout(ASK_MAX, at(maker, node)).await {
            Ok(Ok(agents)) => found.extend(agents),
            Ok(Err(_)) | Err(_) => {
                let agents = before.0.get(node.url.as_str()).into_iter().flatten();
                found.extend(agents.filter_map(|(name, url)| Some((name.clone(), Url::parse(url).ok()?))));
            }
        }
    }
    found
}

/// The agents at one URL: those of a node of ours, or the one whose card is there.
pub(super) async fn at(maker: &Maker, node: &NodePeer) -> Result<BTreeMap<AgentName, Url>, String> {
    let is_one = node.name.is_some() || node.url.path().contains("/agents/") || node.url.path().ends_with(".json");
    if !is_one {
        let list = catalog(&maker.guard, &node.url).await.map_err(|error| in_full(&error))?;
        if let Some(entries) = list {
            let base = node.url.as_str().trim_end_matches('/').trim_end_matches("/agents");
            // At the origin that was typed: that is the one that may be anywhere.
            let agent = |name: String| {
                let url = Url::parse(&format!("{base}/agents/{name}")).ok()?;
                Some((AgentName::parse(&name).ok()?, url))
            };
            return Ok(entries.into_iter().filter_map(|entry| agent(entry.name)).collect());
        }
    }
    let name = match &node.name {
        Some(name) => name.clone(),
        None => name_at(maker, &node.url, &node.card_keys).await?,
    };
    Ok(BTreeMap::from([(name, node.url.clone())]))
}

/// A name after the card at a URL.
async fn name_at(maker: &Maker, url: &Url, card_keys: &Option<CardKeys>) -> Result<AgentName, String> {
    let options = ClientOptions {
        outbound: Outbound::Guarded { guard: maker.guard.clone(), at: None },
        card_keys: card_keys.clone(),
        ..ClientOptions::default()
    };
    match Client::fetch_card(url.as_str(), &options, None).await.map_err(|error| in_full(&error))? {
        CardFetch::New(fetched) => Ok(name_of(&fetched.card.value.name)),
        CardFetch::Same(_) => Err("it says that an unknown card has not changed".to_owned()),
    }
}

/// `Weather Agent (beta)` is `weather-agent-beta`.
fn name_of(title: &str) -> AgentName {
    let mut name = String::new();
    for c in title.to_lowercase().chars().take(64) {
        match c {
            'a'..='z' | '0'..='9' | '_' => name.push(c),
            _ if !name.is_empty() && !name.ends_with('-') => name.push('-'),
            _ => {}
        }
    }
    AgentName::parse(name.trim_end_matches('-'))
        .unwrap_or_else(|_| AgentName::parse("peer").expect("a well-formed name"))
}

fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(&format!(": {error}"));
        next = error.source();
    }
    text
}

impl Seen {
    fn read(data: &Path) -> Self {
        let text = fs::read(data.join(PEERS_FOLDER).join(FILE)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    fn write(&self, data: &Path) -> io::Result<()> {
        let file = data.join(PEERS_FOLDER).join(FILE);
        let new = file.with_extension("new");
        fs::write(&new, serde_json::to_vec_pretty(self)?)?;
        fs::rename(&new, &file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_named_after_its_card() {
        for (title, expected) in
            [("Weather Agent (beta)", "weather-agent-beta"), ("files", "files"), ("→", "peer"), ("", "peer")]
        {
            assert_eq!(name_of(title).as_str(), expected);
        }
    }
}
