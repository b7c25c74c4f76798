//! Where tokens for a server are given out: by the server's word (RFC 9728), and by its authorization server's (RFC 8414).

use std::time::Duration;

use bobbinet_outbound::{
    Fetched, Guard, OutboundError, OutboundLimits, Refused, fetch,
    oauth::{
        BearerChallenge, ClientAuthMethod, ClientCredential, IssuerMetadata, MetadataFault, ResourceMetadata,
        canonical_resource, issuer_metadata_urls, may_carry_secrets, resource_metadata_urls,
    },
};
use reqwest::{Method, StatusCode, Url, header::ACCEPT};

use super::fault::{AuthFault, IssuerFault};
use crate::server_auth::TokenAuthority;

/// The bounds of one request for metadata or a token.
pub(super) const LIMITS: OutboundLimits = OutboundLimits {
    connect: Duration::from_secs(5),
    answer: Duration::from_secs(10),
    silence: Duration::from_secs(10),
    whole: Duration::from_secs(15),
    bytes_max: 256 << 10,
    idle_connections_max: 1,
};

/// The server, as authorization servers know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resource {
    pub(super) name: String,
    pub(super) scopes: Vec<String>,
}

/// Where and how a token is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authority {
    pub(super) issuer: String,
    pub(super) token_url: Url,
    pub(super) method: ClientAuthMethod,
}

/// Finds out who gives out tokens for this server, to a client that shows this. It must be whom the operator has named.
pub(super) async fn find(
    guard: &Guard,
    server: &Url,
    authority: &TokenAuthority,
    credential: &ClientCredential,
    challenge: Option<&BearerChallenge>,
) -> Result<(Resource, Authority), AuthFault> {
    let metadata = resource(guard, server, challenge).await?;
    if let (Some(metadata), TokenAuthority::Issuer(issuer)) = (&metadata, authority)
        && !metadata.issuers.is_empty()
        && !metadata.issuers.iter().any(|named| is_same_issuer(named, issuer))
    {
        let named = metadata.issuers.iter().map(|issuer| origin_of(issuer)).collect();
        return Err(AuthFault::OtherIssuer { configured: issuer.clone(), named });
    }
    let resource = match metadata {
        Some(metadata) => Resource { name: metadata.resource, scopes: metadata.scopes },
        None => Resource { name: canonical_resource(server), scopes: Vec::new() },
    };
    let authority = match authority {
        TokenAuthority::TokenUrl(url) => {
            Authority { issuer: url.to_string(), token_url: url.clone(), method: credential.methods()[0] }
        }
        TokenAuthority::Issuer(issuer) => {
            let metadata = issuer_metadata(guard, issuer).await?;
            let unfit = |fault| AuthFault::Issuer { issuer: issuer.clone(), source: IssuerFault::Metadata(fault) };
            let method = metadata.method(credential).map_err(unfit)?;
            Authority { issuer: issuer.clone(), token_url: metadata.token_url, method }
        }
    };
    Ok((resource, authority))
}

/// Finds out where people log in for this server: with whom the operator has named, or else with the first that the server names. A server
/// that names nobody may be its own authorization server (2025-03-26).
pub(super) async fn find_login(
    guard: &Guard,
    server: &Url,
    configured: Option<&str>,
    challenge: Option<&BearerChallenge>,
) -> Result<(Resource, String), AuthFault> {
    let metadata = resource(guard, server, challenge).await?;
    let resource = match &metadata {
        Some(metadata) => Resource { name: metadata.resource.clone(), scopes: metadata.scopes.clone() },
        None => Resource { name: canonical_resource(server), scopes: Vec::new() },
    };
    let named = metadata.map(|metadata| metadata.issuers).unwrap_or_default();
    let issuer = match (configured, named.first()) {
        (Some(issuer), None) => issuer.to_owned(),
        (Some(issuer), Some(_)) if named.iter().any(|named| is_same_issuer(named, issuer)) => issuer.to_owned(),
        (Some(issuer), Some(_)) => {
            let named = named.iter().map(|issuer| origin_of(issuer)).collect();
            return Err(AuthFault::OtherIssuer { configured: issuer.to_owned(), named });
        }
        (None, Some(issuer)) => issuer.clone(),
        (None, None) => server.origin().ascii_serialization(),
    };
    Ok((resource, issuer))
}

/// Who gives out tokens for this server, by its own word, if it says that. None of them is shown anything.
pub(crate) async fn issuers_of(guard: &Guard, server: &Url, challenge: Option<&BearerChallenge>) -> Vec<String> {
    let issuers = match resource(guard, server, challenge).await {
        Ok(Some(metadata)) => metadata.issuers,
        Ok(None) | Err(_) => Vec::new(),
    };
    issuers.into_iter().filter(|issuer| issuer_metadata_urls(issuer).is_ok()).collect()
}

