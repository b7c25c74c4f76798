//! Who signs tokens, with which keys, and how much of what they say is believed.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bobbinet_core::{Principal, Tenant, Timestamp};
use jsonwebtoken::DecodingKey;

pub use jsonwebtoken::Algorithm;

/// A key that signatures are checked with, for one algorithm: a key that served two could be tricked into the weaker one (RFC 8725
/// section 3.1).
pub struct VerifyingKey {
    pub(crate) algorithm: Algorithm,
    pub(crate) key: DecodingKey,
}

impl VerifyingKey {
    /// `None` for an algorithm whose key would be a secret of both sides: such a key is nobody's signature.
    pub fn new(algorithm: Algorithm, key: DecodingKey) -> Option<Self> {
        match algorithm {
            Algorithm::ES256
            | Algorithm::ES384
            | Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512
            | Algorithm::EdDSA => Some(Self { algorithm, key }),
            // Those with a shared secret, and what nobody here knows.
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 | _ => None,
        }
    }
}

/// Without the key.
impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// The public keys of an issuer: in a folder, in a file, or somewhere that must be asked.
#[async_trait]
pub trait KeySet: fmt::Debug + Send + Sync + 'static {
    /// Grows with every change of the set; what was verified under another one must be verified again. Quick: asked for every token.
    fn generation(&self, now: Timestamp) -> u64;

    /// Where the keys come from, if another set with the same algorithms from there would be the same one: then a verifier that is told
    /// of its issuers anew goes on with the set that it has.
    fn source(&self) -> Option<&str> {
        None
    }

    /// The key with this id. May ask elsewhere for one that is not known, within bounds of its own.
    async fn find(&self, kid: &str, now: Timestamp) -> Option<Arc<VerifyingKey>>;
}

/// Which tokens of an issuer are taken, by the `typ` of their header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenTypes {
    /// Those that say that they are access tokens, `at+jwt` (RFC 9068).
    #[default]
    AccessTokens,
    /// Also those that say `JWT`, or nothing, and may have no id: as many providers make them, and Kubernetes. Nothing but their audience
    /// tells them from tokens for another purpose.
    Any,
}

/// One whose tokens are taken.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// What its tokens have as `iss`.
    pub name: String,
    /// What it signs with.
    pub keys: Arc<dyn KeySet>,
    /// Which tokens it makes, by their header.
    pub tokens: TokenTypes,
    /// The algorithms that it may use; a token of any other is refused before a key is looked for.
    pub algorithms: Vec<Algorithm>,
    /// The subject who is the node's owner, if one is. Another issuer's subject of that name is somebody else.
    pub owner: Option<String>,
    /// What its subjects' principals begin with, so that two issuers' subjects of one name are two. Empty for the node itself.
    pub prefix: String,
    /// The tenant of all its subjects; `None` if each token says its own.
    pub tenant: Option<Tenant>,
    /// What its tokens have as `aud`, whichever agent they are for; `None` if each is for one agent, by its URL.
    pub audience: Option<String>,
    /// The most time from `iat` to `exp`; `None` for what the verifier allows.
    pub lifetime_max: Option<Duration>,
    /// Its subjects that have a name of their own here.
    pub principals: BTreeMap<String, NamedPrincipal>,
    /// Where its OpenID configuration is, for cards to name, if its keys were found by that.
    pub discovery: Option<String>,
}

/// One who has a name on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPrincipal {
    /// His name.
    pub principal: Principal,
    /// His tenant, whatever his token says.
    pub tenant: Tenant,
    /// The most time from `iat` to `exp` of his tokens, where that is his own.
    pub lifetime_max: Option<Duration>,
}

/// What stands between an issuer's name and its subject's in a principal. An issuer's name may not have it, so what stands before the
/// first is all of the issuer, and no two subjects have one principal.
pub const SUBJECT_MARK: char = '#';

impl Issuer {
    /// An issuer beside the node itself: its subjects are `<name>#<subject>`, and none of them is the node's owner.
    ///
    /// # Panics
    /// If the name has a [`SUBJECT_MARK`].
    pub fn trusted(name: impl Into<String>, keys: Arc<dyn KeySet>, algorithms: Vec<Algorithm>, tenant: Tenant) -> Self {
        let name = name.into();
        assert!(!name.contains(SUBJECT_MARK), "an issuer's name has no {SUBJECT_MARK}: the configuration says so");
        Self {
            prefix: format!("{name}{SUBJECT_MARK}"),
            name,
            keys,
            tokens: TokenTypes::default(),
            algorithms,
            owner: None,
            tenant: Some(tenant),
            audience: None,
            lifetime_max: None,
            principals: BTreeMap::new(),
            discovery: None,
        }
    }
}
