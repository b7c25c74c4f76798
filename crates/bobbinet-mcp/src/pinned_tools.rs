//! What a server said of its tools, prompts and resource templates when they were first seen. One of which it says something else later is withheld until
//! somebody has looked at the difference: a server that was trusted for what it said need not be for what it says now.

mod kept_pins;
#[cfg(test)]
mod tests;
mod withheld_for;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use bobbinet_core::MessageId;
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, futures::Notified};

use self::{
    kept_pins::{KeptPins, Pin},
    withheld_for::PINS_MAX,
};
use crate::{
    config::{McpConfig, PinPolicy},
    digest::hex,
    listing::Offers,
    resources::RawTemplate,
    tool_definition::ToolDefinition,
};

pub(crate) use self::withheld_for::{TOOL_WITHHELD, WithheldFor};

/// What stands before the address of a resource template in the name of its pin.
pub(crate) const TEMPLATE: &str = "template:";

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
    kept: KeptPins,
    /// Of those that nobody has decided about.
    changes: BTreeMap<String, ToolChange>,
    /// What the server calls its version, as it was listed last.
    version: Option<String>,
    /// How many decisions there were.
    decisions: u64,
    /// What was known under another command, until the first listing has been compared with it.
    former: Option<KeptPins>,
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
        let command = config.server.words();
        let (kept, former) = match KeptPins::read(folder) {
            Some(Ok(kept)) if kept.command == command => (kept, None),
            Some(Ok(former)) => (KeptPins { command, ..KeptPins::default() }, Some(former)),
            Some(Err(error)) => {
                tracing::warn!(
                    agent = config.name,
                    %error,
                    "what the server said of its tools cannot be read any more: what it says now counts as its first word"
                );
                (KeptPins { command, ..KeptPins::default() }, None)
            }
            None => (KeptPins { command, ..KeptPins::default() }, None),
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
        let templates = offers.templates.iter().map(|it| (template_name(it), ToolDefinition::of_template(it)));
        let listed = tools.chain(prompts).chain(templates).collect::<Vec<_>>();
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
        // Of a name that comes twice only the first was looked at; and a tool's name is not another's.
        let mut names: BTreeSet<String> = offers.tools.iter().map(|tool| tool.name.clone()).collect();
        let mut is_shown = |name: String| !sifted.withheld.contains_key(&name) && names.insert(name);
        sifted.offers.prompts.retain(|prompt| is_shown(prompt.skill()));
        sifted.offers.templates.retain(|template| is_shown(template_name(template)));
        // They are read by a skill that is not their own.
        sifted.withheld.retain(|name, _| !offers.templates.iter().any(|template| template_name(template) == *name));
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
            let decide = |kept: &mut KeptPins| {
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
    fn write(&self, change: impl Fn(&mut KeptPins)) -> io::Result<()> {
        let _turn = self.writing.lock().expect("nobody panics while writing what is pinned");
        let mut kept = self.state().kept.clone();
        change(&mut kept);
        kept.write(&self.folder)?;
        // Again, as a session may have seen something new meanwhile.
        change(&mut self.state().kept);
        Ok(())
    }
}

fn template_name(template: &RawTemplate) -> String {
    format!("{TEMPLATE}{}", template.uri_template)
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
