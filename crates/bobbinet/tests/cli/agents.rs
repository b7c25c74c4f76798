//! The command line at small agents of its own making: cards with faults, what tasks have made, and tokens.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
};

use serde_json::{Value, json};

use crate::program::TestFolder;

/// Answers each request with what `does` makes of its first line, its headers in small letters and its body. Ends with the test's process.
pub(crate) fn serve(does: impl Fn(&str, &str, &str, &str) -> (u16, Value) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let at = url.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            answer(stream, |line, headers, body| does(&at, line, headers, body));
        }
    });
    url
}

fn answer(mut stream: TcpStream, does: impl FnOnce(&str, &str, &str) -> (u16, Value)) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut first, mut headers, mut length) = (String::new(), String::new(), 0);
    // Whoever only looks whether somebody is there says nothing.
    if reader.read_line(&mut first).unwrap_or(0) == 0 {
        return;
    }
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) <= 2 {
            break;
        }
        let line = line.to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        headers.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let (status, told) = does(&first, &headers, &String::from_utf8_lossy(&body));
    let told = told.to_string();
    let head = format!("HTTP/1.1 {status} x\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n");
    // Whoever has gone does not read the answer.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(told.as_bytes()));
}

fn card(url: &str) -> Value {
    json!({
        "name": "far", "description": "is far away", "version": "1", "protocolVersion": "0.3.0", "url": url,
        "capabilities": {}, "defaultInputModes": ["text"], "defaultOutputModes": ["text"],
        "skills": [{"id": "s", "name": "s", "description": "d", "tags": ["t"]}],
        "securitySchemes": {"login": {"type": "oauth2", "flows": {
            "deviceCode": {"deviceAuthorizationUrl": format!("{url}/device"), "tokenUrl": format!("{url}/token"),
                           "scopes": {"a2a": "All of it."}},
            "clientCredentials": {"tokenUrl": format!("{url}/token"), "scopes": {}},
        }}},
    })
}

#[test]
fn every_fault_of_a_card_is_told_with_its_place() {
    let folder = TestFolder::new();
    let mut faulty = card("https://a.example/");
    folder.write("good.json", &faulty.to_string());
    faulty["skills"][0]["tags"] = json!(7);
    faulty["protocolVersion"] = json!("three");
    folder.write("bad.json", &faulty.to_string());
    let good = folder.run(&["card", "get", "good.json", "--validate"]);
    assert!(good.code == 0 && good.stdout.contains("Valid: yes"), "{good:?}");
    let bad = folder.run(&["card", "get", "bad.json", "--validate"]);
    assert_eq!(bad.code, 1, "{bad:?}");
    for line in ["Valid: no", "Fault: protocolVersion must be numbers", "Fault: skills[0].tags must be an array"] {
        assert!(bad.stdout.contains(line), "{line}: {bad:?}");
    }
    let bad = folder.run(&["card", "get", "bad.json", "--validate", "-o", "json"]);
    let told: Value = serde_json::from_str(&bad.stdout).unwrap();
    assert_eq!((&told["valid"], &told["faults"][1]["field"]), (&json!(false), &json!("skills[0].tags")), "{told}");
}

