//! Decoding the parameters of a request; every fault is named, not the first one only.

use bobbinet_core::{
    ContextId, PushConfig, PushOperation, State, Timestamp,
    operation::{
        CancelParams, Configuration, ExtendedCardParams, GetParams, ListParams, Operation, PAGE_SIZE_DEFAULT,
        PAGE_SIZE_MAX, SendParams, SubscribeParams,
    },
};
use serde::de::{Deserializer, MapAccess};
use serde_json::value::RawValue;

use super::{
    names::Method,
    version::{At, V0_3},
};
use crate::{
    error::Error,
    faults::Author,
    from_proto::{self, Field, FromProto, ObjectBuilder, read_field, read_object, skip},
    rules,
    scalar::{NonEmpty, Struct},
    view::MessageView,
};

/// Reads what is asked. The error is [`InvalidParams`](crate::ErrorKind::InvalidParams), with all that is wrong.
pub fn decode(method: Method, params: Option<&RawValue>) -> Result<Operation, Error> {
    let of_task = |params| read::<TaskParams>(params);
    Ok(match method {
        Method::SendMessage => Operation::Send(read(params)?),
        Method::StreamMessage => Operation::SendStreaming(read(params)?),
        Method::GetTask => {
            let TaskParams { id, history_length, metadata: _ } = of_task(params)?;
            Operation::Get(GetParams { id, history_length, tenant: None })
        }
        Method::ListTasks => Operation::List(read(params)?),
        Method::CancelTask => {
            let TaskParams { id, history_length: _, metadata } = of_task(params)?;
            Operation::Cancel(CancelParams { id, metadata: metadata.map(|object| object.0), tenant: None })
        }
        Method::Resubscribe => Operation::Subscribe(SubscribeParams { id: of_task(params)?.id, tenant: None }),
        Method::SetPushConfig => Operation::PushConfig(PushOperation::Create(read(params)?)),
        Method::GetPushConfig => Operation::PushConfig(PushOperation::Get(read(params)?)),
        Method::ListPushConfigs => Operation::PushConfig(PushOperation::List(read(params)?)),
        Method::DeletePushConfig => Operation::PushConfig(PushOperation::Delete(read(params)?)),
        Method::GetExtendedCard => Operation::ExtendedCard(ExtendedCardParams::default()),
    })
}

/// No parameters are the same as empty ones.
fn read<'de, T: FromProto<'de, V0_3>>(params: Option<&'de RawValue>) -> Result<T, Error> {
    from_proto::read::<V0_3, _>(params.map_or("{}", RawValue::get), Author::Client).map_err(Error::invalid_params)
}

impl<'de> FromProto<'de, V0_3> for Box<SendParams> {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<SendFields, _, _>(from, at)
    }
}

#[derive(Default)]
struct SendFields {
    message: Field<MessageView>,
    configuration: Field<Configuration>,
    metadata: Field<Struct>,
}

impl<'de> ObjectBuilder<'de, V0_3> for SendFields {
    type Output = Box<SendParams>;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "message" => read_field(&mut self.message, map, at, "message")?,
            "configuration" => read_field(&mut self.configuration, map, at, "configuration")?,
            "metadata" => read_field(&mut self.metadata, map, at, "metadata")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<Box<SendParams>> {
        let MessageView { message, task_id, context_id } = self.message.required(at, "message")?;
        Some(Box::new(SendParams {
            message,
            // A message of a client has a context id that can be one, or it is not read at all.
            context: context_id.and_then(|id| ContextId::parse(&id).ok()),
            task: task_id,
            configuration: self.configuration.optional().unwrap_or_default(),
            metadata: self.metadata.optional().map(|object| object.0),
            tenant: None,
        }))
    }
}

impl<'de> FromProto<'de, V0_3> for Configuration {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<ConfigurationFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct ConfigurationFields<'de> {
    accepted_output_modes: Field<Vec<NonEmpty<'de>>>,
    history_length: Field<i32>,
    blocking: Field<bool>,
    push_config: Field<Box<PushConfig>>,
}

