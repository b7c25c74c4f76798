//! Who gives out tokens for a server (RFC 9728), and where and how they do (RFC 8414, OpenID Connect Discovery 1.0).

use reqwest::Url;
use serde::Deserialize;

use super::client_auth::{ClientAuthMethod, ClientCredential};
use crate::Origin;

/// Authorization servers of one resource that are looked at.
const ISSUERS_MAX: usize = 16;

/// Scopes of one resource.
const SCOPES_MAX: usize = 64;

/// Characters of somebody else's word that are told on.
const TOLD_MAX: usize = 200;

/// What is wrong with metadata.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataFault {
    /// It is something else.
    #[error("it is no metadata: {0}")]
    Unreadable(String),
    /// It is about another server: whoever believed it would ask for a token for that.
    #[error("it is about {said}, which is another server")]
    OtherResource {
        /// What it is about.
        said: String,
    },
    /// It is about another authorization server: it could be given what is for that one.
    #[error(
        "it is about the issuer {said:?}, and was asked for {asked:?}; if that is the one that is meant, write its name exactly so"
    )]
    OtherIssuer {
        /// Whom it is about.
        said: String,
        /// Whom it was looked for by.
        asked: String,
    },
    /// An address in it cannot be used.
    #[error("its {what} cannot be used: {why}")]
    Endpoint {
        /// Which one.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// There is no way to show who asks that we know.
    #[error("its clients show who they are by {said}, and this node by {own}")]
    NoMethod {
        /// What it takes.
        said: String,
        /// What there is to show.
        own: String,
    },
}

/// What a server says of who gives out tokens for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceMetadata {
    /// The name under which tokens for it are asked for.
    pub resource: String,
    /// Who gives them out.
    pub issuers: Vec<String>,
    /// What they may be good for.
    pub scopes: Vec<String>,
}

/// What an authorization server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerMetadata {
    /// Where tokens are given out.
    pub token_url: Url,
    /// How its clients show who they are, by its own words; `None` if it does not say, which means by a secret in a header.
    pub methods: Option<Vec<String>>,
    /// Where people log in, if they do.
    pub authorization_url: Option<Url>,
    /// Where clients become known by themselves, if they do (RFC 7591).
    pub registration_url: Option<Url>,
    /// Whether a code is of no use to whoever else has seen it (RFC 7636, `S256`).
    pub has_pkce: bool,
    /// Whether it says with a code from whom it is (RFC 9207).
    pub says_issuer: bool,
    /// Whether a client may be known by a URL at which it says who it is.
    pub reads_client_urls: bool,
    /// What its tokens may be good for, as far as it says.
    pub scopes: Vec<String>,
}

impl ResourceMetadata {
    /// Reads what was found for the server at this URL.
    ///
    /// # Errors
    /// If it is not about this server.
    pub fn read(body: &[u8], server: &Url) -> Result<Self, MetadataFault> {
        #[derive(Deserialize)]
        struct Document {
            resource: String,
            #[serde(default)]
            authorization_servers: Option<Vec<String>>,
            #[serde(default)]
            scopes_supported: Option<Vec<String>>,
        }
        let Document { resource, authorization_servers, scopes_supported } = read(body)?;
        if !is_about(&resource, server) {
            return Err(MetadataFault::OtherResource { said: told(&resource) });
        }
        let mut issuers = authorization_servers.unwrap_or_default();
        issuers.truncate(ISSUERS_MAX);
        let mut scopes = scopes_supported.unwrap_or_default();
        scopes.retain(|scope| !scope.is_empty() && scope.bytes().all(|byte| byte.is_ascii_graphic()));
        scopes.truncate(SCOPES_MAX);
        Ok(Self { resource, issuers, scopes })
    }
}