#[test]
fn what_a_task_has_made_becomes_files() {
    let url = serve(|url, line, _, body| match line.starts_with("GET") {
        true => (200, card(url)),
        false => {
            let request: Value = serde_json::from_str(body).unwrap();
            assert_eq!(request["method"], "tasks/get");
            let artifacts = json!([
                {"artifactId": "one", "name": "report", "parts": [{"kind": "text", "text": "all is well"}]},
                {"artifactId": "two", "parts": [
                    {"kind": "file", "file": {"name": "../a.bin", "mimeType": "x/y", "bytes": "AAEC"}},
                    {"kind": "data", "data": {"n": 1}},
                ]},
            ]);
            let task = json!({"kind": "task", "id": "t", "contextId": "c", "status": {"state": "completed"},
                              "artifacts": artifacts});
            (200, json!({"jsonrpc": "2.0", "id": request["id"], "result": task}))
        }
    });
    let folder = TestFolder::new();
    let ran = folder.run(&["task", "download", "t", "-a", &url, "--dir", "out"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let read =
        |name: &str| fs::read(folder.path().join("out").join(name)).unwrap_or_else(|_| panic!("{name}: {ran:?}"));
    assert_eq!((read("report.txt"), read("a.bin")), (b"all is well".to_vec(), vec![0, 1, 2]));
    assert_eq!(serde_json::from_slice::<Value>(&read("two.json")).unwrap(), json!({"n": 1}));
    let ran = folder.run(&["task", "download", "t", "-a", &url, "--artifact-id", "three"]);
    assert!(ran.code == 2 && ran.stderr.contains("there is one, two"), "{ran:?}");
    // What is said of how to speak holds.
    let ran = folder.run(&["task", "get", "t", "-a", &url, "--a2a-version", "1.0"]);
    assert!(ran.code != 0 && ran.stderr.contains("this client A2A 1.0 over"), "{ran:?}");
}

#[test]
fn a_webhook_that_cannot_be_asked_for_is_refused_before_anything_is_sent() {
    let folder = TestFolder::new();
    let mut far = card("http://127.0.0.1:1/");
    folder.write("deaf.json", &far.to_string());
    far["capabilities"] = json!({"pushNotifications": true});
    folder.write("far.json", &far.to_string());
    folder.write("empty", "\n");
    folder.write("long", &"x".repeat(5_000));
    let run = |card: &str, words: &[&str]| {
        let create = ["task", "push-config", "create", "t", "-a", card, "-o", "json"];
        let said = [("EMPTY", &b""[..]), ("LINES", b"a\nsecret"), ("GOOD", b"secret"), ("ODD", b"secret\xff")];
        folder.run_with(&[&create, words].concat(), &said.map(|(name, value)| (name, OsStr::from_bytes(value))))
    };
    let hook = "https://hooks.example/a";
    for (words, said) in [
        (&["mailto:a@example.com"][..], "no URL of a webhook"),
        (&[hook, "--token-env", "NO_SUCH"], "cannot be read from the variable NO_SUCH: it is not set"),
        (&[hook, "--token-env", "ODD"], "cannot be read from the variable ODD: it is not UTF-8"),
        (&[hook, "--token-env", "EMPTY"], "the variable EMPTY holds no token: it is empty"),
        (&[hook, "--token-env", "LINES"], "the variable LINES holds no token"),
        (&[hook, "--credentials-file", "no-such"], "cannot be read from no-such"),
        (&[hook, "--credentials-file", "empty"], "empty holds no credentials"),
        (&[hook, "--credentials-file", "long"], "long holds no credentials"),
        (&[hook, "--token-env", "GOOD", "--token-file", "empty"], "cannot be used with"),
        (&[hook, "--credentials-env", "GOOD", "--scheme", "Bea rer"], "must be a scheme of HTTP"),
    ] {
        let ran = run("far.json", words);
        assert_eq!(ran.code, 2, "{words:?}: {ran:?}");
        let all = format!("{}{}", ran.stdout, ran.stderr);
        assert!(all.contains(said) && !all.contains("secret"), "{words:?}: {ran:?}");
    }
    // Who says that it calls nobody is not asked, and who is not there is not reached.
    let deaf = run("deaf.json", &[hook]);
    assert!(deaf.code == 1 && format!("{deaf:?}").contains("PushNotificationNotSupportedError"), "{deaf:?}");
    let far = run("far.json", &[hook, "--token-env", "GOOD"]);
    assert!(far.code == 3 && format!("{far:?}").contains("A2ACLI_ERR_UNREACHABLE"), "{far:?}");
}

#[test]
fn a_card_that_an_sdk_has_signed_with_es256_is_verified_by_its_key() {
    let folder = TestFolder::new();
    let signed = include_str!("../../../bobbinet-http/tests/http/cards_of_sdks/python.json");
    let mut signed: Value = serde_json::from_str(signed).unwrap();
    folder.write("keys.json", &json!({ "keys": [signed["key"]] }).to_string());
    folder.write("card.json", &signed["card"].to_string());
    let ran = folder.run(&["card", "verify", "card.json", "--keys", "keys.json"]);
    assert!(ran.code == 0 && ran.stdout.contains("Signed by: a key in keys.json"), "{ran:?}");
    let thumbprint = ran.stdout.lines().find_map(|line| line.strip_prefix("Thumbprint: ")).unwrap();
    let ran = folder.run(&["card", "verify", "card.json", "--thumbprint", thumbprint]);
    assert_eq!(ran.code, 0, "{ran:?}");
    signed["card"]["name"] = json!("another");
    folder.write("card.json", &signed["card"].to_string());
    let ran = folder.run(&["card", "verify", "card.json", "--keys", "keys.json"]);
    assert!(ran.code == 1 && ran.stderr.contains("none of the card's signatures is by"), "{ran:?}");
    signed["card"]["signatures"] = json!([]);
    folder.write("card.json", &signed["card"].to_string());
    let ran = folder.run(&["card", "verify", "card.json", "--keys", "keys.json"]);
    assert!(ran.code == 1 && ran.stderr.contains("the card has no signatures"), "{ran:?}");
}

#[test]
fn a_token_is_got_as_the_card_says_and_shown_from_then_on() {
    let polls = std::sync::atomic::AtomicUsize::new(0);
    let url = serve(move |url, line, headers, body| {
        let path = line.split(' ').nth(1).unwrap_or_default();
        match path {
            "/device" => {
                assert_eq!(body, "client_id=cli&scope=a2a");
                let told = json!({"device_code": "d", "user_code": "ABCD", "verification_uri": format!("{url}/v"),
                                  "expires_in": 60, "interval": 0});
                (200, told)
            }
            "/token" if body.contains("client_credentials") => {
                // cli:s3cret
                assert!(headers.contains("authorization: basic y2xponmzy3jlda=="), "{headers}");
                (200, json!({"access_token": "by-secret", "token_type": "Bearer"}))
            }
            "/token" => {
                assert!(body.contains("device_code=d") && body.contains("client_id=cli"), "{body}");
                match polls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                    0 => (400, json!({"error": "authorization_pending"})),
                    _ => (200, json!({"access_token": "by-device", "token_type": "Bearer", "expires_in": 3600})),
                }
            }
            _ if line.starts_with("GET") => (200, card(url)),
            _ => {
                let request: Value = serde_json::from_str(body).unwrap();
                let text = headers.lines().find_map(|line| line.strip_prefix("authorization: ")).unwrap_or("nobody");
                let message = json!({"kind": "message", "messageId": "m", "role": "agent",
                                     "parts": [{"kind": "text", "text": text}]});
                (200, json!({"jsonrpc": "2.0", "id": request["id"], "result": message}))
            }
        }
    });
    let folder = TestFolder::new();
    let says = || folder.run(&["send", "hi", "-a", &url]).stdout;
    assert!(says().contains("nobody"));
    let ran = folder.run(&["auth", "login", "-a", &url, "--client-id", "cli"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("confirm the code ABCD") && !ran.stdout.contains("by-device"), "{ran:?}");
    let file = folder.path().join("home/.config/bobbinet/tokens.json");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(says().contains("bearer by-device"), "{}", says());
    let ran =
        folder.run_with(&["auth", "login", "-a", &url, "--client-id", "cli"], &[("A2ACLI_CLIENT_SECRET", "s3cret")]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(says().contains("bearer by-secret"), "{}", says());
    assert_eq!(folder.run(&["auth", "logout", "-a", &url]).code, 0);
    assert!(says().contains("nobody"));
    assert_eq!(folder.run(&["auth", "logout", "-a", &url]).code, 4);
}
