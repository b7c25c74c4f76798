//! Webhooks in 0.3: `{taskId, pushNotificationConfig}`, with a list of schemes of which the first is used.

use bobbinet_core::{
    PushAuthentication, PushConfig, PushOperation, PushView, Secret,
    push::{CreatePushParams, DeletePushParams, GetPushParams, ListPushParams},
};
use serde::de::{Deserializer, MapAccess};

use super::version::{At, V0_3, VERSION};
use crate::{
    error::FieldViolation,
    faults::Author,
    from_proto::{self, Field, FromProto, ObjectBuilder, read_field, read_object, skip},
    push::{self, PushFields},
    scalar::NonEmpty,
    write::{Object, Sink, array, object},
};

/// Writes a `TaskPushNotificationConfig`, without what is secret.
pub fn write_config(out: &mut impl Sink, config: &PushView) {
    object(out, |fields| {
        fields.text("taskId", &config.task);
        write_shown(fields, config);
    });
}

/// Writes the webhook itself, which is alike in both JSONs of 0.3.
pub(crate) fn write_shown<S: Sink>(fields: &mut Object<'_, S>, config: &PushView) {
    fields.object("pushNotificationConfig", |inner| {
        inner.text("id", &config.id);
        inner.text("url", &config.url);
        if let Some(scheme) = &config.scheme {
            inner.object("authentication", |fields| fields.texts("schemes", [scheme]));
        }
    });
}

/// Writes the result of `tasks/pushNotificationConfig/list`: all of them.
pub fn write_configs(out: &mut impl Sink, configs: &[PushView]) {
    array(out, configs, |out, config| write_config(out, config));
}

/// Writes the result of `tasks/pushNotificationConfig/delete`.
pub fn write_deleted(out: &mut impl Sink) {
    out.bytes().extend_from_slice(b"null");
}

/// Writes what a client asks about webhooks.
pub(super) fn write_params<S: Sink>(params: &mut Object<'_, S>, operation: &PushOperation) {
    match operation {
        PushOperation::Create(create) => {
            params.text("taskId", &create.task);
            params.object("pushNotificationConfig", |fields| write_fields(fields, &create.config));
        }
        PushOperation::Get(get) => {
            params.text("id", &get.task);
            params.text_if_some("pushNotificationConfigId", get.id.as_deref());
        }
        PushOperation::List(list) => params.text("id", &list.task),
        PushOperation::Delete(delete) => {
            params.text("id", &delete.task);
            params.text("pushNotificationConfigId", &delete.id);
        }
    }
}

/// Writes a webhook as a client asks for it, secrets and all.
pub(super) fn write_fields<S: Sink>(fields: &mut Object<'_, S>, config: &PushConfig) {
    fields.text_if_some("id", config.id.as_deref());
    fields.text("url", &config.url);
    fields.text_if_some("token", config.token.as_ref().map(Secret::reveal));
    if let Some(authentication) = &config.authentication {
        fields.object("authentication", |inner| {
            inner.texts("schemes", [&authentication.scheme]);
            inner.text_if_some("credentials", authentication.credentials.as_ref().map(Secret::reveal));
        });
    }
}

/// Reads a webhook that comes in the other JSON of 0.3, which has it alike.
pub(crate) fn read_config(text: &str) -> Result<Box<PushConfig>, Vec<FieldViolation>> {
    from_proto::read::<V0_3, _>(text, Author::Client)
}

impl<'de> FromProto<'de, V0_3> for Box<PushConfig> {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<ConfigFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct ConfigFields<'de> {
    id: Field<NonEmpty<'de>>,
    url: Field<NonEmpty<'de>>,
    token: Field<NonEmpty<'de>>,
    authentication: Field<Schemes>,
}

impl<'de> ObjectBuilder<'de, V0_3> for ConfigFields<'de> {
    type Output = Box<PushConfig>;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "id" => read_field(&mut self.id, map, at, "id")?,
            "url" => read_field(&mut self.url, map, at, "url")?,
            "token" => read_field(&mut self.token, map, at, "token")?,
            "authentication" => read_field(&mut self.authentication, map, at, "authentication")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<Box<PushConfig>> {
        let Self { id, url, token, authentication } = self;
        let authentication = match authentication {
            Field::Given(Schemes(Some(authentication))) => Field::Given(authentication),
            Field::Given(Schemes(None)) | Field::Absent => Field::Absent,
            Field::Wrong => Field::Wrong,
        };
        push::config(PushFields { id, url, token, authentication }, at, VERSION).map(Box::new)
    }
}

/// The first of the schemes that a receiver takes, if it names any.
struct Schemes(Option<PushAuthentication>);

impl<'de> FromProto<'de, V0_3> for Schemes {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<SchemesFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct SchemesFields<'de> {
    schemes: Field<Vec<NonEmpty<'de>>>,
    credentials: Field<NonEmpty<'de>>,
}

impl<'de> ObjectBuilder<'de, V0_3> for SchemesFields<'de> {
    type Output = Schemes;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "schemes" => read_field(&mut self.schemes, map, at, "schemes")?,
            "credentials" => read_field(&mut self.credentials, map, at, "credentials")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<Schemes> {
        let schemes = self.schemes.required(at, "schemes")?;
        match schemes.into_iter().next() {
            Some(first) => push::authentication(first.into_owned(), self.credentials, at, "schemes")
                .map(|first| Schemes(Some(first))),
            None => Some(Schemes(None)),
        }
    }
}

