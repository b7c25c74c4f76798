//! How a client shows an authorization server who it is (RFC 6749 section 2.3.1, RFC 7523 section 2.2).

use std::{
    fs::File,
    io,
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::header::{AUTHORIZATION, HeaderValue};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::RequestBuilder;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{form::encoded, token_fault::TokenFault};
use crate::SecretSource;

/// Bytes of a file with a key.
const KEY_LENGTH_MAX: u64 = 64 << 10;

/// Reads a key of one kind.
type ReadKey = fn(&[u8]) -> jsonwebtoken::errors::Result<EncodingKey>;

/// How long what is signed is good: it is used at once, and clocks differ.
const ASSERTION_LIFE: Duration = Duration::from_secs(60);

/// What is said of such a proof beside it.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How a client shows an authorization server who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientAuthMethod {
    /// By its secret, in a header.
    #[serde(rename = "client_secret_basic")]
    Basic,
    /// By its secret, in the form.
    #[serde(rename = "client_secret_post")]
    Post,
    /// By its signature.
    #[serde(rename = "private_key_jwt")]
    PrivateKeyJwt,
    /// Not: it is anybody who says its name.
    #[serde(rename = "none")]
    Nothing,
}

impl ClientAuthMethod {
    /// All of them, those that prove more first.
    pub const ALL: [Self; 4] = [Self::PrivateKeyJwt, Self::Basic, Self::Post, Self::Nothing];

    /// As authorization servers write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Basic => "client_secret_basic",
            Self::Post => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::Nothing => "none",
        }
    }

    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }
}

/// What a client has to show who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientCredential {
    /// A secret that it shares with the authorization server.
    Secret(SecretSource),
    /// A key whose other half the authorization server has.
    Key(ClientKey),
    /// Nothing.
    None,
}

impl ClientCredential {
    /// The file that it is in, if it is in one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Secret(secret) => secret.file(),
            Self::Key(key) => Some(&key.file),
            Self::None => None,
        }
    }

    /// The ways in which it can be shown, the usual one first.
    pub fn methods(&self) -> &'static [ClientAuthMethod] {
        match self {
            Self::Secret(_) => &[ClientAuthMethod::Basic, ClientAuthMethod::Post],
            Self::Key(_) => &[ClientAuthMethod::PrivateKeyJwt],
            Self::None => &[ClientAuthMethod::Nothing],
        }
    }
}

/// A private key in a file: PEM of PKCS#8, for ES256, ES384, EdDSA or RS256. It is read whenever something is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientKey {
    /// The file.
    pub file: PathBuf,
    /// The key's name in the set that the authorization server has, if it needs one.
    pub id: Option<String>,
}

/// When and by what chance something is signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SigningMoment {
    /// Seconds since the epoch.
    pub seconds: u64,
    /// What was never said before.
    pub nonce: String,
}

/// This node as an authorization server knows it.
#[derive(Clone, Debug)]
pub struct OAuthClient<'a> {
    /// Its name there.
    pub id: &'a str,
    /// What it shows.
    pub credential: &'a ClientCredential,
    /// And how.
    pub method: ClientAuthMethod,
    /// Whom what it signs is for: the issuer's name.
    pub audience: &'a str,
    /// When and by what chance it signs.
    pub moment: SigningMoment,
}

