//! `bobbinet token` and `bobbinet key`: what the node's owner can do with its key folder.

use std::path::{Path, PathBuf};

use bobbinet_auth::{
    Claims, KEYS_FOLDER, KeyRing, KeysError, MintError, NODE_ISSUER, NODE_OWNER, NODE_TENANT, Policy, mint,
};
use bobbinet_core::{Caller, Principal, Tenant};
use bobbinet_engine::{SystemWorld, World};

use crate::{
    cli::{DataDir, Key, Token},
    config::DATA,
    failure::{Code, Failure, label},
    node::Running,
    output::Output,
};

/// `bobbinet token`
pub(crate) fn token(output: Output, command: Token) -> Result<(), Failure> {
    let Token::Mint { audience, sub, ttl, data_dir } = command;
    let data = data_dir.unwrap_or_else(|| PathBuf::from(DATA));
    let audience = match audience {
        Some(audience) => audience,
        None => only_agent(&data)?,
    };
    let subject = sub.as_deref().unwrap_or(NODE_OWNER);
    let subject = Principal::parse(subject).map_err(|error| Failure::of(Code::Usage, &error))?;
    let keys = KeyRing::open(&data.join(KEYS_FOLDER)).map_err(|error| of_keys(&error, &data))?;
    let claims = Claims {
        issuer: NODE_ISSUER,
        subject: &subject,
        tenant: &Tenant::parse(NODE_TENANT).expect("a well-formed tenant"),
        audience: &audience,
        scopes: &[],
        now: SystemWorld.now(),
        lifetime: ttl,
    };
    let token = mint(&keys, &claims).map_err(|error| match &error {
        MintError::Lifetime { .. } => Failure::of(Code::Usage, &error),
        MintError::Keys(_) | MintError::Sign(_) => Failure::of(Code::Internal, &error),
    })?;
    let tenant = Tenant::parse(NODE_TENANT).expect("a well-formed tenant");
    let is_owner = subject.as_str() == NODE_OWNER;
    let caller = Caller { principal: subject.clone(), tenant, is_owner, scopes: Vec::new(), chain: Vec::new() };
    if let Some(rule) = Policy::owner_only().shuts_out(&caller) {
        let cyan = label();
        anstream::eprintln!(
            "{cyan}note:{cyan:#} the node will refuse whatever is asked with this token: by its rule {rule:?} only {NODE_OWNER} \
             may do anything; leave --sub out for a token of the owner's"
        );
    }
    // Alone, whatever the format: it goes into a variable or a header.
    output.line(token)
}

/// The URL of the one agent of the node that runs on this folder.
fn only_agent(data: &Path) -> Result<String, Failure> {
    let Some(node) = Running::at(data) else {
        let failure = Failure::new(Code::Usage, format!("no node runs on {}", data.display()));
        return Err(failure.hint("say for which agent: --audience URL"));
    };
    let mut urls: Vec<&String> = node.agents.values().collect();
    match (urls.pop(), urls.is_empty()) {
        (Some(url), true) => Ok(url.clone()),
        (_, _) => {
            let names: Vec<&str> = node.agents.keys().map(String::as_str).collect();
            let failure =
                Failure::new(Code::Usage, format!("a token is for one agent, and there are {}", names.join(", ")));
            let first = node.agents.values().next().map_or(node.url.as_str(), String::as_str);
            Err(failure.hint(format!("say which: --audience {first}")))
        }
    }
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
            let now = SystemWorld.now();
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
