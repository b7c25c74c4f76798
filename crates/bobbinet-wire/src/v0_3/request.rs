//! Decoding the parameters of a request; every fault is named, not the first one only.

use bobbinet_core::{
    PushConfig, PushOperation, State,
    operation::{
        CancelParams, Configuration, ExtendedCardParams, GetParams, ListParams, Operation, SendParams, SubscribeParams,
    },
};
use serde::de::{Deserializer, MapAccess};
use serde_json::value::RawValue;

use super::{
    names::Method,
    version::{At, V0_3},
};
use crate::{
    dialect::Dialect,
    error::Error,
    faults::{self, Author},
    from_proto::{self, Field, FromProto, ObjectBuilder, read_field, read_object, skip},
    list_params::ListFields,
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
        let said = self.message.required(at, "message")?;
        Some(rules::sent(said, self.configuration, self.metadata, None))
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

impl<'de> FromProto<'de, V0_3> for ListParams {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<List<'de>, _, _>(from, at)
    }
}

/// What a list calls the time after which tasks have changed (section 7.4 of its specification).
pub(super) const AFTER: &str = "lastUpdatedAfter";

/// What is asked of a list, in either JSON of 0.3.
#[derive(Default)]
pub(crate) struct List<'de>(ListFields<'de>);

impl<'de, V: Dialect> ObjectBuilder<'de, V> for List<'de>
where
    State: FromProto<'de, V>,
{
    type Output = ListParams;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &faults::At<'_, V>) -> Result<(), A::Error> {
        match name {
            AFTER => read_field(&mut self.0.after, map, at, AFTER),
            _ => self.0.field(name, map, at),
        }
    }

    fn finish(self, at: &faults::At<'_, V>) -> Option<ListParams> {
        self.0.finish(at)
    }
}
