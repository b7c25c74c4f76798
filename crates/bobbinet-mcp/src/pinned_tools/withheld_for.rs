//! Why a tool is withheld, and what whoever calls it is told.

use bobbinet_core::Fault;

/// The code of the fault of a call that is not made because its tool is withheld.
pub(crate) const TOOL_WITHHELD: &str = "tool-withheld";

/// Tools, prompts and resource templates of a server that are remembered, those among them that it does not list any more. A new one beyond
/// them is left out.
pub(super) const PINS_MAX: usize = 10_000;

/// Why a tool is withheld.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WithheldFor {
    /// Nobody has looked at the change.
    Asked,
    /// Somebody has, and said no.
    Refused,
    /// So many are remembered that there is no room for it.
    TooMany,
}

impl WithheldFor {
    /// Why nothing was called.
    pub(crate) fn fault(self, agent: &str, tool: &str) -> Fault {
        let then = match self {
            Self::TooMany => {
                let text = format!(
                    "`{tool}` of agent `{agent}` is left out: its server has named more than {PINS_MAX} tools by now. `pin: off` for this \
                     agent takes all of them. Nothing was called"
                );
                return Fault::new(TOOL_WITHHELD, text);
            }
            Self::Asked => {
                "The node's owner is asked whether that is right: `bobbinet task list --state input-required`"
            }
            Self::Refused => {
                "The node's owner has looked at it and said no. To let it through all the same, start the node once with \
                 `pin: warn` for this agent"
            }
        };
        let text = format!(
            "`{tool}` of agent `{agent}` is withheld: its server says something else of it than when it was first seen. {then}. \
             Nothing was called"
        );
        Fault::new(TOOL_WITHHELD, text)
    }
}
