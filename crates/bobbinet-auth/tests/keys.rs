//! The key folder: who can read it, what a rotation does to tokens on their way, and the owner's way in.

#![allow(clippy::unwrap_used, reason = "a test: what cannot be unwrapped has failed")]

mod common;

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use bobbinet_auth::{
    Action, Claims, KEYS_FOLDER, KEYS_MAX, KeyRing, KeysError, LIFETIME_MAX, LOOK_INTERVAL, MintError, NODE_ISSUER,
    Policy, mint, owner_token,
};
use bobbinet_core::{AgentName, Principal, Tenant, Timestamp};
use common::{AGENT, Node, at, claims};
use serde_json::json;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn files(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

#[test]
fn the_first_start_makes_one_key_that_only_its_owner_can_read() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("deep").join(KEYS_FOLDER);
    let first = KeyRing::open_or_create(&folder, at(0)).unwrap();
    let again = KeyRing::open_or_create(&folder, at(9)).unwrap();
    assert_eq!(first.list(), again.list());
    assert_eq!((first.list().len(), files(&folder)), (1, 1), "and nothing temporary is left");
    assert!(first.list()[0].is_current);
    assert_eq!(first.list()[0].created, at(0));

    let file = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    assert_eq!((mode(&folder), mode(&file)), (0o700, 0o600));
    assert!(fs::read_to_string(&file).unwrap().starts_with("-----BEGIN PRIVATE KEY-----\n"));
}

#[test]
fn keys_that_others_can_touch_are_refused_with_the_cure() {
    let node = Node::start();
    let folder = node.data.path().join(KEYS_FOLDER);
    let file = node.file(&node.kid());
    for (path, bad, good) in [
        (&file, 0o640, 0o600),
        (&file, 0o604, 0o600),
        (&file, 0o620, 0o400),
        (&folder, 0o770, 0o700),
        (&folder, 0o702, 0o755),
    ] {
        set_mode(path, bad);
        let error = KeyRing::open(&folder).unwrap_err().to_string();
        let cure = if path == &file { "chmod 600" } else { "chmod 700" };
        assert!(error.contains(&format!("{cure} {}", path.display())), "{error}");
        set_mode(path, good);
        KeyRing::open(&folder).unwrap();
    }
}

#[test]
fn a_file_that_is_not_the_key_it_says_is_refused() {
    let (node, other) = (Node::start(), Node::start());
    let folder = node.data.path().join(KEYS_FOLDER);
    let file = node.file(&node.kid());
    let theirs = fs::read(other.file(&other.kid())).unwrap();
    for content in [b"".as_slice(), b"junk", &theirs, &vec![b'-'; 1 << 20]] {
        fs::write(&file, content).unwrap();
        assert!(matches!(KeyRing::open(&folder), Err(KeysError::NotAKey { .. })));
    }
}

#[test]
fn nothing_prints_a_private_key() {
    let node = Node::start();
    let pem = fs::read_to_string(node.file(&node.kid())).unwrap();
    let secret = pem.lines().nth(1).unwrap();
    node.verify(&owner_token(node.data.path(), AGENT, at(0)).unwrap(), &[AGENT], at(0)).unwrap();
    let printed = format!("{:?} {:?} {}", node.keys, node.verifier, node.keys.jwks());
    assert!(printed.contains(&node.kid()));
    assert!(!printed.contains(&secret[secret.len() - 43..]) && !printed.contains("eyJ"), "{printed}");
}

#[test]
fn the_public_keys_are_a_jwk_set() {
    let node = Node::start();
    let jwks = node.keys.jwks();
    let set: jsonwebtoken::jwk::JwkSet = serde_json::from_value(jwks.clone()).unwrap();
    assert_eq!(set.find(&node.kid()).unwrap().common.key_algorithm, Some(jsonwebtoken::jwk::KeyAlgorithm::EdDSA));
    let members: Vec<_> = jwks["keys"][0].as_object().unwrap().keys().cloned().collect();
    assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x"], "and no `d`");
}

