//! One call of a tool, a resource or a prompt, from the durable intent to its outcome. Nothing here waits without a bound.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bobbinet_core::{Effect, Fault, Json, Message, Outcome, Part};
use bobbinet_engine::{CANCEL_GRACE, Run, Unanswered};
use rmcp::model::RequestMetaObject;
use tokio::time::Instant;

use crate::{
    call_listener::{
        CallListener, RequestOutcome, Target, ask_caller, canceled, not_asked, time_is_up, unknown, unreadable,
    },
    crash_history::{CallFingerprint, CrashStanding},
    elicitation::Elicitation,
    exclusive_tools::{CallOwner, CallPermit, CallProfile, ConcurrencyClass},
    in_flight::ToolCall,
    json_object::JsonObject,
    login::{LOGIN_NEEDED, LoginNeeded},
    mailbox::RpcError,
    plan_message,
    pool::{Home, SessionKey, SessionPool},
    references,
    result::{self, CallResult, URL_REQUIRED},
    roots,
    schema::Work,
    schema_check,
    server_feature::ServerFeature,
    session::{Client, RequestOptions},
    supervised_session::SupervisedSession,
    uploads,
};

/// Rounds of question and answer that one call may take (2026-07-28): a server that asks without an end is broken.
const ROUNDS_MAX: u32 = 10;

/// How often a caller is asked to log in who says each time that he has.
const LOGINS_MAX: u32 = 10;

/// Connections that may break under a request before the server has seen it.
const SENDS_MAX: u32 = 5;

/// The name in `_meta` under which a keyed tool finds the key to drop repeats by.
const KEY: &str = "bobbinet/idempotencyKey";

/// The name in `_meta` under which a request says what of the server's log is wanted (2026-07-28).
const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";

/// Carries out a run. Dropped, the server is told that nobody waits any more.
pub(crate) async fn carry_out(sessions: &Arc<SessionPool>, run: Run) -> Outcome {
    let shared = sessions.session(SessionKey::Shared);
    tokio::select! {
        biased;
        // The node stops, and drops this. What the call came to is not for a server that we end ourselves to say: its
        // intent is kept, and the next life goes on from there.
        () = shared.stopping() => tokio::time::sleep(CANCEL_GRACE).await,
        outcome = call(sessions, &shared, &run) => return outcome,
    }
    let text = "the MCP server was stopped in the middle of the call";
    Outcome::Unknown { fault: Fault::new("server-stopped", text), again: false }
}

async fn call(sessions: &Arc<SessionPool>, shared: &Arc<SupervisedSession>, run: &Run) -> Outcome {
    let target = match find(shared, run).await {
        Ok(target) => target,
        Err(outcome) => return outcome,
    };
    let fingerprint = CallFingerprint::of(target.tool.as_str(), &target.arguments);
    let home = tokio::select! {
        biased;
        () = run.canceled() => return canceled(&target, 0),
        home = sessions.home(run.task()) => home,
    };
    let home = match home {
        Ok(home) => home,
        Err(fault) => return not_called(fault),
    };
    let attempt = CallAttempt { sessions, home, shared, run, target: &target, fingerprint };
    attempt.talk().await
}

/// A run on its way to a server: one attempt at its call, with all its rounds.
struct CallAttempt<'a> {
    sessions: &'a Arc<SessionPool>,
    /// Where the call is made, unless it would have to wait there.
    home: Home,
    shared: &'a Arc<SupervisedSession>,
    run: &'a Run,
    target: &'a Target,
    fingerprint: CallFingerprint,
}

/// Where one request of a call is made.
struct CallRoute {
    session: Arc<SupervisedSession>,
    client: Arc<Client>,
    permit: CallPermit,
    owner: CallOwner,
}

