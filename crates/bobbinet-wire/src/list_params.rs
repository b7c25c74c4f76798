//! What is asked of a list of tasks, read and written: alike in all dialects, but for what they call the time and who names a tenant.

use bobbinet_core::{
    ContextId, State, Timestamp,
    operation::{ListParams, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX},
};
use serde::de::MapAccess;

use crate::{
    dialect::Dialect,
    faults::At,
    from_proto::{Field, FromProto, ObjectBuilder, read_field, skip},
    rules,
    scalar::NonEmpty,
    write::Object,
};

/// The fields of a request for a list. Those that are not called alike are read by each dialect.
#[derive(Default)]
pub(crate) struct ListFields<'de> {
    context: Field<NonEmpty<'de>>,
    state: Field<State>,
    page_size: Field<i32>,
    page_token: Field<NonEmpty<'de>>,
    history_length: Field<i32>,
    include_artifacts: Field<bool>,
    pub(crate) after: Field<Timestamp>,
    pub(crate) tenant: Field<NonEmpty<'de>>,
}

impl<'de, V: Dialect> ObjectBuilder<'de, V> for ListFields<'de>
where
    State: FromProto<'de, V>,
{
    type Output = ListParams;

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A, at: &At<'_, V>) -> Result<(), A::Error> {
        match name {
            "contextId" => read_field(&mut self.context, map, at, "contextId")?,
            "status" => read_field(&mut self.state, map, at, "status")?,
            "pageSize" => read_field(&mut self.page_size, map, at, "pageSize")?,
            "pageToken" => read_field(&mut self.page_token, map, at, "pageToken")?,
            "historyLength" => read_field(&mut self.history_length, map, at, "historyLength")?,
            "includeArtifacts" => read_field(&mut self.include_artifacts, map, at, "includeArtifacts")?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn finish(self, at: &At<'_, V>) -> Option<ListParams> {
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
            tenant: self.tenant.optional().map(NonEmpty::into_owned),
        })
    }
}

/// Writes what is asked, with what the dialect calls states and the time, but for the tenant.
pub(crate) fn write(
    params: &mut Object<'_>,
    list: &ListParams,
    state_name: impl FnOnce(State) -> &'static str,
    after: &'static str,
) {
    params.text_if_some("contextId", list.context.as_ref().map(|id| id.as_str()));
    params.text_if_some("status", list.state.map(state_name));
    params.number("pageSize", list.page_size);
    params.text_if_some("pageToken", list.page_token.as_deref());
    if let Some(length) = list.history_length {
        params.number("historyLength", length);
    }
    if let Some(time) = list.status_timestamp_after {
        params.text(after, &time.to_string());
    }
    params.flag_if_set("includeArtifacts", list.include_artifacts);
}
