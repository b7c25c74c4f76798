//! What a server wants to know before a call is made again (2026-07-28, and addresses to visit of 2025-11-25), and what its tasks want to
//! know while they run: as questions to our caller, and what nobody needs to be asked for.

use std::sync::Arc;

use bobbinet_core::{Fault, Json, Outcome};
use bobbinet_engine::{Run, Unanswered};
use serde::{Deserialize, Serialize};

use crate::{
    call_listener::{Target, ask_caller, canceled, lent_request, not_asked},
    caller_client::CallerClient,
    config::McpConfig,
    elicitation::Elicitation,
    input_requests::{self, ELICITATION, InputRequest, InputRequests},
    json_object::JsonObject,
    mailbox::RpcError,
    result::{CallResult, URL_REQUIRED},
    roots, sampling,
};

/// What a server wants to know before a call is made again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Questions {
    /// Each with the name that its answer goes under; without one, for an error that names addresses to visit.
    list: Vec<(String, Elicitation)>,
    /// What a language model is to say, each with the name that it goes under.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    samples: Vec<(String, Json)>,
    /// What our caller's client is asked at once.
    #[serde(default, skip_serializing_if = "InputRequests::is_empty")]
    requests: InputRequests,
    /// What nobody needs to be asked for.
    given: JsonObject,
    /// What the server wants to have back.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Json>,
}

impl Questions {
    /// Those of a result that is one. `Err`: what it asks for that is not offered to it.
    pub(crate) fn of_result(result: &CallResult, run: &Run, config: &McpConfig) -> Result<Self, String> {
        let asked = result.input_requests.as_ref();
        Ok(Self {
            state: result.request_state.clone(),
            ..Self::read(asked.into_iter().flat_map(JsonObject::iter), run, config)?
        })
    }

