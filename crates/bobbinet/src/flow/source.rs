//! A flow's file, and what is said of it.

use std::{fs::File, io::Read, path::Path};

use bobbinet_flow::{
    finding::{Finding, Severity},
    limits::Limits,
};

use crate::{
    failure::{Code, Failure},
    remark::{Remark, remark},
};

/// The text of a flow, or as much of one as is too much.
pub(super) fn read(path: &Path, limits: &Limits) -> Result<String, Failure> {
    let cannot = |why: String| {
        let failure = Failure::new(Code::Config, format!("{} cannot be read: {why}", path.display()));
        failure.hint("name a file with a flow: bobbinet flow check FILE")
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| cannot(error.to_string()))?;
    let max = u64::try_from(limits.document_bytes).unwrap_or(u64::MAX).saturating_add(1);
    file.take(max).read_to_end(&mut bytes).map_err(|error| cannot(error.to_string()))?;
    if bytes.len() > limits.document_bytes {
        return Err(cannot(format!("it is larger than the {} bytes that a flow may have", limits.document_bytes)));
    }
    String::from_utf8(bytes).map_err(|_| cannot("it is no text in UTF-8".to_owned()))
}

/// Says something that was found, on standard error.
pub(super) fn tell(finding: &Finding) {
    match finding.severity {
        Severity::Error => remark(Remark::Error, finding),
        Severity::Warning => remark(Remark::Warning, finding),
        Severity::Note => remark(Remark::Note, finding),
    }
}
