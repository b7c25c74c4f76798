//! API keys: how they are made, kept, taken back, and what they let whom in as.

#![allow(clippy::unwrap_used, reason = "a test: what cannot be unwrapped has failed")]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use bobbinet_auth::{
    API_KEYS_LOOK_INTERVAL, API_KEYS_MAX, ApiKeyHolders, ApiKeys, NamedPrincipal, Rejected, Verifier, VerifierConfig,
};
use bobbinet_core::{Caller, Principal, Tenant, Timestamp};
use futures::FutureExt;
use serde_json::Value;
use tempfile::TempDir;

/// So many milliseconds after the start of each test.
fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(1_795_258_800_000 + millis)
}

fn principal(text: &str) -> Principal {
    Principal::parse(text).unwrap()
}

fn tenant(text: &str) -> Tenant {
    Tenant::parse(text).unwrap()
}

struct World {
    folder: TempDir,
    /// As a running node has them.
    node: Verifier,
    /// As the command line has them.
    typed: ApiKeys,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api-keys.json");
        let node = Verifier::with_api_keys(VerifierConfig::default(), Vec::new(), holders(&path, &["ci"]));
        Self { node, typed: ApiKeys::open(&path).unwrap(), folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("api-keys.json")
    }

    fn verify(&self, key: &str, now: Timestamp) -> Result<Arc<Caller>, Rejected> {
        let shown = self.node.verify_api_key(key, now);
        let as_bearer = self.node.verify(key, &["http://127.0.0.1:7420/agents/any"], now).now_or_never().unwrap();
        assert_eq!(shown, as_bearer, "a key is the same in either header, whichever agent is asked");
        shown
    }
}

fn holders(path: &std::path::Path, names: &[&str]) -> Option<ApiKeyHolders> {
    let named = |name: &&str| NamedPrincipal { principal: principal(name), tenant: tenant("acme"), lifetime_max: None };
    let principals: BTreeMap<_, _> = names.iter().map(|name| ((*name).to_owned(), named(name))).collect();
    Some(ApiKeyHolders { keys: Arc::new(ApiKeys::open(path).unwrap()), principals })
}

#[test]
fn a_key_lets_in_whom_it_was_made_for_until_it_is_taken_back() {
    let world = World::new();
    let (key, made) = world.typed.create(principal("ci"), None, None, at(0)).unwrap();
    let caller = world.verify(&key, at(1)).unwrap();
    assert_eq!((caller.principal.as_str(), caller.tenant.as_str()), ("ci", "acme"));
    assert!(!caller.is_node_owner);
    assert_eq!(caller.claims.as_ref().unwrap().to_value()["api_key"], made.id.as_str());
    assert_eq!(world.typed.list(), std::slice::from_ref(&made));

    // Nothing of the key is in the file but its id and its hash, and the file is its owner's alone.
    let text = fs::read_to_string(world.path()).unwrap();
    let (_, secret) = key.rsplit_once('_').unwrap();
    assert!(!text.contains(secret) && text.contains(&made.id), "{text}");
    assert_eq!(fs::metadata(world.path()).unwrap().permissions().mode() & 0o777, 0o600);
    // A program that looks for secrets finds it.
    assert!(key.starts_with("bbk_") && key.len() == 4 + 16 + 1 + 64, "{key}");

    // Taken back: a running node refuses it as soon as it looks, which is a quarter of a second at most.
    assert_eq!(world.typed.revoke(&made.id).unwrap(), Some(made.clone()));
    let look = u64::try_from(API_KEYS_LOOK_INTERVAL.as_millis()).unwrap();
    assert!(look <= 1_000);
    assert!(world.verify(&key, at(1)).is_ok(), "it has not looked yet");
    assert_eq!(world.verify(&key, at(1 + look)), Err(Rejected::UnknownApiKey { id: made.id.clone() }));
    assert_eq!(world.typed.revoke(&made.id).unwrap(), None);
    assert_eq!(world.typed.list(), []);
}

