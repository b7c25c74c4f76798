//! Servers that somebody must log in at with a browser: once for all who call, and for nobody but the server it is for.

use std::{fs, path::Path, sync::Arc, time::Duration};

use bobbinet_core::{State, Task};
use bobbinet_mcp::{
    LoginAddress, LoginConfig, LoginDesk, LoginReturn, McpConfig, ServerAddress, ServerAuth, ServerUrl,
};
use tempfile::TempDir;

use crate::{
    authority::{Authority, TOKEN},
    lab::{Lab, limits, say, settled, until, view},
    people::REFRESH,
};

const REDIRECT: &str = "http://127.0.0.1:7420/oauth/callback";

/// A node's place for logins, and what it has kept in an earlier life.
fn desk(folder: &Path) -> Arc<LoginDesk> {
    let desk = LoginDesk::in_folder(folder.to_owned());
    let (redirect, client_name) = (REDIRECT.parse().unwrap(), "a node".to_owned());
    desk.open(LoginAddress { redirect, client_metadata: None, client_name });
    Arc::new(desk)
}

fn reach(authority: &Authority, desk: &Arc<LoginDesk>, config: &mut McpConfig) {
    authority.reach(config, Some(ServerAuth::Login(LoginConfig::default())));
    config.logins = desk.clone();
}

struct Club {
    authority: Authority,
    folder: TempDir,
    desk: Arc<LoginDesk>,
}

impl Club {
    async fn open() -> Self {
        let (authority, folder) = (Authority::open().await, tempfile::tempdir().unwrap());
        let desk = desk(folder.path());
        Self { authority, folder, desk }
    }

    async fn lab(&self) -> Lab {
        Lab::with(&["club"], limits(), |config| reach(&self.authority, &self.desk, config)).await
    }

    /// Everything that is kept of logins.
    fn kept(&self) -> String {
        let files =
            fs::read_dir(self.folder.path()).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
        files.collect()
    }
}

/// Where the task says that somebody logs in.
fn address(task: &Task) -> String {
    let data = task.status_message.as_ref().and_then(|message| message.data().cloned()).unwrap().to_value();
    data["url"].as_str().unwrap().to_owned()
}

/// Does what a browser does, up to where it comes back: with this query.
async fn visit(url: &str) -> String {
    let browser = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let answer = browser.get(url).send().await.unwrap();
    let back: reqwest::Url = answer.headers()["location"].to_str().unwrap().parse().unwrap();
    assert!(back.as_str().starts_with(REDIRECT), "{back}");
    back.query().unwrap().to_owned()
}

fn in_club(authority: &Authority) -> LoginReturn {
    LoginReturn::LoggedIn { server: authority.url.clone() }
}

#[tokio::test]
async fn a_task_says_where_somebody_logs_in_and_goes_on_after_that() {
    let club = Club::open().await;
    let lab = club.lab().await;
    let [first, second] = [lab.send("club", say("act")).await, lab.send("club", say("act")).await];
    assert!(first.state == State::AuthRequired && first.calls.is_empty(), "{}", view(&first));
    let url = address(&first);
    assert_eq!(address(&second), url, "one address for all");
    let resource = format!("resource={}%2Fclub", club.authority.url.replace(':', "%3A").replace('/', "%2F"));
    for part in [resource.as_str(), "code_challenge_method=S256", "scope=offline_access+r", "client_id=client-1"] {
        assert!(url.contains(part), "{part}: {url}");
    }
    let back = visit(&url).await;
    let other = back.replace("state=", "state=x");
    assert_eq!(club.desk.come_back(&other).await, LoginReturn::Unknown, "nobody has begun that");
    assert!(club.authority.forms().is_empty(), "nothing is exchanged for it");
    assert_eq!(club.desk.come_back(&back).await, in_club(&club.authority));
    assert_eq!(club.desk.come_back(&back).await, LoginReturn::Unknown, "it comes back once");
    assert_eq!(club.authority.forms().len(), 1, "{:?}", club.authority.forms());
    for task in [&first, &second] {
        let task = lab.reply("club", &task.id, say("done")).await;
        assert_eq!(view(&task), "completed: 1", "{:?}", club.authority.requests("POST"));
        let told = format!("{task:?}");
        assert!(![TOKEN, REFRESH, "c0de-"].iter().any(|secret| told.contains(secret)), "{told}");
    }
    assert_eq!(club.authority.people(|people| people.clients()), 1);
    lab.close().await;
}

