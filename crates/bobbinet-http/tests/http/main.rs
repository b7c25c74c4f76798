//! The server and the client over real sockets, on a real engine.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

mod bad_requests;
mod bindings;
mod blobs;
mod callers;
mod cards;
mod client;
mod connections;
mod dialects;
mod discovery;
mod events;
mod foreign;
mod framing;
mod http2;
mod jwks;
mod large;
mod limits;
mod logins;
mod methods;
mod node;
mod older;
mod push;
mod push_load;
mod reached;
mod repeats;
mod rest;
mod show;
mod signed_cards;
mod sockets;
mod stop;
mod streams;
mod streams_end;
mod tls;
mod unserved;
mod worker;
