//! Webhooks at the door: who may ask for one, and of which task.

use std::sync::Arc;

use bobbinet_auth::Action;
use bobbinet_core::{
    PushConfig, PushPage, PushView, TaskId,
    push::{CreatePushParams, DeletePushParams, GetPushParams, ListPushParams},
};
use bobbinet_engine::{Agent, EngineError, Handle, PlannedTask};
use bobbinet_push::{Letters, Of, Registered, WebhookError, Webhooks};

use crate::{
    Gateway, GatewayError, RequestContext, Unsupported,
    gateway::{Denial, task_id},
};

impl Gateway {
    /// Whether callers may have events sent to them.
    pub fn has_webhooks(&self) -> bool {
        self.webhooks.is_some()
    }

    /// Adds a webhook to a task, or puts it in the place of the one of its id.
    ///
    /// # Errors
    /// [`GatewayError::NotFound`] also for somebody else's task; [`GatewayError::Webhook`] if it is not to be had.
    pub async fn create_webhook(
        &self,
        context: &RequestContext<'_>,
        params: &CreatePushParams,
    ) -> Result<PushView, GatewayError> {
        self.webhooks(context)?;
        self.enter(context, Action::Subscribe(context.agent), Denial::NotFound)?;
        Ok(self.add_webhook(context, &task_id(&params.task)?, &params.config).await?.view)
    }

    /// Shows a webhook of a task, without what is secret.
    ///
    /// # Errors
    /// [`GatewayError::NotFound`] if there is none, or the task is somebody else's.
    pub async fn webhook(
        &self,
        context: &RequestContext<'_>,
        params: &GetPushParams,
    ) -> Result<PushView, GatewayError> {
        let (webhooks, id) = self.own_task(context, Action::Get(context.agent), &params.task).await?;
        Ok(webhooks.get(&id, params.id.as_deref()).await?)
    }

    /// Shows the webhooks of a task, without what is secret.
    ///
    /// # Errors
    /// [`GatewayError::NotFound`] also for somebody else's task.
    pub async fn list_webhooks(
        &self,
        context: &RequestContext<'_>,
        params: &ListPushParams,
    ) -> Result<PushPage, GatewayError> {
        let (webhooks, id) = self.own_task(context, Action::Get(context.agent), &params.task).await?;
        Ok(webhooks.list(&id, params.page_size, params.page_token.as_deref()).await?)
    }

    /// Removes a webhook of a task. One that is gone is no fault.
    ///
    /// # Errors
    /// [`GatewayError::NotFound`] if there is no such task, or it is somebody else's.
    pub async fn delete_webhook(
        &self,
        context: &RequestContext<'_>,
        params: &DeletePushParams,
    ) -> Result<(), GatewayError> {
        let (webhooks, id) = self.own_task(context, Action::Subscribe(context.agent), &params.task).await?;
        Ok(webhooks.remove(&id, &params.id).await?)
    }

    /// What has not arrived. For the node's owner alone.
    ///
    /// # Errors
    /// [`GatewayError::NotFound`] for anybody else.
    pub async fn letters(&self, context: &RequestContext<'_>) -> Result<Letters, GatewayError> {
        Ok(self.owners_webhooks(context)?.letters(context.caller).await?)
    }

    /// Tries a webhook again that waits or was given up. For the node's owner alone.
    ///
    /// # Errors
    /// [`GatewayError::NotFound`] for anybody else, and if there is none.
    pub async fn retry_letter(&self, context: &RequestContext<'_>, task: &str, id: &str) -> Result<(), GatewayError> {
        Ok(self.owners_webhooks(context)?.retry(&self.letters_task(context, task).await?, id).await?)
    }

    /// Removes a webhook. For the node's owner alone.
    ///
    /// # Errors
    /// [`GatewayError::NotFound`] for anybody else, and if there is none.
    pub async fn drop_letter(&self, context: &RequestContext<'_>, task: &str, id: &str) -> Result<(), GatewayError> {
        let (webhooks, task) = (self.owners_webhooks(context)?, self.letters_task(context, task).await?);
        webhooks.get(&task, Some(id)).await?;
        Ok(webhooks.remove(&task, id).await?)
    }