#[test]
fn a_rotation_breaks_no_token_on_its_way() {
    let node = Node::start();
    let before = owner_token(node.data.path(), AGENT, at(0)).unwrap();
    // Another process makes the key, as `bobbinet key new` does; its clock is behind.
    let other = KeyRing::open(&node.data.path().join(KEYS_FOLDER)).unwrap();
    let made = other.new_key(common::at(0)).unwrap();
    let after = owner_token(node.data.path(), AGENT, at(0)).unwrap();
    for token in [&before, &after, &before, &after] {
        assert!(node.verify(token, &[AGENT], at(0)).unwrap().is_node_owner);
    }
    let header = |token: &str| jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    assert_ne!(header(&before), header(&after));
    assert_eq!(header(&after), made.kid);
    assert_eq!(node.kid(), made.kid);
    assert_eq!(node.keys.list(), other.list());
}

#[test]
fn a_bad_file_in_a_running_nodes_folder_keeps_no_removed_key_alive() {
    let node = Node::start();
    let (kid, token) = (node.kid(), owner_token(node.data.path(), AGENT, at(0)).unwrap());
    let file = node.file(&kid);
    fs::write(file.with_file_name("1-bad.pem"), "junk").unwrap();
    assert!(node.keys.refresh().is_err());
    node.verify(&token, &[AGENT], at(1)).unwrap();
    fs::remove_file(file).unwrap();
    assert!(node.keys.refresh().is_err());
    assert!(node.verify(&token, &[AGENT], at(1)).is_err());
    assert_eq!(node.keys.list(), []);
}

/// Whatever the ids are that a stranger makes up, the folder is listed so often and no more.
#[test]
fn a_key_id_that_nobody_knows_is_looked_for_now_and_then() {
    let node = Node::start();
    let at_millis = |millis: u64| Timestamp::from_millis(at(0).as_millis() + millis);
    let made_up = node.token(node.header(json!({ "kid": "made-up" })), claims(json!({})));
    assert!(node.verify(&made_up, &[AGENT], at(0)).is_err());
    KeyRing::open(&node.data.path().join(KEYS_FOLDER)).unwrap().new_key(at(0)).unwrap();
    let token = owner_token(node.data.path(), AGENT, at(0)).unwrap();
    let interval = u64::try_from(LOOK_INTERVAL.as_millis()).unwrap();
    for (millis, is_known) in [(0, false), (interval - 1, false), (interval, true)] {
        assert!(node.verify(&made_up, &[AGENT], at_millis(millis)).is_err());
        assert_eq!(node.verify(&token, &[AGENT], at_millis(millis)).is_ok(), is_known, "after {millis} ms");
    }
}

#[test]
fn a_key_that_is_planted_while_the_node_runs_is_not_taken() {
    let (node, mallory) = (Node::start(), Node::start());
    let folder = node.data.path().join(KEYS_FOLDER);
    let theirs = mallory.file(&mallory.kid());
    let planted = folder.join(theirs.file_name().unwrap());
    let token = mallory.token(mallory.header(json!({})), claims(json!({})));
    let own = owner_token(node.data.path(), AGENT, at(0)).unwrap();
    let mut second = 0;
    let mut is_taken = || {
        second += 1;
        assert!(node.verify(&own, &[AGENT], at(second)).is_ok(), "the node's own key goes on");
        node.verify(&token, &[AGENT], at(second)).is_ok()
    };
    // Into a folder that was opened to others after the start.
    for mode in [0o777, 0o770, 0o702] {
        set_mode(&folder, mode);
        fs::copy(&theirs, &planted).unwrap();
        assert!(!is_taken(), "{mode:o}");
        fs::remove_file(&planted).unwrap();
    }
    set_mode(&folder, 0o700);
    std::os::unix::fs::symlink(&theirs, &planted).unwrap();
    assert!(!is_taken(), "a link");
    fs::remove_file(&planted).unwrap();
    assert!(std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&planted).status().unwrap().success());
    assert!(!is_taken(), "a pipe, which nobody waits for");
    fs::remove_file(&planted).unwrap();
    fs::copy(&theirs, &planted).unwrap();
    // Only who may give files away can try: the file of another user.
    if std::os::unix::fs::chown(&planted, Some(12_345), None).is_ok() {
        assert!(!is_taken(), "another user's");
        std::os::unix::fs::chown(&planted, Some(0), None).unwrap();
    }
    assert!(is_taken(), "what the owner himself puts there is a key of his");
}

