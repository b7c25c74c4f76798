//! Servers that want a token, which this node gets by itself: once for all who need it, and for nobody but the server it is for.

use std::{
    io,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bobbinet_core::State;
use bobbinet_mcp::{McpConfig, ServerAuth};
use bobbinet_outbound::SecretSource;
use tracing_subscriber::fmt::MakeWriter;

use crate::{
    authority::{Authority, SECRET, TOKEN},
    lab::{IDLE_MS, Lab, PATIENCE, limits, say, settled, view},
};

async fn lab(authority: &Authority, issuer: &str, modes: &[&str]) -> Lab {
    Lab::with(modes, limits(), |config| authority.reach_as_client_of(issuer, config)).await
}

#[tokio::test]
async fn a_token_is_got_before_it_is_needed_and_goes_along_with_everything() {
    let authority = Authority::open().await;
    let lab = lab(&authority, "one", &["plain", "bare", "page", "scoped"]).await.ready().await;
    for mode in ["plain", "bare", "page", "scoped"] {
        let task = lab.send(mode, say("act")).await;
        assert_eq!(task.state, State::Completed, "{mode}: {} {:?}", view(&task), authority.requests(""));
        let refused = authority.requests(&format!("POST /{mode}")).into_iter().filter(|it| it.ends_with("401"));
        assert_eq!(refused.count(), 0, "{mode}: it is shown before it is asked for");
        let form = format!("one grant_type=client_credentials resource={}/{mode}", authority.url);
        let form = if mode == "scoped" { format!("{form} scope=a b") } else { form };
        // Beside Basic, too: many servers look for it there.
        let form = format!("{form} client_id=node");
        assert_eq!(authority.forms().iter().filter(|it| **it == form).count(), 1, "{:?}", authority.forms());
    }
    lab.close().await;
    assert!(authority.secret_at().iter().all(|at| at == "/one/token"), "{:?}", authority.secret_at());
}

#[tokio::test]
async fn an_authorization_server_is_found_and_asked_in_the_ways_that_there_are() {
    for issuer in ["openid", "post"] {
        let authority = Authority::open().await;
        let lab = lab(&authority, issuer, &["bare"]).await.ready().await;
        assert_eq!(view(&lab.send("bare", say("act")).await), "completed: 1", "{issuer}: {:?}", authority.requests(""));
        lab.close().await;
    }
}

#[tokio::test]
async fn what_the_server_says_with_its_refusal_is_followed() {
    let authority = Authority::open().await;
    let lab = lab(&authority, "one", &["named"]).await.ready().await;
    assert_eq!(view(&lab.send("named", say("act")).await), "completed: 2", "{:?}", authority.requests(""));
    let forms = authority.forms();
    // What it wants it says only once it is asked for something.
    assert!(forms.len() == 2 && forms[1].ends_with("/named scope=read client_id=node"), "{forms:?}");
    lab.close().await;
}

#[tokio::test]
async fn an_expired_token_is_got_anew_once_for_fifty_calls_that_find_it_so() {
    let authority = Authority::open().await;
    let lab = lab(&authority, "one", &["plain"]).await.ready().await;
    assert_eq!(authority.forms().len(), 1);
    authority.revoke();
    let calls: Vec<_> = (0..50).map(|_| lab.submit("plain", say("do"))).collect();
    for call in &calls {
        assert_eq!(view(&settled(call).await), "completed: 2");
    }
    let refused = authority.requests("POST /plain tools/call 401").len();
    assert!(refused > 1, "some came together: {refused}");
    assert_eq!(authority.forms().len(), 2, "{:?}", authority.forms());
    lab.close().await;
}

#[tokio::test]
async fn a_token_is_got_anew_before_its_end_and_no_call_notices() {
    let authority = Authority::open().await;
    let lab = lab(&authority, "short", &["bare"]).await.ready().await;
    assert_eq!(view(&lab.send("bare", say("act")).await), "completed: 1");
    tokio::time::sleep(Duration::from_millis(3_200)).await;
    assert_eq!(view(&lab.send("bare", say("act")).await), "completed: 2");
    assert!(authority.requests("POST /bare").iter().all(|it| !it.ends_with("401")));
    lab.close().await;
}

#[tokio::test]
async fn two_servers_of_one_issuer_have_a_token_each() {
    let authority = Authority::open().await;
    let lab = lab(&authority, "one", &["plain", "second"]).await.ready().await;
    for mode in ["plain", "second", "plain"] {
        // Each takes none but its own.
        assert_eq!(lab.send(mode, say("act")).await.state, State::Completed, "{:?}", authority.requests(""));
    }
    let forms = authority.forms();
    assert!(forms.len() == 2 && forms[0] != forms[1], "{forms:?}");
    lab.close().await;
}

#[tokio::test]
async fn a_token_that_is_not_good_enough_is_exchanged_for_one_that_is_good_for_more() {
    let authority = Authority::open().await;
    let lab = lab(&authority, "one", &["steps"]).await.ready().await;
    let before = authority.forms().len();
    assert_eq!(lab.send("steps", say("act")).await.state, State::Completed, "{:?}", authority.requests(""));
    let forms = authority.forms();
    assert!(forms.len() == before + 1 && forms[before].ends_with("scope=read write client_id=node"), "{forms:?}");
    assert_eq!(lab.send("steps", say("act")).await.state, State::Completed);
    assert_eq!(authority.forms().len(), before + 1, "what it is good for now is kept");
    lab.close().await;
}

/// What the node logs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn why_there_is_no_token_is_said_and_nobody_is_told_a_secret() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_max_level(tracing::Level::TRACE).finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let rows = [
        // The server, the issuer whose client the node is, and what is said.
        ("strange", "one", "a secret is shown to nobody but whom it is from"),
        ("other", "one", "is another server"),
        ("leads-inside", "one", "169.254.169.254"),
        ("bare", "mixed-up", "it is about the issuer"),
        ("bare", "inside", "10.0.0.1"),
        ("bare", "plain-text", "is not https"),
        ("bare", "large", "more than 262144 bytes"),
        ("bare", "none", "name its token endpoint yourself"),
        ("bare", "refuses", "write a scope that the client may have"),
        ("bare", "babbles", "has no bearer token"),
        ("never", "one", "wants other credentials: 401"),
    ];
    for (mode, issuer, expected) in rows {
        let authority = Authority::open().await;
        let lab = lab(&authority, issuer, &[mode]).await;
        let why = lab.agents[mode].wait_ready(PATIENCE).await.unwrap_err();
        assert!(why.contains(expected), "{mode} of {issuer}: {why} {:?}", authority.requests(""));
        let task = lab.send(mode, say("do")).await;
        let text = format!("{why} {task:?} {:?}", lab.agents[mode]);
        assert!(task.state == State::Failed && !text.contains(SECRET) && !text.contains(TOKEN), "{text}");
        // A server that takes no token is not a reason to ask for one after the other.
        assert!(authority.forms().len() <= 2, "{mode} of {issuer}: {:?}", authority.forms());
        assert!(authority.secret_at().iter().all(|at| at.ends_with("/token") && !at.contains("evil")));
        lab.close().await;
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("no token"), "{log}");
    assert!(!log.contains(SECRET) && !log.contains(TOKEN), "{log}");
}