impl CallAttempt<'_> {
    /// A session that is up, and leave to call through it, when it is the call's turn.
    async fn admit(&self, round: u32) -> Result<CallRoute, Outcome> {
        loop {
            let (home, may_overflow) = match &self.home {
                Home::Shared => (self.sessions.least_busy(), self.shared.config.replicas.is_empty()),
                Home::Scoped(lease) => (lease.session.clone(), false),
            };
            let client = self.connected(&home, round).await?;
            let profile = self.profile(&home, &client)?;
            if let Ok(permit) = home.exclusive_tools.try_acquire(&profile) {
                return Ok(CallRoute { session: home, client, permit, owner: profile.owner });
            }
            let overflow = if may_overflow { self.sessions.try_acquire_overflow(&profile) } else { None };
            let (session, permit) = match overflow {
                Some(found) => found,
                None => (home.clone(), self.wait(&home, &profile, round).await?),
            };
            // It may have been restarted, or is only being started, and more may be known of the call.
            let client = self.connected(&session, round).await?;
            let is_as_thought = self.profile(&home, &client)?.class == profile.class;
            if is_as_thought {
                return Ok(CallRoute { session, client, permit, owner: profile.owner });
            }
        }
    }

    /// What is known of the call before it is made. `Err`: it is not made.
    fn profile(&self, home: &SupervisedSession, client: &Client) -> Result<CallProfile, Outcome> {
        let (config, run, tool) = (&home.config, self.run, self.target.tool.as_str());
        let says = |list: &[String]| list.iter().any(|known| known == tool);
        let asks = says(&config.interactive);
        let is_silent = client.is_modern() || (!asks && (config.is_silent || says(&config.silent)));
        let class = match home.exclusive_tools.crashes.standing(Instant::now(), self.fingerprint) {
            CrashStanding::Banned(deaths, rest) => return Err(self.banned(deaths, rest)),
            CrashStanding::Suspect => ConcurrencyClass::CrashSuspect,
            CrashStanding::Clear if is_silent => ConcurrencyClass::Silent,
            // What it came to before may be the result of a question that nobody was asked.
            CrashStanding::Clear if asks || run.attempt() > 1 => ConcurrencyClass::Interactive,
            CrashStanding::Clear => match run.call().effect {
                Effect::ReadOnly => ConcurrencyClass::ReadOnly,
                Effect::Idempotent | Effect::Keyed | Effect::AtMostOnce => ConcurrencyClass::Unknown,
            },
        };
        Ok(CallProfile { owner: CallOwner::of(run.task()), tool: tool.to_owned(), class })
    }

    /// Waits for the call's turn; its task says why, and others have its slot.
    async fn wait(&self, home: &SupervisedSession, profile: &CallProfile, round: u32) -> Result<CallPermit, Outcome> {
        let say = |why: String| {
            let message = Message::from_agent(self.run.message_id("waits"), vec![Part::text(why)]);
            self.run.progress(Some(Arc::new(message)), None);
        };
        let queued = home.exclusive_tools.enqueue(profile);
        let turn = async {
            loop {
                let aside = self.run.step_aside();
                queued.wait_turn(say).await;
                // Nobody holds a permit while he waits for a slot.
                aside.come_back().await;
                if let Some(permit) = queued.try_acquire() {
                    return permit;
                }
            }
        };
        tokio::select! {
            biased;
            () = self.run.canceled() => Err(canceled(self.target, round)),
            () = time_is_up(self.run) => Err(unreachable(self.target, round, Fault::new(
                "server-busy",
                format!("`{}` waited for its turn until its time was up", self.target.tool),
            ))),
            permit = turn => {
                self.run.progress(None, None);
                Ok(permit)
            }
        }
    }

    async fn connected(&self, session: &SupervisedSession, round: u32) -> Result<Arc<Client>, Outcome> {
        let mut logins = 0;
        loop {
            match (connected(session, self.run).await, session.login()) {
                (Connected::Yes(client), _) => return Ok(client),
                (Connected::Canceled, _) => return Err(canceled(self.target, round)),
                (Connected::No(_), Some(login)) if logins < LOGINS_MAX => {
                    logins += 1;
                    self.log_in(session, &login, round).await?;
                    session.hurry();
                }
                (Connected::No(fault), _) => return Err(unreachable(self.target, round, fault)),
            }
        }
    }

    /// Has the caller log in, and waits until he says that he has, or it is seen. `Err`: the call is over.
    async fn log_in(&self, session: &SupervisedSession, login: &LoginNeeded, round: u32) -> Result<(), Outcome> {
        let question = Arc::new(login.question(self.run.message_id(&format!("login{round}"))));
        let answered = tokio::select! {
            biased;
            answered = self.run.ask(question) => answered,
            () = session.logged_in(login) => {
                // He may have answered just now, or it was not kept yet: then there is no question to take back.
                if let Err(error) = self.run.withdraw_question().await {
                    tracing::debug!(%error, "a question for a login was not taken back");
                }
                return Ok(());
            }
        };
        match answered {
            Ok(answer) if is_accepted(&answer) => Ok(()),
            Ok(_) => Err(declined_by_user(self.target)),
            Err(Unanswered::Expired) => Err(Outcome::Declined),
            Err(Unanswered::Over) => Err(canceled(self.target, round)),
            Err(Unanswered::NotAsked(error)) => Err(not_asked(self.target, &error)),
        }
    }

    /// A call that has killed its server too often is not made.
    fn banned(&self, deaths: u32, rest: Duration) -> Outcome {
        let tool = &self.target.tool;
        let text = format!(
            "the MCP server has died {deaths} times while it worked on `{tool}` with these arguments and on nothing else. \
             It is not called so again for {} s",
            rest.as_secs() + 1
        );
        match self.run.attempt() {
            1 => not_called(Fault::new("kills-server", text)),
            _ => unknown("kills-server", self.target, &text, false),
        }
    }
}

