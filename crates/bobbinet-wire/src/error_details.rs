//! What error objects of all dialects say in the same words, wherever it stands in them.

use std::time::Duration;

use crate::{
    error::{Error, FieldViolation},
    write::{Object, object},
};

/// Writes what else a program may want to know, with a hint: the error's own, or its kind's.
pub(crate) fn metadata(fields: &mut Object<'_>, error: &Error, hint_of_kind: &str) {
    fields.object("metadata", |metadata| {
        for (key, value) in error.metadata() {
            metadata.text(key, value);
        }
        metadata.text("hint", error.hint().unwrap_or(hint_of_kind));
    });
}

/// Writes the fields at fault.
pub(crate) fn violations(fields: &mut Object<'_>, violations: &[FieldViolation]) {
    fields.list("fieldViolations", violations, |out, violation| {
        object(out, |fields| {
            fields.text("field", &violation.field);
            fields.text("description", &violation.description);
        });
    });
}

/// Writes when to try again, as ProtoJSON has a time.
pub(crate) fn retry_delay(fields: &mut Object<'_>, delay: Duration) {
    fields.text("retryDelay", &format!("{}s", delay.as_secs_f64()));
}