/// Or the node, which is another user's, could not read that a key was revoked, and would go on with those of before.
#[test]
fn the_file_stays_its_owners_whoever_changes_it() {
    let world = World::new();
    let (_, made) = world.typed.create(principal("ci"), None, None, at(0)).unwrap();
    let of = |path: &std::path::Path| {
        let found = fs::metadata(path).unwrap();
        (found.uid(), found.gid(), found.mode() & 0o777)
    };
    let (user, group, _) = of(&world.path());
    fs::set_permissions(world.path(), fs::Permissions::from_mode(0o640)).unwrap();
    world.typed.create(principal("ci"), None, None, at(1)).unwrap();
    assert_eq!(of(&world.path()), (user, group, 0o640));
    // Only the system's own user can have another's file to change.
    if user == 0 {
        chown(world.path(), Some(65_534), Some(65_533)).unwrap();
        world.typed.revoke(&made.id).unwrap().unwrap();
        assert_eq!(of(&world.path()), (65_534, 65_533, 0o640));
        assert_eq!(of(&world.folder.path().join(".api-keys.json.lock")).0, 65_534);
        fs::remove_file(world.path()).unwrap();
        chown(world.folder.path(), Some(65_534), Some(65_534)).unwrap();
        world.typed.create(principal("ci"), None, None, at(2)).unwrap();
        assert_eq!(of(&world.path()), (65_534, 65_534, 0o600));
    }
}

#[test]
fn a_key_ends_when_it_was_said_to() {
    let world = World::new();
    let end = at(10_000);
    let (key, made) = world.typed.create(principal("ci"), None, Some(end), at(0)).unwrap();
    assert_eq!(made.expires, Some(end));
    assert!(world.verify(&key, at(9_999)).is_ok());
    assert_eq!(world.verify(&key, end), Err(Rejected::Expired));
}

#[test]
fn whose_a_key_is_the_configuration_says_or_the_key() {
    let world = World::new();
    let (of_ci, _) = world.typed.create(principal("ci"), Some(tenant("elsewhere")), None, at(0)).unwrap();
    let (of_guest, made) = world.typed.create(principal("guest"), None, None, at(0)).unwrap();
    let (of_robot, _) = world.typed.create(principal("robot"), Some(tenant("robots")), None, at(0)).unwrap();
    let who =
        |key: &str, now| world.verify(key, now).map(|caller| format!("{:?}", (&caller.principal, &caller.tenant)));
    let expected = |name: &str, of: &str| Ok(format!("{:?}", (principal(name), tenant(of))));
    assert_eq!(who(&of_ci, at(1)), expected("ci", "acme"), "the configuration's word stands");
    assert_eq!(who(&of_robot, at(1)), expected("robot", "robots"));
    let nobody = Rejected::UnknownPrincipal { id: made.id, principal: "guest".to_owned() };
    assert_eq!(who(&of_guest, at(1)), Err(nobody));

    // The configuration changes: who is not named any more is let in no more, and who is named now is.
    world.node.replace(Vec::new(), holders(&world.path(), &["guest"]));
    assert_eq!(who(&of_guest, at(2)), expected("guest", "acme"));
    assert_eq!(who(&of_ci, at(2)), expected("ci", "elsewhere"));
    world.node.replace(Vec::new(), None);
    assert_eq!(who(&of_robot, at(3)), Err(Rejected::ApiKeysOff));
    assert!(!world.node.accepted().has_api_keys);

    for name in ["node-owner", "https://idp.example#alice"] {
        assert!(world.typed.create(principal(name), Some(tenant("acme")), None, at(0)).is_err(), "{name}");
    }
}

#[test]
fn what_is_nearly_a_key_is_none() {
    let world = World::new();
    let (key, made) = world.typed.create(principal("ci"), None, None, at(0)).unwrap();
    let (_, other) = world.typed.create(principal("ci"), None, None, at(0)).unwrap();
    let wrong = Rejected::WrongApiKey { id: made.id.clone() };
    let malformed = Rejected::Malformed("form, as an API key,");
    let last = if key.ends_with('0') { '1' } else { '0' };
    let changed = format!("{}{last}", &key[..key.len() - 1]);
    for (what, shown, expected) in [
        ("another secret", changed, wrong.clone()),
        ("the id of another", key.replace(&made.id, &other.id), Rejected::WrongApiKey { id: other.id.clone() }),
        ("no such id", key.replace(&made.id, "0000000000000000"), Rejected::UnknownApiKey { id: "0".repeat(16) }),
        ("no secret", format!("bbk_{}_", made.id), malformed.clone()),
        ("cut short", key[..key.len() - 2].to_owned(), malformed.clone()),
        ("one more", format!("{key}0"), malformed.clone()),
        ("in capitals", key.replace(&made.id, &made.id.to_uppercase()).replace("bbk_", "bbk_A"), malformed.clone()),
        ("a path", "bbk_../../etc/passwd_0".to_owned(), malformed.clone()),
        ("only the prefix", "bbk_".to_owned(), malformed),
    ] {
        assert_eq!(world.verify(&shown, at(1)), Err(expected), "{what}");
    }
    // The hash that the file has is no secret.
    let file: Value = serde_json::from_slice(&fs::read(world.path()).unwrap()).unwrap();
    let first = &file["keys"][0];
    let from_file = format!("bbk_{}_{}", first["id"].as_str().unwrap(), first["sha256"].as_str().unwrap());
    assert!(matches!(world.verify(&from_file, at(1)), Err(Rejected::WrongApiKey { .. })));
    assert!(matches!(world.node.verify_api_key(&"x".repeat(9 << 10), at(1)), Err(Rejected::Oversized { .. })));
}