impl IssuerMetadata {
    /// Reads what was found for the issuer of this name.
    ///
    /// # Errors
    /// If it is another's (RFC 8414 section 3.3), or no token can be asked for by it.
    pub fn read(body: &[u8], issuer: &str) -> Result<Self, MetadataFault> {
        #[derive(Deserialize)]
        struct Document {
            issuer: String,
            #[serde(default)]
            token_endpoint: Option<String>,
            #[serde(default)]
            token_endpoint_auth_methods_supported: Option<Vec<String>>,
            #[serde(default)]
            authorization_endpoint: Option<String>,
            #[serde(default)]
            registration_endpoint: Option<String>,
            #[serde(default)]
            code_challenge_methods_supported: Option<Vec<String>>,
            #[serde(default)]
            authorization_response_iss_parameter_supported: Option<bool>,
            #[serde(default)]
            client_id_metadata_document_supported: Option<bool>,
            #[serde(default)]
            scopes_supported: Option<Vec<String>>,
        }
        let document: Document = read(body)?;
        if document.issuer != issuer {
            return Err(MetadataFault::OtherIssuer { said: told(&document.issuer), asked: issuer.to_owned() });
        }
        let endpoint = |what: &'static str, text: &str| {
            let unfit = |why: String| MetadataFault::Endpoint { what, why };
            let url = Url::parse(text).map_err(|_| unfit(format!("{:?} is no URL", told(text))))?;
            Origin::of(&url).map_err(|refused| unfit(refused.to_string()))?;
            match Url::parse(issuer).is_ok_and(|issuer| may_carry_secrets(&url, &issuer)) {
                true => Ok(url),
                false => Err(unfit(format!("{} is not https", url.origin().ascii_serialization()))),
            }
        };
        let token_url = document
            .token_endpoint
            .as_deref()
            .ok_or_else(|| MetadataFault::Endpoint { what: "token_endpoint", why: "there is none".to_owned() });
        let token_url = endpoint("token_endpoint", token_url?)?;
        let optional = |what: &'static str, text: Option<String>| text.and_then(|text| endpoint(what, &text).ok());
        Ok(Self {
            token_url,
            methods: document.token_endpoint_auth_methods_supported,
            authorization_url: optional("authorization_endpoint", document.authorization_endpoint),
            registration_url: optional("registration_endpoint", document.registration_endpoint),
            has_pkce: document.code_challenge_methods_supported.iter().flatten().any(|method| method == "S256"),
            says_issuer: document.authorization_response_iss_parameter_supported.unwrap_or_default(),
            reads_client_urls: document.client_id_metadata_document_supported.unwrap_or_default(),
            scopes: document.scopes_supported.unwrap_or_default(),
        })
    }

    /// How this is shown here.
    ///
    /// # Errors
    /// If it is not taken here in any way.
    pub fn method(&self, credential: &ClientCredential) -> Result<ClientAuthMethod, MetadataFault> {
        let own = credential.methods();
        let none = || {
            let names: Vec<&str> = own.iter().map(|method| method.name()).collect();
            let said = self.methods.as_deref().unwrap_or_default().join(", ");
            MetadataFault::NoMethod { said: told(&said), own: names.join(" or ") }
        };
        own.iter().copied().find(|method| self.takes(*method)).ok_or_else(none)
    }

    /// Whether clients may show so who they are. A server that does not say takes what everybody took before it could be said.
    pub fn takes(&self, method: ClientAuthMethod) -> bool {
        match &self.methods {
            Some(methods) => methods.iter().any(|name| name == method.name()),
            None => true,
        }
    }
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, MetadataFault> {
    serde_json::from_slice(body).map_err(|error| MetadataFault::Unreadable(error.to_string()))
}

fn told(text: &str) -> String {
    text.chars().take(TOLD_MAX).filter(|char| !char.is_control()).collect()
}

/// Where a server says who gives out tokens for it, where it has not said where: below its host with its path, and without (RFC 9728
/// section 3.1). Its query stays away: it is a secret as often as not.
pub fn resource_metadata_urls(server: &Url) -> Vec<Url> {
    let at = |path: &str| {
        let mut url = server.clone();
        url.set_query(None);
        url.set_fragment(None);
        url.set_path(&format!("/.well-known/oauth-protected-resource{path}"));
        url
    };
    let path = server.path().trim_end_matches('/');
    let mut urls = vec![at(path)];
    if !path.is_empty() {
        urls.push(at(""));
    }
    urls
}

