//! `bobbinet card verify`: whether a card is signed by whom it should be.

use std::{fs, path::PathBuf};

use bobbinet_auth::{CardKeys, KEYS_FOLDER, KeyRing};
use bobbinet_http::client::covered_by;
use serde_json::{Value, json};

use super::resolve::Agent;
use crate::{
    failure::{Code, Failure},
    output::Output,
};

/// Fetches a card and checks its signatures against keys: those that were named, or those of its node, if that is on this machine.
pub(super) async fn verify(
    output: Output,
    agent: &Agent,
    keys: Option<PathBuf>,
    thumbprints: Vec<String>,
) -> Result<(), Failure> {
    let known = known(agent, keys, thumbprints)?;
    let (card, _) = agent.card().await?;
    let card = card.json.to_value();
    let Some((keys, whose)) = known else { return Err(unknown(&card)) };
    if card.get("signatures").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        let failure = Failure::new(Code::CardInvalid, "the card has no signatures");
        return Err(failure.hint("a card for A2A 0.3 alone has none: in a bobbinet.yaml, `card: hybrid` has a node serve one for both versions"));
    }
    if covered_by(&card, &keys).is_none() {
        let failure = Failure::new(Code::CardInvalid, format!("none of the card's signatures is by {whose}"));
        return Err(failure.hint("somebody has changed the card, or signed it with another key: do not trust it"));
    }
    if output.is_json() {
        return output.json(&json!({ "verified": true, "keys": whose, "brought": brought(&card) }));
    }
    output.field("Signed by", whose)?;
    for thumbprint in brought(&card) {
        output.field("Thumbprint", thumbprint)?;
    }
    Ok(())
}

/// The keys that are believed, and in words whose they are.
fn known(
    agent: &Agent,
    keys: Option<PathBuf>,
    thumbprints: Vec<String>,
) -> Result<Option<(CardKeys, String)>, Failure> {
    if let Some(path) = keys {
        let text = fs::read(&path)
            .map_err(|error| Failure::new(Code::Usage, format!("{} cannot be read: {error}", path.display())))?;
        let keys = CardKeys::of_set(&text).map_err(|fault| {
            Failure::new(Code::Usage, format!("{} is no JWK set to go by: {fault}", path.display()))
        })?;
        return Ok(Some((keys, format!("a key in {}", path.display()))));
    }
    if !thumbprints.is_empty() {
        let keys = CardKeys::of_thumbprints(thumbprints)
            .map_err(|wrong| Failure::new(Code::Usage, format!("{wrong:?} is no thumbprint of a key")))?;
        return Ok(Some((keys, "a key with such a thumbprint".to_owned())));
    }
    let own = agent.data().and_then(|data| KeyRing::open(&data.join(KEYS_FOLDER)).ok());
    let own = own.and_then(|ring| CardKeys::of_set(ring.jwks().to_string().as_bytes()).ok());
    Ok(own.map(|keys| (keys, "its node".to_owned())))
}

/// Nobody has said whom to believe.
fn unknown(card: &Value) -> Failure {
    let failure = Failure::new(Code::Usage, "whose signature is to be believed is not said");
    match brought(card).first() {
        Some(thumbprint) => failure.hint(format!(
            "it is signed with the key {thumbprint}: ask whoever runs the agent whether that is theirs, then say --thumbprint {thumbprint}"
        )),
        None => failure.hint("name a file with the keys: --keys jwks.json; the card brings none that it is signed with"),
    }
}

/// The thumbprints of the keys that the card brings, and is signed with.
fn brought(card: &Value) -> Vec<String> {
    let signatures = card.get("signatures").and_then(Value::as_array);
    let protected = signatures.into_iter().flatten().filter_map(|signature| signature.get("protected")?.as_str());
    let mut found: Vec<String> = protected.filter_map(CardKeys::brought).collect();
    found.dedup();
    found.retain(|thumbprint| {
        CardKeys::of_thumbprints([thumbprint.clone()]).is_ok_and(|keys| covered_by(card, &keys).is_some())
    });
    found
}
