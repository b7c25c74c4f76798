//! Callers by their certificates, and tokens that are bound to one.
#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test: what cannot be unwrapped has failed, and not all that tests share is used by each"
)]

mod common;

use bobbinet_auth::{
    Certificate, CertificateName, CertifiedPrincipal, NamedPrincipal, Rejected, Verifier, VerifierConfig,
};
use bobbinet_core::{Principal, Tenant, Timestamp};
use common::{AGENT, Node, at, claims};
use futures::FutureExt;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType, date_time_ymd};
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

fn certificate(uris: &[&str], hosts: &[&str], subject: &[(DnType, &str)]) -> Certificate {
    let mut params = CertificateParams::default();
    let uris = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap()));
    let hosts = hosts.iter().map(|host| SanType::DnsName((*host).try_into().unwrap()));
    params.subject_alt_names = uris.chain(hosts).collect();
    params.distinguished_name = DistinguishedName::new();
    for (kind, value) in subject {
        params.distinguished_name.push(kind.clone(), *value);
    }
    params.not_after = date_time_ymd(2027, 1, 1);
    let key = KeyPair::generate().unwrap();
    Certificate::read(params.self_signed(&key).unwrap().der()).unwrap()
}

fn verifier(known: &[(&str, &str)]) -> Verifier {
    let certified = |(name, principal): &(&str, &str)| CertifiedPrincipal {
        name: CertificateName::parse(name).unwrap(),
        principal: NamedPrincipal {
            principal: Principal::parse(principal).unwrap(),
            tenant: Tenant::parse("shop").unwrap(),
            lifetime_max: None,
        },
    };
    Verifier::new(VerifierConfig::default(), Vec::new()).with_certificates(known.iter().map(certified).collect())
}

/// Who a certificate is, or why he is nobody.
fn who(known: &[(&str, &str)], shown: &Certificate) -> Result<String, Rejected> {
    verifier(known).certified(shown, NOW).map(|caller| {
        assert!(!caller.is_node_owner);
        caller.principal.to_string()
    })
}

#[test]
fn a_caller_is_known_by_any_name_in_his_certificate() {
    let cart = "spiffe://prod.example/ns/shop/sa/cart";
    let shown = certificate(
        &[cart],
        &["Cart.Example.com"],
        &[(DnType::OrganizationName, "Shop"), (DnType::CommonName, "cart")],
    );
    for name in [cart, "cart.example.com", "CART.example.com", "O=Shop,CN=cart", "CN=cart, O=Shop"] {
        assert_eq!(who(&[(name, "crypto")], &shown), Ok("crypto".to_owned()), "{name}");
    }
    let others = [
        "spiffe://prod.example/ns/shop/sa/Cart",
        "spiffe://prod.example/ns/shop/sa",
        "example.com",
        "rt.example.com",
        "cart",
        "CN=cart",
        "O=Shop",
        "CN=Cart,O=Shop",
        "CN=cart,O=Shop,OU=x",
    ];
    for name in others {
        assert!(matches!(who(&[(name, "crypto")], &shown), Err(Rejected::UnknownCertificate { .. })), "{name}");
    }
}

/// Whatever a part of a subject is called, and in whichever case.
#[test]
fn a_subject_is_known_by_each_of_its_kinds_of_parts() {
    for (number, names) in [
        (&[0, 9, 2342, 19_200_300, 100, 1, 1][..], &["UID", "uid", "userId", "0.9.2342.19200300.100.1.1"][..]),
        (&[0, 9, 2342, 19_200_300, 100, 1, 25], &["DC", "dc", "domainComponent"]),
        (&[2, 5, 4, 5], &["serialNumber", "SERIALNUMBER", "2.5.4.5"]),
        (&[2, 5, 4, 9], &["street", "STREET", "streetAddress"]),
        (&[1, 2, 840, 113_549, 1, 9, 1], &["emailAddress", "E"]),
        (&[1, 3, 6, 1, 4, 1, 99_999, 7], &["1.3.6.1.4.1.99999.7"]),
    ] {
        let shown =
            certificate(&[], &[], &[(DnType::CustomDnType(number.to_vec()), "x"), (DnType::CommonName, "cart")]);
        for name in names {
            let known = format!("{name}=x,cn=cart");
            assert_eq!(who(&[(&known, "cart")], &shown).as_deref(), Ok("cart"), "{known}");
        }
    }
    for unknown in ["CM=cart", "X.509=cart", "2..5=cart"] {
        assert!(CertificateName::parse(unknown).unwrap_err().contains("SERIALNUMBER"), "{unknown}");
    }
}

#[test]
fn a_certificate_of_several_principals_is_of_none() {
    let shown = certificate(&["spiffe://a/b"], &["a.example"], &[]);
    let known = [("spiffe://a/b", "one"), ("a.example", "one")];
    assert_eq!(who(&known, &shown), Ok("one".to_owned()));
    let known = [("spiffe://a/b", "one"), ("a.example", "two")];
    assert!(matches!(who(&known, &shown), Err(Rejected::AmbiguousCertificate { .. })));
}

#[test]
fn a_certificate_is_good_until_it_ends_however_long_its_connection_lasts() {
    let shown = certificate(&[], &["a.example"], &[]);
    let verifier = verifier(&[("a.example", "one")]);
    let end = Timestamp::from_millis(1_798_761_600_000);
    let just_before = Timestamp::from_millis(end.as_millis() - 1);
    assert!(verifier.certified(&shown, just_before).is_ok());
    assert_eq!(verifier.certified(&shown, end), Err(Rejected::CertificateExpired));
}

#[test]
fn a_name_of_no_kind_is_refused() {
    for text in ["", "a b", "*.example.com", "CN=", "=x", "CN=a\\,b", "CN=a+O=b", "CN=a,b", "a..b"] {
        assert!(CertificateName::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn a_token_that_is_bound_to_a_certificate_is_good_over_no_other_connection() {
    let node = Node::start();
    let (own, other) = (certificate(&[], &["a.example"], &[]), certificate(&[], &["a.example"], &[]));
    let check = |cnf: Value, shown: Option<&Certificate>, expected: Result<(), Rejected>| {
        let token = node.token(node.header(json!({})), claims(json!({ "cnf": cnf })));
        for attempt in ["first", "second"] {
            let found = node.verifier.verify_over(shown, &token, &[AGENT], at(0)).now_or_never().unwrap();
            assert_eq!(found.map(|_| ()), expected, "{attempt} attempt");
        }
    };
    check(Value::Null, Some(&own), Ok(()));
    check(Value::Null, None, Ok(()));
    let bound = json!({ "x5t#S256": own.thumbprint() });
    check(bound.clone(), Some(&own), Ok(()));
    check(bound.clone(), Some(&other), Err(Rejected::OtherCertificate));
    check(bound, None, Err(Rejected::OtherCertificate));
    // Bound to what nobody here can check.
    check(json!({ "jkt": "x" }), Some(&own), Err(Rejected::Malformed("cnf")));
    check(json!({}), Some(&own), Err(Rejected::Malformed("cnf")));
}