/// What to call: what was decided, and policy has seen.
async fn find(shared: &SupervisedSession, run: &Run) -> Result<Target, Outcome> {
    let call = run.call();
    match (&call.skill, &call.arguments) {
        (Some(tool), Some(arguments)) => {
            let catalog = shared.catalog();
            let known = catalog.as_deref().and_then(|catalog| catalog.get(tool.as_str())).map(|tool| tool.feature);
            let feature = known.unwrap_or_else(|| ServerFeature::by_name(tool.as_str()));
            let target = Target { feature, tool: tool.clone(), arguments: arguments.clone() };
            let target = checked(shared, target).await?;
            let known = catalog.as_deref().and_then(|catalog| catalog.get(tool.as_str()));
            let bytes_max = shared.config.limits.argument_bytes_max as u64;
            uploads::load(run, known.map(|tool| &*tool.input), bytes_max, target).await
        }
        (Some(_) | None, _) => {
            let text = "an earlier version of this node kept the task before it was known what to call, and nobody has decided \
                        it since. Nothing is called for it any more: send the message again";
            Err(Outcome::Failed(Fault::new("not-planned", text)))
        }
    }
}

/// A call whose arguments were too much work to check while it was planned is checked before it is made.
async fn checked(shared: &SupervisedSession, target: Target) -> Result<Target, Outcome> {
    let catalog = shared.catalog();
    let Some(tool) = catalog.as_deref().and_then(|catalog| catalog.get(target.tool.as_str())) else {
        return Ok(target);
    };
    if tool.input.work(target.arguments.as_str().len()) == Work::Light {
        return Ok(target);
    }
    let violations = schema_check::check(&tool.input, &target.arguments).await;
    match violations.as_slice() {
        [] => Ok(target),
        violations => Err(Outcome::Rejected(plan_message::bad_arguments(tool, violations))),
    }
}

/// What comes of waiting for a connection.
enum Connected {
    Yes(Arc<Client>),
    No(Fault),
    Canceled,
}

async fn connected(shared: &SupervisedSession, run: &Run) -> Connected {
    tokio::select! {
        biased;
        () = run.canceled() => Connected::Canceled,
        client = shared.client(|| run.deadline()) => client.map_or_else(Connected::No, Connected::Yes),
    }
}

/// There is no server for a call: it surely did not happen.
fn not_called(fault: Fault) -> Outcome {
    Outcome::Failed(nothing_called(fault))
}

/// Why there is no server, for whoever wanted something called.
pub(crate) fn nothing_called(fault: Fault) -> Fault {
    Fault { text: format!("{}. Nothing was called", fault.text), ..fault }
}

/// There is no server for the next round of a call. What the rounds before it did, nobody but the server knows.
fn unreachable(target: &Target, round: u32, fault: Fault) -> Outcome {
    match round {
        0 => not_called(fault),
        _ => unknown(fault.code, target, &format!("it asked for more, and then {}", fault.text), false),
    }
}

