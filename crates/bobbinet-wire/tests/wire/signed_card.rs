//! What signatures of cards cover: what the specification says, what the SDKs sign, and what an attacker may not change.

use bobbinet_wire::signed_card::{CardSignature, covered, sign, signing_input};
use serde_json::{Value, json};

/// A stand-in for a key: its signature is what it has signed.
fn signature(payload: &[u8]) -> CardSignature {
    CardSignature { protected: "h".to_owned(), signature: String::from_utf8(payload.to_vec()).unwrap() }
}

fn signed(card: &Value) -> Value {
    let bytes = sign(card.to_string().into_bytes(), |payload| Ok::<_, ()>(signature(payload))).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn payloads(card: &Value) -> Vec<String> {
    let signed = signed(card);
    signed["signatures"].as_array().unwrap().iter().map(|it| it["signature"].as_str().unwrap().to_owned()).collect()
}

fn verified(card: &Value) -> Option<Value> {
    covered(card, |given, payload| *given == signature(payload))
}

/// The card, its `description` and `skills` empty, by the specification's own example.
const SAMPLE: &str = r#"{"name":"wé","description":"","url":"x","supportedInterfaces":[{"url":"u","protocolBinding":"JSONRPC","protocolVersion":"1.0","tenant":""}],
"version":"1","capabilities":{"streaming":true,"pushNotifications":false,"extensions":[{"uri":"e","required":false,"params":{"n":5,"f":1.5,"z":0,"e":"","l":[],"o":{},"b":false,"nul":null,"big":12345678901234567890,"sm":1e-7,"exp":1e21,"i":10000000000000000000000}}],"extendedAgentCard":true},
"securitySchemes":{"bearer":{"httpAuthSecurityScheme":{"scheme":"Bearer","bearerFormat":"JWT"}}},"securityRequirements":[{"schemes":{"bearer":{"list":[]}}}],
"defaultInputModes":["text/plain"],"defaultOutputModes":[],"skills":[{"id":"a","name":"😀\u007f\u2028","description":"","tags":[]}]}"#;

#[test]
fn a_card_is_signed_as_the_specification_says_and_as_the_sdks_do() {
    let [strict, cleaned] = <[String; 2]>::try_from(payloads(&serde_json::from_str(SAMPLE).unwrap())).unwrap();
    let numbers = r#""big":12345678901234567000,"#;
    let params = |empty: [&str; 4]| {
        let [e, l, nul, o] = empty;
        format!(r#"{{"b":false,{numbers}{e}"exp":1e+21,"f":1.5,"i":1e+22,{l}"n":5,{nul}{o}"sm":1e-7,"z":0}}"#)
    };
    let schemes =
        r#""securitySchemes":{"bearer":{"httpAuthSecurityScheme":{"bearerFormat":"JWT","scheme":"Bearer"}}},"#;
    let rest =
        r#""supportedInterfaces":[{"protocolBinding":"JSONRPC","protocolVersion":"1.0","url":"u"}],"version":"1"}"#;
    let capabilities = |params: &str| {
        let extension = format!(r#"{{"params":{params},"uri":"e"}}"#);
        format!(
            r#""capabilities":{{"extendedAgentCard":true,"extensions":[{extension}],"pushNotifications":false,"streaming":true}},"#
        )
    };
    let expected = format!(
        "{{{}{}{schemes}{}{rest}",
        capabilities(&params([r#""e":"","#, r#""l":[],"#, r#""nul":null,"#, r#""o":{},"#])),
        r#""defaultInputModes":["text/plain"],"defaultOutputModes":[],"description":"","name":"wé","securityRequirements":[{"schemes":{"bearer":{}}}],"#,
        "\"skills\":[{\"description\":\"\",\"id\":\"a\",\"name\":\"😀\u{7f}\u{2028}\",\"tags\":[]}],",
    );
    assert_eq!(strict, expected);
    // What a2a-sdk 1.3.0 for Python gives for this card.
    let expected = format!(
        "{{{}{}{schemes}{}{rest}",
        capabilities(&params(["", "", "", ""])),
        r#""defaultInputModes":["text/plain"],"name":"wé","#,
        "\"skills\":[{\"id\":\"a\",\"name\":\"😀\u{7f}\u{2028}\"}],",
    );
    assert_eq!(cleaned, expected);
}

#[test]
fn names_are_in_the_order_of_their_utf_16() {
    let card =
        json!({ "capabilities": { "extensions": [{ "uri": "e", "params": { "\u{e000}": 1, "😀": 2, "a": 3 } }] } });
    let payload = &payloads(&card)[0];
    let at = |name: &str| payload.find(&format!("\"{name}\"")).unwrap();
    assert!(at("a") < at("😀") && at("😀") < at("\u{e000}"), "{payload}");
}

#[test]
fn what_is_covered_is_read_and_nothing_else() {
    let good = signed(&serde_json::from_str(SAMPLE).unwrap());
    let read = verified(&good).expect("a good signature");
    assert_eq!(read["supportedInterfaces"][0]["url"], "u");
    assert_eq!(read["capabilities"]["extensions"][0]["params"]["n"], 5);
    // A field of another version of A2A is no part of what was signed.
    assert_eq!(read.get("url"), None);
    let mut moved = good.clone();
    moved["url"] = json!("https://elsewhere.example");
    assert_eq!(verified(&moved), Some(read));
    for (pointer, value) in [
        ("/supportedInterfaces/0/url", json!("https://elsewhere.example")),
        ("/name", json!("another")),
        ("/capabilities/streaming", json!(false)),
        ("/capabilities/extensions/0/params/n", json!(6)),
        ("/capabilities/extensions/0/required", json!(true)),
        ("/capabilities/extensions/0/params/big", json!(12345678901234560000_u64)),
        ("/skills", json!([])),
        ("/securitySchemes/bearer/httpAuthSecurityScheme/scheme", json!("Basic")),
        ("/signatures", json!([])),
        ("/signatures", Value::Null),
    ] {
        let mut tampered = good.clone();
        *tampered.pointer_mut(pointer).unwrap() = value;
        assert_eq!(verified(&tampered), None, "{pointer}");
    }
}

#[test]
fn one_good_signature_among_others_is_enough() {
    let mut card = signed(&serde_json::from_str(SAMPLE).unwrap());
    let others = json!([{ "protected": "x", "signature": "y" }, 7, {}, card["signatures"][1]]);
    card["signatures"] = others;
    assert!(verified(&card).is_some());
    // A card that is signed as it stands is read as it stands, whatever it is of.
    let mut older = json!({ "name": "a", "url": "https://a.example", "protocolVersion": "0.3.0" });
    older["signatures"] = json!([{ "protected": "h", "signature": older.to_string() }]);
    assert_eq!(verified(&older).unwrap()["url"], "https://a.example");
    // In its canonical form numbers are doubles, so another number of the same double is not read.
    let mut large = json!({ "name": "a", "url": "https://a.example", "x": { "limit": 9_007_199_254_740_992_u64 } });
    large["signatures"] = json!([{ "protected": "h", "signature": large.to_string() }]);
    large["x"]["limit"] = json!(9_007_199_254_740_993_u64);
    assert_eq!(verified(&large).unwrap()["x"]["limit"].to_string(), "9007199254740992.0");
}

#[test]
fn what_is_signed_is_the_header_and_the_payload() {
    assert_eq!(signing_input("eyJ9", b"{}"), "eyJ9.e30");
}
