//! `call: a2a` as an agent that nobody but flows can call: any A2A agent by its URL, asked in the words of A2A 0.3.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bobbinet_core::{
    AgentName, Call, Description, Fault, Json, Outcome, Plan, QuestionKind, TaskId,
    operation::{Operation, SubscribeParams},
};
use bobbinet_engine::{Agent, Env, Request, Run};
use bobbinet_http::ClientError;
use bobbinet_outbound::Guard;
use bobbinet_wire::v0_3::response;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::{
    PeerAuth, PeerConfig, PeerLimits, SecretSource,
    asked::{A2aRequest, Asked},
    call,
    checkpoint::Checkpoint,
    fault::{self, kind_of},
    gathered::{completed, json},
    message,
    peer::Peer,
    transient::Transients,
};

/// Calls of one node that are on their way at the same time.
const CALLS_MAX: usize = 64;

/// Knows how the calls of flows authenticate.
#[async_trait]
pub trait CallCredentials: Send + Sync {
    /// What this call of the run of this flow's task authenticates with, as the DSL writes it.
    async fn of(&self, flow: TaskId, call: u64) -> Option<Arc<Value>>;
}

/// Calls agents by URL for flows.
pub struct A2aAgent {
    name: AgentName,
    node: String,
    guard: Guard,
    credentials: Arc<dyn CallCredentials>,
    env: Arc<dyn Env>,
    limits: PeerLimits,
    transients: Transients,
}

impl A2aAgent {
    /// One of this name on this node, whose requests go out through this guard.
    pub fn new(
        name: AgentName,
        node: String,
        guard: Guard,
        credentials: Arc<dyn CallCredentials>,
        env: Arc<dyn Env>,
        limits: PeerLimits,
    ) -> Arc<Self> {
        Arc::new(Self { name, node, guard, credentials, env, limits, transients: Transients::default() })
    }

    /// The peer at a URL, to whom it is shown so who calls.
    fn peer(&self, url: &str, auth: PeerAuth, shown: &str) -> Arc<Peer> {
        let key = format!("{url} {}", hex::encode(Sha256::digest(shown)));
        self.transients.peer(key, || PeerConfig {
            name: self.name.clone(),
            url: url.to_owned(),
            node: self.node.clone(),
            auth,
            fallback: None,
            effect: None,
            origin: None,
            card_keys: None,
            grpc: None,
            title: None,
            description: None,
            env: self.env.clone(),
            guard: self.guard.clone(),
            limits: self.limits.clone(),
        })
    }

    /// How this call is shown to the peer, and what tells that from other ways.
    async fn auth(&self, run: &Run, request: &A2aRequest) -> Result<(PeerAuth, String), Fault> {
        let Some(call) = request.authenticated else { return Ok((PeerAuth::None, String::new())) };
        let unfit = |why: &str| Fault::new("peer-unauthorized", why);
        let flow = run.task().parent.as_ref().map(|parent| parent.task);
        let known = match flow {
            Some(flow) => self.credentials.of(flow, call).await,
            None => None,
        };
        let known = known.ok_or_else(|| unfit("the flow that knows how to authenticate is not there"))?;
        let word = |scheme: &Value, name: &str| scheme.get(name).and_then(Value::as_str).map(str::to_owned);
        let auth = if let Some(bearer) = known.get("bearer") {
            let token = word(bearer, "token").ok_or_else(|| unfit("a bearer authentication has a token"))?;
            PeerAuth::Bearer(SecretSource::Text(token))
        } else if let Some(basic) = known.get("basic") {
            let user = word(basic, "username").ok_or_else(|| unfit("a basic authentication has a username"))?;
            PeerAuth::Basic(user, word(basic, "password").unwrap_or_default())
        } else {
            return Err(unfit("only basic and bearer authentications are made here"));
        };
        Ok((auth, known.to_string()))
    }

    async fn carry_out(&self, run: &Run, request: &A2aRequest, asked: &Asked) -> Outcome {
        let (auth, shown) = match self.auth(run, request).await {
            Ok(auth) => auth,
            Err(fault) => return Outcome::Failed(fault),
        };
        let peer = self.peer(&request.uri, auth, &shown);
        let checkpoint = run.checkpointed().and_then(Checkpoint::read).unwrap_or_default();
        // One that has the task is looked for for longer, below.
        if checkpoint.task.is_none()
            && let Err(why) = unless_over(run, peer.get_ready()).await.and_then(|ready| ready)
        {
            let text = format!("nothing was sent: {why}");
            return match checkpoint == Checkpoint::default() {
                true => Outcome::Failed(fault::of_peer(&peer.config, "peer-unreachable", &text)),
                false => fault::unknown(&peer.config, &why, true),
            };
        }
        match &asked.operation {
            Operation::Send(_) | Operation::SendStreaming(_) => tokio::select! {
                biased;
                outcome = call::carry_out_as(&peer, run, Some(asked)) => outcome,
                never = peer.keep_fresh() => match never {},
            },
            Operation::Get(_)
            | Operation::List(_)
            | Operation::Cancel(_)
            | Operation::Subscribe(_)
            | Operation::ExtendedCard(_)
            | Operation::PushConfig(_) => match unless_over(run, plainly(&peer, run, &asked.operation)).await {
                Ok(outcome) => outcome,
                Err(why) => Outcome::Failed(fault::of_peer(&peer.config, "peer-unreachable", &why)),
            },
        }
    }
}

