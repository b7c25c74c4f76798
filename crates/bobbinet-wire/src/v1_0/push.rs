//! Webhooks in 1.0: one flat object in requests and answers, `pushNotificationConfigs` in a page.

use bobbinet_core::{
    PushAuthentication, PushConfig, PushPage, PushView, Secret,
    push::{CreatePushParams, DeletePushParams, GetPushParams, ListPushParams},
};
use serde::de::{Deserializer, MapAccess};

use super::version::{At, V1_0, VERSION};
use crate::{
    from_proto::{Field, FromProto, ObjectBuilder, read_field, read_object, skip},
    push::{self, PushFields},
    scalar::NonEmpty,
    write::{Object, Sink, object},
};

/// Writes a `TaskPushNotificationConfig`, without what is secret.
pub fn write_config(out: &mut impl Sink, config: &PushView) {
    object(out, |fields| {
        fields.text("id", &config.id);
        fields.text("taskId", &config.task);
        fields.text("url", &config.url);
        if let Some(scheme) = &config.scheme {
            fields.object("authentication", |inner| inner.text("scheme", scheme));
        }
    });
}

/// Writes the result of `ListTaskPushNotificationConfigs`.
pub fn write_configs(out: &mut impl Sink, page: &PushPage) {
    object(out, |fields| {
        fields.list("configs", &page.configs, |out, config| write_config(out, config));
        fields.text("nextPageToken", page.next_page_token.as_deref().unwrap_or_default());
    });
}

/// Writes the result of `DeleteTaskPushNotificationConfig`.
pub fn write_deleted(out: &mut impl Sink) {
    object(out, |_| ());
}

/// Writes a webhook as a client asks for it, secrets and all.
pub(super) fn write_fields<S: Sink>(fields: &mut Object<'_, S>, config: &PushConfig) {
    fields.text_if_some("id", config.id.as_deref());
    fields.text("url", &config.url);
    fields.text_if_some("token", config.token.as_ref().map(Secret::reveal));
    if let Some(authentication) = &config.authentication {
        fields.object("authentication", |inner| {
            inner.text("scheme", &authentication.scheme);
            inner.text_if_some("credentials", authentication.credentials.as_ref().map(Secret::reveal));
        });
    }
}

/// A webhook, and the task that it says it is of.
struct OfTask {
    task: Option<String>,
    config: PushConfig,
    tenant: Option<String>,
}

impl<'de> FromProto<'de, V1_0> for OfTask {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<ConfigFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct ConfigFields<'de> {
    id: Field<NonEmpty<'de>>,
    task: Field<NonEmpty<'de>>,
    url: Field<NonEmpty<'de>>,
    token: Field<NonEmpty<'de>>,
    authentication: Field<PushAuthentication>,
    tenant: Field<NonEmpty<'de>>,
}

impl<'de> ObjectBuilder<'de, V1_0> for ConfigFields<'de> {
    type Output = OfTask;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "id" => read_field(&mut self.id, map, at, "id")?,
            "taskId" => read_field(&mut self.task, map, at, "taskId")?,
            "url" => read_field(&mut self.url, map, at, "url")?,
            "token" => read_field(&mut self.token, map, at, "token")?,
            "authentication" => read_field(&mut self.authentication, map, at, "authentication")?,
            "tenant" => read_field(&mut self.tenant, map, at, "tenant")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<OfTask> {
        let Self { id, task, url, token, authentication, tenant } = self;
        let config = push::config(PushFields { id, url, token, authentication }, at, VERSION)?;
        let owned = |text: Field<NonEmpty<'_>>| text.optional().map(NonEmpty::into_owned);
        Some(OfTask { task: owned(task), config, tenant: owned(tenant) })
    }
}

impl<'de> FromProto<'de, V1_0> for PushAuthentication {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<AuthenticationFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct AuthenticationFields<'de> {
    scheme: Field<NonEmpty<'de>>,
    credentials: Field<NonEmpty<'de>>,
}

impl<'de> ObjectBuilder<'de, V1_0> for AuthenticationFields<'de> {
    type Output = PushAuthentication;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "scheme" => read_field(&mut self.scheme, map, at, "scheme")?,
            "credentials" => read_field(&mut self.credentials, map, at, "credentials")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<PushAuthentication> {
        let scheme = self.scheme.required(at, "scheme")?.into_owned();
        push::authentication(scheme, self.credentials, at, "scheme")
    }
}

/// In a message the task is the message's, whatever the webhook says.
impl<'de> FromProto<'de, V1_0> for Box<PushConfig> {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        Ok(OfTask::read(from, at)?.map(|of| Box::new(of.config)))
    }
}

impl<'de> FromProto<'de, V1_0> for Box<CreatePushParams> {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        Ok(match OfTask::read(from, at)? {
            Field::Given(OfTask { task: Some(task), config, tenant }) => {
                Field::Given(Self::new(CreatePushParams { task, config, tenant }))
            }
            Field::Given(OfTask { task: None, .. }) => {
                at.field("taskId").wrong("is required");
                Field::Wrong
            }
            Field::Absent => Field::Absent,
            Field::Wrong => Field::Wrong,
        })
    }
}

