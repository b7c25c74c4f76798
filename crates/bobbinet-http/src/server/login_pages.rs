//! Where browsers come back that a server elsewhere has let in, and where authorization servers look up who this node is.
//!
//! Both are for everybody: whoever comes back has nothing to show but what only the one has who was sent.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::{Server, answer};

/// How long that may be taken from a cache.
const CLIENT_CACHE: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// What a browser does with such a page: nothing, and nobody hears of its address.
const PAGE: [(HeaderName, HeaderValue); 3] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
];

pub(super) async fn come_back(State(server): State<Arc<Server>>, RawQuery(query): RawQuery) -> Response {
    let Some(logins) = server.logins.get().cloned() else { return not_found() };
    // A browser that does not wait must not lose what it has brought.
    let coming = server.work.spawn(async move { logins.come_back(&query.unwrap_or_default()).await });
    let failed = || (StatusCode::INTERNAL_SERVER_ERROR, "This did not work.".to_owned());
    let (status, words) = coming.await.unwrap_or_else(|_panicked| failed());
    let mut response = answer::text(status, format!("{words}\n"));
    response.headers_mut().extend(PAGE);
    response
}

pub(super) async fn client(State(server): State<Arc<Server>>) -> Response {
    let Some(metadata) = server.logins.get().and_then(|logins| logins.client_metadata()) else { return not_found() };
    let mut response = answer::json(StatusCode::OK, metadata);
    response.headers_mut().insert(header::CACHE_CONTROL, CLIENT_CACHE);
    response
}

fn not_found() -> Response {
    answer::text(StatusCode::NOT_FOUND, "there is nothing here\n")
}
