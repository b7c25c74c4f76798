//! Where an agent is called, for its cards.

/// Where an agent is called.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// Over JSON-RPC.
    pub url: &'a str,
    /// Over gRPC: host and port; nothing if that is not where its callers find it.
    pub grpc: Option<&'a str>,
    /// What each request over gRPC must say as `tenant`, if anything.
    pub tenant: Option<&'a str>,
}