/// The fields of what asks about webhooks that are there.
#[derive(Default)]
struct AskedFields<'de> {
    task: Field<NonEmpty<'de>>,
    id: Field<NonEmpty<'de>>,
    page_size: Field<i32>,
    page_token: Field<NonEmpty<'de>>,
    tenant: Field<NonEmpty<'de>>,
}

/// What asks about webhooks that are there.
struct Asked {
    task: String,
    id: Option<String>,
    page_size: Option<u32>,
    page_token: Option<String>,
    tenant: Option<String>,
}

impl<'de> ObjectBuilder<'de, V1_0> for AskedFields<'de> {
    type Output = Asked;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "taskId" => read_field(&mut self.task, map, at, "taskId")?,
            "id" => read_field(&mut self.id, map, at, "id")?,
            "pageSize" => read_field(&mut self.page_size, map, at, "pageSize")?,
            "pageToken" => read_field(&mut self.page_token, map, at, "pageToken")?,
            "tenant" => read_field(&mut self.tenant, map, at, "tenant")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<Asked> {
        let page_size = push::page_size(self.page_size, at);
        let owned = |text: Field<NonEmpty<'_>>| text.optional().map(NonEmpty::into_owned);
        Some(Asked {
            task: self.task.required(at, "taskId")?.into_owned(),
            id: owned(self.id),
            page_size,
            page_token: owned(self.page_token),
            tenant: owned(self.tenant),
        })
    }
}

impl<'de> FromProto<'de, V1_0> for Asked {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<AskedFields<'de>, _, _>(from, at)
    }
}

impl<'de> FromProto<'de, V1_0> for GetPushParams {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        Ok(named(Asked::read(from, at)?, at).map(|(Asked { task, tenant, .. }, id)| Self {
            task,
            id: Some(id),
            tenant,
        }))
    }
}

impl<'de> FromProto<'de, V1_0> for DeletePushParams {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        Ok(named(Asked::read(from, at)?, at).map(|(Asked { task, tenant, .. }, id)| Self { task, id, tenant }))
    }
}

impl<'de> FromProto<'de, V1_0> for ListPushParams {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        Ok(Asked::read(from, at)?.map(|Asked { task, id: _, page_size, page_token, tenant }| Self {
            task,
            page_size,
            page_token,
            tenant,
        }))
    }
}

/// What must say which one it means.
fn named(asked: Field<Asked>, at: &At<'_>) -> Field<(Asked, String)> {
    match asked {
        Field::Given(mut asked) => match asked.id.take() {
            Some(id) => Field::Given((asked, id)),
            None => {
                at.field("id").wrong("is required");
                Field::Wrong
            }
        },
        Field::Absent => Field::Absent,
        Field::Wrong => Field::Wrong,
    }
}

/// A webhook as its agent shows it: what is secret in it is passed over.
impl<'de> FromProto<'de, V1_0> for PushView {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<ViewFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct ViewFields<'de> {
    id: Field<NonEmpty<'de>>,
    task: Field<NonEmpty<'de>>,
    url: Field<NonEmpty<'de>>,
    scheme: Field<ShownScheme>,
}

impl<'de> ObjectBuilder<'de, V1_0> for ViewFields<'de> {
    type Output = PushView;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "id" => read_field(&mut self.id, map, at, "id")?,
            "taskId" => read_field(&mut self.task, map, at, "taskId")?,
            "url" => read_field(&mut self.url, map, at, "url")?,
            "authentication" => read_field(&mut self.scheme, map, at, "authentication")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<PushView> {
        let text = |text: Field<NonEmpty<'_>>| text.optional().map(NonEmpty::into_owned).unwrap_or_default();
        Some(PushView {
            url: self.url.required(at, "url")?.into_owned(),
            task: text(self.task),
            id: text(self.id),
            scheme: self.scheme.optional().and_then(|ShownScheme(scheme)| scheme),
        })
    }
}

/// The scheme that an agent says it authenticates with, if it says one.
struct ShownScheme(Option<String>);

impl<'de> FromProto<'de, V1_0> for ShownScheme {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<ShownFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct ShownFields<'de> {
    scheme: Field<NonEmpty<'de>>,
}

impl<'de> ObjectBuilder<'de, V1_0> for ShownFields<'de> {
    type Output = ShownScheme;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "scheme" => read_field(&mut self.scheme, map, at, "scheme"),
            _ => skip(map),
        }
    }

    fn finish(self, _: &At<'_>) -> Option<ShownScheme> {
        Some(ShownScheme(self.scheme.optional().map(NonEmpty::into_owned)))
    }
}

impl<'de> FromProto<'de, V1_0> for PushPage {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<PageFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct PageFields<'de> {
    configs: Field<Vec<PushView>>,
    next_page_token: Field<NonEmpty<'de>>,
}

impl<'de> ObjectBuilder<'de, V1_0> for PageFields<'de> {
    type Output = PushPage;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "configs" => read_field(&mut self.configs, map, at, "configs")?,
            "nextPageToken" => read_field(&mut self.next_page_token, map, at, "nextPageToken")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, _: &At<'_>) -> Option<PushPage> {
        Some(PushPage {
            configs: self.configs.optional().unwrap_or_default(),
            next_page_token: self.next_page_token.optional().map(NonEmpty::into_owned),
        })
    }
}
