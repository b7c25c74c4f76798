//! `bobbinet peers`: adding, showing, removing and trying out.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use bobbinet_core::AgentName;
use bobbinet_outbound::ClientTlsFiles;
use bobbinet_peer::PeerTest;
use serde_json::json;
use tokio::{task::JoinSet, time::timeout};

use super::{
    Kept, Maker,
    build::guard,
    found,
    kept::{KeptAuth, KeptPeer},
};
use crate::{
    cli::{PeerAdd, PeerAuthArgs, PeerPlace, Peers},
    config::{self, AuthSettings, NodePeer, PeerSettings, Strictness, default_file, peer_url},
    failure::{Code, Failure},
    output::Output,
    remark::{Remark, remark},
};

/// How long a peer has to show that it is there.
const LOOK_MAX: Duration = Duration::from_millis(2_500);

/// A peer that is known here.
#[derive(Clone, Debug)]
struct Entry {
    /// What it is called, if it is one agent.
    name: Option<AgentName>,
    settings: PeerSettings,
    /// Where it is said.
    source: String,
}

/// Runs a command.
pub(crate) async fn run(output: Output, command: Option<Peers>, place: PeerPlace) -> Result<(), Failure> {
    match command {
        Some(Peers::Add(add)) => self::add(output, *add).await,
        Some(Peers::Rm { peer, place }) => rm(output, &peer, &place),
        Some(Peers::Test { peer, place, auth }) => try_out(output, &peer, &place, auth).await,
        Some(Peers::Ls { place }) => ls(output, &place).await,
        None => ls(output, &place).await,
    }
}

async fn add(output: Output, add: PeerAdd) -> Result<(), Failure> {
    let PeerAdd { url, name, auth, place } = add;
    let url = peer_url(&url).map_err(|why| Failure::new(Code::Usage, why))?;
    let data = data(&place);
    let mut kept = kept(&data)?;
    if kept.peers.iter().any(|peer| peer.url == url.as_str() || (name.is_some() && peer.name == name)) {
        let what = format!("there is a peer {url}, or one of this name, in {}", Kept::file(&data).display());
        return Err(Failure::new(Code::Usage, what).hint("take it out first: bobbinet peers rm PEER"));
    }
    let kept_auth = auth.kept()?;
    let node = NodePeer {
        url: url.clone(),
        auth: kept_auth.settings(),
        tls: ClientTlsFiles::default(),
        card_keys: None,
        name: name.clone(),
    };
    let maker = maker(&data, &[], std::slice::from_ref(&node))?;
    let agents =
        timeout(LOOK_MAX, found::at(&maker, &node)).await.unwrap_or_else(|_| Err("it does not answer".to_owned()));
    kept.peers.push(KeptPeer { url: url.to_string(), name, auth: kept_auth });
    kept.write(&data).map_err(|error| not_kept(&data, &error))?;
    let names: Vec<String> =
        agents.as_ref().map(|agents| agents.keys().map(AgentName::to_string).collect()).unwrap_or_default();
    if let Err(why) = &agents {
        remark(Remark::Warning, format_args!("{url}: {why}; it is kept all the same"));
    }
    let file = Kept::file(&data);
    if output.is_json() {
        return output
            .json(&json!({ "url": url.as_str(), "agents": names, "kept": file, "effective": "when the node is started next" }));
    }
    output.field("Peer", &url)?;
    output.field("Agents", names.join(", "))?;
    output.field("Kept", file.display())?;
    remark(Remark::Note, "a node that runs on this data folder takes it up when it is started next");
    Ok(())
}

fn rm(output: Output, peer: &str, place: &PeerPlace) -> Result<(), Failure> {
    let data = data(place);
    let mut kept = kept(&data)?;
    let is_meant = |known: &KeptPeer| {
        known.url.trim_end_matches('/') == peer.trim_end_matches('/')
            || known.name.as_ref().is_some_and(|name| name.as_str() == peer)
    };
    let before = kept.peers.len();
    kept.peers.retain(|known| !is_meant(known));
    if kept.peers.len() == before {
        let known: Vec<String> = kept.peers.iter().map(|known| known.url.clone()).collect();
        let failure =
            Failure::new(Code::Usage, format!("no peer {peer:?} was added to {}", Kept::file(&data).display()));
        let hint = if known.is_empty() {
            "those of a bobbinet.yaml are taken out there".to_owned()
        } else {
            format!("there is {}", known.join(", "))
        };
        return Err(failure.hint(hint));
    }
    kept.write(&data).map_err(|error| not_kept(&data, &error))?;
    let file = Kept::file(&data);
    if output.is_json() {
        return output.json(&json!({ "removed": before - kept.peers.len(), "kept": file, "effective": "when the node is started next" }));
    }
    output.field("Removed", peer)?;
    output.field("Kept", file.display())?;
    remark(Remark::Note, "a node that runs on this data folder calls it until it is started next");
    Ok(())
}

