//! `bobbinet token` and `bobbinet key`: what the node's owner can do with its key folder.

mod api_keys;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use bobbinet_auth::{
    Claims, KEYS_FOLDER, KeyRing, KeysError, LIFETIME_DEFAULT, LIFETIME_MAX, MintError, NODE_ISSUER, NODE_OWNER,
    NODE_TENANT, Policy, mint_up_to,
};
use bobbinet_core::{Caller, Principal, Tenant};
use bobbinet_engine::{Env, SystemEnv};

use crate::{
    cli::Key,
    config::DATA,
    data_folder,
    failure::{Code, Failure},
    node::Running,
    output::Output,
    principals::KnownPrincipals,
    remark::{Remark, remark},
};

/// Who a token is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TokenFor<'a> {
    /// The node's owner.
    Owner,
    /// One whom the node's configuration names.
    Named(&'a str),
    /// Anybody, of whom the node knows nothing.
    Subject(&'a str),
}

/// A token for one agent, made with the keys of this data folder. It lives as long as its subject's may if nobody says otherwise.
pub(crate) fn mint_token(
    output: Output,
    audience: &str,
    subject: TokenFor<'_>,
    lifetime: Option<Duration>,
    data: Option<PathBuf>,
) -> Result<(), Failure> {
    let data = data.unwrap_or_else(|| PathBuf::from(DATA));
    let keys = KeyRing::open(&data.join(KEYS_FOLDER)).map_err(|error| of_keys(&error, &data))?;
    let known = KnownPrincipals::read(&data);
    let node_tenant = || Tenant::parse(NODE_TENANT).expect("a well-formed tenant");
    let (principal, tenant, issuer, max) = match subject {
        TokenFor::Owner => {
            (Principal::parse(NODE_OWNER).expect("a well-formed principal"), node_tenant(), NODE_ISSUER, LIFETIME_MAX)
        }
        TokenFor::Named(name) => {
            let named = known.get(name).ok_or_else(|| no_principal(name, &known, &data))?;
            (named.principal.clone(), named.tenant.clone(), known.issuer(), named.life())
        }
        TokenFor::Subject(subject) => {
            let principal = Principal::parse(subject).map_err(|error| Failure::of(Code::Usage, &error))?;
            (principal, node_tenant(), NODE_ISSUER, LIFETIME_MAX)
        }
    };
    let default = match subject {
        TokenFor::Owner | TokenFor::Subject(_) => LIFETIME_DEFAULT,
        TokenFor::Named(_) => max,
    };
    let claims = Claims {
        issuer,
        subject: &principal,
        tenant: &tenant,
        audience,
        scopes: &[],
        now: SystemEnv.now(),
        lifetime: lifetime.unwrap_or(default),
    };
    let token = mint_up_to(&keys, &claims, max).map_err(|error| match &error {
        MintError::Lifetime { .. } => Failure::of(Code::Usage, &error)
            .hint("how long a principal's tokens may live is its `life` in bobbinet.yaml; the owner's live 15 minutes at most"),
        MintError::Keys(_) | MintError::Sign(_) => Failure::of(Code::Internal, &error),
    })?;
    let is_node_owner = principal.as_str() == NODE_OWNER;
    let caller = Caller { is_node_owner, ..Caller::new(principal, tenant) };
    if let Some(rule) = Policy::owner_only().shuts_out(&caller).filter(|_| !known.has_policy) {
        let text = format!(
            "the node will refuse whatever is asked with this token: by its rule {rule:?} only {NODE_OWNER} may do anything, until \
             there is a policy in its bobbinet.yaml"
        );
        remark(Remark::Note, text);
    }
    let is_of_this_node = Running::at(&data).is_none_or(|node| node.is_at(audience));
    if !is_of_this_node && !known.is_known_elsewhere() {
        let text = format!(
            "{audience} is no agent of this node, and no other node can tell this one's tokens from its own: give the node a name \
             that others trust, such as node: {{ issuer: https://agents.example.com }}"
        );
        remark(Remark::Note, text);
    }
    // Alone, whatever the format: it goes into a variable or a header.
    output.line(token)
}

fn no_principal(name: &str, known: &KnownPrincipals, data: &Path) -> Failure {
    let names = known.names();
    let failure = Failure::new(Code::Usage, format!("the node on {} knows no principal {name:?}", data.display()));
    failure.hint(match names.is_empty() {
        true => format!("name him in bobbinet.yaml, and start the node: principals: {{ {name}: {{ tenant: local }} }}"),
        false => {
            format!("there is {}; a node knows those that stood in its bobbinet.yaml when it started", names.join(", "))
        }
    })
}

/// `bobbinet key`
pub(crate) fn key(output: Output, command: Key) -> Result<(), Failure> {
    match command {
        Key::List(place) => list(output, &data_folder::of(place)),
        Key::Create(command) => api_keys::create(output, command),
        Key::Revoke(command) => api_keys::revoke(output, command),
        Key::Rotate(place) => rotate(output, &data_folder::that_is_there(place)?),
        // It is JSON whatever the format: whoever reads a JWK set is a program.
        Key::Jwks(place) => output.json(&open(&data_folder::of(place))?.jwks()),
    }
}

fn list(output: Output, data: &Path) -> Result<(), Failure> {
    let keys = open(data)?.list();
    let known = KnownPrincipals::read(data);
    let api_keys = api_keys::open(&known.api_keys_file(data))?.list();
    if output.is_json() {
        let keys: Vec<_> = keys
            .iter()
            .map(|key| {
                let retired = key.retired.map(|retired| retired.to_string());
                serde_json::json!({
                    "kid": key.kid, "created": key.created.to_string(), "current": key.is_current, "retired": retired,
                })
            })
            .collect();
        let api_keys: Vec<_> = api_keys.iter().map(api_keys::as_json).collect();
        return output.json(&serde_json::json!({ "keys": keys, "apiKeys": api_keys }));
    }
    for key in &keys {
        let state = match key.retired {
            None => " (signs)".to_owned(),
            Some(retired) => format!(" (verifies until {})", retired.after(known.longest_life())),
        };
        output.field("Key", format_args!("{} {}{state}", key.kid, key.created))?;
    }
    api_keys.iter().try_for_each(|key| output.field("API key", api_keys::in_words(key, &known)))
}

/// A new key signs from now on. What is over of the old ones is dropped, here and by each node that runs on the folder.
fn rotate(output: Output, data: &Path) -> Result<(), Failure> {
    let folder = data.join(KEYS_FOLDER);
    let now = SystemEnv.now();
    // The first key of a new folder is made by opening it.
    let is_first = matches!(KeyRing::open(&folder), Err(KeysError::None { .. }));
    let of = |error: KeysError| of_keys(&error, data);
    let ring = KeyRing::open_or_create(&folder, now).map_err(of)?;
    let life = KnownPrincipals::read(data).longest_life();
    let dropped = ring.drop_retired(now, life).map_err(of)?;
    let key = match is_first {
        true => ring.list().pop().ok_or_else(|| Failure::new(Code::Internal, "no key was made"))?,
        false => ring.new_key(now).map_err(of)?,
    };
    if output.is_json() {
        let dropped: Vec<&str> = dropped.iter().map(|key| key.kid.as_str()).collect();
        return output.json(&serde_json::json!({
            "kid": key.kid, "created": key.created.to_string(), "current": true, "dropped": dropped,
        }));
    }
    output.field("Key", format_args!("{} {} (signs)", key.kid, key.created))?;
    dropped.iter().try_for_each(|key| output.field("Dropped", &key.kid))
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
