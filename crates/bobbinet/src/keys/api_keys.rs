//! `bobbinet key create` and `bobbinet key revoke`: API keys, which are shown once.

use std::path::Path;

use bobbinet_auth::{API_KEY_PREFIX, ApiKeyDescription, ApiKeys, ApiKeysError, KEYS_FOLDER, NODE_OWNER};
use bobbinet_core::{Principal, Tenant, Timestamp};
use bobbinet_engine::{Env, SystemEnv};
use serde_json::{Value, json};

use super::{no_principal, of_keys};
use crate::{
    cli::{KeyCreate, KeyRevoke},
    data_folder,
    failure::{Code, Failure},
    output::Output,
    principals::KnownPrincipals,
    remark::{Remark, remark},
};

/// Makes a key, and prints it: alone, so that it can go into a variable.
pub(super) fn create(output: Output, command: KeyCreate) -> Result<(), Failure> {
    let KeyCreate { principal: name, tenant, expires, place } = command;
    let data = data_folder::of(place.data);
    let known = KnownPrincipals::read(&data);
    let usage = |error: &dyn std::error::Error| Failure::of(Code::Usage, error);
    let tenant = tenant.map(|tenant| Tenant::parse(&tenant)).transpose().map_err(|error| usage(&error))?;
    let principal = match (known.get(&name), &tenant) {
        (Some(_), Some(_)) => {
            let text = format!("the tenant of {name} is the configuration's to say");
            return Err(Failure::new(Code::Usage, text).hint("leave out --tenant"));
        }
        (Some(named), None) => named.principal.clone(),
        (None, Some(_)) => Principal::parse(&name).map_err(|error| usage(&error))?,
        (None, None) => {
            let failure = no_principal(&name, &known, &data);
            return Err(
                failure.hint(format!("name one that it knows, or say whose he is: --for {name} --tenant TENANT"))
            );
        }
    };
    if principal.as_str() == NODE_OWNER {
        let text =
            "the node's owner has no API key: who can read the key folder needs none, and nobody else may have one";
        return Err(Failure::new(Code::Usage, text));
    }
    let file = match place.file {
        Some(file) => file,
        None => {
            // Made by the node: a folder that is made here would be another one's.
            bobbinet_auth::KeyRing::open(&data.join(KEYS_FOLDER)).map_err(|error| of_keys(&error, &data))?;
            known.api_keys_file(&data)
        }
    };
    let now = SystemEnv.now();
    let (key, made) = open(&file)?
        .create(principal, tenant, expires.map(|expires| now.after(expires)), now)
        .map_err(|error| of_api_keys(&error))?;
    if !known.has_api_keys {
        remark(Remark::Note, "the node takes no API keys: its configuration says api_keys: false");
    }
    if !known.has_policy {
        let text = "the node will refuse whatever is asked with this key, until there is a policy in its bobbinet.yaml";
        remark(Remark::Note, text);
    }
    if output.is_json() {
        let mut document = as_json(&made);
        document["key"] = key.into();
        return output.json(&document);
    }
    let text = format!("it is not shown again; take it back with: bobbinet key revoke {}", made.id);
    remark(Remark::Note, text);
    output.line(key)
}

/// Takes a key back.
pub(super) fn revoke(output: Output, command: KeyRevoke) -> Result<(), Failure> {
    let KeyRevoke { id, place } = command;
    let data = data_folder::of(place.data);
    let known = KnownPrincipals::read(&data);
    let file = place.file.unwrap_or_else(|| known.api_keys_file(&data));
    // Somebody may well have nothing but the key that was found somewhere.
    let id = id.strip_prefix(API_KEY_PREFIX).map_or(id.as_str(), |rest| rest.split('_').next().unwrap_or_default());
    let revoked = open(&file)?.revoke(id).map_err(|error| of_api_keys(&error))?;
    let Some(revoked) = revoked else {
        let text = format!("there is no API key {id} in {}", file.display());
        return Err(Failure::new(Code::Usage, text).hint("bobbinet key list shows which there are"));
    };
    if output.is_json() {
        return output.json(&as_json(&revoked));
    }
    output.field("Revoked", in_words(&revoked, &known))
}

pub(super) fn open(file: &Path) -> Result<ApiKeys, Failure> {
    ApiKeys::open(file).map_err(|error| of_api_keys(&error))
}

fn of_api_keys(error: &ApiKeysError) -> Failure {
    Failure::of(Code::Config, error)
}

pub(super) fn as_json(key: &ApiKeyDescription) -> Value {
    json!({
        "id": key.id,
        "principal": key.principal,
        "tenant": key.tenant,
        "created": key.created.to_string(),
        "expires": key.expires.map(|expires| expires.to_string()),
    })
}

/// A key in a line.
pub(super) fn in_words(key: &ApiKeyDescription, known: &KnownPrincipals) -> String {
    let named = known.get(key.principal.as_str());
    let tenant = named.map(|named| &named.tenant).or(key.tenant.as_ref());
    let of = match tenant {
        Some(tenant) => format!(" of {tenant}"),
        None => ", whom the configuration does not name".to_owned(),
    };
    let is_over = |end: &Timestamp| SystemEnv.now() >= *end;
    let end = match &key.expires {
        Some(end) if is_over(end) => format!(", ended {end}"),
        Some(end) => format!(", until {end}"),
        None => String::new(),
    };
    format!("{} for {}{of}, made {}{end}", key.id, key.principal, key.created)
}
