//! The agents of a node of ours, by its URL.

use bobbinet_outbound::{Guard, OutboundError, fetch};
use reqwest::{Method, Url, header};
use serde::Deserialize;

/// Agents of one node that are taken.
const AGENTS_MAX: usize = 1_000;

/// One agent of a node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct CatalogEntry {
    /// What it is called there.
    pub name: String,
    /// Where it is.
    pub url: String,
}

#[derive(Deserialize)]
struct Catalog {
    agents: Vec<CatalogEntry>,
}

/// What a node says which agents it has; `None` if there is no list of agents at this URL.
///
/// # Errors
/// If nobody answers there, or it is not to be asked.
pub async fn catalog(guard: &Guard, url: &Url) -> Result<Option<Vec<CatalogEntry>>, OutboundError> {
    let mut list = url.clone();
    list.set_query(None);
    list.set_fragment(None);
    list.set_path(&format!("{}/agents", url.path().trim_end_matches('/').trim_end_matches("/agents")));
    let http = guard.http(&list)?;
    let request = http.request(Method::GET, &list)?.header(header::ACCEPT, "application/json");
    let fetched = fetch(request, guard.limits()).await?;
    if !fetched.status.is_success() {
        return Ok(None);
    }
    let Ok(catalog) = serde_json::from_slice::<Catalog>(&fetched.body) else { return Ok(None) };
    Ok(Some(catalog.agents.into_iter().take(AGENTS_MAX).collect()))
}