#[tokio::test]
async fn an_authorization_server_that_hangs_keeps_a_call_no_longer_than_a_server_may() {
    let authority = Authority::open().await;
    let lab = lab(&authority, "stalls", &["bare"]).await.ready().await;
    authority.revoke();
    let begun = Instant::now();
    let task = lab.send("bare", say("act")).await;
    assert!(view(&task).ends_with("timed-out"), "{}", view(&task));
    assert!(begun.elapsed() < Duration::from_millis(IDLE_MS) + Duration::from_secs(1), "{:?}", begun.elapsed());
    lab.close().await;
}

#[tokio::test]
async fn a_token_in_a_file_is_read_again_once_it_is_refused() {
    let authority = Authority::open().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "first\n").unwrap();
    authority.give("first", "bare");
    let auth = ServerAuth::Bearer(SecretSource::File(file.clone()));
    let lab = Lab::with(&["bare"], limits(), |config| authority.reach(config, Some(auth.clone()))).await.ready().await;
    assert_eq!(view(&lab.send("bare", say("act")).await), "completed: somebody's");
    authority.revoke();
    let task = lab.send("bare", say("act")).await;
    assert!(task.state == State::AuthRequired && view(&task).contains("Log in there"), "{}", view(&task));
    let text = format!("{task:?}");
    assert!(!text.contains("first") && !text.contains(folder.path().to_str().unwrap()), "{text}");
    let task = lab.reply("bare", &task.id, say("done")).await;
    assert_eq!(task.state, State::AuthRequired, "it is the same token still: {}", view(&task));
    authority.give("second", "bare");
    std::fs::write(&file, "second\n").unwrap();
    assert_eq!(view(&lab.reply("bare", &task.id, say("done")).await), "completed: somebody's");
    assert_eq!(lab.send("bare", say("act")).await.state, State::Completed, "{:?}", authority.requests(""));
    lab.close().await;
}

#[tokio::test]
async fn a_server_that_wants_a_login_has_its_tasks_say_so_and_they_go_on_when_their_callers_do() {
    let authority = Authority::open().await;
    let lab = Lab::with(&["plain"], limits(), |config| authority.reach(config, None)).await;
    // Nobody knows its tools yet, and so not what is to be called.
    let [first, second] = [lab.send("plain", say("act")).await, lab.send("plain", say("act")).await];
    for task in [&first, &second] {
        let data = task.status_message.as_ref().and_then(|message| message.data().cloned()).unwrap().to_value();
        assert_eq!(data["url"].as_str(), Some(format!("{}/one", authority.url).as_str()), "{data}");
        assert!(task.state == State::AuthRequired && task.calls.is_empty(), "{}", view(task));
    }
    let first = lab.reply("plain", &first.id, say("done")).await;
    assert_eq!(first.state, State::AuthRequired, "nobody has: {}", view(&first));
    let declined = lab.reply("plain", &second.id, say("decline")).await;
    assert_eq!(declined.state, State::Rejected, "{}", view(&declined));
    authority.open_door("plain");
    let first = lab.reply("plain", &first.id, say("done")).await;
    assert_eq!(view(&first), "completed: somebody's", "{:?}", authority.requests("POST"));
    assert_eq!(authority.requests("POST /plain tools/call").len(), 1);
    assert!(authority.forms().is_empty(), "nobody is asked for a token");
    lab.close().await;
}

#[tokio::test]
async fn a_call_to_a_server_that_wants_a_login_waits_with_its_call_to_be_made() {
    let authority = Authority::open().await;
    authority.open_door("plain");
    let reach = |config: &mut McpConfig| authority.reach(config, None);
    let lab = Lab::with(&["plain"], limits(), reach).await.ready().await;
    authority.close_doors();
    // What it lists is known from here on, in the next life too.
    let lab = lab.restart(reach).await;
    let task = lab.send("plain", say("act")).await;
    assert!(task.state == State::AuthRequired, "{}", view(&task));
    authority.open_door("plain");
    assert_eq!(view(&lab.reply("plain", &task.id, say("done")).await), "completed: somebody's");
    assert_eq!(authority.requests("POST /plain tools/call").len(), 1);
    lab.close().await;
}
