//! Reading the parameters of the small requests: those about one task, and the extended card's.

use serde::de::{Deserializer, MapAccess};

use super::version::{At, V1_0};
use crate::{
    from_proto::{Field, FromProto, ObjectBuilder, read_field, read_object, skip},
    rules,
    scalar::{NonEmpty, Struct},
};
use bobbinet_core::operation::{CancelParams, ExtendedCardParams, GetParams, SubscribeParams};

impl<'de> FromProto<'de, V1_0> for GetParams {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<GetFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct GetFields<'de> {
    id: Field<NonEmpty<'de>>,
    history_length: Field<i32>,
    tenant: Field<NonEmpty<'de>>,
}

impl<'de> ObjectBuilder<'de, V1_0> for GetFields<'de> {
    type Output = GetParams;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "id" => read_field(&mut self.id, map, at, "id")?,
            "historyLength" => read_field(&mut self.history_length, map, at, "historyLength")?,
            "tenant" => read_field(&mut self.tenant, map, at, "tenant")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<GetParams> {
        let history_length = rules::history_length(self.history_length, at);
        let id = self.id.required(at, "id")?.into_owned();
        Some(GetParams { id, history_length, tenant: self.tenant.optional().map(NonEmpty::into_owned) })
    }
}

impl<'de> FromProto<'de, V1_0> for CancelParams {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<CancelFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct CancelFields<'de> {
    id: Field<NonEmpty<'de>>,
    metadata: Field<Struct>,
    tenant: Field<NonEmpty<'de>>,
}

impl<'de> ObjectBuilder<'de, V1_0> for CancelFields<'de> {
    type Output = CancelParams;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "id" => read_field(&mut self.id, map, at, "id")?,
            "metadata" => read_field(&mut self.metadata, map, at, "metadata")?,
            "tenant" => read_field(&mut self.tenant, map, at, "tenant")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<CancelParams> {
        Some(CancelParams {
            id: self.id.required(at, "id")?.into_owned(),
            metadata: self.metadata.optional().map(|object| object.0),
            tenant: self.tenant.optional().map(NonEmpty::into_owned),
        })
    }
}

impl<'de> FromProto<'de, V1_0> for SubscribeParams {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<SubscribeFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct SubscribeFields<'de> {
    id: Field<NonEmpty<'de>>,
    tenant: Field<NonEmpty<'de>>,
}

impl<'de> ObjectBuilder<'de, V1_0> for SubscribeFields<'de> {
    type Output = SubscribeParams;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "id" => read_field(&mut self.id, map, at, "id")?,
            "tenant" => read_field(&mut self.tenant, map, at, "tenant")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_>) -> Option<SubscribeParams> {
        let id = self.id.required(at, "id")?.into_owned();
        Some(SubscribeParams { id, tenant: self.tenant.optional().map(NonEmpty::into_owned) })
    }
}

impl<'de> FromProto<'de, V1_0> for ExtendedCardParams {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_object::<ExtendedCardFields<'de>, _, _>(from, at)
    }
}

#[derive(Default)]
struct ExtendedCardFields<'de> {
    tenant: Field<NonEmpty<'de>>,
}

impl<'de> ObjectBuilder<'de, V1_0> for ExtendedCardFields<'de> {
    type Output = ExtendedCardParams;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "tenant" => read_field(&mut self.tenant, map, at, "tenant")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, _: &At<'_>) -> Option<ExtendedCardParams> {
        Some(ExtendedCardParams { tenant: self.tenant.optional().map(NonEmpty::into_owned) })
    }
}