    /// The task of a letter, which may be of any agent of the tenant: its owner is not asked to know which.
    async fn letters_task(&self, context: &RequestContext<'_>, task: &str) -> Result<TaskId, GatewayError> {
        let id = task_id(task)?;
        let agents: Vec<_> = self.agents().chain(self.unserved()).collect();
        for agent in agents {
            match self.engine.get(context.caller, agent, &id).await {
                Ok(_) => return Ok(id),
                Err(EngineError::NotFound) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(GatewayError::NotFound)
    }

    fn owners_webhooks(&self, context: &RequestContext<'_>) -> Result<&Arc<Webhooks>, GatewayError> {
        self.allow(context, Action::Get(context.agent), Denial::NotFound)?;
        match &self.webhooks {
            Some(webhooks) if context.caller.is_node_owner => Ok(webhooks),
            Some(_) | None => Err(GatewayError::NotFound),
        }
    }

    pub(crate) fn webhooks(&self, context: &RequestContext<'_>) -> Result<&Arc<Webhooks>, GatewayError> {
        let of_agent = |agent: &Arc<dyn Agent>| agent.describe().capabilities.push_notifications;
        let webhooks = self.webhooks.as_ref().filter(|_| self.engine.agent(context.agent).is_none_or(of_agent));
        webhooks.ok_or_else(|| self.refuse(context, Unsupported::PushNotifications))
    }

    /// The caller's task, once policy lets him do this.
    async fn own_task(
        &self,
        context: &RequestContext<'_>,
        action: Action<'_>,
        task: &str,
    ) -> Result<(&Arc<Webhooks>, TaskId), GatewayError> {
        let webhooks = self.webhooks(context)?;
        self.enter(context, action, Denial::NotFound)?;
        let task = self.engine.get(context.caller, context.agent, &task_id(task)?).await?;
        Ok((webhooks, task.id))
    }

    /// Adds a webhook to a task of the caller's.
    pub(crate) async fn add_webhook(
        &self,
        context: &RequestContext<'_>,
        id: &TaskId,
        config: &PushConfig,
    ) -> Result<Registered, GatewayError> {
        let webhooks = self.webhooks(context)?;
        let task = self.engine.get(context.caller, context.agent, id).await?;
        let of = Of { tenant: task.tenant.clone(), owner: task.owner.clone(), agent: task.agent.clone() };
        Ok(webhooks.register(of, id, task.generation, config).await?)
    }

    /// Begins a task with a webhook. The webhook is kept first, so that the task is never there without it: one whose task does not come
    /// to be is taken back, and after a crash it is forgotten.
    pub(crate) async fn submit_with_webhook(
        &self,
        context: &RequestContext<'_>,
        planned: PlannedTask,
        config: &PushConfig,
    ) -> Result<Handle, GatewayError> {
        let webhooks = self.webhooks(context)?;
        let id = planned.id();
        let (tenant, owner) = (context.caller.tenant.clone(), context.caller.principal.clone());
        let of = Of { tenant, owner, agent: context.agent.clone() };
        let registered = webhooks.register_first(of, &id, config).await?;
        let begun = match self.engine.submit_planned(context.caller, planned) {
            Ok(handle) => handle.accepted().await.map(|task| (handle, task.id)),
            Err(error) => Err(error),
        };
        match begun {
            Ok((handle, task)) if task == id => Ok(handle),
            // The request came again under its key: the first one's webhook is there.
            Ok((handle, _)) => {
                self.take_back(&id, &registered).await;
                Ok(handle)
            }
            Err(error) => {
                self.take_back(&id, &registered).await;
                Err(error.into())
            }
        }
    }

    /// Removes a webhook of a message that does not count.
    pub(crate) async fn take_back(&self, id: &TaskId, registered: &Registered) {
        if let Some(webhooks) = &self.webhooks
            && let Err(error) = webhooks.take_back(id, registered).await
        {
            tracing::warn!(task = %id, %error, "a webhook of a message that does not count could not be taken back");
        }
    }
}

impl From<WebhookError> for GatewayError {
    fn from(error: WebhookError) -> Self {
        match error {
            WebhookError::NotFound => Self::NotFound,
            WebhookError::Engine(error) => Self::Engine(error),
            WebhookError::BadPageToken => Self::Engine(EngineError::BadPageToken),
            other @ (WebhookError::Url(_) | WebhookError::Seal) => Self::Webhook(other),
        }
    }
}
