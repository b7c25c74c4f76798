//! What a server said of its tools and prompts when they were first seen. One of which it says something else later is withheld until
//! somebody has looked at the difference: a server that was trusted for what it said need not be for what it says now.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use bobbinet_core::{Fault, MessageId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, futures::Notified};

use crate::{
    config::{McpConfig, PinPolicy},
    listing::Offers,
    tool_definition::{ToolDefinition, hex},
};

const FILE: &str = "pins.json";

/// The code of the fault of a call that is not made because its tool is withheld.
pub(crate) const TOOL_WITHHELD: &str = "tool-withheld";

/// Tools and prompts of a server that are remembered, those among them that it does not list any more. A new one beyond them is left out.
const PINS_MAX: usize = 10_000;

/// Earlier definitions of a tool that were let through and still are: of several processes of a server one may be older.
const EARLIER_MAX: usize = 8;

/// What is remembered of an agent's tools, and which of them its server says something else of now. Shared by all of its sessions.
#[derive(Debug)]
pub(crate) struct PinnedTools {
    config: Arc<McpConfig>,
    folder: PathBuf,
    state: Mutex<PinState>,
    /// Held while the file is written, so that what is newer stays.
    writing: Mutex<()>,
    changed: Notify,
    /// What nobody but this process knows.
    proof: String,
}

#[derive(Debug)]
struct PinState {
    kept: Kept,
    /// Of those that nobody has decided about.
    changes: BTreeMap<String, ToolChange>,
    /// What the server calls its version, as it was listed last.
    version: Option<String>,
    /// How many decisions there were.
    decisions: u64,
    /// What was known under another command, until the first listing has been compared with it.
    former: Option<Kept>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
struct Kept {
    /// What was started or called: what another server says is its first word.
    command: Vec<String>,
    /// What the server called its version when that was let through which it says.
    #[serde(default)]
    version: Option<String>,
    /// By the name of the skill.
    tools: BTreeMap<String, Pin>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
struct Pin {
    hash: String,
    /// As text, to show what is different later.
    shown: String,
    /// What was let through before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    earlier: Vec<String>,
    /// What somebody has looked at and not let through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

impl Pin {
    fn let_through(&mut self, definition: &ToolDefinition) {
        let before = std::mem::replace(&mut self.hash, definition.hash.clone());
        self.shown.clone_from(&definition.shown);
        self.refused = None;
        self.earlier.retain(|hash| *hash != self.hash);
        self.earlier.push(before);
        let too_many = self.earlier.len().saturating_sub(EARLIER_MAX);
        self.earlier.drain(..too_many);
    }

    /// Whether it is from before `_meta` counted, and the rest is as it was.
    fn is_as_before(&self, definition: &ToolDefinition) -> bool {
        definition.before.as_deref().is_some_and(|before| self.is_known(before))
    }

    /// Takes what it is now for what it was: what nobody was shown, nobody has looked at.
    fn renew(&mut self, definition: &ToolDefinition) {
        self.earlier.push(std::mem::replace(&mut self.hash, definition.hash.clone()));
        self.earlier.retain(|hash| definition.before.as_ref() != Some(hash));
        self.shown.clone_from(&definition.shown);
    }

    fn is_known(&self, hash: &str) -> bool {
        self.hash == hash || self.earlier.iter().any(|earlier| earlier == hash)
    }
}

/// What a server says of a tool, and what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ToolChange {
    pub(crate) was: String,
    pub(crate) is: ToolDefinition,
}

/// Changes that somebody has to decide about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenChanges {
    /// What they are known by: other changes have another.
    pub(crate) id: String,
    pub(crate) tools: BTreeMap<String, ToolChange>,
    /// What the server called its version, and what it calls it now.
    pub(crate) versions: [Option<String>; 2],
}

/// Why a tool is withheld.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WithheldFor {
    /// Nobody has looked at the change.
    Asked,
    /// Somebody has, and said no.
    Refused,
    /// So many are remembered that there is no room for it.
    TooMany,
}

impl WithheldFor {
    /// Why nothing was called.
    pub(crate) fn fault(self, agent: &str, tool: &str) -> Fault {
        let then = match self {
            Self::TooMany => {
                let text = format!(
                    "`{tool}` of agent `{agent}` is left out: its server has named more than {PINS_MAX} tools by now. `pin: off` for this \
                     agent takes all of them. Nothing was called"
                );
                return Fault::new(TOOL_WITHHELD, text);
            }
            Self::Asked => {
                "The node's owner is asked whether that is right: `bobbinet task list --state input-required`"
            }
            Self::Refused => {
                "The node's owner has looked at it and said no. To let it through all the same, start the node once with \
                 `pin: warn` for this agent"
            }
        };
        let text = format!(
            "`{tool}` of agent `{agent}` is withheld: its server says something else of it than when it was first seen. {then}. \
             Nothing was called"
        );
        Fault::new(TOOL_WITHHELD, text)
    }
}

