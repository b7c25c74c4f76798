//! The requests that are about resources and prompts, and the completion of their arguments.

use std::collections::BTreeMap;

use bobbinet_core::{AgentName, Call, Effect, Json, Part, SkillId};

use crate::{
    dispatch::{Request, Start, Step},
    linked,
    object::Object,
    offered::{self, Address, Found, Offered},
    pages::{Cursor, Page},
    reading::{self, Shape},
    result,
    rpc::RpcError,
    tools::{self, await_started},
};

/// The skill by which an agent of an MCP server completes arguments for those who see nothing but skills: policy is asked about it.
const COMPLETE: &str = "argument:complete";

impl Request {
    pub(crate) async fn prompts(&self) -> Result<Json, RpcError> {
        let gateway = self.door.server.gateway();
        await_started(gateway, self.door.list_patience()).await;
        let named = offered::prompts(gateway, &self.caller, self.door.naming);
        self.page("prompts", "name", named)
    }

    pub(crate) async fn resources(&self, address: Address) -> Result<Json, RpcError> {
        let gateway = self.door.server.gateway();
        await_started(gateway, self.door.list_patience()).await;
        let shown = offered::resources(gateway, &self.caller, address);
        match address {
            Address::Resource => self.page("resources", "uri", shown),
            Address::Template => self.page("resourceTemplates", "uriTemplate", shown),
        }
    }

    fn page(&self, field: &'static str, key: &'static str, all: BTreeMap<String, Offered>) -> Result<Json, RpcError> {
        let cursor = Cursor::of(&self.params)?;
        let limits = &self.door.limits;
        let page = Page::fill(&cursor, Vec::new(), all, |name, offered| offered.shown(key, name), limits);
        Ok(page.to_json(field, Object::default(), self.client.revision, limits))
    }

    /// Fills in a prompt.
    pub(crate) async fn prompt(&self) -> Result<Step, RpcError> {
        let name: String = self.params.required("name")?;
        let arguments = self.arguments()?.unwrap_or_else(|| Object::default().to_json());
        let offered = self.prompt_of(&name).await?;
        let work = self.work(vec![Part::data(arguments)])?;
        let (agent, skill) = (offered.agent, Some(offered.skill));
        Ok(Step::Start(Start { agent, skill, is_strict: false, shape: Shape::Prompt, work }))
    }

    async fn prompt_of(&self, name: &str) -> Result<Offered, RpcError> {
        let gateway = self.door.server.gateway();
        self.door.await_started_shortly().await;
        let found = offered::prompts(gateway, &self.caller, self.door.naming).remove(name);
        found.ok_or_else(|| {
            let name: String = name.chars().take(200).collect();
            let text = format!("there is no prompt {name:?} for you here: prompts/list says which there are");
            RpcError::invalid_params(&text)
        })
    }

    /// Reads a resource.
    pub(crate) async fn resource(&self) -> Result<Step, RpcError> {
        let shown: String = self.params.required("uri")?;
        if let Some(place) = self.door.server.gateway().blob_place(&shown) {
            return linked::read(&self.door, &self.caller, &shown, &place, self.client.revision)
                .await
                .map(Step::Answer);
        }
        self.door.await_started_shortly().await;
        let found = offered::find(self.door.server.gateway(), &self.caller, &shown);
        let (agent, skill, own) = match found {
            Found::One { agent, skill, own } => (agent, skill, own),
            Found::None => return Err(reading::no_resource(&shown, self.client.revision)),
            Found::Several(agents) => return Err(offered::several(&agents, &shown)),
        };
        let work = self.work(vec![Part::data(Object::default().with("uri", &own).to_json())])?;
        let shape = Shape::Resource { shown, own };
        Ok(Step::Start(Start { agent, skill: Some(skill), is_strict: false, shape, work }))
    }

    /// Proposes values for an argument, in the words of the server that has it.
    pub(crate) async fn complete(&self) -> Result<Json, RpcError> {
        let mut reference: BTreeMap<String, Json> = self.params.required("ref")?;
        let text = |reference: &BTreeMap<String, Json>, name: &str| -> Result<String, RpcError> {
            let missing = || RpcError::invalid_params(&format!("`ref` has no `{name}`, a text"));
            reference.get(name).and_then(|value| value.read().ok()).ok_or_else(missing)
        };
        let gateway = self.door.server.gateway();
        let (agent, key, own) = match text(&reference, "type")?.as_str() {
            "ref/prompt" => {
                let offered = self.prompt_of(&text(&reference, "name")?).await?;
                (offered.agent, "name", offered.own)
            }
            "ref/resource" => {
                let uri = text(&reference, "uri")?;
                self.door.await_started_shortly().await;
                let template = offered::resources(gateway, &self.caller, Address::Template).remove(&uri);
                match (template, offered::find(gateway, &self.caller, &uri)) {
                    (Some(template), _) => (template.agent, "uri", template.own),
                    (None, Found::One { agent, own, .. }) => (agent, "uri", own),
                    (None, Found::Several(agents)) => return Err(offered::several(&agents, &uri)),
                    (None, Found::None) => return Err(reading::no_resource(&uri, self.client.revision)),
                }
            }
            _ => return Err(RpcError::invalid_params("`ref` is a ref/prompt or a ref/resource")),
        };
        reference.insert(key.to_owned(), Json::of(&own));
        let argument: Json = self.params.required("argument")?;
        self.may_complete(&agent, key, &own, &argument)?;
        let params = Object::default().with("ref", &reference).with("argument", &argument);
        let params = params.with_some("context", self.params.get("context")).to_json();
        let proposed = match gateway.agent(&agent) {
            Some(agent) => {
                agent.complete(&params).await.map_err(|fault| RpcError::of_server(-32603, &fault.text, None))?
            }
            None => Json::of(&Object::default().with("values", &Vec::<String>::new())),
        };
        let completed = Object::default().with("completion", &proposed);
        Ok(match self.client.revision.is_stateless() {
            true => result::stateless(completed, Object::default()).to_json(),
            false => completed.to_json(),
        })
    }
    /// Whether this caller may have the agent asked: as he would ask it by a skill, though it is no task here.
    fn may_complete(&self, agent: &AgentName, key: &str, own: &str, argument: &Json) -> Result<(), RpcError> {
        let fields: BTreeMap<String, Json> = argument.read().unwrap_or_default();
        let what = if key == "name" { "prompt" } else { "resource" };
        let context: BTreeMap<String, Json> = self.params.optional("context")?.unwrap_or_default();
        let arguments = Object::default()
            .with(what, own)
            .with_some("argument", fields.get("name"))
            .with_some("value", fields.get("value"))
            .with_some("arguments", context.get("arguments"));
        let call = Call {
            skill: SkillId::parse(COMPLETE).ok(),
            arguments: Some(arguments.to_json()),
            ..Call::of_message(Effect::ReadOnly)
        };
        let allowed = self.door.server.gateway().may_call(&tools::context(&self.caller, agent), &call);
        allowed.map_err(|error| RpcError::inside(&self.door.server.fault_of(error)))
    }
}