#[tokio::test]
async fn a_call_that_waits_for_a_login_goes_on_by_itself() {
    let club = Club::open().await;
    club.authority.open_door("club");
    let lab = club.lab().await.ready().await;
    club.authority.close_doors();
    // What it lists is known from here on, in the next life too.
    let lab = lab.restart(|config| reach(&club.authority, &club.desk, config)).await;
    let task = lab.send("club", say("act")).await;
    assert!(task.state == State::AuthRequired && !task.calls.is_empty(), "{}", view(&task));
    assert_eq!(club.desk.come_back(&visit(&address(&task)).await).await, in_club(&club.authority));
    let looking = async {
        while !lab.get("club", &task.id).await.state.is_terminal() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), looking).await.unwrap();
    assert_eq!(view(&lab.get("club", &task.id).await), "completed: 1");
    assert_eq!(club.authority.requests("POST /club tools/call").len(), 1);
    lab.close().await;
}

#[tokio::test]
async fn a_code_of_another_authorization_server_is_shown_to_nobody() {
    let club = Club::open().await;
    let lab = club.lab().await;
    for says in ["https://evil.example".to_owned(), format!("{}/people/", club.authority.url), String::new()] {
        club.authority.people(|people| people.says_issuer = Some(says.clone()));
        let task = lab.send("club", say("act")).await;
        let back = visit(&address(&task)).await;
        let returned = club.desk.come_back(&back).await;
        assert!(matches!(&returned, LoginReturn::Failed(why) if !why.contains("evil")), "{says}: {returned:?}");
        assert_eq!(club.desk.come_back(&back).await, LoginReturn::Unknown);
    }
    assert!(club.authority.forms().is_empty(), "{:?}", club.authority.forms());
    club.authority.people(|people| people.says_issuer = None);
    let task = lab.send("club", say("act")).await;
    let denied = visit(&address(&task)).await.replace("code=", "error=access_denied&x=");
    assert_eq!(club.desk.come_back(&denied).await, LoginReturn::Refused);
    let task = lab.reply("club", &task.id, say("done")).await;
    assert_eq!(task.state, State::AuthRequired, "{}", view(&task));
    assert_eq!(club.desk.come_back(&visit(&address(&task)).await).await, in_club(&club.authority));
    assert_eq!(view(&lab.reply("club", &task.id, say("done")).await), "completed: 1");
    lab.close().await;
}

/// Logs in, so that calls are made.
async fn log_in(club: &Club, lab: &Lab) {
    let task = lab.send("club", say("act")).await;
    assert_eq!(club.desk.come_back(&visit(&address(&task)).await).await, in_club(&club.authority));
    assert_eq!(view(&lab.reply("club", &task.id, say("done")).await), "completed: 1");
}

#[tokio::test]
async fn a_token_that_is_over_is_got_anew_once_for_all_and_after_a_restart_too() {
    let club = Club::open().await;
    let lab = club.lab().await;
    log_in(&club, &lab).await;
    club.authority.revoke();
    let calls: Vec<_> = (0..24).map(|_| lab.submit("club", say("act"))).collect();
    for call in calls {
        assert_eq!(view(&settled(&call).await), "completed: 2", "{:?}", club.authority.forms());
    }
    let refreshed = |club: &Club| club.authority.forms().iter().filter(|form| form.contains("refresh_token")).count();
    assert_eq!(refreshed(&club), 1, "{:?}", club.authority.forms());
    // Another life: the tokens are known, and the one that was replaced last is the one that is good.
    assert!(club.kept().contains(&format!("{REFRESH}2")) && !club.kept().contains(&format!("{REFRESH}1")));
    let later = Club { desk: desk(club.folder.path()), ..club };
    let lab = lab.restart(|config| reach(&later.authority, &later.desk, config)).await;
    assert_eq!(view(&lab.send("club", say("act")).await), "completed: 2");
    assert_eq!(refreshed(&later), 1, "it is still good");
    later.authority.revoke();
    assert_eq!(view(&lab.send("club", say("act")).await), "completed: 3");
    assert_eq!(later.authority.people(|people| people.clients()), 1);
    lab.close().await;
}