/// A slash after the host says nothing, and is added by some who write URLs. What the authorization server says of itself must be its name
/// to the letter all the same.
fn is_same_issuer(named: &str, configured: &str) -> bool {
    let bare = |issuer: &str| match Url::parse(issuer) {
        Ok(url) if url.path() == "/" => issuer.trim_end_matches('/').to_owned(),
        Ok(_) | Err(_) => issuer.to_owned(),
    };
    bare(named) == bare(configured)
}

/// Of somebody else's URL, no more than where it leads.
fn origin_of(issuer: &str) -> String {
    Url::parse(issuer).map_or_else(|_| "something that is no URL".to_owned(), |url| url.origin().ascii_serialization())
}

/// What the server says of itself, if it says anything. Where it has named a place, that must be good; where it usually is, it need not be
/// there.
async fn resource(
    guard: &Guard,
    server: &Url,
    challenge: Option<&BearerChallenge>,
) -> Result<Option<ResourceMetadata>, AuthFault> {
    if let Some(named) = challenge.and_then(|challenge| challenge.resource_metadata.as_deref()) {
        let unfit = |why: &'static str| {
            let url = origin_of(named);
            let source = OutboundError::Refused(Refused::Url { url: url.clone(), why });
            AuthFault::Resource { place: url, source }
        };
        let url = server.join(named).map_err(|_| unfit("it is no URL"))?;
        if !may_carry_secrets(&url, server) {
            return Err(unfit("it is not https"));
        }
        let place = url.origin().ascii_serialization();
        let Fetched { status, body, .. } =
            get(guard, &url).await.map_err(|source| AuthFault::Resource { place: place.clone(), source })?;
        if !status.is_success() {
            return Err(AuthFault::ResourceStatus { place, status: status.as_u16() });
        }
        let read = ResourceMetadata::read(&body, server);
        return read.map(Some).map_err(|source| AuthFault::ResourceMetadata { place, source });
    }
    for url in resource_metadata_urls(server) {
        let Ok(Fetched { status: StatusCode::OK, body, .. }) = get(guard, &url).await else { continue };
        match ResourceMetadata::read(&body, server) {
            Ok(metadata) => return Ok(Some(metadata)),
            // Many servers answer any path with a page.
            Err(MetadataFault::Unreadable(_)) => {}
            Err(source) => {
                let place = url.origin().ascii_serialization();
                return Err(AuthFault::ResourceMetadata { place, source });
            }
        }
    }
    Ok(None)
}

/// What an authorization server says of itself.
pub(super) async fn issuer_metadata(guard: &Guard, issuer: &str) -> Result<IssuerMetadata, AuthFault> {
    find_issuer_metadata(guard, issuer).await.map_err(|source| AuthFault::Issuer { issuer: issuer.to_owned(), source })
}

async fn find_issuer_metadata(guard: &Guard, issuer: &str) -> Result<IssuerMetadata, IssuerFault> {
    let mut last = None;
    for url in issuer_metadata_urls(issuer).map_err(IssuerFault::Metadata)? {
        let fault = match get(guard, &url).await {
            Ok(Fetched { status: StatusCode::OK, body, .. }) => match IssuerMetadata::read(&body, issuer) {
                Ok(metadata) => return Ok(metadata),
                Err(fault @ MetadataFault::Unreadable(_)) => IssuerFault::Metadata(fault),
                Err(fault) => return Err(IssuerFault::Metadata(fault)),
            },
            Ok(Fetched { status, .. }) => IssuerFault::Status { status: status.as_u16() },
            // It is the same one at every place.
            Err(error) => return Err(IssuerFault::Outbound(error)),
        };
        last = Some(fault);
    }
    Err(last.expect("an issuer's metadata have a place"))
}

async fn get(guard: &Guard, url: &Url) -> Result<Fetched, OutboundError> {
    let request = guard.http(url)?.request(Method::GET, url)?.header(ACCEPT, "application/json");
    fetch(request, &LIMITS).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_known_by_its_name() {
        assert!(is_same_issuer("https://i.example/", "https://i.example"));
        assert!(is_same_issuer("https://i.example/t", "https://i.example/t"));
        for other in ["https://i.example/t/", "https://i.example", "http://i.example/t", "https://j.example/t", "t"] {
            assert!(!is_same_issuer(other, "https://i.example/t"), "{other}");
        }
    }
}
