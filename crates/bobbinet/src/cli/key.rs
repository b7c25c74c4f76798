//! `bobbinet key …` and `bobbinet policy …`, as they are typed.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

use super::DataDir;

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// List the keys, the oldest first: those that sign, and the API keys
    List(DataDir),
    /// Make an API key for a caller that cannot renew a token, and show it this once
    Create(KeyCreate),
    /// Take an API key back: a running node refuses it within a quarter of a second
    Revoke(KeyRevoke),
    /// Sign with a new key from now on, without a restart. The old ones go when the last token that they signed has ended
    #[command(alias = "new")]
    Rotate(DataDir),
    /// Print the public keys as a JWK set
    Jwks(DataDir),
}

/// For whom an API key is.
#[derive(Debug, Args)]
pub(crate) struct KeyCreate {
    /// For whom: a name of the node's `principals`
    #[arg(long = "for", value_name = "NAME")]
    pub(crate) principal: String,
    /// Of which tenant, for a name that the configuration does not have
    #[arg(long, value_name = "TENANT")]
    pub(crate) tenant: Option<String>,
    /// For how long it is good, such as 90d; until it is revoked if nothing is said
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) expires: Option<Duration>,
    #[command(flatten)]
    pub(crate) place: ApiKeyPlace,
}

/// Which API key.
#[derive(Debug, Args)]
pub(crate) struct KeyRevoke {
    /// The key's id, as `bobbinet key list` shows it, or the key itself
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) place: ApiKeyPlace,
}

/// Where API keys are.
#[derive(Debug, Args)]
pub(crate) struct ApiKeyPlace {
    /// The file of hashes that the configuration names with `api_keys`; the node's own if nothing is said
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) data: DataDir,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Ask a policy about each case of a file, and say which line decides; exits with 1 if one comes out otherwise than it should
    Test(PolicyTest),
}

/// Which cases, and of which policy.
#[derive(Debug, Args)]
pub(crate) struct PolicyTest {
    /// The file of cases
    pub(crate) file: PathBuf,
    /// The configuration whose policy is asked [default: what the file of cases says, else the first of bobbinet.yaml … that is here]
    #[arg(short = 'f', long, value_name = "CONFIG")]
    pub(crate) policy: Option<PathBuf>,
}