#[tokio::test]
async fn a_login_that_is_over_is_asked_for_again() {
    let club = Club::open().await;
    let lab = club.lab().await;
    log_in(&club, &lab).await;
    club.authority.revoke();
    club.authority.people(|people| people.forget());
    let task = lab.send("club", say("act")).await;
    assert_eq!(task.state, State::AuthRequired, "{}", view(&task));
    assert!(!club.kept().contains(REFRESH), "what is of no use is not kept: {}", club.kept());
    assert_eq!(club.desk.come_back(&visit(&address(&task)).await).await, in_club(&club.authority));
    let looking = async {
        while !lab.get("club", &task.id).await.state.is_terminal() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), looking).await.unwrap();
    assert_eq!(view(&lab.get("club", &task.id).await), "completed: 2");
    lab.close().await;
}

#[tokio::test]
async fn a_login_that_was_begun_in_an_earlier_life_comes_back_in_this_one() {
    let club = Club::open().await;
    let lab = club.lab().await;
    let task = lab.send("club", say("act")).await;
    let url = address(&task);
    let club = Club { desk: desk(club.folder.path()), ..club };
    let lab = lab.restart(|config| reach(&club.authority, &club.desk, config)).await;
    assert_eq!(club.desk.come_back(&visit(&url).await).await, in_club(&club.authority));
    let looking = async {
        let mut last = lab.reply("club", &task.id, say("done")).await;
        while last.state == State::AuthRequired {
            last = lab.reply("club", &task.id, say("done")).await;
        }
        last
    };
    let task = tokio::time::timeout(Duration::from_secs(10), looking).await.unwrap();
    assert_eq!(view(&task), "completed: 1");
    lab.close().await;
}

#[tokio::test]
async fn agents_of_one_server_share_its_login() {
    let club = Club::open().await;
    let url: reqwest::Url = format!("{}/club", club.authority.url).parse().unwrap();
    let lab = Lab::with(&["club", "other"], limits(), |config| {
        reach(&club.authority, &club.desk, config);
        let auth = Some(ServerAuth::Login(LoginConfig::default()));
        config.server = ServerAddress::Url(ServerUrl { auth, ..ServerUrl::new(url.clone()) });
    })
    .await;
    log_in(&club, &lab).await;
    let task = lab.send("other", say("act")).await;
    let task = if task.state == State::AuthRequired {
        // It had been refused before anybody had logged in, and nobody has told it since.
        lab.reply("other", &task.id, say("done")).await
    } else {
        task
    };
    assert_eq!(view(&task), "completed: 1", "nobody logs in twice");
    club.authority.revoke();
    for agent in ["club", "other"] {
        assert_eq!(view(&lab.send(agent, say("act")).await), "completed: 2", "{agent}");
    }
    lab.close().await;
}

#[tokio::test]
async fn a_token_that_is_on_its_way_is_kept_though_nobody_waits_for_it_any_more() {
    let club = Club::open().await;
    let lab = club.lab().await;
    log_in(&club, &lab).await;
    club.authority.revoke();
    let refreshed = || club.authority.forms().iter().filter(|form| form.contains("refresh_token=")).count();
    club.authority.people(|people| people.is_slow = true);
    // The node stops while the authorization server has given out another token, and has not said so yet.
    let _left_behind = lab.submit("club", say("act"));
    until("a token is asked for", || refreshed() == 1).await;
    let lab = lab.restart(|config| reach(&club.authority, &club.desk, config)).await;
    assert_eq!(view(&lab.send("club", say("act")).await), "completed: 2", "{:?}", club.authority.forms());
    assert_eq!(refreshed(), 1, "{:?}", club.authority.forms());
    lab.close().await;
}