/// Who has listed the tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListedBy {
    /// The session that the agent's card is of: what it does not list any more is no change any more.
    Agent,
    /// One beside it.
    Beside,
    /// Nobody, in this life: it is what was listed last.
    Memory,
}

/// What a server offers, without what is withheld.
#[derive(Debug, Default)]
pub(crate) struct Sifted {
    pub(crate) offers: Offers,
    pub(crate) withheld: BTreeMap<String, WithheldFor>,
    /// Whether something new is to be kept.
    is_new: bool,
}

impl PinnedTools {
    /// What is kept in the agent's folder.
    pub(crate) fn read(config: Arc<McpConfig>, folder: &Path) -> Self {
        let read = match fs::read(folder.join(FILE)) {
            Ok(bytes) => Some(serde_json::from_slice::<Kept>(&bytes).map_err(io::Error::from)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => Some(Err(error)),
        };
        let command = config.server.words();
        let (kept, former) = match read {
            Some(Ok(kept)) if kept.command == command => (kept, None),
            Some(Ok(former)) => (Kept { command, ..Kept::default() }, Some(former)),
            Some(Err(error)) => {
                tracing::warn!(
                    agent = config.name,
                    %error,
                    "what the server said of its tools cannot be read any more: what it says now counts as its first word"
                );
                (Kept { command, ..Kept::default() }, None)
            }
            None => (Kept { command, ..Kept::default() }, None),
        };
        let state = PinState { kept, changes: BTreeMap::new(), version: None, decisions: 0, former };
        let (state, writing, changed) = (Mutex::new(state), Mutex::new(()), Notify::new());
        Self { config, folder: folder.to_owned(), state, writing, changed, proof: fresh_proof() }
    }

    fn state(&self) -> MutexGuard<'_, PinState> {
        self.state.lock().expect("nobody panics while looking at what is pinned")
    }

    /// Takes what is withheld out of what is offered. What is new is remembered, and durable once [`keep`](Self::keep) returns.
    pub(crate) fn sift(&self, offers: &Offers, version: Option<&str>, by: ListedBy) -> Sifted {
        if self.config.pin == PinPolicy::Off {
            return Sifted { offers: offers.clone(), ..Sifted::default() };
        }
        let tools = offers.tools.iter().map(|tool| (tool.name.clone(), ToolDefinition::of_tool(tool)));
        let prompts = offers.prompts.iter().map(|prompt| (prompt.skill(), ToolDefinition::of_prompt(prompt)));
        let listed = tools.chain(prompts).collect::<Vec<_>>();
        let mut sifted = Sifted::default();
        let mut state = self.state();
        self.compare_with_former(&mut state, &listed, by);
        let mut changes = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let mut let_through = Vec::new();
        let is_first = state.kept.tools.is_empty();
        for (name, definition) in listed {
            // Of a name that comes twice the first one is the tool.
            if !seen.insert(name.clone()) {
                continue;
            }
            let count = state.kept.tools.len();
            match state.kept.tools.get_mut(&name) {
                Some(pin) if pin.is_known(&definition.hash) => {}
                Some(pin) if pin.is_as_before(&definition) => {
                    if by != ListedBy::Memory {
                        pin.renew(&definition);
                        sifted.is_new = true;
                    }
                }
                Some(pin) if self.config.pin == PinPolicy::Warn => {
                    if by != ListedBy::Memory {
                        pin.let_through(&definition);
                        let_through.push(name);
                        sifted.is_new = true;
                    }
                }
                Some(pin) => {
                    let is_refused = pin.refused.as_ref().is_some_and(|refused| {
                        *refused == definition.hash || Some(refused) == definition.before.as_ref()
                    });
                    let why = if is_refused { WithheldFor::Refused } else { WithheldFor::Asked };
                    sifted.withheld.insert(name.clone(), why);
                    if !is_refused {
                        changes.insert(name, ToolChange { was: pin.shown.clone(), is: definition });
                    }
                }
                None if by == ListedBy::Memory => {}
                None if count >= PINS_MAX => {
                    sifted.withheld.insert(name, WithheldFor::TooMany);
                }
                None => {
                    let ToolDefinition { hash, shown, .. } = definition;
                    state.kept.tools.insert(name, Pin { hash, shown, ..Pin::default() });
                    sifted.is_new = true;
                }
            }
        }
        if !let_through.is_empty() {
            let tools = let_through.join(", ");
            tracing::warn!(
                agent = self.config.name,
                tools,
                "the server says something else of these tools than it did"
            );
        }
        let settles_version = by != ListedBy::Memory && (is_first || !let_through.is_empty());
        self.take_changes(&mut state, changes, version, by);
        if settles_version && state.kept.version.as_deref() != version {
            state.kept.version = version.map(str::to_owned);
            sifted.is_new = true;
        }
        drop(state);
        sifted.offers = offers.clone();
        sifted.offers.tools.retain(|tool| !sifted.withheld.contains_key(&tool.name));
        sifted.offers.prompts.retain(|prompt| !sifted.withheld.contains_key(&prompt.skill()));
        sifted
    }

