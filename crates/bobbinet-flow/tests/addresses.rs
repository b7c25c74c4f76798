//! What becomes of an address in which names stand in braces.
#![allow(clippy::unwrap_used, reason = "a test")]

#[expect(unreachable_pub, dead_code, reason = "shared by test files")]
mod support;

use serde_json::{Value, json};

#[track_caller]
fn check(address: &str, input: Value, expected: &str) {
    let flow = format!("do:\n  - get: {{ call: http, with: {{ method: get, endpoint: '{address}' }} }}\n");
    let definition = support::definition(&flow);
    let mut driver = support::Driver::new(&definition);
    driver.start(input);
    let told = &driver.told;
    assert!(told.contains(expected), "{address}: {told}");
}

#[test]
fn names_in_an_address_are_the_input_s() {
    let uri = |uri: &str| format!("\"uri\":{}", json!(uri));
    check("https://a.b/{id}", json!({"id": 7}), &uri("https://a.b/7"));
    check("https://a.b/{id}/{id}", json!({"id": "x"}), &uri("https://a.b/x/x"));
    check("https://a.b/{is}", json!({"is": true}), &uri("https://a.b/true"));
    check("https://a.b/?q={q}", json!({"q": "a b&c=/d?#%"}), &uri("https://a.b/?q=a%20b%26c%3D%2Fd%3F%23%25"));
    check("https://a.b/{n}", json!({"n": "ü"}), &uri("https://a.b/%C3%BC"));
    // Names are taken letter for letter.
    check("https://a.b/{pet.id}", json!({"pet.id": 1, "pet": {"id": 2}}), &uri("https://a.b/1"));
    // What there is not is nothing, whatever the input is.
    check("https://a.b/{id}/x", json!({"id": null}), &uri("https://a.b//x"));
    check("https://a.b/{id}/x", json!({}), &uri("https://a.b//x"));
    check("https://a.b/{id}/x", json!([1]), &uri("https://a.b//x"));
    check("https://a.b/{id}/x", json!("id"), &uri("https://a.b//x"));
    // Variables of expressions are none of it.
    check("https://a.b/{$context}", json!({}), &uri("https://a.b/"));
    check("https://a.b/{id}", json!({"id": [1]}), "errors/expression");
    check("https://a.b/{id}", json!({"id": {"x": 1}}), "errors/expression");
}
