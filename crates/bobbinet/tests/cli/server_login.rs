//! `bobbinet login` and `bobbinet logout`, at a node of its own making.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};

use crate::{agents::serve, program::TestFolder};

/// A node at whose agent somebody logs in: it is done once it was looked at so often, or never.
fn node(done_after: usize, comes_back: bool) -> String {
    let looks = Arc::new(AtomicUsize::new(0));
    serve(move |_, line, _, _| {
        let standing = |is_in: bool, returns: u64| json!({ "server": "https://club.example", "issuer": "https://idp.example", "loggedIn": is_in, "returns": returns });
        match line.split(' ').next().unwrap() {
            _ if !line.contains("/bobbinet/login ") => (404, json!({})),
            "POST" => {
                let mut begun = standing(false, 0);
                begun["url"] = "https://idp.example/authorize?state=s".into();
                (200, begun)
            }
            "DELETE" => (200, json!({ "wasLoggedIn": done_after == 0 })),
            _ => {
                let is_in = looks.fetch_add(1, Ordering::SeqCst) + 1 >= done_after;
                (200, json!({ "logins": [standing(is_in, u64::from(comes_back))] }))
            }
        }
    })
}

#[test]
fn a_login_is_waited_for_and_told() {
    let folder = TestFolder::new();
    let url = node(2, false);
    let ran = folder.run(&["login", &url, "--no-browser"]);
    let expected = format!(
        "Open: https://idp.example/authorize?state=s\nLogged in: agent {url} at https://club.example with https://idp.example\n"
    );
    assert_eq!((ran.code, ran.stdout), (0, expected), "{}", ran.stderr);
    // For programs the address stands beside the result.
    let ran = folder.run(&["login", &node(1, false), "-o", "json"]);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(document["loggedIn"] == true && ran.stderr.contains("open https://idp.example"), "{ran:?}");
    let ran = folder.run(&["login", "--timeout", "1s", &node(usize::MAX, false)]);
    assert!(ran.code == 5 && ran.stderr.contains("the address stays good"), "{ran:?}");
    let ran = folder.run(&["login", &node(usize::MAX, true)]);
    assert!(ran.code == 4 && ran.stderr.contains("without a login"), "{ran:?}");
}

#[test]
fn where_nobody_logs_in_or_the_node_says_no_that_is_told() {
    let folder = TestFolder::new();
    let far = serve(|_, _, _, _| (404, json!({})));
    let ran = folder.run(&["login", &far]);
    assert!(ran.code == 2 && ran.stderr.contains("auth: { login: {} }"), "{ran:?}");
    let strict = serve(|_, _, _, _| (401, json!({})));
    assert_eq!(folder.run(&["login", &strict]).code, 4);
    let broken = serve(|_, _, _, _| (502, json!({ "why": "its issuer\u{1b} is gone" })));
    let ran = folder.run(&["login", &broken]);
    assert!(
        ran.code == 4 && ran.stderr.contains("nobody can log in: its issuer") && !ran.stderr.contains('\u{1b}'),
        "{ran:?}"
    );
    assert_eq!(folder.run(&["logout", &far]).code, 2);
    let ran = folder.run(&["logout", &node(0, false)]);
    assert!(ran.code == 0 && ran.stdout.starts_with("Logged out: "), "{ran:?}");
    let ran = folder.run(&["logout", &node(1, false)]);
    assert!(ran.code == 4 && ran.stderr.contains("nobody is logged in"), "{ran:?}");
    let ran = folder.run(&["login", "--list", &node(1, false)]);
    assert!(ran.code == 0 && ran.stdout.contains("logged in at https://club.example"), "{ran:?}");
}
