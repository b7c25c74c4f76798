//! Who may have what called, as the engine asks it: when what is to be called becomes known after the request is over.

use std::fmt;

use bobbinet_core::{AgentName, Call, Caller, Fault, Json};

/// Says what may be called. Quick and pure. Whoever stands before the engine asks by itself about what is known while a request lasts.
pub trait Authorizer: fmt::Debug + Send + Sync + 'static {
    /// Whether this caller may publish this event, in CloudEvents' JSON format. Who does not say so lets nobody.
    ///
    /// # Errors
    /// Why not.
    fn allows_publish(&self, caller: &Caller, event: &Json) -> Result<(), Fault> {
        let _ = event;
        Err(Fault::new("denied", format!("{} may not publish events", caller.principal)))
    }

    /// Whether this caller may hear the events of its tenant. Who does not say so lets nobody.
    ///
    /// # Errors
    /// Why not.
    fn allows_listen(&self, caller: &Caller) -> Result<(), Fault> {
        Err(Fault::new("denied", format!("{} may not listen to events", caller.principal)))
    }

    /// Whether this caller may read its tasks of this agent, and what they refer to. Who does not say so lets nobody.
    ///
    /// # Errors
    /// Why not.
    fn allows_get(&self, caller: &Caller, agent: &AgentName) -> Result<(), Fault> {
        Err(Fault::new("denied", format!("{} may not read tasks of {agent}", caller.principal)))
    }

    /// Whether this caller may have this called. Nothing of it has been kept.
    ///
    /// # Errors
    /// Why not: the task is rejected with that.
    fn allows_call(&self, caller: &Caller, agent: &AgentName, call: &Call) -> Result<(), Fault>;

    /// Whether this caller may perhaps have this called, of which not all arguments are known yet. The call itself is asked about when
    /// it is made.
    ///
    /// # Errors
    /// Why surely not.
    fn may_allow_call(&self, caller: &Caller, agent: &AgentName, call: &Call) -> Result<(), Fault> {
        self.allows_call(caller, agent, call)
    }
}

/// Every caller may have everything called.
#[derive(Clone, Copy, Debug)]
pub struct AllowAll;

impl Authorizer for AllowAll {
    fn allows_publish(&self, _: &Caller, _: &Json) -> Result<(), Fault> {
        Ok(())
    }

    fn allows_listen(&self, _: &Caller) -> Result<(), Fault> {
        Ok(())
    }

    fn allows_get(&self, _: &Caller, _: &AgentName) -> Result<(), Fault> {
        Ok(())
    }

    fn allows_call(&self, _: &Caller, _: &AgentName, _: &Call) -> Result<(), Fault> {
        Ok(())
    }
}
