//! How a card says that a caller gets a token: the flows of OAuth 2.0 in its security schemes, as 1.0 and as 0.3 write them.

use std::collections::BTreeMap;

use bobbinet_core::Json;
use serde::Deserialize;

use crate::v1_0::CardView;

/// All ways that a card names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logins {
    /// Those that it says in full.
    pub flows: Vec<LoginFlow>,
    /// Where more is said: the documents of RFC 8414 and of OpenID Connect's discovery.
    pub metadata_urls: Vec<String>,
}

/// A flow of OAuth 2.0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoginFlow {
    /// Where a device asks for its code (RFC 8628), if that is the flow.
    pub device_authorization_url: Option<String>,
    /// Where a person is sent, if there is a browser in it.
    pub authorization_url: Option<String>,
    /// Where tokens are.
    pub token_url: String,
    /// What may be asked for.
    pub scopes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Scheme {
    oauth2_security_scheme: Option<OAuth2>,
    open_id_connect_security_scheme: Option<OpenIdConnect>,
    /// Of 0.3, with what the two above have beside it.
    r#type: Option<String>,
    flows: Option<Flows>,
    oauth2_metadata_url: Option<String>,
    open_id_connect_url: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OAuth2 {
    flows: Option<Flows>,
    oauth2_metadata_url: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OpenIdConnect {
    open_id_connect_url: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Flows {
    device_code: Option<Flow>,
    authorization_code: Option<Flow>,
    client_credentials: Option<Flow>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Flow {
    device_authorization_url: Option<String>,
    authorization_url: Option<String>,
    token_url: Option<String>,
    #[serde(default)]
    scopes: BTreeMap<String, Json>,
}

impl Logins {
    /// Those of a card. What cannot be read is passed over.
    pub fn of(card: &CardView) -> Self {
        let mut logins = Self::default();
        let schemes = card.security_schemes.as_ref().and_then(|json| json.read::<BTreeMap<String, Json>>().ok());
        for scheme in schemes.into_iter().flatten().filter_map(|(_, scheme)| scheme.read::<Scheme>().ok()) {
            if let Some(oauth2) = scheme.oauth2_security_scheme {
                logins.add(oauth2.flows);
                logins.metadata_urls.extend(oauth2.oauth2_metadata_url);
            }
            let connect = scheme.open_id_connect_security_scheme;
            logins.metadata_urls.extend(connect.and_then(|connect| connect.open_id_connect_url));
            match scheme.r#type.as_deref() {
                Some("oauth2") => {
                    logins.add(scheme.flows);
                    logins.metadata_urls.extend(scheme.oauth2_metadata_url);
                }
                Some("openIdConnect") => logins.metadata_urls.extend(scheme.open_id_connect_url),
                Some(_) | None => {}
            }
        }
        logins
    }

    fn add(&mut self, flows: Option<Flows>) {
        let Some(Flows { device_code, authorization_code, client_credentials }) = flows else { return };
        for flow in [device_code, authorization_code, client_credentials].into_iter().flatten() {
            let Some(token_url) = flow.token_url else { continue };
            self.flows.push(LoginFlow {
                device_authorization_url: flow.device_authorization_url,
                authorization_url: flow.authorization_url,
                token_url,
                scopes: flow.scopes.into_keys().collect(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flows_of_both_versions_are_read() {
        let device = r#"{"deviceAuthorizationUrl":"https://i/d","tokenUrl":"https://i/t","scopes":{"a":"A"}}"#;
        let card = format!(
            r#"{{"securitySchemes":{{"new":{{"oauth2SecurityScheme":{{"flows":{{"deviceCode":{device}}}}}}},
            "old":{{"type":"oauth2","flows":{{"clientCredentials":{{"tokenUrl":"https://o/t","scopes":{{}}}},"authorizationCode":{{"authorizationUrl":"https://o/a","tokenUrl":"https://o/t"}}}}}},
            "oidc":{{"openIdConnectSecurityScheme":{{"openIdConnectUrl":"https://c"}}}},"key":{{"apiKeySecurityScheme":{{}}}}}}}}"#
        );
        let logins = Logins::of(&CardView::parse(card.as_bytes()).unwrap());
        assert_eq!(logins.metadata_urls, ["https://c"]);
        let told: Vec<_> = logins
            .flows
            .iter()
            .map(|flow| {
                (flow.device_authorization_url.is_some(), flow.authorization_url.is_some(), flow.token_url.as_str())
            })
            .collect();
        assert_eq!(told, [(true, false, "https://i/t"), (false, true, "https://o/t"), (false, false, "https://o/t")]);
        assert_eq!(logins.flows[0].scopes, ["a"]);
    }
}