#[test]
fn keys_are_bounded() {
    let node = Node::start();
    for number in 1..KEYS_MAX as u64 {
        node.keys.new_key(at(number)).unwrap();
    }
    assert!(matches!(node.keys.new_key(at(1_000)), Err(KeysError::TooMany { .. })));
    assert_eq!(node.keys.list().len(), KEYS_MAX);
}

#[test]
fn a_token_lives_a_second_at_least_and_fifteen_minutes_at_most() {
    let node = Node::start();
    let (subject, tenant) = (Principal::parse("crypto").unwrap(), Tenant::parse("local").unwrap());
    let millisecond = Duration::from_millis(1);
    for (lifetime, is_fine) in [
        (Duration::ZERO, false),
        (Duration::from_secs(1) - millisecond, false),
        (Duration::from_secs(1), true),
        (LIFETIME_MAX, true),
        (LIFETIME_MAX + millisecond, false),
        (Duration::MAX, false),
    ] {
        let claims = Claims {
            issuer: NODE_ISSUER,
            subject: &subject,
            tenant: &tenant,
            audience: AGENT,
            scopes: &["read", "write"],
            now: at(0),
            lifetime,
        };
        match mint(&node.keys, &claims) {
            Ok(token) => {
                assert!(is_fine, "{lifetime:?}");
                let caller = node.verify(&token, &[AGENT], at(0)).unwrap();
                assert_eq!((caller.principal.as_str(), caller.is_node_owner), ("crypto", false));
                assert_eq!(caller.scopes, ["read", "write"]);
            }
            Err(error) => {
                assert!(!is_fine, "{lifetime:?}");
                assert!(error.to_string().contains("15 minutes"), "{error}");
            }
        }
    }
}

#[test]
fn the_owner_is_told_where_there_is_no_key() {
    let data = tempfile::tempdir().unwrap();
    for make in [false, true] {
        if make {
            fs::create_dir(data.path().join(KEYS_FOLDER)).unwrap();
            set_mode(&data.path().join(KEYS_FOLDER), 0o700);
        }
        let error = owner_token(data.path(), AGENT, at(0)).unwrap_err();
        assert!(matches!(error, MintError::Keys(KeysError::None { .. })), "{error:?}");
    }
    assert_eq!(files(&data.path().join(KEYS_FOLDER)), 0, "nothing is made by asking");
}

#[test]
fn the_owner_may_do_everything_and_nobody_else_anything() {
    let node = Node::start();
    let agent = AgentName::parse("files").unwrap();
    let policy = Policy::owner_only();
    for (subject, is_allowed) in [("node-owner", true), ("crypto", false)] {
        let token = node.token(node.header(json!({})), claims(json!({ "sub": subject })));
        let caller = node.verify(&token, &[AGENT], at(0)).unwrap();
        for operation in [
            Action::Send(&agent),
            Action::Get(&agent),
            Action::List(&agent),
            Action::Cancel(&agent),
            Action::Subscribe(&agent),
        ] {
            match policy.allows(&caller, operation) {
                Ok(()) => assert!(is_allowed),
                Err(denied) => {
                    assert!(!is_allowed);
                    let text = denied.to_string();
                    let says = ["crypto may not", "files", "owner-only", "bobbinet token mint"];
                    assert!(says.iter().all(|word| text.contains(word)), "{text}");
                }
            }
        }
    }
}
