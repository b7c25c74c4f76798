//! Reading the parameters of the small requests: those about one task, and the extended card's.

use serde::de::{Deserializer, MapAccess};

use super::request::history_length;
use crate::{
    form::{At, Fields, Form, Slot, object, read_field, skip},
    scalar::{Struct, Word},
};
use bobbinet_core::operation::{CancelParams, ExtendedCardParams, GetParams, SubscribeParams};

impl<'de> Form<'de> for GetParams {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Slot<Self>, D::Error> {
        object::<GetFields<'de>, D>(from, at)
    }
}

#[derive(Default)]
struct GetFields<'de> {
    id: Slot<Word<'de>>,
    history_length: Slot<i32>,
    tenant: Slot<Word<'de>>,
}

impl<'de> Fields<'de> for GetFields<'de> {
    type Whole = GetParams;

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
        let history_length = history_length(self.history_length, at);
        let id = self.id.required(at, "id")?.into_owned();
        Some(GetParams { id, history_length, tenant: self.tenant.optional().map(Word::into_owned) })
    }
}

impl<'de> Form<'de> for CancelParams {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Slot<Self>, D::Error> {
        object::<CancelFields<'de>, D>(from, at)
    }
}

#[derive(Default)]
struct CancelFields<'de> {
    id: Slot<Word<'de>>,
    metadata: Slot<Struct>,
    tenant: Slot<Word<'de>>,
}

impl<'de> Fields<'de> for CancelFields<'de> {
    type Whole = CancelParams;

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
            tenant: self.tenant.optional().map(Word::into_owned),
        })
    }
}

impl<'de> Form<'de> for SubscribeParams {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Slot<Self>, D::Error> {
        object::<SubscribeFields<'de>, D>(from, at)
    }
}

#[derive(Default)]
struct SubscribeFields<'de> {
    id: Slot<Word<'de>>,
    tenant: Slot<Word<'de>>,
}

impl<'de> Fields<'de> for SubscribeFields<'de> {
    type Whole = SubscribeParams;

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
        Some(SubscribeParams { id, tenant: self.tenant.optional().map(Word::into_owned) })
    }
}

impl<'de> Form<'de> for ExtendedCardParams {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Slot<Self>, D::Error> {
        object::<ExtendedCardFields<'de>, D>(from, at)
    }
}

#[derive(Default)]
struct ExtendedCardFields<'de> {
    tenant: Slot<Word<'de>>,
}

impl<'de> Fields<'de> for ExtendedCardFields<'de> {
    type Whole = ExtendedCardParams;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_>) -> Result<(), A::Error> {
        match name {
            "tenant" => read_field(&mut self.tenant, map, at, "tenant")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, _: &At<'_>) -> Option<ExtendedCardParams> {
        Some(ExtendedCardParams { tenant: self.tenant.optional().map(Word::into_owned) })
    }
}