async fn ls(output: Output, place: &PeerPlace) -> Result<(), Failure> {
    let data = data(place);
    let entries = entries(place, &data)?;
    let (remotes, nodes) = split(&entries);
    let maker = maker(&data, &remotes, &nodes)?;
    let mut looks = JoinSet::new();
    for (place, entry) in entries.iter().cloned().enumerate() {
        let maker = maker.clone();
        looks.spawn(async move { (place, timeout(LOOK_MAX, look(&maker, entry)).await) });
    }
    let mut states = vec![Err("it does not answer".to_owned()); entries.len()];
    while let Some(looked) = looks.join_next().await {
        if let Ok((place, Ok(state))) = looked {
            states[place] = state;
        }
    }
    let told = |state: &Result<String, String>| match state {
        Ok(what) => what.clone(),
        Err(why) => format!("down: {why}"),
    };
    if output.is_json() {
        let peers = entries.iter().zip(&states).map(|(entry, state)| {
            json!({
                "name": entry.name, "url": entry.settings.url.as_str(), "auth": entry.settings.auth.kind(), "source": entry.source,
                "up": state.is_ok(), "state": told(state),
            })
        });
        return output.json(&json!({ "peers": peers.collect::<Vec<_>>() }));
    }
    if entries.is_empty() {
        remark(
            Remark::Note,
            "there are no peers: bobbinet peers add URL, or agents: { NAME: { a2a: URL } } in a bobbinet.yaml",
        );
    }
    for (entry, state) in entries.iter().zip(&states) {
        let name = entry.name.as_ref().map_or_else(|| "node".to_owned(), AgentName::to_string);
        output.line(format_args!("{name} {} ({}): {}", entry.settings.url, entry.source, told(state)))?;
    }
    Ok(())
}

/// Whether a peer is there, in a few words.
async fn look(maker: &Maker, entry: Entry) -> Result<String, String> {
    if let Some(name) = entry.name {
        let config = maker.config(name, entry.settings).map_err(|failure| failure.sentence())?;
        let tested = bobbinet_peer::test(config).await.map_err(|error| error.to_string())?;
        return match tested.access {
            Ok(time) => Ok(format!("up, {} ms, lets this node in", time.as_millis())),
            Err(error) => Ok(format!("up, and does not let this node in: {error}")),
        };
    }
    let node = NodePeer {
        url: entry.settings.url,
        auth: entry.settings.auth,
        tls: entry.settings.tls,
        card_keys: entry.settings.card_keys,
        name: None,
    };
    let agents = found::at(maker, &node).await?;
    Ok(format!("up, has {}", agents.keys().map(AgentName::as_str).collect::<Vec<_>>().join(", ")))
}

async fn try_out(output: Output, peer: &str, place: &PeerPlace, auth: PeerAuthArgs) -> Result<(), Failure> {
    let data = data(place);
    let known = entries(place, &data)?;
    let is_meant = |entry: &&Entry| {
        entry.name.as_ref().is_some_and(|name| name.as_str() == peer)
            || entry.settings.url.as_str().trim_end_matches('/') == peer.trim_end_matches('/')
    };
    let mut entry = match (known.iter().find(is_meant), peer_url(peer)) {
        (Some(entry), _) => entry.clone(),
        (None, Ok(url)) => {
            let settings = PeerSettings::new(url, AuthSettings::Default);
            Entry { name: None, settings, source: "typed".to_owned() }
        }
        (None, Err(_)) => {
            let names: Vec<String> =
                known.iter().filter_map(|entry| entry.name.as_ref().map(AgentName::to_string)).collect();
            let hint = if names.is_empty() {
                "name it by its URL".to_owned()
            } else {
                format!("there is {}; or name it by its URL", names.join(", "))
            };
            return Err(Failure::new(Code::Usage, format!("there is no peer {peer:?}")).hint(hint));
        }
    };
    if !auth.is_nothing() {
        entry.settings.auth = auth.kept()?.settings();
    }
    let node = NodePeer {
        url: entry.settings.url.clone(),
        auth: entry.settings.auth.clone(),
        tls: entry.settings.tls.clone(),
        card_keys: entry.settings.card_keys.clone(),
        name: entry.name.clone(),
    };
    let maker = maker(&data, std::slice::from_ref(&entry.settings), std::slice::from_ref(&node))?;
    let agents = match found::at(&maker, &node).await {
        Ok(agents) => agents,
        Err(why) => {
            let failure = Failure::new(Code::Unreachable, format!("{}: {why}", node.url));
            return Err(failure.hint("does it run, and is this its URL?"));
        }
    };
    let mut failed = None;
    let mut documents = Vec::new();
    for (name, url) in agents {
        let settings = PeerSettings { url: url.clone(), ..entry.settings.clone() };
        let tested = bobbinet_peer::test(maker.config(name.clone(), settings)?).await;
        let tested = tested.map_err(|error| {
            Failure::new(Code::CardNotFound, format!("{url}: {error}")).hint("does it run, and is this its URL?")
        })?;
        documents.push(tell(output, &name, &tested)?);
        if let Err(error) = &tested.access {
            failed = Some(Failure::new(Code::AuthFailed, format!("{url} does not let this node in: {error}"))
                .hint("say how with --auth-file or --auth, or `auth` in the bobbinet.yaml; a node of ours must trust this one: trust: [{ issuer, jwks }], and a policy"));
        }
    }
    if output.is_json() {
        output.json(&json!({ "agents": documents }))?;
    }
    failed.map_or(Ok(()), Err)
}