    /// The operator starts another server than before. That is his word on what it says; what is different is told.
    fn compare_with_former(&self, state: &mut PinState, listed: &[(String, ToolDefinition)], by: ListedBy) {
        if by == ListedBy::Memory {
            return;
        }
        let Some(former) = state.former.take() else { return };
        let is_other = |(name, definition): &&(String, ToolDefinition)| {
            former.tools.get(name).is_some_and(|pin| !pin.is_known(&definition.hash) && !pin.is_as_before(definition))
        };
        let tools = listed.iter().filter(is_other).map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        if !tools.is_empty() {
            tracing::info!(
                agent = self.config.name,
                tools,
                "the server that is configured now says something else of these tools than the one before it"
            );
        }
    }

    fn take_changes(
        &self,
        state: &mut PinState,
        changes: BTreeMap<String, ToolChange>,
        version: Option<&str>,
        by: ListedBy,
    ) {
        let before = state.changes.clone();
        match by {
            ListedBy::Agent | ListedBy::Memory => state.changes = changes,
            ListedBy::Beside => state.changes.extend(changes),
        }
        if let Some(version) = version {
            state.version = Some(version.to_owned());
        }
        if state.changes == before {
            return;
        }
        self.changed.notify_waiters();
        let tools = state.changes.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        if !tools.is_empty() {
            tracing::warn!(
                agent = self.config.name,
                tools,
                "tools are withheld: the server says something else of them than when they were first seen. A task of the node's \
                 owner asks whether that is right: bobbinet task list --state input-required"
            );
        }
    }

    /// Keeps what was new, if it was.
    pub(crate) async fn keep(self: &Arc<Self>, sifted: &Sifted) {
        if !sifted.is_new {
            return;
        }
        let pins = self.clone();
        let written = tokio::task::spawn_blocking(move || pins.write(|_| {})).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(agent = self.config.name, %error, "what the server says of its tools is not kept: after a restart its next word counts as its first");
        }
    }

    /// What shows that a message is of this node itself.
    pub(crate) fn proof(&self) -> &str {
        &self.proof
    }

    /// An id for the message that begins the question about these changes.
    pub(crate) fn message_id(&self, changes: &str) -> MessageId {
        MessageId::parse(&format!("tool-changes-{changes}")).expect("a hash is short and printable")
    }

    /// What somebody has to decide about.
    pub(crate) fn open(&self) -> Option<OpenChanges> {
        let state = self.state();
        if state.changes.is_empty() {
            return None;
        }
        let mut hash = Sha256::new();
        for (name, change) in &state.changes {
            hash.update(format!("{} {name}\n", change.is.hash));
        }
        let id = hex(&hash.finalize()[..16]);
        let versions = [state.kept.version.clone(), state.version.clone()];
        Some(OpenChanges { id, tools: state.changes.clone(), versions })
    }

    /// Ready when there may be something else to decide about than when this was called.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// How many decisions there were: after each, other tools are withheld.
    pub(crate) fn decisions(&self) -> u64 {
        self.state().decisions
    }

    /// Lets the tools through as they are now, or has them withheld for good. Durable when it returns `true`; `false` if there are
    /// other changes by now, or none.
    ///
    /// # Errors
    /// If it cannot be kept: then it is not decided.
    pub(crate) async fn decide(self: &Arc<Self>, id: &str, is_let_through: bool) -> io::Result<bool> {
        let Some(open) = self.open().filter(|open| open.id == id) else { return Ok(false) };
        let pins = self.clone();
        let decided = tokio::task::spawn_blocking(move || {
            let decide = |kept: &mut Kept| {
                for (name, change) in &open.tools {
                    let pin = kept.tools.entry(name.clone()).or_default();
                    match is_let_through {
                        true => pin.let_through(&change.is),
                        false => pin.refused = Some(change.is.hash.clone()),
                    }
                }
                if is_let_through {
                    kept.version.clone_from(&open.versions[1]);
                }
            };
            pins.write(decide)?;
            let mut state = pins.state();
            state.changes.retain(|name, change| open.tools.get(name).is_none_or(|decided| decided.is != change.is));
            state.decisions += 1;
            drop(state);
            pins.changed.notify_waiters();
            Ok(true)
        });
        decided.await.map_err(io::Error::other)?
    }

    /// Changes what is kept, once that is on the disk. Blocks.
    fn write(&self, change: impl Fn(&mut Kept)) -> io::Result<()> {
        let _turn = self.writing.lock().expect("nobody panics while writing what is pinned");
        let mut kept = self.state().kept.clone();
        change(&mut kept);
        fs::create_dir_all(&self.folder)?;
        let (fresh, file) = (self.folder.join(format!("{FILE}.new")), self.folder.join(FILE));
        let mut written = fs::File::create(&fresh)?;
        io::Write::write_all(&mut written, &serde_json::to_vec(&kept)?)?;
        written.sync_all()?;
        fs::rename(fresh, file)?;
        fs::File::open(&self.folder)?.sync_all()?;
        // Again, as a session may have seen something new meanwhile.
        change(&mut self.state().kept);
        Ok(())
    }
}

