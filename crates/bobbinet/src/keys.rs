//! `bobbinet token` and `bobbinet key`: what the node's owner can do with its key folder.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use bobbinet_auth::{
    Claims, KEYS_FOLDER, KeyRing, KeysError, MintError, NODE_ISSUER, NODE_OWNER, NODE_TENANT, Policy, mint,
};
use bobbinet_core::{Caller, Principal, Tenant};
use bobbinet_engine::{Env, SystemEnv};

use crate::{
    cli::{DataDir, Key},
    config::DATA,
    failure::{Code, Failure},
    output::Output,
    remark::{Remark, remark},
};

/// A token for one agent, made with the keys of this data folder.
pub(crate) fn mint_token(
    output: Output,
    audience: &str,
    subject: Option<&str>,
    lifetime: Duration,
    data: Option<PathBuf>,
) -> Result<(), Failure> {
    let data = data.unwrap_or_else(|| PathBuf::from(DATA));
    let subject = subject.unwrap_or(NODE_OWNER);
    let principal = Principal::parse(subject).map_err(|error| Failure::of(Code::Usage, &error))?;
    let keys = KeyRing::open(&data.join(KEYS_FOLDER)).map_err(|error| of_keys(&error, &data))?;
    let claims = Claims {
        issuer: NODE_ISSUER,
        subject: &principal,
        tenant: &Tenant::parse(NODE_TENANT).expect("a well-formed tenant"),
        audience,
        scopes: &[],
        now: SystemEnv.now(),
        lifetime,
    };
    let token = mint(&keys, &claims).map_err(|error| match &error {
        MintError::Lifetime { .. } => Failure::of(Code::Usage, &error),
        MintError::Keys(_) | MintError::Sign(_) => Failure::of(Code::Internal, &error),
    })?;
    let tenant = Tenant::parse(NODE_TENANT).expect("a well-formed tenant");
    let is_node_owner = subject == NODE_OWNER;
    let caller = Caller { principal: principal.clone(), tenant, is_node_owner, scopes: Vec::new(), chain: Vec::new() };
    if let Some(rule) = Policy::owner_only().shuts_out(&caller) {
        let text = format!(
            "the node will refuse whatever is asked with this token: by its rule {rule:?} only {NODE_OWNER} may do anything; \
             leave --sub out for a token of the owner's"
        );
        remark(Remark::Note, text);
    }
    // Alone, whatever the format: it goes into a variable or a header.
    output.line(token)
}

/// `bobbinet key`
pub(crate) fn key(output: Output, command: Key) -> Result<(), Failure> {
    match command {
        Key::List(DataDir { data_dir }) => {
            let keys = open(&data_dir)?.list();
            if output.is_json() {
                let keys: Vec<_> = keys
                    .iter()
                    .map(|key| serde_json::json!({ "kid": key.kid, "created": key.created.to_string(), "current": key.is_current }))
                    .collect();
                return output.json(&serde_json::json!({ "keys": keys }));
            }
            keys.iter().try_for_each(|key| {
                let current = if key.is_current { " (signs)" } else { "" };
                output.field("Key", format_args!("{} {}{current}", key.kid, key.created))
            })
        }
        Key::New(DataDir { data_dir }) => {
            let folder = data_dir.join(KEYS_FOLDER);
            let now = SystemEnv.now();
            // The first key of a new folder is made by opening it.
            let is_first = matches!(KeyRing::open(&folder), Err(KeysError::None { .. }));
            let ring = KeyRing::open_or_create(&folder, now).map_err(|error| of_keys(&error, &data_dir))?;
            let key = match is_first {
                true => ring.list().pop().ok_or_else(|| Failure::new(Code::Internal, "no key was made"))?,
                false => ring.new_key(now).map_err(|error| of_keys(&error, &data_dir))?,
            };
            if output.is_json() {
                return output
                    .json(&serde_json::json!({ "kid": key.kid, "created": key.created.to_string(), "current": true }));
            }
            output.field("Key", format_args!("{} {} (signs)", key.kid, key.created))
        }
        // It is JSON whatever the format: whoever reads a JWK set is a program.
        Key::Jwks(DataDir { data_dir }) => output.json(&open(&data_dir)?.jwks()),
    }
}

fn open(data: &Path) -> Result<KeyRing, Failure> {
    KeyRing::open(&data.join(KEYS_FOLDER)).map_err(|error| of_keys(&error, data))
}

fn of_keys(error: &KeysError, data: &Path) -> Failure {
    let failure = Failure::of(Code::CredentialsMissing, error);
    match error {
        KeysError::None { .. } => failure.hint(format!(
            "name the node's data folder with --data-dir (this was {}); a node makes its first key when it starts",
            data.display()
        )),
        KeysError::Folder { .. }
        | KeysError::File { .. }
        | KeysError::FolderOpen { .. }
        | KeysError::FileOpen { .. }
        | KeysError::NotAKey { .. }
        | KeysError::NotOwn { .. }
        | KeysError::TooMany { .. }
        | KeysError::Generate => failure,
    }
}
