//! What is measured of each server in every round.

use crate::a2a::Dialect;

/// On how many connections, or streams, bindings are compared.
pub(crate) const MANY: usize = 64;

/// One thing that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Measure {
    Send(usize),
    Get(usize),
    Stream(usize),
    /// [`Measure::Send`] at [`MANY`] otherwise than in JSON-RPC of 1.0.
    SendBy(Binding),
    /// The same of [`Measure::Get`].
    GetBy(Binding),
}

/// What requests are made in, and carried over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Binding {
    /// In HTTP/1.1.
    Text(Dialect),
    /// In gRPC of 1.0.
    Grpc(Channels),
}

/// What gRPC is carried over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Channels {
    /// A connection for each that asks, as in HTTP/1.1.
    Many,
    /// One connection for all, with a stream for each.
    One,
}

impl Measure {
    /// What each server that takes part is asked.
    pub(crate) const COMMON: &'static [Self] = &[
        Self::Send(1),
        Self::Send(16),
        Self::Send(64),
        Self::Get(16),
        Self::Get(64),
        Self::Stream(1),
        Self::Stream(16),
    ];

    /// What one of ours is asked that speaks all of them: beside each other, and beside JSON-RPC of 1.0.
    pub(crate) const BINDINGS: &'static [Self] = &[
        Self::Send(MANY),
        Self::SendBy(Binding::Text(Dialect::Rest)),
        Self::SendBy(Binding::Grpc(Channels::Many)),
        Self::SendBy(Binding::Grpc(Channels::One)),
        Self::SendBy(Binding::Text(Dialect::JsonRpc03)),
        Self::SendBy(Binding::Text(Dialect::Rest03)),
        Self::Get(MANY),
        Self::GetBy(Binding::Text(Dialect::Rest)),
        Self::GetBy(Binding::Grpc(Channels::Many)),
        Self::GetBy(Binding::Grpc(Channels::One)),
        Self::GetBy(Binding::Text(Dialect::JsonRpc03)),
        Self::GetBy(Binding::Text(Dialect::Rest03)),
    ];

    /// All of them, in the order of the report.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let is_new = |measure: &&Self| !Self::COMMON.contains(measure);
        Self::COMMON.iter().chain(Self::BINDINGS.iter().filter(is_new)).copied()
    }

    pub(crate) fn connections(self) -> usize {
        match self {
            Self::Send(connections) | Self::Get(connections) | Self::Stream(connections) => connections,
            Self::SendBy(_) | Self::GetBy(_) => MANY,
        }
    }

    pub(crate) fn binding(self) -> Binding {
        match self {
            Self::Send(_) | Self::Get(_) | Self::Stream(_) => Binding::Text(Dialect::JsonRpc),
            Self::SendBy(binding) | Self::GetBy(binding) => binding,
        }
    }
}

impl std::fmt::Display for Measure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Send(connections) => write!(f, "SendMessage, {connections}"),
            Self::Get(connections) => write!(f, "GetTask, {connections}"),
            Self::Stream(connections) => write!(f, "stream, {connections}"),
            Self::SendBy(binding) => write!(f, "SendMessage in {binding}"),
            Self::GetBy(binding) => write!(f, "GetTask in {binding}"),
        }
    }
}

impl std::fmt::Display for Binding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(dialect) => write!(f, "{dialect}, {MANY}"),
            Self::Grpc(Channels::Many) => write!(f, "gRPC, {MANY}"),
            Self::Grpc(Channels::One) => write!(f, "gRPC, {MANY} streams of one connection"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_row_stands_in_the_report_twice() {
        let mut names: Vec<_> = Measure::all().map(|measure| measure.to_string()).collect();
        assert_eq!(names.len(), Measure::COMMON.len() + Measure::BINDINGS.len() - 2);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), Measure::all().count());
    }
}
