//! What is known of a server that is not running: for those who want to know what they could call.

use std::{path::Path, sync::Arc};

use bobbinet_core::Description;

use crate::{
    catalog::Catalog,
    config::McpConfig,
    pinned_tools::{ListedBy, PinnedTools},
    remembered_tools::RememberedTools,
};

/// What an agent said of itself when its server ran last, by what is kept in the agent's folder; nothing if it never ran with this command.
/// Starts nothing.
pub fn remembered(config: &McpConfig, folder: &Path) -> Option<Arc<Description>> {
    let remembered = RememberedTools::read(config, folder)?;
    let pins = PinnedTools::read(Arc::new(config.clone()), folder);
    let sifted = pins.sift(&remembered.offers(), None, ListedBy::Memory);
    Some(Catalog::new(config, remembered.info.as_ref(), &sifted.offers, None).description)
}