impl CallAttempt<'_> {
    /// Calls, answers the server's questions, calls again where the era wants that.
    async fn talk(&self) -> Outcome {
        let (run, target) = (self.run, self.target);
        let mut answers = JsonObject::default();
        let mut state = None;
        let (mut unsent, mut logins) = (0, 0);
        let mut round = 0;
        loop {
            let CallRoute { session, client, permit, owner } = match self.admit(round).await {
                Ok(route) => route,
                Err(outcome) => return outcome,
            };
            let mut params = target.feature.params(target.tool.as_str(), &target.arguments);
            if !answers.is_empty() {
                params.set("inputResponses", answers.to_json());
            }
            if let Some(state) = &state {
                params.set("requestState", Json::clone(state));
            }
            let tool_call = ToolCall { ticket: permit.ticket, owner, fingerprint: self.fingerprint };
            let headers = match session.catalog() {
                Some(catalog) => catalog.get(target.tool.as_str()).map(|tool| tool.headers.values(&target.arguments)),
                None => None,
            };
            let headers = headers.unwrap_or_default();
            let options = RequestOptions { meta: meta(run, &client), call: Some(tool_call), headers };
            let sent = client.send(target.feature.method(), params.to_json(), options).await;
            let (outcome, was_passed_over) = match sent {
                Err(broken) => (RequestOutcome::NotSent(broken), false),
                Ok(pending) => {
                    let outcome = CallListener::new(&session.config, run, target, round, &pending).listen().await;
                    (outcome, client.in_flight.was_passed_over(pending.serial))
                }
            };
            // Nobody is kept out while the caller of an answered request is asked for more.
            drop(permit);
            if client.in_flight.broken().is_none() {
                session.exclusive_tools.crashes.lived(self.fingerprint);
            }
            let questions = match outcome {
                RequestOutcome::Over(outcome) => return outcome,
                RequestOutcome::NotSent(broken) => {
                    unsent += 1;
                    if unsent >= SENDS_MAX {
                        let text = format!("the MCP server could not be reached: {broken}");
                        return unreachable(target, round, Fault::new("server-unavailable", text));
                    }
                    continue;
                }
                RequestOutcome::Error(error) if error.code == LOGIN_NEEDED && logins < LOGINS_MAX => {
                    // It has done nothing. Whoever was let in meanwhile lets this call in too.
                    if let Some(login) = session.last_login() {
                        logins += 1;
                        if let Err(outcome) = self.log_in(&session, &login, round).await {
                            return outcome;
                        }
                    }
                    continue;
                }
                RequestOutcome::Error(error) => match links(&error) {
                    Some(questions) => Questions { list: questions, given: JsonObject::default(), state: None },
                    None => return result::failed(&target.feature.error(error), run.message_id("refused")),
                },
                RequestOutcome::Result(json) => match CallResult::read_apart(target.feature, json).await {
                    Err(why) => return unreadable(target, run.call().effect, &why),
                    Ok(result) if !result.is_question() => {
                        return finished(&session, run, target, result, was_passed_over).await;
                    }
                    Ok(result) => match read_questions(&result, &session.config.roots) {
                        Ok((list, given)) => Questions { list, given, state: result.request_state },
                        Err(what) => {
                            let text = format!("`{}` asks for {what}, which is not offered to it", target.tool);
                            return Outcome::Failed(Fault::new("unsupported-question", text));
                        }
                    },
                },
            };
            round += 1;
            if round > ROUNDS_MAX {
                let text = format!("`{}` asked {ROUNDS_MAX} times over and came to no end", target.tool);
                return Outcome::Failed(Fault::new("too-many-rounds", text));
            }
            state = questions.state;
            answers = questions.given;
            for (number, (key, asked)) in questions.list.iter().enumerate() {
                let question = Arc::new(asked.ask(run.message_id(&format!("q{round}.{number}"))));
                match ask_caller(run, question).await {
                    Ok(answer) if key.is_empty() && !is_accepted(&answer) => return declined_by_user(target),
                    Ok(_) if key.is_empty() => {}
                    Ok(answer) => answers.set(key, answer),
                    // Nothing is held on the other side: there is nobody to tell.
                    Err(Unanswered::Expired) => return Outcome::Declined,
                    Err(Unanswered::Over) => return canceled(target, round),
                    Err(Unanswered::NotAsked(error)) => return not_asked(target, &error),
                }
            }
        }
    }
}

