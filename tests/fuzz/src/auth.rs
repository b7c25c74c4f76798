//! Tokens, certificates and lines of a policy.

use std::{cell::RefCell, path::PathBuf, sync::Arc};

use bobbinet_auth::{CardKeys, Certificate, Issuer, KeyRing, Policy, PolicyLine, Verifier, VerifierConfig, bearer};
use bobbinet_core::{Caller, Principal, Tenant, Timestamp};
use futures::FutureExt;

const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

thread_local! {
    static NODE: RefCell<Option<(Verifier, CardKeys)>> = const { RefCell::new(None) };
}

/// A node's keys, made once for each process.
fn with_node(look: impl FnOnce(&Verifier, &CardKeys)) {
    NODE.with_borrow_mut(|node| {
        let (verifier, keys) = node.get_or_insert_with(|| {
            let folder: PathBuf = std::env::temp_dir().join(format!("bobbinet-fuzz-{}", std::process::id()));
            let ring = Arc::new(KeyRing::open_or_create(&folder, NOW).expect("a folder for keys"));
            let keys = CardKeys::of_set(ring.jwks().to_string().as_bytes()).expect("a set of keys");
            std::fs::remove_dir_all(&folder).ok();
            (Verifier::new(VerifierConfig::default(), vec![Issuer::node(ring)]), keys)
        });
        look(verifier, keys);
    });
}

/// A header with a token, a card's protected header, a JWK set. None that a stranger makes up is good.
pub(crate) fn tokens(bytes: &[u8]) {
    CardKeys::of_set(bytes).ok();
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    with_node(|verifier, keys| {
        let token = bearer(Some(text)).unwrap_or(text);
        let verified = verifier.verify(token, &["https://a.example"], NOW).now_or_never();
        assert!(verified.is_some_and(|verified| verified.is_err()), "a stranger's token is good");
        let (protected, rest) = text.split_once('.').unwrap_or((text, ""));
        let (_, signature) = rest.rsplit_once('.').unwrap_or(("", rest));
        assert!(!keys.have_signed(protected, text, signature), "a stranger's signature is good");
        CardKeys::brought(protected);
    });
}

/// A certificate that a caller shows.
pub(crate) fn certificates(bytes: &[u8]) {
    if let Ok(certificate) = Certificate::read(bytes) {
        assert_eq!(certificate.thumbprint().len(), 43);
        let verifier = Verifier::new(VerifierConfig::default(), Vec::new());
        assert!(verifier.certified(&certificate, NOW).is_err(), "a stranger's certificate is good");
    }
}

/// A line of a policy: read, and asked about a call, within its bounds.
pub(crate) fn policy(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(line) = PolicyLine::parse("fuzz", text, []) else { return };
    let Ok(lines) = bobbinet_auth::Lines::new(vec![line]) else { return };
    let caller = Caller::new(Principal::parse("a").expect("a name"), Tenant::parse("b").expect("a name"));
    let agent = bobbinet_core::AgentName::parse("c").expect("a name");
    Policy::new(lines).allows(&caller, bobbinet_auth::Action::Send(&agent)).ok();
}