    /// Those of requests by name. `Err`: what is asked for that is not offered.
    pub(crate) fn read<'a>(
        requests: impl Iterator<Item = (&'a str, &'a Json)>,
        run: &Run,
        config: &McpConfig,
    ) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Input {
            method: String,
            #[serde(default)]
            params: Option<Json>,
        }
        let client = CallerClient::of(run.task(), config);
        let mut questions = Self::default();
        for (key, request) in requests {
            let input = request.read::<Input>().map_err(|_| "something unreadable".to_owned())?;
            if input.method == roots::METHOD && !config.roots.is_empty() {
                questions.given.set(key, roots::answer(&config.roots));
                continue;
            }
            if input.method == sampling::METHOD && config.sampling.is_some() {
                questions.samples.push((key.to_owned(), input.params.unwrap_or_else(|| Json::of(&()))));
                continue;
            }
            if client.answers(&input.method, config) {
                let params = input.params.unwrap_or_else(|| Json::of(&()));
                questions.requests.push(key, InputRequest::new(&input.method, params));
                continue;
            }
            let asked = input.params.as_ref().and_then(Elicitation::read);
            match asked.filter(|_| input.method == "elicitation/create") {
                Some(asked) => questions.list.push((key.to_owned(), asked.named(key))),
                None => return Err(format!("`{}`", input.method)),
            }
        }
        let forms = questions.list.iter().filter(|(_, asked)| asked.is_form()).count();
        if client.takes_several && forms + questions.requests.len() > 1 {
            let (forms, list) = std::mem::take(&mut questions.list).into_iter().partition(|(_, asked)| asked.is_form());
            questions.list = list;
            let forms: Vec<(String, Elicitation)> = forms;
            for (key, form) in forms {
                questions.requests.push(&key, InputRequest::new(ELICITATION, form.params()));
            }
        }
        Ok(questions)
    }

    /// Asks our caller's client what it is asked, all at once.
    async fn ask_client(
        &self,
        run: &Run,
        config: &McpConfig,
        target: &Target,
        round: u32,
        answered: usize,
    ) -> Result<JsonObject, Outcome> {
        let failed = |key: &str, why: &str| {
            let text = format!("`{}` asks its caller's client for `{key}`, and {why}", target.tool);
            Outcome::Failed(Fault::new("not-lent", text))
        };
        let mut requests = InputRequests::default();
        let mut samples = 0;
        for (key, request) in self.requests.iter() {
            if request.method == ELICITATION {
                requests.push(key, request.clone());
                continue;
            }
            samples += usize::from(request.method == sampling::METHOD);
            let request = lent_request(run, config, &request.method, &request.params, samples).await;
            requests.push(key, request.map_err(|why| failed(key, &why))?);
        }
        let question = requests.ask(run.message_id(&format!("q{round}.client")), &round.to_string());
        match ask_caller(run, Arc::new(question), answered).await {
            Ok(answer) => {
                let results = JsonObject::read(&answer).unwrap_or_default();
                let refused = results.iter().find_map(|(key, result)| Some((key, input_requests::refused(result)?)));
                match refused {
                    Some((key, why)) => Err(failed(key, &why)),
                    None => Ok(results),
                }
            }
            Err(Unanswered::Expired) => Err(Outcome::Declined),
            Err(Unanswered::Over) => Err(canceled(target, round)),
            Err(Unanswered::NotAsked(error)) => Err(not_asked(target, &error)),
        }
    }

    /// The addresses of an error that wants its user to visit them first (2025-11-25).
    pub(crate) fn of_error(error: &RpcError) -> Option<Self> {
        #[derive(Deserialize)]
        struct Data {
            elicitations: Vec<Json>,
        }
        let data = error.data.as_ref().filter(|_| error.code == URL_REQUIRED)?;
        let data = data.read::<Data>().ok()?;
        let list = data.elicitations.iter().filter_map(Elicitation::read).map(|asked| (String::new(), asked));
        let list = list.collect::<Vec<_>>();
        (!list.is_empty()).then(|| Self { list, ..Self::default() })
    }

    /// What the server wants to have back.
    pub(crate) fn state(&self) -> Option<&Json> {
        self.state.as_ref()
    }

    /// Asks our caller one after the other, unless he has said it since there were so many `answered`: all that the server wants to know,
    /// by its names. `Err`: the call is over.
    pub(crate) async fn answer(
        &self,
        run: &Run,
        config: &McpConfig,
        target: &Target,
        round: u32,
        answered: usize,
    ) -> Result<JsonObject, Outcome> {
        let mut answers = self.given.clone();
        for (number, (key, asked)) in self.list.iter().enumerate() {
            let question = Arc::new(asked.ask(run.message_id(&format!("q{round}.{number}"))));
            match ask_caller(run, question, answered).await {
                Ok(answer) if key.is_empty() && !is_accepted(&answer) => return Err(declined_by_user(target)),
                Ok(_) if key.is_empty() => {}
                Ok(answer) => answers.set(key, answer),
                // Nothing is held on the other side: there is nobody to tell.
                Err(Unanswered::Expired) => return Err(Outcome::Declined),
                Err(Unanswered::Over) => return Err(canceled(target, round)),
                Err(Unanswered::NotAsked(error)) => return Err(not_asked(target, &error)),
            }
        }
        if !self.requests.is_empty() {
            answers.merge(self.ask_client(run, config, target, round, answered).await?);
        }
        for (number, (key, params)) in self.samples.iter().enumerate() {
            let what = format!("{round}.{number}");
            let said = tokio::select! {
                biased;
                () = run.canceled() => return Err(canceled(target, round)),
                said = sampling::sample(run, config, &what, params) => said,
            };
            match said {
                Ok(said) => answers.set(key, said),
                Err(why) => {
                    let text = format!("`{}` wants a model to say something, and {why}", target.tool);
                    return Err(Outcome::Failed(Fault::new("sampling-failed", text)));
                }
            }
        }
        Ok(answers)
    }
}

/// A server wants what it was not offered.
pub(crate) fn not_offered(target: &Target, what: &str) -> Outcome {
    let text = format!("`{}` asks for {what}, which is not offered to it", target.tool);
    Outcome::Failed(Fault::new("unsupported-question", text))
}

pub(crate) fn is_accepted(answer: &Json) -> bool {
    JsonObject::read(answer).and_then(|fields| fields.text("action")).as_deref() == Some("accept")
}

pub(crate) fn declined_by_user(target: &Target) -> Outcome {
    let text = format!("`{}` needs its user to do something elsewhere first, and that was declined", target.tool);
    Outcome::Failed(Fault::new("declined", text))
}