/// A text that nobody guesses.
fn fresh_proof() -> String {
    use std::hash::{BuildHasher, RandomState};
    let mut hash = Sha256::new();
    for round in 0..4_u64 {
        hash.update(RandomState::new().hash_one((round, std::process::id())).to_le_bytes());
    }
    hex(&hash.finalize()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offers(tools: &[(&str, &str)]) -> Offers {
        let tool = |(name, about): &(&str, &str)| {
            serde_json::from_value(serde_json::json!({"name": name, "description": about})).unwrap()
        };
        Offers::from(tools.iter().map(tool).collect::<Vec<_>>())
    }

    struct Pins {
        folder: tempfile::TempDir,
        pins: Arc<PinnedTools>,
    }

    impl Pins {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let pins = Arc::new(PinnedTools::read(Arc::new(McpConfig::new("a", "x", &[])), folder.path()));
            Self { folder, pins }
        }

        /// As after a restart.
        fn again(self, change: impl Fn(&mut McpConfig)) -> Self {
            let mut config = McpConfig::new("a", "x", &[]);
            change(&mut config);
            let pins = Arc::new(PinnedTools::read(Arc::new(config), self.folder.path()));
            Self { pins, ..self }
        }

        /// The names that are offered, and those that are withheld.
        async fn list(&self, by: ListedBy, tools: &[(&str, &str)]) -> String {
            let sifted = self.pins.sift(&offers(tools), Some("1"), by);
            self.pins.keep(&sifted).await;
            let offered = sifted.offers.tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>().join(" ");
            let withheld = sifted.withheld.iter().map(|(name, why)| format!("{name} {why:?}")).collect::<Vec<_>>();
            format!("{offered} | {}", withheld.join(" "))
        }
    }

    const AGENT: ListedBy = ListedBy::Agent;

    #[tokio::test]
    async fn a_tool_that_changes_is_withheld_until_somebody_says_yes_over_restarts() {
        let pins = Pins::new();
        assert_eq!(pins.list(AGENT, &[("a", "1"), ("b", "1")]).await, "a b | ");
        assert!(pins.pins.open().is_none());
        let pins = pins.again(|_| {});
        assert_eq!(pins.list(AGENT, &[("a", "1"), ("b", "2"), ("c", "1")]).await, "a c | b Asked");
        let open = pins.pins.open().unwrap();
        assert_eq!(open.tools.keys().collect::<Vec<_>>(), ["b"]);
        let pins = pins.again(|_| {});
        // What was kept of the last listing is looked at by the same eyes, and adds nothing.
        assert_eq!(pins.list(ListedBy::Memory, &[("b", "2"), ("d", "1")]).await, "d | b Asked");
        assert_eq!(pins.list(AGENT, &[("a", "1"), ("b", "2")]).await, "a | b Asked");
        assert_eq!(pins.pins.open().unwrap().id, open.id, "the same change is the same question");
        assert!(!pins.pins.decide("other", true).await.unwrap());
        assert!(pins.pins.decide(&open.id, true).await.unwrap());
        assert!(pins.pins.open().is_none());
        assert_eq!(pins.list(AGENT, &[("a", "1"), ("b", "2")]).await, "a b | ");
        let pins = pins.again(|_| {});
        assert_eq!(pins.list(AGENT, &[("b", "2")]).await, "b | ");
        // What was let through once stays so: of several processes one may be older.
        assert_eq!(pins.list(AGENT, &[("b", "1")]).await, "b | ");
        // One that goes and comes back as another is known all the same.
        assert_eq!(pins.list(AGENT, &[]).await, " | ");
        assert_eq!(pins.list(AGENT, &[("a", "3")]).await, " | a Asked");
    }

    #[tokio::test]
    async fn what_was_pinned_before_meta_counted_is_known_and_from_then_on_it_counts() {
        let pins = Pins::new();
        pins.list(AGENT, &[("a", "1")]).await;
        let definition = ToolDefinition::of_tool(&offers(&[("a", "1")]).tools[0]);
        let file = pins.folder.path().join(FILE);
        let kept = fs::read_to_string(&file).unwrap().replace(&definition.hash, definition.before.as_ref().unwrap());
        fs::write(&file, kept).unwrap();
        let pins = pins.again(|_| {});
        let withheld = |ui: u8| {
            let mut offers = offers(&[("a", "1")]);
            offers.tools[0].meta = Some(bobbinet_core::Json::from(&serde_json::json!({"ui": ui})));
            pins.pins.sift(&offers, None, AGENT).withheld.len()
        };
        assert_eq!([withheld(1), withheld(1), withheld(2)], [0, 0, 1]);
    }

    #[tokio::test]
    async fn a_no_is_kept_and_nobody_is_asked_again_unless_it_changes_again() {
        let pins = Pins::new();
        pins.list(AGENT, &[("a", "1")]).await;
        pins.list(AGENT, &[("a", "2")]).await;
        let id = pins.pins.open().unwrap().id;
        assert!(pins.pins.decide(&id, false).await.unwrap());
        let pins = pins.again(|_| {});
        assert_eq!(pins.list(AGENT, &[("a", "2")]).await, " | a Refused");
        assert!(pins.pins.open().is_none());
        assert_eq!(pins.list(AGENT, &[("a", "3")]).await, " | a Asked");
        assert!(pins.pins.open().is_some());
        assert_eq!(pins.list(AGENT, &[("a", "1")]).await, "a | ");
        assert!(pins.pins.open().is_none(), "it has thought better of it");
        assert!(WithheldFor::Asked.fault("a", "t").text.contains("task list"));
    }

    #[tokio::test]
    async fn what_the_operator_says_counts() {
        let pins = Pins::new();
        pins.list(AGENT, &[("a", "1")]).await;
        let pins = pins.again(|config| config.pin = PinPolicy::Off);
        assert_eq!(pins.list(AGENT, &[("a", "2")]).await, "a | ");
        let pins = pins.again(|config| config.pin = PinPolicy::Warn);
        assert_eq!(pins.list(AGENT, &[("a", "3")]).await, "a | ");
        let pins = pins.again(|_| {});
        assert_eq!(pins.list(AGENT, &[("a", "3")]).await, "a | ", "that was let through");
        assert_eq!(pins.list(AGENT, &[("a", "4")]).await, " | a Asked");
        // Another command is another server, by the operator's own word.
        let pins = pins.again(|config| *config = McpConfig::new("a", "x@2", &[]));
        assert_eq!(pins.list(AGENT, &[("a", "4")]).await, "a | ");
        assert_eq!(pins.list(AGENT, &[("a", "5")]).await, " | a Asked");
    }

    #[tokio::test]
    async fn a_name_that_comes_twice_and_a_session_beside_slip_nothing_in() {
        let pins = Pins::new();
        pins.list(AGENT, &[("a", "1"), ("b", "1")]).await;
        assert_eq!(pins.list(AGENT, &[("a", "2"), ("a", "1"), ("b", "1")]).await, "b | a Asked");
        assert_eq!(pins.list(AGENT, &[("a", "1"), ("a", "2")]).await, "a a | ", "the first is the tool");
        assert_eq!(pins.list(ListedBy::Beside, &[("b", "2")]).await, " | b Asked");
        assert_eq!(pins.pins.open().unwrap().tools.len(), 1);
        assert_eq!(pins.list(ListedBy::Beside, &[("a", "1")]).await, "a | ");
        assert_eq!(pins.pins.open().unwrap().tools.len(), 1, "one session does not speak for another");
    }
}