#[test]
fn a_file_that_cannot_be_used_changes_nothing_and_one_that_others_can_write_is_refused() {
    let world = World::new();
    let (key, _) = world.typed.create(principal("ci"), None, None, at(0)).unwrap();
    assert!(world.verify(&key, at(1)).is_ok());
    let good = fs::read(world.path()).unwrap();
    fs::write(world.path(), "{").unwrap();
    assert!(world.verify(&key, at(1_000)).is_ok(), "the keys before count");
    assert!(world.typed.create(principal("ci"), None, None, at(0)).is_err(), "what cannot be read is not written over");
    fs::write(world.path(), good).unwrap();
    fs::set_permissions(world.path(), fs::Permissions::from_mode(0o666)).unwrap();
    let error = ApiKeys::open(&world.path()).unwrap_err().to_string();
    assert!(error.contains("chmod 600"), "{error}");
    for wrong in [r#"{"keys":[{"id":"x"}]}"#, r#"{"keys":[],"more":1}"#, "[]"] {
        let path = world.folder.path().join("other.json");
        fs::write(&path, wrong).unwrap();
        assert!(ApiKeys::open(&path).is_err(), "{wrong}");
    }
    assert!(ApiKeys::open(&world.folder.path().join("none.json")).unwrap().list().is_empty());
}

#[test]
fn two_who_make_keys_at_once_make_both_and_there_are_so_many_at_most() {
    let world = World::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let keys = ApiKeys::open(&world.path()).unwrap();
                for _ in 0..5 {
                    keys.create(principal("ci"), None, None, at(0)).unwrap();
                }
            });
        }
    });
    assert_eq!(world.typed.list().len(), 20);
    let mut file: Value = serde_json::from_slice(&fs::read(world.path()).unwrap()).unwrap();
    let first = file["keys"][0].clone();
    let filled = (0..API_KEYS_MAX).map(|number| {
        let mut key = first.clone();
        key["id"] = format!("{number:016x}").into();
        key
    });
    file["keys"] = filled.collect();
    fs::write(world.path(), file.to_string()).unwrap();
    assert_eq!(world.typed.list().len(), API_KEYS_MAX);
    assert!(world.typed.create(principal("ci"), None, None, at(0)).unwrap_err().to_string().contains("revoke"));
    assert!(world.typed.revoke("0000000000000000").unwrap().is_some());
    assert!(world.typed.create(principal("ci"), None, Some(at(0).after(Duration::from_secs(1))), at(0)).is_ok());
}

#[test]
fn what_lies_in_the_place_of_the_lock_is_not_taken_for_it() {
    let world = World::new();
    let lock = world.folder.path().join(".api-keys.json.lock");
    let other = world.folder.path().join("other");
    fs::write(&other, "mine").unwrap();
    let refused = || world.typed.create(principal("ci"), None, None, at(0)).unwrap_err().to_string();
    std::os::unix::fs::symlink(&other, &lock).unwrap();
    assert!(refused().contains("it is a link"), "{}", refused());
    fs::remove_file(&lock).unwrap();
    std::os::unix::fs::symlink(world.folder.path().join("not-there"), &lock).unwrap();
    assert!(refused().contains("it is a link"), "{}", refused());
    fs::remove_file(&lock).unwrap();
    fs::hard_link(&other, &lock).unwrap();
    assert!(refused().contains("it is no file of its own"), "{}", refused());
    fs::remove_file(&lock).unwrap();
    world.typed.create(principal("ci"), None, None, at(0)).unwrap();
}
