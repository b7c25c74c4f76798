//! One call of a tool, a resource or a prompt, from the durable intent to its outcome. Nothing here waits without a bound.

use std::sync::Arc;

use bobbinet_core::{Effect, Fault, Json, Outcome};
use bobbinet_engine::{CANCEL_GRACE, CallName, Run};

use crate::{
    call_attempt::{CallAttempt, CallRoute, LOGINS_MAX, NotAdmitted, Place, not_called, unreachable},
    call_checkpoint::CallCheckpoint,
    call_listener::{CallListener, RequestOutcome, Target, canceled, unknown, unreadable},
    call_once::{self, CallOnce},
    caller_client::CallerClient,
    catalog::Tool,
    config::McpConfig,
    contract,
    crash_history::CallFingerprint,
    elicitation_handler::offered,
    fallback,
    finished_call::{Gives, finished},
    json_object::JsonObject,
    plan_message,
    pool::{SessionKey, SessionPool},
    read_cache::LeadingCall,
    read_once::{self, ReadOnce},
    resource_follower,
    result::{self, CallResult},
    schema::Work,
    schema_check,
    server_feature::ServerFeature,
    server_questions::{Questions, not_offered},
    server_task::{self, ServerTask, TaskSupport},
    session::{Client, PendingRequest, RequestOptions},
    supervised_session::SupervisedSession,
    task_follower::{TaskEnd, TaskFollower},
    uploads,
};

/// Rounds of question and answer that one call may take (2026-07-28): a server that asks without an end is broken.
const ROUNDS_MAX: u32 = 10;

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
    if fallback::is_begun(run) {
        return fallback::go_on(&shared.config, run).await;
    }
    let target = match find(shared, run).await {
        Ok(target) => target,
        Err(outcome) => return outcome,
    };
    let keyed = match call_once::look(&shared.config, run, &target).await {
        CallOnce::Done(outcome) => return outcome,
        CallOnce::Call(keyed) => keyed,
    };
    let outcome = call_target(sessions, shared, run, &target, Gives::Parts).await;
    let outcome = fallback::instead(&shared.config, run, outcome).await;
    match keyed {
        Some(keyed) => keyed.settle(run, outcome).await,
        None => outcome,
    }
}

/// Carries out a run that names its call in words of its own, and gives its result as it came.
pub(crate) async fn carry_out_whole(sessions: &Arc<SessionPool>, run: &Run, target: Target) -> Outcome {
    let shared = sessions.session(SessionKey::Shared);
    call_target(sessions, &shared, run, &target, Gives::Whole).await
}

