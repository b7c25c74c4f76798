//! What is known of a server: what it offers and its description, from its newest listing or from an earlier life of ours.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use bobbinet_core::Description;
use rmcp::model::ServerPeerInfo;

use crate::{
    catalog::{self, Catalog},
    config::{McpConfig, ProtocolEra},
    listing::{Listing, Offers},
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
    known: Mutex<KnownTools>,
}

#[derive(Debug)]
struct KnownTools {
    offers: Option<Arc<Offers>>,
    catalog: Option<Arc<Catalog>>,
    description: Arc<Description>,
    /// What is offered beside the tools, as others are shown it.
    shown: Arc<bobbinet_engine::Offers>,
    /// What was last said of the listing.
    notes: Vec<String>,
}

impl ServerProfile {
    /// What is kept in the folder, if it is this server's.
    pub(crate) fn remembered(config: Arc<McpConfig>, folder: PathBuf) -> Self {
        let remembered = RememberedTools::read(&config, &folder);
        let remembered_era = remembered.as_ref().and_then(RememberedTools::era);
        let offers = remembered.as_ref().map(|known| Arc::new(known.offers()));
        let info = remembered.as_ref().and_then(|known| known.info.as_ref());
        let catalog = offers.as_ref().map(|offers| Arc::new(Catalog::new(&config, info, offers, None)));
        let description = match &catalog {
            Some(catalog) => catalog.description.clone(),
            None => Arc::new(catalog::describe(&config, None, Vec::new())),
        };
        let shown =
            offers.as_deref().zip(catalog.as_deref()).map(|(offers, catalog)| shown_offers::shown(offers, catalog));
        let shown = Arc::new(shown.unwrap_or_default());
        let known = Mutex::new(KnownTools { offers, catalog, description, shown, notes: Vec::new() });
        Self { config, folder, remembered_era, known }
    }

    /// For a session beside those that the agent's own profile is of, which begins with what that has kept. What it lists changes nothing
    /// of the agent's.
    pub(crate) fn beside(config: Arc<McpConfig>, agents: &Path, folder: PathBuf) -> Self {
        Self { folder, ..Self::remembered(config, agents.to_owned()) }
    }

    fn known(&self) -> MutexGuard<'_, KnownTools> {
        self.known.lock().expect("nobody panics while looking at what is known of a server")
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
        let before = self.catalog();
        let catalog = Arc::new(Catalog::new(&self.config, Some(info), &offers, before.as_deref()));
        let description = catalog.description.clone();
        let shown = shown_offers::shown(&offers, &catalog);
        let mut known = self.known();
        if *known.shown != shown {
            known.shown = Arc::new(shown);
        }
        known.offers = Some(Arc::new(offers));
        known.catalog = Some(catalog);
        if known.description != description {
            known.description = description;
        }
    }

    async fn remember(&self, remembered: RememberedTools) {
        let folder = self.folder.clone();
        let written = tokio::task::spawn_blocking(move || remembered.write(&folder)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(agent = self.config.name, %error, "the tools are not remembered for the next start");
        }
    }
}