impl<'de> ObjectBuilder<'de, V0_3> for ConfigurationFields<'de> {
    type Output = Configuration;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "acceptedOutputModes" => read_field(&mut self.accepted_output_modes, map, at, "acceptedOutputModes")?,
            "historyLength" => read_field(&mut self.history_length, map, at, "historyLength")?,
            "blocking" => read_field(&mut self.blocking, map, at, "blocking")?,
            "pushNotificationConfig" => read_field(&mut self.push_config, map, at, "pushNotificationConfig")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<Configuration> {
        let modes = self.accepted_output_modes.optional().unwrap_or_default();
        Some(Configuration {
            accepted_output_modes: modes.into_iter().map(NonEmpty::into_owned).collect(),
            history_length: rules::history_length(self.history_length, at),
            // Who does not say waits: so do the servers of the SDKs.
            return_immediately: self.blocking.optional() == Some(false),
            push_config: self.push_config.optional(),
        })
    }
}

/// The parameters of a request about one task.
struct TaskParams {
    id: String,
    history_length: Option<u32>,
    metadata: Option<Struct>,
}

impl<'de> FromProto<'de, V0_3> for TaskParams {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<TaskFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct TaskFields<'de> {
    id: Field<NonEmpty<'de>>,
    history_length: Field<i32>,
    metadata: Field<Struct>,
}

impl<'de> ObjectBuilder<'de, V0_3> for TaskFields<'de> {
    type Output = TaskParams;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "id" => read_field(&mut self.id, map, at, "id")?,
            "historyLength" => read_field(&mut self.history_length, map, at, "historyLength")?,
            "metadata" => read_field(&mut self.metadata, map, at, "metadata")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<TaskParams> {
        let history_length = rules::history_length(self.history_length, at);
        let id = self.id.required(at, "id")?.into_owned();
        Some(TaskParams { id, history_length, metadata: self.metadata.optional() })
    }
}

/// As its REST binding has them.
impl<'de> FromProto<'de, V0_3> for ListParams {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<ListFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct ListFields<'de> {
    context: Field<NonEmpty<'de>>,
    state: Field<State>,
    after: Field<Timestamp>,
    page_size: Field<i32>,
    page_token: Field<NonEmpty<'de>>,
    history_length: Field<i32>,
    include_artifacts: Field<bool>,
}

impl<'de> ObjectBuilder<'de, V0_3> for ListFields<'de> {
    type Output = ListParams;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "contextId" => read_field(&mut self.context, map, at, "contextId")?,
            "status" => read_field(&mut self.state, map, at, "status")?,
            "lastUpdatedAfter" => read_field(&mut self.after, map, at, "lastUpdatedAfter")?,
            "pageSize" => read_field(&mut self.page_size, map, at, "pageSize")?,
            "pageToken" => read_field(&mut self.page_token, map, at, "pageToken")?,
            "historyLength" => read_field(&mut self.history_length, map, at, "historyLength")?,
            "includeArtifacts" => read_field(&mut self.include_artifacts, map, at, "includeArtifacts")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<ListParams> {
        let page_size = self.page_size.parse(at, "pageSize", |size| match u32::try_from(size) {
            Ok(size) if (1..=PAGE_SIZE_MAX).contains(&size) => Ok(size),
            Ok(_) | Err(_) => Err(format!("it must be between 1 and {PAGE_SIZE_MAX}")),
        });
        Some(ListParams {
            context: self.context.parse(at, "contextId", |id| ContextId::parse(&id.0)).optional(),
            state: self.state.optional(),
            status_timestamp_after: self.after.optional(),
            page_size: page_size.optional().unwrap_or(PAGE_SIZE_DEFAULT),
            page_token: self.page_token.optional().map(NonEmpty::into_owned),
            history_length: rules::history_length(self.history_length, at),
            include_artifacts: self.include_artifacts.optional().unwrap_or_default(),
            tenant: None,
        })
    }
}
