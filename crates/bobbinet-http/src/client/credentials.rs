//! What goes with each request beside its body: who calls, and what else the caller wants the agent to be told.

use std::{fmt, sync::Arc};

use bobbinet_wire::v1_0::ApiKeyScheme;
use reqwest::{
    Url,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};

use super::ClientError;

/// Headers that are HTTP's own: a request that says something else there cannot be read.
const HTTP_OWN: [HeaderName; 5] =
    [header::HOST, header::CONTENT_LENGTH, header::CONTENT_TYPE, header::TRANSFER_ENCODING, header::CONNECTION];

/// Makes a token for the agent at a URL.
pub type Mint = dyn Fn(&str) -> Result<String, Box<dyn std::error::Error + Send + Sync>> + Send + Sync;

/// How a client shows who it is.
#[derive(Clone, Default)]
pub enum Credentials {
    /// Not at all: agents that want no credentials.
    #[default]
    None,
    /// With this bearer token.
    Bearer(String),
    /// With bearer tokens that are made as they are needed: they are good for minutes, a stream may last for days.
    Mint(Arc<Mint>),
    /// With this API key, if the agent's card says where it looks for one, or else in another way, if there is one.
    ApiKey(String, Box<Credentials>),
}

impl Credentials {
    /// A bearer token for the agent at a URL, if there is one or can be made.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn token_for(&self, url: &str) -> Result<Option<String>, ClientError> {
        match self {
            Self::None | Self::ApiKey(..) => Ok(None),
            Self::Bearer(token) => Ok(Some(token.clone())),
            Self::Mint(mint) => {
                mint(url).map(Some).map_err(|source| ClientError::Credentials { url: url.to_owned(), source })
            }
        }
    }

    /// Those that the agent of a card is shown.
    pub(super) fn for_card(self, scheme: Option<&ApiKeyScheme>) -> Self {
        match self {
            Self::ApiKey(_, otherwise) if scheme.is_none() && !matches!(*otherwise, Self::None) => *otherwise,
            Self::None | Self::Bearer(_) | Self::Mint(_) | Self::ApiKey(..) => self,
        }
    }
}

/// What a token or a key is, is nobody's business.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Bearer(_) => "Bearer(…)",
            Self::Mint(_) => "Mint(…)",
            Self::ApiKey(..) => "ApiKey(…)",
        })
    }
}

/// A service parameter (A2A specification section 3.2.6): a header that goes with each request.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceParameter {
    name: HeaderName,
    value: HeaderValue,
}

impl ServiceParameter {
    /// Reads `NAME:VALUE`, or `NAME=VALUE`: no name has either sign in it.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once([':', '=']).ok_or("write NAME:VALUE, such as x-trace-id:abc123")?;
        let name = name.trim().parse::<HeaderName>().map_err(|_| "a name has letters, digits and -".to_owned())?;
        if HTTP_OWN.contains(&name) {
            return Err(format!("{name} is HTTP's own"));
        }
        let value = HeaderValue::from_str(value.trim()).map_err(|_| "a value is one line of text".to_owned())?;
        Ok(Self { name, value })
    }

    pub(super) fn put(&self, headers: &mut HeaderMap) {
        headers.append(&self.name, secret(self.value.clone()));
    }

    /// Its name, in lower case. The value may be a secret.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }
}

impl fmt::Debug for ServiceParameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:…", self.name)
    }
}

/// What goes with each request to an agent, and does not change.
#[derive(Default)]
pub(super) struct Extras {
    /// Over headers of our own, if they have the same name.
    pub(super) headers: HeaderMap,
    /// An API key that goes into the query of the URL, by its name there.
    query: Option<(String, String)>,
}

/// There are secrets in it.
impl fmt::Debug for Extras {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extras").finish_non_exhaustive()
    }
}

impl Extras {
    pub(super) fn new(
        parameters: &[ServiceParameter],
        credentials: &Credentials,
        scheme: Option<ApiKeyScheme>,
        endpoint: &Url,
    ) -> Result<Self, ClientError> {
        let mut extras = Self::default();
        for parameter in parameters {
            parameter.put(&mut extras.headers);
        }
        if let Credentials::ApiKey(key, _) = credentials {
            let wrong = |why: &str| ClientError::Credentials { url: endpoint.to_string(), source: why.into() };
            let ApiKeyScheme { location, name } = scheme.ok_or_else(|| wrong("its card asks for no API key"))?;
            let unfit = |_| wrong("the API key, or its name in the card, does not fit a header");
            let value = |text: &str| HeaderValue::from_str(text).map(secret).map_err(unfit);
            match location.as_str() {
                "header" => {
                    let name =
                        name.parse::<HeaderName>().map_err(|_| wrong("its card names no header for API keys"))?;
                    extras.headers.insert(name, value(key)?);
                }
                "cookie" => {
                    extras.headers.insert(header::COOKIE, value(&format!("{name}={key}"))?);
                }
                "query" => extras.query = Some((name, key.clone())),
                _ => return Err(wrong("its card asks for API keys at a place that is none")),
            }
        }
        Ok(extras)
    }

    /// Where a request goes.
    pub(super) fn url(&self, endpoint: &Url) -> Url {
        let mut url = endpoint.clone();
        if let Some((name, key)) = &self.query {
            url.query_pairs_mut().append_pair(name, key);
        }
        url
    }
}

/// One that is not shown where requests are logged.
pub(super) fn secret(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_parameter_is_a_header() {
        let check = |text: &str, expected: Option<(&str, &str)>| {
            let read = ServiceParameter::parse(text).ok();
            let read = read.as_ref().map(|read| (read.name(), read.value.to_str().unwrap()));
            assert_eq!(read, expected, "{text}");
        };
        check("X-Trace-Id:abc", Some(("x-trace-id", "abc")));
        check("a2a-extensions = https://a.example/x, urn:y", Some(("a2a-extensions", "https://a.example/x, urn:y")));
        check("empty:", Some(("empty", "")));
        check("no value", None);
        check("two words:x", None);
        check("x:a\nb", None);
        check("Host:elsewhere", None);
        check("content-length=1", None);
        assert_eq!(format!("{:?}", ServiceParameter::parse("x:secret").unwrap()), "x:…");
    }

    #[test]
    fn an_api_key_goes_where_the_card_says() {
        let endpoint = Url::parse("https://a.example/rpc").unwrap();
        let key = Credentials::ApiKey("k 1".to_owned(), Box::default());
        let place = |location: &str, name: &str| {
            let scheme = ApiKeyScheme { location: location.to_owned(), name: name.to_owned() };
            Extras::new(&[], &key, Some(scheme), &endpoint)
        };
        let check = |location: &str, name: &str, header: Option<(&str, &str)>, url: &str| {
            let extras = place(location, name).unwrap();
            let headers = extras.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
            assert_eq!(headers.collect::<Vec<_>>(), header.into_iter().collect::<Vec<_>>(), "{location}");
            assert!(extras.headers.values().all(HeaderValue::is_sensitive));
            assert_eq!(extras.url(&endpoint).as_str(), url);
        };
        check("header", "X-Key", Some(("x-key", "k 1")), "https://a.example/rpc");
        check("cookie", "key", Some(("cookie", "key=k 1")), "https://a.example/rpc");
        check("query", "key", None, "https://a.example/rpc?key=k+1");
        assert!(place("body", "key").is_err() && place("header", "two words").is_err());
        assert!(Extras::new(&[], &key, None, &endpoint).is_err(), "no agent is shown a key that it does not ask for");
        assert!(!format!("{:?} {key:?}", place("query", "key").unwrap()).contains("k 1"));
    }
}