async fn call_target(
    sessions: &Arc<SessionPool>,
    shared: &Arc<SupervisedSession>,
    run: &Run,
    target: &Target,
    gives: Gives,
) -> Outcome {
    let write = (run.call().effect != Effect::ReadOnly).then(|| sessions.cache.write());
    let followed = resource_follower::followed(target);
    let lead = match &followed {
        // It goes on reading, so no other call comes to the same.
        Some(_) => None,
        None => match read_once::look(&sessions.cache, shared, run, target).await {
            ReadOnce::Done(outcome) => return outcome,
            ReadOnce::Call(lead) => lead,
        },
    };
    let fingerprint = CallFingerprint::of(target.tool.as_str(), &target.arguments);
    let home = tokio::select! {
        biased;
        () = run.canceled() => return canceled(target, 0),
        home = sessions.home(run) => home,
    };
    let home = match home {
        Ok(home) => home,
        Err(fault) => return not_called(fault),
    };
    let attempt = CallAttempt { sessions, home, shared, run, target, fingerprint, gives };
    let outcome = match followed {
        Some(uri) => resource_follower::follow(&attempt, &uri).await,
        None => attempt.talk(lead).await,
    };
    drop(write);
    outcome
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

impl CallAttempt<'_> {
    /// Calls, answers the server's questions, calls again where the era wants that; or goes on where an earlier run was.
    async fn talk(&self, mut lead: Option<LeadingCall>) -> Outcome {
        let (run, target) = (self.run, self.target);
        let mut checkpoint = CallCheckpoint::of(run);
        if let Some(outcome) = checkpoint.is_perhaps_made(run, target) {
            return outcome;
        }
        if checkpoint.task.is_some() {
            return self.follow(checkpoint, None, None).await;
        }
        // What the server wanted to know is not asked for again from the beginning, unless it has forgotten that.
        let mut may_begin_anew = checkpoint.questions.is_some() && run.call().effect.may_run_again();
        let mut answers = JsonObject::default();
        let (mut unsent, mut logins, mut tries) = (0, 0, 1);
        self.sessions.retries.call();
        let mut questions = checkpoint.questions.clone();
        loop {
            if let Some(open) = &questions {
                answers =
                    match open.answer(run, &self.shared.config, target, checkpoint.round, checkpoint.answered).await {
                        Ok(answers) => answers,
                        Err(outcome) => return outcome,
                    };
            }
            let round = checkpoint.round;
            let has_task =
                |tool: &Tool, client: &Client| tool.task_support.wants_task(client.info(), &self.shared.config.server);
            let route = match self.admit(round, self.place()).await {
                Ok(route) => route,
                Err(NotAdmitted::Over(outcome)) => return outcome,
                Err(NotAdmitted::NoServer(fault)) => return unreachable(target, round, fault),
            };
            let (session, client) = (route.session.clone(), route.client.clone());
            // What was planned while it was still as it had been, or is something else in this session.
            if let Some(why) = session.catalog().and_then(|catalog| catalog.withheld(target.tool.as_str())) {
                return unreachable(target, round, why.fault(&session.config.name, target.tool.as_str()));
            }
            if let Err(error) = checkpoint.send(run).await {
                return unknown(
                    "not-kept",
                    target,
                    &format!("it was not called anew, since that could not be kept: {error}"),
                    false,
                );
            }
            let mut params = target.feature.params(target.tool.as_str(), &target.arguments);
            if !answers.is_empty() {
                params.set("inputResponses", answers.to_json());
            }
            if let Some(state) = questions.as_ref().and_then(Questions::state) {
                params.set("requestState", Json::clone(state));
            }
            let catalog = session.catalog();
            let tool = catalog.as_deref().and_then(|catalog| catalog.get(target.tool.as_str()));
            if tool.is_some_and(|tool| has_task(tool, &client)) {
                params.set("task", Json::from(&serde_json::json!({"ttl": session.config.limits.task_ttl_ms})));
            }
            let headers = tool.map(|tool| tool.headers.values(&target.arguments)).unwrap_or_default();
            let call = Some(self.tool_call(&route, None));
            let options = RequestOptions { meta: meta(run, &client, &session.config), call, headers, token: None };
            if session.config.call_log.is_listened() {
                client.want_log(&CallName::of(run.task()), &route.owner, &session.config.call_log).await;
            }
            let sent = client.send(target.feature.method(), params, options);
            let token = sent.as_ref().ok().map(PendingRequest::token);
            let (outcome, was_passed_over) = match sent {
                Err(broken) => (RequestOutcome::NotSent(broken), false),
                Ok(pending) => {
                    let outcome = CallListener::new(&session.config, run, target, round, &pending).listen().await;
                    (outcome, client.in_flight.was_passed_over(pending.serial))
                }
            };
            if client.in_flight.broken().is_none() {
                session.exclusive_tools.crashes.lived(self.fingerprint);
            }
            let json = match outcome {
                // Its server lives: it is this request that has come to nothing.
                RequestOutcome::Over(outcome) if round == 0 && client.in_flight.broken().is_none() => {
                    drop(route);
                    match self.again(outcome, tries).await {
                        Ok(()) => tries += 1,
                        Err(outcome) => return outcome,
                    }
                    continue;
                }
                RequestOutcome::Over(outcome) => return outcome,
                RequestOutcome::NotSent(broken) => {
                    unsent += 1;
                    if unsent >= SENDS_MAX {
                        let text = format!("the MCP server could not be reached: {broken}");
                        return unreachable(target, round, Fault::new("server-unavailable", text));
                    }
                    continue;
                }
                RequestOutcome::Error(error) if error.wants_login && logins < LOGINS_MAX => {
                    // It has done nothing. Whoever was let in meanwhile lets this call in too.
                    logins += 1;
                    drop(route);
                    if let Some(login) = session.last_login()
                        && let Err(outcome) = self.log_in(&session, &login, round).await
                    {
                        return outcome;
                    }
                    continue;
                }
                RequestOutcome::Error(_) if may_begin_anew => {
                    (may_begin_anew, questions, answers) = (false, None, JsonObject::default());
                    checkpoint.begin_anew();
                    continue;
                }
                RequestOutcome::Error(error) => match Questions::of_error(&error) {
                    Some(asked) => Err(asked),
                    None => return result::failed(&target.feature.error(error), run.message_id("refused")),
                },
                RequestOutcome::Result(json) => Ok(json),
            };
            may_begin_anew = false;
            if let Ok(json) = &json
                && let Some(task) = self.task_of(json, &client)
            {
                checkpoint.took(run, &task.id, self.replica_of(&session)).await;
                return self.follow(checkpoint, Some((&task, token)), Some(route)).await;
            }
            // Nobody is kept out while the caller of an answered request is asked for more.
            drop(route);
            let asked = match json {
                Err(asked) => asked,
                Ok(json) => match CallResult::read_apart(target.feature, json.clone()).await {
                    Err(why) => return unreadable(target, run.call().effect, &why),
                    Ok(result) if !result.is_question() => {
                        // What somebody has answered a question for is his, and what nobody knows the cause of is nobody's.
                        let lead = lead.take().filter(|_| round == 0 && !was_passed_over);
                        return self.finish(&session, &json, result, was_passed_over, lead).await;
                    }
                    Ok(result) => match Questions::of_result(&result, run, &session.config) {
                        Ok(asked) => asked,
                        Err(what) => return not_offered(target, &what),
                    },
                },
            };
            drop(lead.take());
            if round >= ROUNDS_MAX {
                let text = format!("`{}` asked {ROUNDS_MAX} times over and came to no end", target.tool);
                return Outcome::Failed(Fault::new("too-many-rounds", text));
            }
            checkpoint.park(run, asked.clone()).await;
            questions = Some(asked);
        }
    }

    /// Where it may be called: not where nobody finds its task again.
    fn place(&self) -> Place {
        let catalog = self.shared.catalog();
        let tool = catalog.as_deref().and_then(|catalog| catalog.get(self.target.tool.as_str()));
        match tool.map(|tool| tool.task_support) {
            Some(TaskSupport::Required | TaskSupport::Optional) => Place::Lasting,
            Some(TaskSupport::Forbidden) | None => Place::Any,
        }
    }

    /// The task of the server's that a call has become, if it has.
    fn task_of(&self, result: &Json, client: &Client) -> Option<ServerTask> {
        match self.target.feature {
            ServerFeature::Tool => ServerTask::created(result, server_task::dialect(client.info())?),
            ServerFeature::Resource
            | ServerFeature::ResourceList
            | ServerFeature::Prompt
            | ServerFeature::Completion => None,
        }
    }

    /// Follows the server's task to its end, at first by the way on which it was begun, with the token that its progress is told under.
    async fn follow(
        &self,
        checkpoint: CallCheckpoint,
        task: Option<(&ServerTask, Option<i64>)>,
        route: Option<CallRoute>,
    ) -> Outcome {
        let (run, target) = (self.run, self.target);
        match TaskFollower::new(self, checkpoint, task).follow(route).await {
            TaskEnd::Over(outcome) => outcome,
            TaskEnd::Error(error) => result::failed(&error, run.message_id("refused")),
            TaskEnd::Result(session, json) => match CallResult::read_apart(target.feature, json.clone()).await {
                Err(why) => unreadable(target, run.call().effect, &why),
                Ok(result) => self.finish(&session, &json, result, false, None).await,
            },
        }
    }

    /// What the result of the call comes to, also for those who wait for it.
    async fn finish(
        &self,
        session: &SupervisedSession,
        json: &Json,
        result: CallResult,
        was_passed_over: bool,
        lead: Option<LeadingCall>,
    ) -> Outcome {
        // Whether it is this call's at all comes first.
        let breach = match was_passed_over && self.run.call().effect.may_run_again() {
            true => None,
            false => contract::breach(session, self.run, self.target, json, &result).await,
        };
        if let Some(lead) = lead {
            lead.land(json, !result.is_error() && breach.is_none());
        }
        if let Some(breach) = breach {
            return breach;
        }
        match self.gives {
            Gives::Whole if !result.is_error() => result::whole(json),
            Gives::Whole | Gives::Parts => finished(session, self.run, self.target, result, was_passed_over).await,
        }
    }
}

/// What goes with every call beside its arguments, and beside what goes with every request.
fn meta(run: &Run, client: &Client, config: &McpConfig) -> JsonObject {
    let mut meta = JsonObject::default();
    if run.call().effect == Effect::Keyed {
        meta.set(KEY, Json::of(&run.key()));
    }
    if client.is_modern()
        && let Some(level) = client.log_level_of(&CallName::of(run.task()), &config.call_log)
    {
        meta.set(LOG_LEVEL, Json::of(level.word()));
    }
    if client.is_modern()
        && let Some((name, offered)) = CallerClient::meta(run.task(), config, || offered(config))
    {
        meta.set(name, Json::from(&offered));
    }
    if let Some(trace) = &run.task().trace {
        meta.set("traceparent", Json::of(&**trace));
    }
    meta
}