/// The name of a server that says none itself (the canonical URI of MCP's specification, RFC 8707 section 2).
pub fn canonical_resource(server: &Url) -> String {
    let mut url = server.clone();
    url.set_query(None);
    url.set_fragment(None);
    let text = url.to_string();
    if url.path() == "/" { text.trim_end_matches('/').to_owned() } else { text }
}

/// Where an issuer says how it is asked, in the order that MCP's specification has.
///
/// # Errors
/// If its name is no URL that anything could be found by.
pub fn issuer_metadata_urls(issuer: &str) -> Result<Vec<Url>, MetadataFault> {
    let unfit = |why: &str| MetadataFault::Endpoint { what: "issuer", why: format!("{:?} {why}", told(issuer)) };
    let url = Url::parse(issuer).map_err(|_| unfit("is no URL"))?;
    Origin::of(&url).map_err(|refused| unfit(&refused.to_string()))?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(unfit("has a query or a fragment, so nothing can be found by it"));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    let at = |path: String| {
        let mut url = url.clone();
        url.set_path(&path);
        url
    };
    let mut urls = vec![
        at(format!("/.well-known/oauth-authorization-server{path}")),
        at(format!("/.well-known/openid-configuration{path}")),
    ];
    if !path.is_empty() {
        urls.push(at(format!("{path}/.well-known/openid-configuration")));
    }
    Ok(urls)
}

/// Whether a secret may go to a URL: encrypted, or within this machine, or to where the operator has written down that it goes.
pub fn may_carry_secrets(url: &Url, written: &Url) -> bool {
    let is_here = |url: &Url| Origin::of(url).is_ok_and(|origin| origin.is_loopback());
    url.scheme() == "https" || url.origin() == written.origin() || (is_here(url) && is_here(written))
}

