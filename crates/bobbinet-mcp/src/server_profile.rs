//! What is known of a server: what it offers and its description, from its newest listing or from an earlier life of ours.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};

use bobbinet_core::Description;
use rmcp::model::ServerPeerInfo;

use crate::{
    catalog::{self, Catalog},
    config::{McpConfig, ProtocolEra},
    listing::{Listing, Offers},
    pinned_tools::{ListedBy, PinnedTools, Sifted},
    remembered_tools::RememberedTools,
    shown_offers,
};

/// What a server offers, and its description, by the newest listing. It outlives the sessions that it was learned in: they take their listings in, whoever plans a call or
/// writes a card reads it.
#[derive(Debug)]
pub(crate) struct ServerProfile {
    config: Arc<McpConfig>,
    /// Where it is kept for the next life.
    folder: PathBuf,
    remembered_era: Option<ProtocolEra>,
    /// What the agent's tools were when they were first seen.
    pins: Arc<PinnedTools>,
    is_beside: bool,
    known: Mutex<KnownTools>,
}

#[derive(Debug)]
struct KnownTools {
    /// As it was listed: with what is withheld.
    offers: Option<Arc<Offers>>,
    info: Option<ServerPeerInfo>,
    /// How many decisions there were about what is withheld when the catalog was made.
    decisions: u64,
    catalog: Option<Arc<Catalog>>,
    description: Arc<Description>,
    /// What is offered beside the tools, as others are shown it.
    shown: Arc<bobbinet_engine::Offers>,
    /// What was last said of the listing.
    notes: Vec<String>,
}

impl KnownTools {
    fn take(&mut self, catalog: Catalog, shown: bobbinet_engine::Offers) {
        if self.description != catalog.description {
            self.description = catalog.description.clone();
        }
        if *self.shown != shown {
            self.shown = Arc::new(shown);
        }
        self.catalog = Some(Arc::new(catalog));
    }
}

impl ServerProfile {
    /// What is kept in the folder, if it is this server's.
    pub(crate) fn remembered(config: Arc<McpConfig>, folder: PathBuf, pins: Arc<PinnedTools>) -> Self {
        Self::new(config, folder, pins, false)
    }

    fn new(config: Arc<McpConfig>, folder: PathBuf, pins: Arc<PinnedTools>, is_beside: bool) -> Self {
        let remembered = RememberedTools::read(&config, &folder);
        let remembered_era = remembered.as_ref().and_then(RememberedTools::era);
        let offers = remembered.as_ref().map(|known| Arc::new(known.offers()));
        let info = remembered.and_then(|known| known.info);
        let description = Arc::new(catalog::describe(&config, None, Vec::new()));
        let known = KnownTools {
            offers,
            info,
            decisions: 0,
            catalog: None,
            description,
            shown: Arc::default(),
            notes: Vec::new(),
        };
        let profile = Self { config, folder, remembered_era, pins, is_beside, known: Mutex::new(known) };
        profile.make_catalog(&mut profile.state());
        profile
    }

    /// For a session beside those that the agent's own profile is of, which begins with what that has kept. What it lists changes nothing
    /// of the agent's.
    pub(crate) fn beside(&self, folder: PathBuf) -> Self {
        Self { folder, ..Self::new(self.config.clone(), self.folder.clone(), self.pins.clone(), true) }
    }

    /// The same for one that begins with what it has kept itself.
    pub(crate) fn apart(&self, folder: PathBuf) -> Self {
        Self::new(self.config.clone(), folder, self.pins.clone(), true)
    }

