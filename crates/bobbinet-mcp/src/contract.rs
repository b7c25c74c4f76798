//! A result that breaks the schema which its tool declares is no result: nobody who relies on the schema is given it. It is kept apart as it
//! came, for the task's owner to look at.

use bobbinet_core::{Content, Fault, Json, Outcome};
use bobbinet_engine::{BlobError, BlobKind, KeptBlob, Run};

use crate::{
    call_listener::Target,
    json_object::JsonObject,
    references,
    result::CallResult,
    schema::{self, Violation},
    schema_check,
    supervised_session::SupervisedSession,
};

/// Of how many violations the words of the failure tell. Its data has all that were looked for.
const TOLD_MAX: usize = 3;

/// What is kept apart is JSON as the server wrote it.
const MEDIA_TYPE: &str = "application/json";

/// What a call comes to whose result breaks what its tool declares. The tool has run, and may have done what was asked.
pub(crate) async fn breach(
    session: &SupervisedSession,
    run: &Run,
    target: &Target,
    json: &Json,
    result: &CallResult,
) -> Option<Outcome> {
    let catalog = session.catalog();
    let tool = catalog.as_deref().and_then(|catalog| catalog.get(target.tool.as_str()))?;
    let violations = schema_check::check(tool.output.as_ref()?, result.structured()?).await;
    if violations.is_empty() {
        return None;
    }
    let (agent, tool) = (&session.config.name, target.tool.as_str());
    tracing::warn!(agent, tool, "a result is not as its tool declares, and is kept apart");
    let kept = keep_apart(run, json).await;
    Some(Outcome::Unreadable(fault(tool, &violations, kept)))
}

async fn keep_apart(run: &Run, json: &Json) -> Result<KeptBlob, BlobError> {
    let kind = BlobKind { media_type: Some(MEDIA_TYPE.into()), filename: None };
    let content = Content::Data(json.clone());
    let kept = run.quarantine_blob(kind, references::pieces(&content)).await;
    kept.inspect_err(|error| tracing::warn!(task = %run.task().id, %error, "such a result could not be kept"))
}

fn fault(tool: &str, violations: &[Violation], kept: Result<KeptBlob, BlobError>) -> Fault {
    let told = violations.iter().take(TOLD_MAX).map(|violation| match violation.path.as_str() {
        "" => violation.text.clone(),
        path => format!("{path}: {}", violation.text),
    });
    let told = told.collect::<Vec<_>>().join("; ");
    let mut data = JsonObject::default();
    data.set("errors", schema::errors(violations));
    let place = match kept {
        Ok(KeptBlob { url, hash, length }) => {
            let result = serde_json::json!({
                "url": url, "sha256": hash.to_string(), "size": length, "mediaType": MEDIA_TYPE, "quarantined": true,
            });
            data.set("result", Json::from(&result));
            format!("What came is kept apart for the owner of this task, at {url}")
        }
        Err(error) => format!("What came is not kept ({error})"),
    };
    let text = format!(
        "the result of `{tool}` is not as the tool declares it (outputSchema): {told}. It has run, and may have done what was asked. \
         {place}"
    );
    Fault { data: Some(data.to_json()), ..Fault::new("contract", text) }
}