fn tell(output: Output, name: &AgentName, tested: &PeerTest) -> Result<serde_json::Value, Failure> {
    let PeerTest { card, card_time, url, addresses, access } = tested;
    let skills: Vec<&str> = card.skills.iter().map(|skill| skill.id.as_str()).collect();
    let access_text = match access {
        Ok(time) => format!("it lets this node in ({} ms)", time.as_millis()),
        Err(error) => format!("it does not let this node in: {error}"),
    };
    let repeats = if card.honours_idempotency_keys() {
        "dropped, by the same key"
    } else {
        "not dropped: each call runs at most once"
    };
    if !output.is_json() {
        output.field("Agent", name)?;
        output.field("Card", format_args!("{} {} ({} ms)", card.name, card.version, card_time.as_millis()))?;
        output.field("Called at", url)?;
        if addresses.len() > 1 {
            let all: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            output.field("Replicas", all.join(", "))?;
        }
        output.field("Skills", skills.join(", "))?;
        output.field("Streams", card.capabilities.streaming == Some(true))?;
        output.field("Repeats", repeats)?;
        output.field("Access", &access_text)?;
    }
    Ok(json!({
        "name": name, "card": { "name": card.name, "version": card.version, "ms": card_time.as_millis() as u64 }, "url": url,
        "addresses": addresses, "skills": skills, "streaming": card.capabilities.streaming == Some(true),
        "idempotencyKeys": card.honours_idempotency_keys(), "access": { "ok": access.is_ok(), "text": access_text },
    }))
}

/// All peers that a node started here would have: those of its configuration, and those that were added.
fn entries(place: &PeerPlace, data: &Path) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::new();
    let file = place.file.clone().or_else(default_file);
    if let Some(file) = file {
        let source = file.display().to_string();
        let reading = config::read(&file, Strictness::Lenient);
        let remotes = reading.config.remotes.into_iter();
        entries.extend(remotes.map(|(name, settings)| Entry { name: Some(name), settings, source: source.clone() }));
        let nodes = reading.config.peers.into_iter();
        entries.extend(nodes.map(|node| Entry {
            name: node.name,
            settings: PeerSettings::new(node.url, node.auth),
            source: source.clone(),
        }));
    }
    for peer in kept(data)?.peers {
        let source = Kept::file(data).display().to_string();
        let unfit =
            |why| Failure::new(Code::Config, format!("{source}: {why}")).hint("take it out: bobbinet peers rm URL");
        let node = peer.node().map_err(unfit)?;
        entries.push(Entry { name: node.name, settings: PeerSettings::new(node.url, node.auth), source });
    }
    Ok(entries)
}

fn split(entries: &[Entry]) -> (Vec<PeerSettings>, Vec<NodePeer>) {
    (entries.iter().map(|entry| entry.settings.clone()).collect(), Vec::new())
}

/// What calls peers as the node on this data folder would.
pub(crate) fn maker(data: &Path, remotes: &[PeerSettings], nodes: &[NodePeer]) -> Result<Maker, Failure> {
    Ok(Maker::of_folder(data, "bobbinet peers".to_owned(), guard(remotes.iter(), nodes.iter())?))
}

/// The data folder: that which was named, else that of the configuration.
fn data(place: &PeerPlace) -> PathBuf {
    let of_file = || {
        let file = place.file.clone().or_else(default_file)?;
        Some(config::read(&file, Strictness::Lenient).config.node.data)
    };
    place.data_dir.clone().or_else(of_file).unwrap_or_else(|| PathBuf::from(config::DATA))
}

/// The peers that were added on this data folder.
pub(crate) fn kept(data: &Path) -> Result<Kept, Failure> {
    Kept::read(data).map_err(|error| {
        Failure::new(Code::Config, format!("{} cannot be read: {error}", Kept::file(data).display()))
            .hint("mend it, or take it away: it has the peers that were added by `bobbinet peers add`")
    })
}

fn not_kept(data: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Code::Config, format!("{} cannot be written: {error}", Kept::file(data).display()))
        .hint("name the node's data folder with --data-dir")
}

impl PeerAuthArgs {
    fn is_nothing(&self) -> bool {
        self.auth.is_none() && self.auth_file.is_none()
    }

    /// What was typed. A secret is not: others on the machine can see what is typed.
    fn kept(self) -> Result<KeptAuth, Failure> {
        match (self.auth.as_deref(), self.auth_file) {
            (None, None) => Ok(KeptAuth::Default),
            (None, Some(file)) => {
                let file = std::path::absolute(&file).map_err(|error| Failure::of(Code::Usage, &error))?;
                Ok(KeptAuth::File(file))
            }
            (Some("none"), None) => Ok(KeptAuth::None),
            (Some("node"), None) => Ok(KeptAuth::Node),
            (Some(word), _) => Err(Failure::new(Code::Usage, format!("--auth cannot be {word:?}"))
                .hint("there is none, node, and --auth-file FILE")),
        }
    }
}