    fn state(&self) -> MutexGuard<'_, KnownTools> {
        self.known.lock().expect("nobody panics while looking at what is known of a server")
    }

    /// What is known, by what is decided about changes of it.
    fn known(&self) -> MutexGuard<'_, KnownTools> {
        let mut known = self.state();
        if known.decisions != self.pins.decisions() {
            self.make_catalog(&mut known);
        }
        known
    }

    /// Makes the catalog of what is known to be offered, if anything is.
    fn make_catalog(&self, known: &mut KnownTools) {
        known.decisions = self.pins.decisions();
        let Some(offers) = known.offers.clone() else { return };
        let by = if self.is_beside { ListedBy::Beside } else { ListedBy::Memory };
        let sifted = self.pins.sift(&offers, None, by);
        let (catalog, shown) = self.catalog_of(sifted, known.info.as_ref(), known.catalog.as_deref());
        known.take(catalog, shown);
    }

    /// The catalog of what is not withheld, and what others are shown of it.
    fn catalog_of(
        &self,
        sifted: Sifted,
        info: Option<&ServerPeerInfo>,
        before: Option<&Catalog>,
    ) -> (Catalog, bobbinet_engine::Offers) {
        let Sifted { offers, withheld, .. } = sifted;
        let catalog = Catalog::new(&self.config, info, &offers, before).without(withheld);
        let shown = shown_offers::shown(&offers, &catalog, &self.config.effects);
        (catalog, shown)
    }

    /// The newest tools, if there ever were any: in this life, or in an earlier one.
    pub(crate) fn catalog(&self) -> Option<Arc<Catalog>> {
        self.known().catalog.clone()
    }

    pub(crate) fn description(&self) -> Arc<Description> {
        self.known().description.clone()
    }

    /// What it offers beside its tools.
    pub(crate) fn shown(&self) -> Arc<bobbinet_engine::Offers> {
        self.known().shown.clone()
    }

    /// The era that the server was spoken to in, in an earlier life.
    pub(crate) fn remembered_era(&self) -> Option<ProtocolEra> {
        self.remembered_era
    }

    /// Whether the server is known to keep nothing by sessions: in the era without a handshake there are none.
    pub(crate) fn has_no_sessions(&self) -> bool {
        self.state().info.as_ref().is_some_and(|info| !info.protocol_version.has_initialize())
    }

    /// Makes a listing known, and what was left out of it, once. Returns whether the server should be asked again.
    pub(crate) async fn take_in(&self, info: &ServerPeerInfo, listing: Listing) -> bool {
        let (notes, is_cut_off) = (listing.notes(), listing.is_cut_off());
        let is_new = {
            let mut known = self.known();
            let is_new = known.notes != notes;
            known.notes.clone_from(&notes);
            is_new
        };
        if is_new && !notes.is_empty() {
            let notes = notes.join("; ");
            tracing::warn!(agent = self.config.name, notes, "not all that the server lists is taken");
        }
        let known = self.known().offers.clone();
        let offers = listing.offers(known.as_deref());
        let says_nothing_new = is_cut_off && known.is_some_and(|known| *known == offers);
        if !says_nothing_new {
            self.publish(info, offers).await;
        }
        is_cut_off
    }

    async fn publish(&self, info: &ServerPeerInfo, offers: Offers) {
        self.remember(RememberedTools::new(&self.config, Some(info), &offers)).await;
        let version = info.server_info.as_ref().map(|server| server.version.as_str());
        let decisions = self.pins.decisions();
        let sifted = self.pins.sift(&offers, version, if self.is_beside { ListedBy::Beside } else { ListedBy::Agent });
        self.pins.keep(&sifted).await;
        let before = self.state().catalog.clone();
        let (catalog, shown) = self.catalog_of(sifted, Some(info), before.as_deref());
        let mut known = self.state();
        (known.offers, known.info, known.decisions) = (Some(Arc::new(offers)), Some(info.clone()), decisions);
        known.take(catalog, shown);
    }

    async fn remember(&self, remembered: RememberedTools) {
        let folder = self.folder.clone();
        let written = tokio::task::spawn_blocking(move || remembered.write(&folder)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(agent = self.config.name, %error, "the tools are not remembered for the next start");
        }
    }
}
