//! The one guard for all HTTP that goes out: to peers, for cards, tokens and whatever a message or a flow names.
//!
//! A [`Guard`] knows the origins that the operator has written down; those may be anywhere. Every other origin came from a caller, a card
//! or a message: it is reached only at addresses that are anybody's, whatever its name says and however often that changes, since
//! what is looked at is the address of each connection. No redirect leads out of an origin, and everything has a bound.
//!
//! What gets a token for a request by itself is in [`oauth`]: all that it asks, it asks through the guard.
//!
//! It knows neither A2A nor MCP. Begin with `guard.rs`; which addresses are refused, and why, stands in `address.rs`.

mod address;
mod fetch;
mod guard;
mod limits;
pub mod oauth;
mod origin;
mod refused;
mod resolve;
mod secret_source;
pub mod sse;
mod tls;

pub use address::refusal;
pub use fetch::{Fetched, OutboundError, fetch, fetch_once};
pub use guard::{Guard, Http, Trust, http2_alone};
pub use limits::OutboundLimits;
pub use origin::Origin;
pub use refused::Refused;
pub use resolve::{Resolver, SystemResolver};
pub use secret_source::SecretSource;
pub use tls::{ClientTls, ClientTlsFault, ClientTlsFiles};