impl OAuthClient<'_> {
    /// A request with this form, and with who sends it.
    pub(super) fn sign(&self, request: RequestBuilder, form: &[(&str, &str)]) -> Result<RequestBuilder, TokenFault> {
        let id = ("client_id", self.id);
        Ok(match (self.method, self.credential) {
            (ClientAuthMethod::Basic, ClientCredential::Secret(secret)) => {
                let secret = secret.read().map_err(TokenFault::Secret)?;
                let pair = format!("{}:{}", encoded(&[("", self.id)]), encoded(&[("", &secret)]));
                let mut basic = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)))
                    .expect("base64 may stand in a header");
                basic.set_sensitive(true);
                // Many servers look for the id in the form whatever the method, and RFC 6749 (3.2.1) has it there.
                request.header(AUTHORIZATION, basic).body(encoded(&[form, &[id][..]].concat()))
            }
            (ClientAuthMethod::Post, ClientCredential::Secret(secret)) => {
                let secret = secret.read().map_err(TokenFault::Secret)?;
                request.body(encoded(&[form, &[id, ("client_secret", &secret)]].concat()))
            }
            (ClientAuthMethod::PrivateKeyJwt, ClientCredential::Key(key)) => {
                let proof = self.proof(key).map_err(TokenFault::Key)?;
                let proof = [id, ("client_assertion_type", ASSERTION_TYPE), ("client_assertion", proof.as_str())];
                request.body(encoded(&[form, &proof[..]].concat()))
            }
            (ClientAuthMethod::Nothing, _) => request.body(encoded(&[form, &[id][..]].concat())),
            (ClientAuthMethod::Basic | ClientAuthMethod::Post | ClientAuthMethod::PrivateKeyJwt, _) => {
                let why = format!("there is nothing to show by {}", self.method.name());
                return Err(TokenFault::Secret(io::Error::new(io::ErrorKind::NotFound, why)));
            }
        })
    }

    /// What says who sends it, signed, for this authorization server and this once (RFC 7523 section 3).
    fn proof(&self, key: &ClientKey) -> io::Result<String> {
        let SigningMoment { seconds, nonce } = &self.moment;
        let claims = json!({
            "iss": self.id, "sub": self.id, "aud": self.audience, "jti": nonce,
            "iat": seconds, "exp": seconds + ASSERTION_LIFE.as_secs(),
        });
        let pem = key.read()?;
        let kinds: [(Algorithm, ReadKey); 4] = [
            (Algorithm::ES256, EncodingKey::from_ec_pem),
            (Algorithm::ES384, EncodingKey::from_ec_pem),
            (Algorithm::EdDSA, EncodingKey::from_ed_pem),
            (Algorithm::RS256, EncodingKey::from_rsa_pem),
        ];
        let sign = |(algorithm, read): (Algorithm, ReadKey)| {
            let header = Header { kid: key.id.clone(), ..Header::new(algorithm) };
            read(&pem).and_then(|key| jsonwebtoken::encode(&header, &claims, &key)).ok()
        };
        let unfit = || {
            let why = "it holds no private key in PEM (PKCS#8) for ES256, ES384, EdDSA or RS256";
            io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", key.file.display()))
        };
        kinds.into_iter().find_map(sign).ok_or_else(unfit)
    }
}

impl ClientKey {
    fn read(&self) -> io::Result<Vec<u8>> {
        let of_path = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", self.file.display()));
        let mut pem = Vec::new();
        File::open(&self.file).map_err(of_path)?.take(KEY_LENGTH_MAX).read_to_end(&mut pem).map_err(of_path)?;
        Ok(pem)
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::Value;

    use super::*;

    /// Made for this test, and for nothing else.
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgevZzL1gdAFr88hb2\n\
        OF/2NxApJCzGCEDdfSp6VQO30hyhRANCAAQRWz+jn65BtOMvdyHKcvjBeBSDZH2r\n\
        1RTwjmYSi9R/zpBnuQ4EiMnCqfMPWiZqB4QdbAd0E7oH50VpuZ1P087G\n\
        -----END PRIVATE KEY-----\n";

    #[test]
    fn what_is_signed_is_for_one_authorization_server_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.pem");
        let key = ClientKey { file: file.clone(), id: Some("k1".to_owned()) };
        let credential = ClientCredential::Key(key.clone());
        let moment = SigningMoment { seconds: 1_000, nonce: "once".to_owned() };
        let (method, audience) = (ClientAuthMethod::PrivateKeyJwt, "https://i.example");
        let client = OAuthClient { id: "node", credential: &credential, method, audience, moment };
        assert!(client.proof(&key).unwrap_err().to_string().contains("key.pem"));
        std::fs::write(&file, "no key").unwrap();
        assert!(client.proof(&key).unwrap_err().to_string().contains("no private key"));
        std::fs::write(&file, KEY).unwrap();
        let proof = client.proof(&key).unwrap();
        let part = |at: usize| -> Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(proof.split('.').nth(at).unwrap()).unwrap()).unwrap()
        };
        assert_eq!((part(0)["alg"].as_str(), part(0)["kid"].as_str()), (Some("ES256"), Some("k1")));
        let expected = json!({"iss": "node", "sub": "node", "aud": "https://i.example", "jti": "once", "iat": 1_000, "exp": 1_060});
        assert_eq!(part(1), expected);
    }
}
