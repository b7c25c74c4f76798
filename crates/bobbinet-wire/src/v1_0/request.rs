//! Decoding the parameters of a request; every fault is named, not the first one only.

use bobbinet_core::{
    PushConfig, PushOperation,
    operation::{Configuration, ListParams, Operation, SendParams},
};
use serde::de::{Deserializer, MapAccess};
use serde_json::value::RawValue;

use super::{
    names::Method,
    version::{At, V1_0},
};
use crate::{
    error::Error,
    faults::Author,
    from_proto::{self, Field, FromProto, ObjectBuilder, read_field, read_object, skip},
    list_params::ListFields,
    rules,
    scalar::{NonEmpty, Struct},
    view::MessageView,
};

/// Reads what is asked. The error is [`InvalidParams`](crate::ErrorKind::InvalidParams), with all that is wrong.
pub fn decode(method: Method, params: Option<&RawValue>) -> Result<Operation, Error> {
    Ok(match method {
        Method::SendMessage => Operation::Send(read(params)?),
        Method::SendStreamingMessage => Operation::SendStreaming(read(params)?),
        Method::GetTask => Operation::Get(read(params)?),
        Method::ListTasks => Operation::List(read(params)?),
        Method::CancelTask => Operation::Cancel(read(params)?),
        Method::SubscribeToTask => Operation::Subscribe(read(params)?),
        Method::GetExtendedAgentCard => Operation::ExtendedCard(read(params)?),
        Method::CreateTaskPushNotificationConfig => Operation::PushConfig(PushOperation::Create(read(params)?)),
        Method::GetTaskPushNotificationConfig => Operation::PushConfig(PushOperation::Get(read(params)?)),
        Method::ListTaskPushNotificationConfigs => Operation::PushConfig(PushOperation::List(read(params)?)),
        Method::DeleteTaskPushNotificationConfig => Operation::PushConfig(PushOperation::Delete(read(params)?)),
    })
}

/// No parameters are the same as empty ones.
fn read<'de, T: FromProto<'de, V1_0>>(params: Option<&'de RawValue>) -> Result<T, Error> {
    from_proto::read::<V1_0, _>(params.map_or("{}", RawValue::get), Author::Client).map_err(Error::invalid_params)
}

impl<'de> FromProto<'de, V1_0> for Box<SendParams> {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<SendFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct SendFields<'de> {
    message: Field<MessageView>,
    configuration: Field<Configuration>,
    metadata: Field<Struct>,
    tenant: Field<NonEmpty<'de>>,
}

impl<'de> ObjectBuilder<'de, V1_0> for SendFields<'de> {
    type Output = Box<SendParams>;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "message" => read_field(&mut self.message, map, at, "message")?,
            "configuration" => read_field(&mut self.configuration, map, at, "configuration")?,
            "metadata" => read_field(&mut self.metadata, map, at, "metadata")?,
            "tenant" => read_field(&mut self.tenant, map, at, "tenant")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<Box<SendParams>> {
        let said = self.message.required(at, "message")?;
        let tenant = self.tenant.optional().map(NonEmpty::into_owned);
        Some(rules::sent(said, self.configuration, self.metadata, tenant))
    }
}

impl<'de> FromProto<'de, V1_0> for Configuration {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<ConfigurationFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct ConfigurationFields<'de> {
    accepted_output_modes: Field<Vec<NonEmpty<'de>>>,
    history_length: Field<i32>,
    return_immediately: Field<bool>,
    push_config: Field<Box<PushConfig>>,
}

impl<'de> ObjectBuilder<'de, V1_0> for ConfigurationFields<'de> {
    type Output = Configuration;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "acceptedOutputModes" => read_field(&mut self.accepted_output_modes, map, at, "acceptedOutputModes")?,
            "historyLength" => read_field(&mut self.history_length, map, at, "historyLength")?,
            "returnImmediately" => read_field(&mut self.return_immediately, map, at, "returnImmediately")?,
            "taskPushNotificationConfig" => read_field(&mut self.push_config, map, at, "taskPushNotificationConfig")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<Configuration> {
        let modes = self.accepted_output_modes.optional().unwrap_or_default();
        Some(Configuration {
            accepted_output_modes: modes.into_iter().map(NonEmpty::into_owned).collect(),
            history_length: rules::history_length(self.history_length, at),
            return_immediately: self.return_immediately.optional().unwrap_or_default(),
            push_config: self.push_config.optional(),
        })
    }
}

impl<'de> FromProto<'de, V1_0> for ListParams {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<List<'de>, _, _>(from, at)
    }
}

/// What a list calls the time after which tasks have changed.
pub(super) const AFTER: &str = "statusTimestampAfter";

#[derive(Default)]
struct List<'de>(ListFields<'de>);

impl<'de> ObjectBuilder<'de, V1_0> for List<'de> {
    type Output = ListParams;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            AFTER => read_field(&mut self.0.after, map, at, AFTER),
            "tenant" => read_field(&mut self.0.tenant, map, at, "tenant"),
            _ => self.0.field(name, map, at),
        }
    }

    fn finish(self, at: &At<'_>) -> Option<ListParams> {
        self.0.finish(at)
    }
}