/// Whether a server of this name is the one at this URL, or one that it is below of: then a token for the one is for the other.
fn is_about(resource: &str, server: &Url) -> bool {
    let Ok(url) = Url::parse(resource) else { return false };
    let path = url.path().trim_end_matches('/');
    let is_below = server.path().strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let is_same_query = url.query().is_none() || url.query() == server.query();
    url.origin() == server.origin() && is_below && is_same_query && url.fragment().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    fn texts(urls: &[Url]) -> String {
        urls.iter().map(Url::as_str).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn where_metadata_are_follows_from_a_name() {
        let check = |server: &str, expected: &str| {
            assert_eq!(texts(&resource_metadata_urls(&url(server))), expected);
        };
        let root = "https://a.example/.well-known/oauth-protected-resource";
        check("https://a.example", root);
        check("https://a.example/mcp/?key=secret", &format!("{root}/mcp {root}"));
        let check = |issuer: &str, expected: &str| {
            let found = issuer_metadata_urls(issuer).map_or_else(|fault| fault.to_string(), |urls| texts(&urls));
            assert_eq!(found, expected, "{issuer}");
        };
        let [oauth, openid] = ["oauth-authorization-server", "openid-configuration"]
            .map(|it| format!("https://i.example/.well-known/{it}"));
        check("https://i.example", &format!("{oauth} {openid}"));
        check("https://i.example/", &format!("{oauth} {openid}"));
        check(
            "https://i.example/t/1",
            &format!("{oauth}/t/1 {openid}/t/1 https://i.example/t/1/.well-known/openid-configuration"),
        );
        for unfit in ["i", "file:///i", "https://u:p@i.example", "https://i.example?x=1"] {
            assert!(issuer_metadata_urls(unfit).is_err(), "{unfit}");
        }
    }

    #[test]
    fn a_server_is_named_by_its_url_without_what_may_be_secret() {
        for (server, expected) in [
            ("https://a.example", "https://a.example"),
            ("https://A.example/?k=1#f", "https://a.example"),
            ("https://a.example/mcp?k=1", "https://a.example/mcp"),
            ("https://a.example:8443/mcp/", "https://a.example:8443/mcp/"),
        ] {
            assert_eq!(canonical_resource(&url(server)), expected);
        }
    }

    #[test]
    fn metadata_of_another_server_are_not_believed() {
        let server = url("https://a.example/one/mcp");
        let read = |resource: &str| {
            let body = format!(
                r#"{{"resource":"{resource}","authorization_servers":["https://i"],"scopes_supported":["r",""]}}"#
            );
            ResourceMetadata::read(body.as_bytes(), &server)
        };
        for about in ["https://a.example/one/mcp", "https://a.example/one", "https://a.example/", "https://A.example"] {
            let found = read(about).unwrap();
            assert_eq!((found.issuers, found.scopes), (vec!["https://i".to_owned()], vec!["r".to_owned()]), "{about}");
        }
        for other in [
            "https://b.example/one/mcp",
            "http://a.example/one/mcp",
            "https://a.example/two",
            "https://a.example/on",
            "https://a.example/one/mcp/more",
            "https://a.example:8443/one/mcp",
            "https://a.example/one?tenant=2",
            "https://a.example/one#x",
            "a.example",
        ] {
            assert!(matches!(read(other), Err(MetadataFault::OtherResource { .. })), "{other}");
        }
        for unreadable in ["", "<html>", "[]", "{}", r#"{"resource":7}"#] {
            let read = ResourceMetadata::read(unreadable.as_bytes(), &server);
            assert!(matches!(read, Err(MetadataFault::Unreadable(_))), "{unreadable}");
        }
    }

    #[test]
    fn an_issuer_says_how_it_is_asked_and_no_other_says_it_for_it() {
        let check = |issuer: &str, body: &str, expected: &str| {
            let found = match IssuerMetadata::read(body.as_bytes(), issuer) {
                Ok(found) => {
                    let secret = ClientCredential::Secret(crate::SecretSource::Text("s".to_owned()));
                    match found.method(&secret) {
                        Ok(method) => format!("{} {method:?}", found.token_url),
                        Err(fault) => fault.to_string(),
                    }
                }
                Err(fault) => fault.to_string(),
            };
            assert!(found.starts_with(expected), "{body}: {found}");
        };
        let named = |more: &str| format!(r#"{{"issuer":"https://i.example"{more}}}"#);
        let issuer = "https://i.example";
        let token = r#","token_endpoint":"https://t.example/token""#;
        let methods = |methods: &str| named(&format!(r#"{token},"token_endpoint_auth_methods_supported":[{methods}]"#));
        check(issuer, &named(token), "https://t.example/token Basic");
        check(issuer, &methods(r#""client_secret_post","client_secret_basic""#), "https://t.example/token Basic");
        check(issuer, &methods(r#""none","client_secret_post""#), "https://t.example/token Post");
        check(issuer, &methods(r#""private_key_jwt""#), "its clients show who they are by private_key_jwt");
        check("https://i.example/", &named(token), "it is about the issuer \"https://i.example\"");
        check("https://other.example", &named(token), "it is about the issuer \"https://i.example\"");
        check(issuer, &named(""), "its token_endpoint cannot be used: there is none");
        let at = |url: &str| named(&format!(r#","token_endpoint":"{url}""#));
        check(
            issuer,
            &at("http://t.example/token"),
            "its token_endpoint cannot be used: http://t.example is not https",
        );
        check(
            issuer,
            &at("http://127.0.0.1/token"),
            "its token_endpoint cannot be used: http://127.0.0.1 is not https",
        );
        check(
            issuer,
            &at("https://u:p@t.example/"),
            "its token_endpoint cannot be used: https://t.example/ is not called",
        );
        check(issuer, &at("/token"), "its token_endpoint cannot be used: \"/token\" is no URL");
        check(issuer, "<html>", "it is no metadata");
        // Where the operator wrote http, the way there is theirs.
        let here = r#"{"issuer":"http://i.mesh","token_endpoint":"http://i.mesh/token"}"#;
        check("http://i.mesh", here, "http://i.mesh/token Basic");
    }
}
