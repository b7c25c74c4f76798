//! Why a request is not let in: in detail for the log, in one sentence for the one who asks.

/// Why a token is refused. The text is for the log alone: told to a stranger, it would teach him to forge a better one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// There is no bearer token.
    #[error("there is no bearer token")]
    Missing,
    /// Longer than [`crate::TOKEN_LENGTH_MAX`].
    #[error("the token is {length} bytes long")]
    Oversized {
        /// Its length in bytes.
        length: usize,
    },
    /// This part of it is not what RFC 7519 says, or is there twice.
    #[error("the token's {0} is malformed")]
    Malformed(&'static str),
    /// The header has `jku`, `jwk`, `x5u` or `x5c`: a key that the sender chose is never used (RFC 8725 section 3.10).
    #[error("the token brings its own key")]
    KeyInHeader,
    /// The header has `crit`: no extension is understood here (RFC 7515 section 4.1.11).
    #[error("the token has a critical header")]
    CriticalHeader,
    /// `typ` is not `at+jwt`: a token made for another purpose (RFC 9068 section 4).
    #[error("the token is not an access token")]
    WrongType,
    /// `alg` is not the one of the node's keys (RFC 8725 section 3.1).
    #[error("the token's algorithm is not the key's")]
    WrongAlgorithm,
    /// No key of the node has this id.
    #[error("no key has the id {kid}")]
    UnknownKey {
        /// The key id; its shape is checked.
        kid: String,
    },
    /// No API key of the node has this id: there never was one, or it was revoked.
    #[error("no API key has the id {id}")]
    UnknownApiKey {
        /// The id in the key; its shape is checked.
        id: String,
    },
    /// An API key with a known id, and another secret.
    #[error("the secret of the API key {id} is wrong")]
    WrongApiKey {
        /// The id in the key.
        id: String,
    },
    /// An API key of somebody whom the configuration does not name any more.
    #[error("the API key {id} is {principal}'s, whom the configuration does not name")]
    UnknownPrincipal {
        /// The id in the key.
        id: String,
        /// Whose it is.
        principal: String,
    },
    /// The node takes no API keys.
    #[error("API keys are not taken")]
    ApiKeysOff,
    /// The signature is not the key's over this content.
    #[error("the signature does not match")]
    BadSignature,
    /// A claim that must be there is not.
    #[error("the token has no {0}")]
    MissingClaim(&'static str),
    /// Its issuer is none whose tokens are taken.
    #[error("the token is of another issuer, {found:?}")]
    WrongIssuer {
        /// The `iss` that it has.
        found: String,
    },
    /// For another agent, or for several (RFC 8725 section 3.9).
    #[error("the token is for {found:?}")]
    WrongAudience {
        /// For whom it is.
        found: Vec<String>,
    },
    /// `iat` or `nbf` is in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `exp` is in the past, or an API key's end.
    #[error("the token has expired")]
    Expired,
    /// More time from `iat` to `exp` than is allowed.
    #[error("the token lives too long, {seconds} s")]
    LifetimeTooLong {
        /// From `iat` to `exp`.
        seconds: u64,
    },
    /// Whoever is in the certificate of the connection has no name here.
    #[error("the certificate of {found:?} is nobody's here")]
    UnknownCertificate {
        /// Whom it is for.
        found: Vec<String>,
    },
    /// It is in the names of several principals.
    #[error("the certificate of {found:?} is of several principals here")]
    AmbiguousCertificate {
        /// Whom it is for.
        found: Vec<String>,
    },
    /// The certificate has ended since the connection was made.
    #[error("the certificate has expired")]
    CertificateExpired,
    /// A token that is good only over a connection with another certificate (RFC 8705 section 3).
    #[error("the token is bound to another certificate")]
    OtherCertificate,
}

impl Rejected {
    /// What the one who asked is told, whatever the reason.
    pub const PUBLIC: &'static str = "a valid bearer token for this agent is needed";

    /// The value of the `WWW-Authenticate` header of the 401 (RFC 6750 section 3).
    pub fn challenge(&self) -> &'static str {
        match self {
            Self::Missing
            | Self::UnknownCertificate { .. }
            | Self::AmbiguousCertificate { .. }
            | Self::CertificateExpired => r#"Bearer realm="bobbinet""#,
            Self::Oversized { .. }
            | Self::Malformed(_)
            | Self::KeyInHeader
            | Self::CriticalHeader
            | Self::WrongType
            | Self::WrongAlgorithm
            | Self::UnknownKey { .. }
            | Self::UnknownApiKey { .. }
            | Self::WrongApiKey { .. }
            | Self::UnknownPrincipal { .. }
            | Self::ApiKeysOff
            | Self::BadSignature
            | Self::MissingClaim(_)
            | Self::WrongIssuer { .. }
            | Self::WrongAudience { .. }
            | Self::NotYetValid
            | Self::Expired
            | Self::LifetimeTooLong { .. }
            | Self::OtherCertificate => r#"Bearer realm="bobbinet", error="invalid_token""#,
        }
    }
}

/// The token in an `Authorization` header's value (RFC 6750 section 2.1). Another scheme counts as no token.
pub fn bearer(authorization: Option<&str>) -> Result<&str, Rejected> {
    match authorization.and_then(|value| value.trim().split_once(' ')) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim_start()),
        Some(_) | None => Err(Rejected::Missing),
    }
}
