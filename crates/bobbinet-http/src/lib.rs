//! A2A over HTTP: the server that agents are found and called at, and a client that calls one.
//!
//! A [`Server`] is the agents of one engine, each at its URL, with their cards, JSON-RPC, REST and streams; [`serve`] runs
//! it on a listener until it is told to stop. The [`client`] sends, streams, resumes, gets, lists and cancels.
//!
//! Neither may know how a message looks as bytes, which is `bobbinet-wire`'s, nor who may do what, which is the gateway's, nor MCP, nor
//! any store. Begin with `server/router.rs`, which has all URLs, and follow a request through `server/rpc.rs` and
//! `server/call.rs`.

pub mod client;
mod courier;
mod limits;
pub mod server;

pub use bobbinet_wire::interface::CardForm;
pub use client::{Client, ClientError, ClientOptions, Credentials, SendOptions, TaskStream};
pub use courier::HttpCourier;
pub use limits::HttpLimits;
pub use server::{
    AgentLogin, CALLBACK_PATH, CLIENT_PATH, HttpBlobUrls, Logins, Mount, OtherBinding, Server, ServerSetup, SetupError,
    Tls, TlsFault, TlsFiles, serve,
};

/// Stands as `true` in the metadata of a task that a stream sends although it was asked to go on after an event: the event's id
/// is none of this task's, or what followed it is gone. The reader takes the task as it stands and goes on from there.
pub const RESYNC_KEY: &str = "urn:bobbinet:skills:v1/resync";
