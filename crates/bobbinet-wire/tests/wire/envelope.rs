//! JSON-RPC: what is a request, and what is answered to what is none.

use bobbinet_wire::{ErrorKind, envelope};

fn good(body: &str, id: &str, method: &str, params: Option<&str>) {
    let request = envelope::parse(body.as_bytes()).unwrap();
    assert_eq!(request.id.as_json(), id, "{body}");
    assert_eq!(request.method, method, "{body}");
    assert_eq!(request.params.map(|params| params.get()), params, "{body}");
}

fn bad(body: impl AsRef<[u8]>, kind: ErrorKind, id: &str) {
    let body = body.as_ref();
    let refusal = envelope::parse(body).unwrap_err();
    let body = String::from_utf8_lossy(&body[..body.len().min(120)]);
    assert_eq!(refusal.error.kind(), kind, "{body}: {refusal}");
    assert_eq!(refusal.id.as_json(), id, "{body}");
}

#[test]
fn a_request_is_read_and_its_id_kept_letter_for_letter() {
    good(r#"{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{"id":"x"}}"#, "1", "GetTask", Some(r#"{"id":"x"}"#));
    good(
        r#" {"params":[1],"method":"a\"b","id":"\u00e4 x","jsonrpc":"2.0","more":{}} "#,
        r#""\u00e4 x""#,
        "a\"b",
        Some("[1]"),
    );
    good(r#"{"jsonrpc":"2.0","id":-1.50e3,"method":"GetTask"}"#, "-1.50e3", "GetTask", None);
    good(r#"{"jsonrpc":"2.0","id":null,"method":"","params":null}"#, "null", "", None);
    good(r#"{"jsonrpc":"2.0","id":9007199254740993,"method":"m","params":{}}"#, "9007199254740993", "m", Some("{}"));
    // It stands in each line of a stream.
    good("{\"jsonrpc\":\"2.0\",\"id\":\"a\u{2028}b\u{85}\",\"method\":\"m\"}", r#""a\u2028b\u0085""#, "m", None);
}

#[test]
fn what_is_not_json_is_a_parse_error_without_an_id() {
    let deep = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{}{}}}"#, "[".repeat(64), "]".repeat(64));
    for body in
        ["", " ", "{", "nonsense", r#"{"jsonrpc":"2.0","id":1,"method":"m"}}"#, r#"{"id":1,}"#, "[1,", "[}", &deep]
    {
        bad(body, ErrorKind::Parse, "null");
    }
    bad(b"{\"jsonrpc\":\"2.0\",\"id\":\"\xff\",\"method\":\"m\"}", ErrorKind::Parse, "null");
    bad(r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"x":1e999}}"#, ErrorKind::Parse, "null");
    bad(r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"x":"\ud800"}}"#, ErrorKind::Parse, "null");
    bad("[".repeat(2_000_000), ErrorKind::Parse, "null");
    for twice in [r#"{"a":1,"a":1}"#, r#"{"message":{"metadata":{"x":{"b":1,"c":2,"\u0062":3}}}}"#, r#"[{"":1,"":2}]"#]
    {
        bad(format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{twice}}}"#), ErrorKind::InvalidRequest, "1");
    }
}

#[test]
fn json_that_is_no_single_request_is_invalid_and_keeps_its_id() {
    let long = format!(r#"{{"jsonrpc":"2.0","id":"{}","method":"m"}}"#, "x".repeat(envelope::REQUEST_ID_LENGTH_MAX));
    let cases = [
        ("[]", "null"),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"GetTask"}]"#, "null"),
        (r#"["2.0",1,"GetTask",{}]"#, "null"),
        ("1", "null"),
        ("\"x\"", "null"),
        ("null", "null"),
        ("{}", "null"),
        (r#"{"jsonrpc":"2.0","method":"GetTask"}"#, "null"),
        (r#"{"jsonrpc":"2.0","id":true,"method":"GetTask"}"#, "null"),
        (r#"{"jsonrpc":"2.0","id":{},"method":"GetTask"}"#, "null"),
        (r#"{"jsonrpc":"2.0","id":[1],"method":"GetTask"}"#, "null"),
        (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"GetTask"}"#, "null"),
        (long.as_str(), "null"),
        (r#"{"id":1,"method":"GetTask"}"#, "1"),
        (r#"{"jsonrpc":"1.0","id":"a","method":"GetTask"}"#, "\"a\""),
        (r#"{"jsonrpc":2.0,"id":"a","method":"GetTask"}"#, "\"a\""),
        (r#"{"jsonrpc":"2.0","id":"a"}"#, "\"a\""),
        (r#"{"jsonrpc":"2.0","id":"a","method":null}"#, "\"a\""),
        (r#"{"jsonrpc":"2.0","id":"a","method":7}"#, "\"a\""),
    ];
    for (body, id) in cases {
        bad(body, ErrorKind::InvalidRequest, id);
    }
}
