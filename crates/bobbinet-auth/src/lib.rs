//! Who calls, and what he may do: the node's keys, tokens made with them, their verification, and policy.
//!
//! A token is a JWT (RFC 9068); the node signs its own with Ed25519. [`KeyRing`] holds a node's keys, [`mint()`] makes a token with the
//! current one, a [`Verifier`] turns a token of one of its [`Issuer`]s into a [`bobbinet_core::Caller`] or says why not, and [`Policy`]
//! decides what that caller may do. Whoever cannot renew a token shows one of the [`ApiKeys`]. Who can read the key folder is the
//! node's owner.
//!
//! It must not know HTTP beyond the text of an `Authorization` header, nor tasks, nor any store. Begin with [`Verifier`].

mod api_keys;
mod card_keys;
mod certificate;
mod followed;
mod issuer;
mod jwks;
mod keys;
mod mint;
mod notification;
mod owner;
mod policy;
mod rejected;
mod sealing;
mod token_cache;
mod verify;

pub use api_keys::{
    API_KEY_PREFIX, API_KEYS_FILE, API_KEYS_LOOK_INTERVAL, API_KEYS_MAX, ApiKeyDescription, ApiKeys, ApiKeysError,
};
pub use card_keys::CardKeys;
pub use certificate::{Certificate, CertificateFault, CertificateName, CertifiedPrincipal};
pub use issuer::{Algorithm, Issuer, KeySet, NamedPrincipal, SUBJECT_MARK, TokenTypes, VerifyingKey};
pub use jwks::{
    FetchJwks, Fetched, FileKeys, JWKS_KEYS_MAX, JWKS_LENGTH_MAX, JwksFault, KEPT_MAX, MAX_AGE_DEFAULT, MISS_INTERVAL,
    RETRY_INTERVAL, RemoteKeys,
};
pub use keys::{KEYS_MAX, KeyDescription, KeyRing, KeysError, LOOK_INTERVAL};
pub use mint::{Claims, LIFETIME_CONFIGURED_MAX, LIFETIME_DEFAULT, LIFETIME_MAX, MintError, mint, mint_up_to};
pub use notification::{NOTIFICATION_LIFETIME, NotificationClaims, sign_notification};
pub use owner::{KEYS_FOLDER, NODE_ISSUER, NODE_OWNER, NODE_TENANT, owner_token};
pub use policy::{
    Action, COST_MAX, Denied, FACTS_BYTES_MAX, FACTS_DEPTH_MAX, FACTS_VALUES_MAX, LINE_LENGTH_MAX, LINES_MAX,
    LineFault, Lines, NESTING_MAX, NODES_MAX, Policy, PolicyLine, Rules,
};
pub use rejected::{Rejected, bearer};
pub use sealing::SealingKey;
pub use verify::{Accepted, ApiKeyHolders, KEY_ID_LENGTH_MAX, TOKEN_LENGTH_MAX, Verifier, VerifierConfig};

/// Chooses the cryptography of tokens for this process; calling it again changes nothing.
///
/// The token library panics at its first use when the features of some other crate leave its choice open, so the choice
/// is made in words. [`KeyRing`] and [`Verifier`] call this; a program may call it first thing, too.
pub fn install() {
    // An error means that a provider stands already. It was chosen in words as well, and any of them will do.
    jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default().ok();
}
