//! Pages of a list that is in the order of its names: a cursor is the last name of the page before, so that what comes and goes meanwhile
//! shifts nothing.

use bobbinet_core::Json;

use crate::{
    limits::McpServerLimits,
    object::Object,
    result,
    revision::Revision,
    rpc::{Params, RpcError},
};

/// How a cursor begins.
const AFTER: &str = "after:";

/// One page.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) entries: Vec<Json>,
    next: Option<String>,
}

/// Where a page begins: behind this name.
#[derive(Debug)]
pub(crate) struct Cursor(Option<String>);

impl Cursor {
    pub(crate) fn of(params: &Params) -> Result<Self, RpcError> {
        let Some(cursor) = params.optional::<String>("cursor")? else { return Ok(Self(None)) };
        match cursor.strip_prefix(AFTER) {
            Some(after) => Ok(Self(Some(after.to_owned()))),
            None => Err(RpcError::invalid_params("`cursor` must be the nextCursor of the page before")),
        }
    }

    /// Whether it is the first page.
    pub(crate) fn is_first(&self) -> bool {
        self.0.is_none()
    }
}

impl Page {
    /// Fills a page with what is behind the cursor. `entries` are in the order of their names; each is written only if it is on the page.
    pub(crate) fn fill<T>(
        cursor: &Cursor,
        first: Vec<Json>,
        entries: impl IntoIterator<Item = (String, T)>,
        write: impl Fn(&str, &T) -> Option<Json>,
        limits: &McpServerLimits,
    ) -> Self {
        let mut page = first;
        let (mut bytes, mut last) = (0, None);
        for (name, entry) in entries {
            if cursor.0.as_ref().is_some_and(|after| name <= *after) {
                continue;
            }
            let Some(written) = write(&name, &entry) else { continue };
            bytes += written.as_str().len();
            let is_full = page.len() >= limits.page_tools_max || bytes > limits.page_bytes_max;
            if let Some(last) = last.take().filter(|_| is_full) {
                return Self { entries: page, next: Some(format!("{AFTER}{last}")) };
            }
            page.push(written);
            last = Some(name);
        }
        Self { entries: page, next: None }
    }

    /// As the result of a list whose entries are under this name.
    pub(crate) fn to_json(
        &self,
        field: &'static str,
        meta: Object,
        revision: Revision,
        limits: &McpServerLimits,
    ) -> Json {
        let page = Object::default().with(field, &self.entries).with_some("nextCursor", self.next.as_ref());
        if revision.is_stateless() {
            // What a caller may call is nobody else's to know.
            let page = page.with("ttlMs", &limits.list_ttl_ms()).with("cacheScope", "private");
            return result::stateless(page, meta).to_json();
        }
        if meta.is_empty() { page } else { page.with("_meta", &meta) }.to_json()
    }
}