/// Does this, unless the run is over first, or its time.
async fn unless_over<T>(run: &Run, what: impl Future<Output = T>) -> Result<T, String> {
    tokio::select! {
        biased;
        () = run.canceled() => Err("its task was canceled here".to_owned()),
        () = sleep_until(run.deadline()) => Err("the time was up".to_owned()),
        done = what => Ok(done),
    }
}

/// Makes a request that may be made again, and waits for nothing but its answer.
async fn plainly(peer: &Peer, run: &Run, operation: &Operation) -> Outcome {
    let limits = &peer.config.limits;
    let until = Instant::now() + limits.patience;
    let mut tries = 0;
    loop {
        let error = match answer(peer, run, operation).await {
            Ok(result) => return completed(result),
            Err(error) => error,
        };
        if !(error.is_passing() || error.leaves_outcome_open()) || Instant::now() >= until {
            return failed(&peer.config, &error);
        }
        sleep(limits.pause(tries)).await;
        tries += 1;
    }
}

fn failed(config: &PeerConfig, error: &ClientError) -> Outcome {
    let code = match kind_of(error) {
        fault::Failure::Unsent | fault::Failure::Unknown => "peer-unreachable",
        fault::Failure::Busy => "peer-busy",
        fault::Failure::Unauthorized => "peer-unauthorized",
        fault::Failure::Refused => "peer-refused",
    };
    Outcome::Failed(fault::of_peer(config, code, &fault::told(error)))
}

async fn answer(peer: &Peer, run: &Run, operation: &Operation) -> Result<Json, ClientError> {
    let nobody = || ClientError::Protocol("its card is not known".to_owned());
    let known = peer.cards.last().ok_or_else(nobody)?;
    let client = peer.client(&known, None).await?;
    Ok(match operation {
        Operation::Get(get) => {
            let task = client.get(&get.id, get.history_length).await?;
            json(|out| response::write_task(out, &task.value))
        }
        Operation::Cancel(cancel) => {
            let task = client.cancel(&cancel.id).await?;
            json(|out| response::write_task(out, &task.value))
        }
        Operation::List(list) => {
            let page = client.list(list.clone()).await?;
            json(|out| response::write_page(out, &page.value))
        }
        Operation::Subscribe(SubscribeParams { id, .. }) => {
            let mut stream = client.subscribe(id, None).await?;
            let (mut events, mut bytes) = (Vec::new(), 0);
            while let Some(event) =
                timeout(peer.config.limits.silence_max, stream.next()).await.map_err(|_| ClientError::Timeout {
                    url: client.url().to_owned(),
                    seconds: peer.config.limits.silence_max.as_secs_f64(),
                })??
            {
                let is_end = event.value.state().is_some_and(|state| state.is_terminal() || state.is_interrupted());
                let written = json(|out| response::write_event(out, &event.value));
                bytes += written.as_str().len();
                if bytes > run.limits().task_bytes_max / 2 {
                    return Err(ClientError::Protocol("its stream has more than a task may keep".to_owned()));
                }
                events.push(written);
                if is_end {
                    break;
                }
            }
            Json::of(&events)
        }
        Operation::Send(_) | Operation::SendStreaming(_) | Operation::ExtendedCard(_) | Operation::PushConfig(_) => {
            unreachable!("none of them is made plainly")
        }
    })
}

#[async_trait]
impl Agent for A2aAgent {
    fn describe(&self) -> Arc<Description> {
        Arc::default()
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        match request.question().map(|question| question.kind) {
            Some(QuestionKind::Elicitation | QuestionKind::Authorization) => {
                return Plan::Answer(message::keep_answer(request.message));
            }
            // The engine reads the verdict itself.
            Some(QuestionKind::Outcome { .. }) => return Plan::Answer(Json::of(&())),
            // We ask nothing of our own.
            Some(QuestionKind::Input) | None => {}
        }
        let data = request.message.data();
        let read = match data.and_then(|data| data.read::<A2aRequest>().ok()) {
            Some(read) => read,
            None => return Plan::Reject(Fault::new("bad-arguments", "this is no request of a flow")),
        };
        let asked = match read.read() {
            Ok(asked) => asked,
            Err(fault) => return Plan::Reject(fault),
        };
        let effect = asked.effect();
        let call = Call { skill: request.skill.cloned(), arguments: data.cloned(), converted: Vec::new(), effect };
        Plan::Call(Arc::new(call))
    }

    fn max_concurrency(&self) -> usize {
        CALLS_MAX
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    fn is_internal(&self) -> bool {
        true
    }

    async fn run(&self, run: Run) -> Outcome {
        let request = run.call().arguments.as_ref().and_then(|arguments| arguments.read::<A2aRequest>().ok());
        let Some((request, asked)) = request.and_then(|request| request.read().ok().map(|asked| (request, asked)))
        else {
            return Outcome::Rejected(Fault::new("bad-arguments", "this is no request of a flow"));
        };
        self.carry_out(&run, &request, &asked).await
    }

    async fn shutdown(&self) {}
}

impl fmt::Debug for A2aAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("A2aAgent").field("name", &self.name).finish_non_exhaustive()
    }
}
