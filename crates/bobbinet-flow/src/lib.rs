//! Flows in the Open Workflow DSL 1.0.3: reading a definition, checking it, drawing it, and running it. Pure: no I/O, no clock, no
//! randomness. Who makes agents of flows brings those.
//!
//! # From a text to a run
//!
//! [`document::Definition::read`] gives the definition and all that is wrong with it, each [`finding::Finding`] with file, line, column,
//! JSON Pointer, excerpt and hint. [`check::check_in`] adds what can be said against a [`check::Catalog`] of agents and skills, and
//! [`graph::mermaid`] and [`svg::svg`] draw it. [`document::Definition::reaches`] lists what its steps may reach, for a policy.
//!
//! [`run::decide`] takes a [`run::State`] and a [`run::Record`] of what came, and gives the next state and the [`run::Effect`]s:
//!
//! ```
//! # use std::collections::BTreeMap;
//! # use bobbinet_core::Timestamp;
//! use bobbinet_flow::{document::Definition, limits::Limits, run::{Came, Effect, Given, Record, State, Surroundings, decide}};
//! # use serde_json::json;
//!
//! let text = "
//! document: { dsl: '1.0.3', namespace: demo, name: hello, version: '1.0.0' }
//! do:
//!   - ask: { call: people.name, with: { of: '${ .id }' } }
//!   - greet: { set: { greeting: '${ \"Hello \\(.)!\" }' } }
//! ";
//! let limits = Limits::default();
//! let definition = Definition::read("hello.yaml", text, &limits).definition.expect("nothing is wrong with it");
//! let around = Surroundings { limits: &limits, secrets: &BTreeMap::new(), runtime: &json!({}), blobs: &() };
//! let record = |came| Record { at: Timestamp::from_millis(0), chance: 0, came };
//!
//! let start = record(Came::Start { run: "r1".into(), input: json!({"id": 7}) });
//! let (state, effects) = decide(&definition, State::default(), &start, &around);
//! let call = effects.iter().find_map(|effect| if let Effect::Call(call) = effect { Some(call) } else { None }).unwrap();
//! assert_eq!(*call.arguments, json!({"of": 7}));
//!
//! let answer = record(Came::Result { call: call.call, output: Given::Inline(json!("Ann").into()) });
//! let (_, effects) = decide(&definition, state, &answer, &around);
//! assert!(effects.contains(&Effect::Finish { output: json!({"greeting": "Hello Ann!"}).into() }));
//! ```
//!
//! # Making it durable
//!
//! One run is one task, and its records are its checkpoints. For each thing that comes (a child's end, a timer, an event, a
//! question): write the [`run::Record`], and when it is durable carry out the effects. After a restart
//! [`run::replay`] folds the records into the state, and [`run::State::open`] gives what is still wanted: calls with the same
//! [`run::Id`], which with the run's name is the child's idempotency key, so that a child that is there already goes on; timers with the
//! same time; waits for events; the question that is asked. There is no other recovery. A large output is kept as a blob and
//! named by [`run::Given::Blob`]; [`run::Blobs`] finds it again. What is recorded is what came, never a secret, which
//! [`run::Surroundings`] brings in anew.
//!
//! The definition must be pinned: the records of a run mean something only with the text that it began with.

pub mod check;
pub mod cron;
pub mod document;
pub mod expression;
pub mod finding;
pub mod graph;
mod labels;
pub mod limits;
mod reader;
pub mod run;
pub mod schedule;
pub mod svg;
pub mod template;
mod tree;
