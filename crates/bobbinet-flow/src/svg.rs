//! A definition as a picture: an SVG that needs nothing else, and can be read on a light ground and on a dark one.
//!
//! The steps of a list stand below one another, what is within a step stands in its frame, and whatever does not go on to the step below
//! runs in lanes on the right. Two steps: [`layout`] says where everything is, [`paint`] writes it down.

mod layout;
mod paint;

use crate::document::Definition;

/// The picture. The same definition gives the same bytes.
pub fn svg(definition: &Definition) -> String {
    paint::paint(definition, &layout::layout(definition))
}