impl<'de> FromProto<'de, V0_3> for Box<CreatePushParams> {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<CreateFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct CreateFields<'de> {
    task: Field<NonEmpty<'de>>,
    config: Field<Box<PushConfig>>,
}

impl<'de> ObjectBuilder<'de, V0_3> for CreateFields<'de> {
    type Output = Box<CreatePushParams>;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "taskId" => read_field(&mut self.task, map, at, "taskId")?,
            "pushNotificationConfig" => read_field(&mut self.config, map, at, "pushNotificationConfig")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<Box<CreatePushParams>> {
        let task = self.task.required(at, "taskId");
        let config = self.config.required(at, "pushNotificationConfig")?;
        Some(Box::new(CreatePushParams { task: task?.into_owned(), config: *config, tenant: None }))
    }
}

/// Which webhooks are asked about: those of a task, or one of them.
#[derive(Default)]
struct AskedFields<'de> {
    task: Field<NonEmpty<'de>>,
    id: Field<NonEmpty<'de>>,
}

impl<'de> ObjectBuilder<'de, V0_3> for AskedFields<'de> {
    type Output = (String, Option<String>);

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "id" => read_field(&mut self.task, map, at, "id")?,
            "pushNotificationConfigId" => read_field(&mut self.id, map, at, "pushNotificationConfigId")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<(String, Option<String>)> {
        let task = self.task.required(at, "id")?.into_owned();
        Some((task, self.id.optional().map(NonEmpty::into_owned)))
    }
}

/// 0.3 lets the webhook's id be left out here.
impl<'de> FromProto<'de, V0_3> for GetPushParams {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        let asked = read_object::<AskedFields<'de>, _, _>(from, at)?;
        Ok(asked.map(|(task, id)| Self { task, id, tenant: None }))
    }
}

impl<'de> FromProto<'de, V0_3> for ListPushParams {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        let asked = read_object::<AskedFields<'de>, _, _>(from, at)?;
        Ok(asked.map(|(task, _)| Self { task, ..Self::default() }))
    }
}

impl<'de> FromProto<'de, V0_3> for DeletePushParams {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        Ok(match read_object::<AskedFields<'de>, _, _>(from, at)? {
            Field::Given((task, Some(id))) => Field::Given(Self { task, id, tenant: None }),
            Field::Given((_, None)) => {
                at.field("pushNotificationConfigId").wrong("is required");
                Field::Wrong
            }
            Field::Absent => Field::Absent,
            Field::Wrong => Field::Wrong,
        })
    }
}

/// A webhook as its agent shows it: what is secret in it is passed over.
impl<'de> FromProto<'de, V0_3> for PushView {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<ViewFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct ViewFields<'de> {
    task: Field<NonEmpty<'de>>,
    config: Field<Shown>,
}

impl<'de> ObjectBuilder<'de, V0_3> for ViewFields<'de> {
    type Output = PushView;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "taskId" => read_field(&mut self.task, map, at, "taskId")?,
            "pushNotificationConfig" => read_field(&mut self.config, map, at, "pushNotificationConfig")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<PushView> {
        let Shown { id, url, scheme } = self.config.required(at, "pushNotificationConfig")?;
        let task = self.task.optional().map(NonEmpty::into_owned).unwrap_or_default();
        Some(PushView { task, id, url, scheme })
    }
}

/// What an agent shows of a webhook beside its task.
struct Shown {
    id: String,
    url: String,
    scheme: Option<String>,
}

impl<'de> FromProto<'de, V0_3> for Shown {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<ShownFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct ShownFields<'de> {
    id: Field<NonEmpty<'de>>,
    url: Field<NonEmpty<'de>>,
    scheme: Field<ShownScheme>,
}

impl<'de> ObjectBuilder<'de, V0_3> for ShownFields<'de> {
    type Output = Shown;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "id" => read_field(&mut self.id, map, at, "id")?,
            "url" => read_field(&mut self.url, map, at, "url")?,
            "authentication" => read_field(&mut self.scheme, map, at, "authentication")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<Shown> {
        Some(Shown {
            url: self.url.required(at, "url")?.into_owned(),
            id: self.id.optional().map(NonEmpty::into_owned).unwrap_or_default(),
            scheme: self.scheme.optional().and_then(|ShownScheme(scheme)| scheme),
        })
    }
}

/// The first of the schemes that an agent says it authenticates with, if it says any.
struct ShownScheme(Option<String>);

impl<'de> FromProto<'de, V0_3> for ShownScheme {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<ShownSchemesFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct ShownSchemesFields<'de> {
    schemes: Field<Vec<NonEmpty<'de>>>,
}

impl<'de> ObjectBuilder<'de, V0_3> for ShownSchemesFields<'de> {
    type Output = ShownScheme;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "schemes" => read_field(&mut self.schemes, map, at, "schemes"),
            _ => skip(map),
        }
    }

    fn finish(self, _: &At<'_>) -> Option<ShownScheme> {
        let first = self.schemes.optional().and_then(|schemes| schemes.into_iter().next());
        Some(ShownScheme(first.map(NonEmpty::into_owned)))
    }
}
