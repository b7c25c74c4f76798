//! The forms in which results are printed.

/// What results look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// `Label: value` lines
    #[default]
    Text,
    /// The protocol's own types as JSON
    Json,
    /// Lists as tables, all else as text
    Table,
}
