//! The tree of a task: whose tasks are in it, in which order, and how many.

#![allow(clippy::unwrap_used, reason = "a test: what cannot be unwrapped has failed")]

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bobbinet_auth::Policy;
use bobbinet_core::{
    AgentName, Call, Caller, Content, Description, Effect, Limits, Message, MessageId, Outcome, Part, Plan, Principal,
    Role, State, Tenant,
    operation::{Configuration, SendParams},
};
use bobbinet_engine::{Agent, Engine, NewChild, Request, Run, Setup, SystemEnv};
use bobbinet_gateway::{
    Answer, Gateway, GatewayError, GatewayLimits, GatewaySetup, PolicyAuthorizer, RequestContext, TREE_TASKS_MAX,
};
use bobbinet_store::MemoryStore;
use tokio_util::sync::CancellationToken;

fn message(text: &str) -> Message {
    Message {
        id: MessageId::parse(&format!("m-{text}")).unwrap(),
        role: Role::User,
        parts: vec![Part::text(text)],
        metadata: None,
        extensions: Vec::new(),
        reference_tasks: Vec::new(),
    }
}

/// Begins what it is told: `worker*3,hidden*1` are three tasks of `worker` and one of `hidden`, one after the other.
#[derive(Debug)]
struct Conductor {
    is_internal: bool,
}

#[async_trait]
impl Agent for Conductor {
    fn describe(&self) -> Arc<Description> {
        Arc::default()
    }

    fn prepare(&self, _request: &Request<'_>) -> Plan {
        Plan::Call(Arc::new(Call::of_message(Effect::ReadOnly)))
    }

    fn max_concurrency(&self) -> usize {
        8
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    fn begins_tasks(&self) -> bool {
        true
    }

    fn is_internal(&self) -> bool {
        self.is_internal
    }

    async fn run(&self, run: Run) -> Outcome {
        let text = match &run.message().parts[0].content {
            Content::Text(text) => text.to_string(),
            Content::Raw(_) | Content::Url(_) | Content::Data(_) => String::new(),
        };
        for (agent, rest) in text.split(',').filter_map(|one| one.split_once('*')) {
            let (count, within) = rest.split_once('/').unwrap_or((rest, "none"));
            for number in 0..count.parse().unwrap() {
                let child = run.begin_child(NewChild {
                    name: format!("{agent}-{number}").into(),
                    agent: AgentName::parse(agent).unwrap(),
                    message: message(&within.replace('+', "*")),
                    skill: None,
                    time: None,
                    budget: (within == "none").then_some(0),
                });
                run.wait_for(&child.await.unwrap()).await.unwrap();
            }
        }
        Outcome::Completed { artifacts: Vec::new(), message: None }
    }

    async fn shutdown(&self) {}
}

/// The tree of a task that a node's owner has begun with these words, as `DEPTH NAME of AGENT`, and what is left out of it.
async fn tree(words: &str) -> (Vec<String>, usize) {
    let agent = AgentName::parse("conductor").unwrap();
    let agents = ["conductor", "worker", "hidden"].map(|name| {
        let conductor = Conductor { is_internal: name == "hidden" };
        (AgentName::parse(name).unwrap(), Arc::new(conductor) as Arc<dyn Agent>)
    });
    let engine = Engine::open(Setup {
        store: Arc::new(MemoryStore::default()),
        agents: agents.into(),
        env: Arc::new(SystemEnv),
        limits: Limits::default(),
        authorizer: Arc::new(PolicyAuthorizer::new(Policy::owner_only())),
    });
    let engine = engine.await.unwrap();
    let gateway = Gateway::new(GatewaySetup {
        engine: engine.clone(),
        policy: Policy::owner_only(),
        limits: GatewayLimits::default(),
        wait_max: None,
        drain: Duration::ZERO,
        stop: CancellationToken::new(),
    });
    let owner = Principal::parse("node-owner").unwrap();
    let caller = Caller { is_node_owner: true, ..Caller::new(owner.clone(), Tenant::parse("local").unwrap()) };
    let context =
        RequestContext { caller: &caller, agent: &agent, skill: None, trace: None, idempotency: None, extensions: &[] };
    let params = SendParams {
        message: message(words),
        context: None,
        task: None,
        configuration: Configuration::default(),
        metadata: None,
        tenant: None,
    };
    let sent = gateway.send(&context, Box::new(params), gateway.admit(context.caller).unwrap()).await.unwrap();
    let Answer::Task(sent) = sent else { panic!("{sent:?}") };
    assert_eq!(sent.state, State::Completed, "{sent:?}");
    let found = gateway.tree(&context, &sent.id.to_string()).await.unwrap();
    let record = gateway.record(&context, &sent.id.to_string()).await.unwrap();
    assert_eq!(record.tree.len(), found.len());
    let stranger = Caller { is_node_owner: false, ..caller.clone() };
    let context = RequestContext { caller: &stranger, ..context };
    assert_eq!(gateway.tree(&context, &sent.id.to_string()).await.unwrap_err(), GatewayError::NotFound);
    engine.shutdown(Duration::ZERO).await;
    let line = |one: &bobbinet_gateway::TreeTask| {
        let agent = &one.task.as_ref().unwrap().agent;
        format!("{} {} of {agent}", one.depth, one.name.as_deref().unwrap_or("-"))
    };
    (found.iter().map(line).collect(), found.iter().map(|one| one.left_out).sum())
}

#[tokio::test]
async fn a_tree_has_the_tasks_of_all_agents_each_before_its_children() {
    let (lines, left_out) = tree("worker*2/hidden+1,hidden*1,conductor*1").await;
    let expected = [
        "0 - of conductor",
        "1 worker-0 of worker",
        "2 hidden-0 of hidden",
        "1 worker-1 of worker",
        "2 hidden-0 of hidden",
        "1 hidden-0 of hidden",
        "1 conductor-0 of conductor",
    ];
    assert_eq!((lines, left_out), (expected.map(str::to_owned).to_vec(), 0));
}

#[tokio::test]
async fn a_tree_has_a_bound_and_says_what_is_left_out() {
    let (lines, left_out) = tree(&format!("worker*{}", TREE_TASKS_MAX + 3)).await;
    assert_eq!((lines.len(), left_out), (TREE_TASKS_MAX + 1, 3));
    assert_eq!(lines.last().unwrap(), &format!("1 worker-{} of worker", TREE_TASKS_MAX - 1));
}
