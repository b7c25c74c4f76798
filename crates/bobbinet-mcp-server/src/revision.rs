//! The revisions of MCP that are spoken here.

/// A revision of MCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Revision {
    V2024_11_05,
    V2025_03_26,
    V2025_06_18,
    V2025_11_25,
    V2026_07_28,
}

impl Revision {
    /// All of them, the newest first.
    pub(crate) const ALL: [Self; 5] =
        [Self::V2026_07_28, Self::V2025_11_25, Self::V2025_06_18, Self::V2025_03_26, Self::V2024_11_05];

    /// Those whose requests stand alone, the newest first.
    pub(crate) fn stateless() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|revision| revision.is_stateless())
    }

    /// The newest that begins with a handshake: what a client is offered that asks for one that is not known.
    pub(crate) const NEWEST_WITH_SESSIONS: Self = Self::V2025_11_25;

    pub(crate) fn read(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|revision| revision.as_str() == text)
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// Whether each request says all that is to be known, and there is no handshake.
    pub(crate) fn is_stateless(self) -> bool {
        self >= Self::V2026_07_28
    }

    /// Whether a body may have several messages in it: this revision alone.
    pub(crate) fn has_batches(self) -> bool {
        self == Self::V2025_03_26
    }

    pub(crate) fn has_audio(self) -> bool {
        self >= Self::V2025_03_26
    }

    pub(crate) fn has_resource_links(self) -> bool {
        self >= Self::V2025_06_18
    }

    /// Whether the arguments of prompts and templates are completed.
    pub(crate) fn has_completions(self) -> bool {
        self >= Self::V2025_03_26
    }

    pub(crate) fn has_elicitation(self) -> bool {
        self >= Self::V2025_06_18
    }

    /// Whether a question may send its user to a URL.
    pub(crate) fn has_url_elicitation(self) -> bool {
        self >= Self::V2025_11_25
    }

    /// Whether a request may ask to be a task (2025-11-25): later it is an extension, and the server's to say.
    pub(crate) fn has_core_tasks(self) -> bool {
        self == Self::V2025_11_25
    }

    /// Whether a result may have structured content beside its blocks.
    pub(crate) fn has_structure(self) -> bool {
        self >= Self::V2025_06_18
    }

    /// Whether structured content, and its schema, may be anything but an object.
    pub(crate) fn has_any_structure(self) -> bool {
        self.is_stateless()
    }
}
