//! A host is asked in the middle of a call, on the stream of that call, as the revisions with sessions have it.

use std::sync::Arc;

use bobbinet_core::{Json, TaskId};

use crate::{
    asked::{self, Asked},
    call::{Call, Over},
    question::Answered,
    reading::Shape,
    rpc,
    sessions::Session,
    tasks,
};

impl Call {
    /// Asks the client, on the stream of its request.
    pub(crate) async fn ask(&self, session: &Arc<Session>, asked: &Asked, task: &TaskId) -> Result<Answered, Over> {
        let requests = match asked {
            Asked::One(elicitation) => {
                return Ok(match self.request(session, "elicitation/create", &elicitation.params, task).await? {
                    Ok(answer) => answer.map_or(Answered::Unclear, |answer| elicitation.read(&answer)),
                    Err(unheard) => unheard,
                });
            }
            Asked::Several { requests, .. } => requests,
        };
        let mut results = Vec::with_capacity(requests.len());
        for (name, request) in requests {
            let (method, params) = request.shown();
            match self.request(session, method, params, task).await? {
                Ok(answer) => results.push((name.clone(), request.told(answer.as_ref()))),
                Err(unheard) => return Ok(unheard),
            }
        }
        Ok(asked::tell(results).unwrap_or(Answered::Unclear))
    }

    /// What the client answers to one request of ours, unless it was an error. `Err`: what it is when nobody hears it any more.
    async fn request(
        &self,
        session: &Arc<Session>,
        method: &str,
        params: &Json,
        task: &TaskId,
    ) -> Result<Result<Option<Json>, Answered>, Over> {
        let mut asked = session.ask();
        // On the stream of a task it says which that is.
        let params = match self.shape {
            Shape::Payload => tasks::related(params, task),
            Shape::Tool | Shape::Resource { .. } | Shape::Prompt => params.clone(),
        };
        self.say(rpc::request(&asked.id, method, &params)).await?;
        tokio::select! {
            biased;
            answer = asked.answered() => Ok(Ok(answer)),
            () = self.canceled.cancelled() => Ok(Err(Answered::Refused)),
            () = self.gone() => Err(Over::Gone),
            () = self.stopped() => Ok(Err(Answered::Unclear)),
        }
    }
}