/// What a server wants to know before a call is made again.
struct Questions {
    /// Each with the name that its answer goes under; without one, for an error that names addresses to visit.
    list: Vec<(String, Elicitation)>,
    /// What nobody needs to be asked for.
    given: JsonObject,
    state: Option<Json>,
}

fn read_questions(result: &CallResult, roots: &[PathBuf]) -> Result<(Vec<(String, Elicitation)>, JsonObject), String> {
    #[derive(serde::Deserialize)]
    struct Input {
        method: String,
        #[serde(default)]
        params: Option<Json>,
    }
    let (mut list, mut given) = (Vec::new(), JsonObject::default());
    for (key, request) in result.input_requests.iter().flat_map(JsonObject::iter) {
        let input = request.read::<Input>().map_err(|_| "something unreadable".to_owned())?;
        if input.method == roots::METHOD && !roots.is_empty() {
            given.set(key, roots::answer(roots));
            continue;
        }
        let asked = input.params.as_ref().and_then(Elicitation::read);
        match asked.filter(|_| input.method == "elicitation/create") {
            Some(asked) => list.push((key.to_owned(), asked.named(key))),
            None => return Err(format!("`{}`", input.method)),
        }
    }
    Ok((list, given))
}

/// The addresses of an error that wants its user to visit them first (2025-11-25).
fn links(error: &RpcError) -> Option<Vec<(String, Elicitation)>> {
    #[derive(serde::Deserialize)]
    struct Data {
        elicitations: Vec<Json>,
    }
    let data = error.data.as_ref().filter(|_| error.code == URL_REQUIRED)?;
    let data = data.read::<Data>().ok()?;
    let list = data.elicitations.iter().filter_map(Elicitation::read).map(|asked| (String::new(), asked));
    let list = list.collect::<Vec<_>>();
    (!list.is_empty()).then_some(list)
}

fn is_accepted(answer: &Json) -> bool {
    JsonObject::read(answer).and_then(|fields| fields.text("action")).as_deref() == Some("accept")
}

async fn finished(
    shared: &SupervisedSession,
    run: &Run,
    target: &Target,
    result: CallResult,
    was_passed_over: bool,
) -> Outcome {
    if was_passed_over && run.call().effect.may_run_again() {
        // It may be the result of a question that nobody was asked. Next time it runs alone, and the question has an owner.
        let why = "the server asked something while several calls were in flight, and did not say for which";
        return unknown("question-unattributed", target, why, true);
    }
    let catalog = shared.catalog();
    let tool = catalog.as_deref().and_then(|catalog| catalog.get(target.tool.as_str()));
    let mut notes = JsonObject::default();
    if was_passed_over {
        notes.set("questionDeclined", Json::of(&true));
    }
    let converted = &run.call().converted;
    if !converted.is_empty() {
        notes.set("converted", Json::of(converted));
    }
    let violations = match (result.structured(), tool.and_then(|tool| tool.output.as_ref())) {
        (Some(json), Some(schema)) => schema_check::check(schema, json).await,
        (Some(_) | None, _) => Vec::new(),
    };
    let (tool, id) = (tool.map(|tool| tool.id.clone()), run.message_id("refused"));
    let read = schema_check::apart(result.bytes, move || result.outcome(tool.as_ref(), &violations, id, notes));
    references::apply(run, shared.config.limits.result_inline_max, read.await).await
}

/// What goes with every call beside its arguments. The progress token is the library's.
fn meta(run: &Run, client: &Client) -> RequestMetaObject {
    let mut meta = RequestMetaObject::new();
    if run.call().effect == Effect::Keyed {
        meta.insert(KEY.to_owned(), run.key().into());
    }
    if let Some(level) = client.log_level().filter(|_| client.is_modern()) {
        meta.insert(LOG_LEVEL.to_owned(), level.word().into());
    }
    if let Some(trace) = &run.task().trace {
        meta.insert("traceparent".to_owned(), trace.as_ref().into());
    }
    meta
}

fn declined_by_user(target: &Target) -> Outcome {
    let text = format!("`{}` needs its user to do something elsewhere first, and that was declined", target.tool);
    Outcome::Failed(Fault::new("declined", text))
}
