//! The way of a call to its server: which session it is made in, when it is its turn there, and who has to log in before.

use std::{sync::Arc, time::Duration};

use bobbinet_core::{Effect, Fault, Message, Outcome, Part};
use bobbinet_engine::{CallName, Run, Unanswered};
use tokio::time::Instant;

use crate::{
    call_listener::{Target, canceled, not_asked, time_is_up, unknown},
    crash_history::{CallFingerprint, CrashStanding},
    exclusive_tools::{CallOwner, CallPermit, CallProfile, ConcurrencyClass},
    finished_call::Gives,
    in_flight::ToolCall,
    login::LoginNeeded,
    lost_session,
    pinned_tools::TOOL_WITHHELD,
    pool::{Home, SessionPool},
    server_questions::{declined_by_user, is_accepted},
    session::Client,
    supervised_session::SupervisedSession,
};

/// How often a caller is asked to log in who says each time that he has.
pub(crate) const LOGINS_MAX: u32 = 10;

/// A run on its way to a server: one attempt at its call, with all its rounds.
pub(crate) struct CallAttempt<'a> {
    pub(crate) sessions: &'a Arc<SessionPool>,
    /// Where the call is made, unless it would have to wait there.
    pub(crate) home: Home,
    pub(crate) shared: &'a Arc<SupervisedSession>,
    pub(crate) run: &'a Run,
    pub(crate) target: &'a Target,
    pub(crate) fingerprint: CallFingerprint,
    pub(crate) gives: Gives,
}

/// Where one request of a call is made.
pub(crate) struct CallRoute {
    pub(crate) session: Arc<SupervisedSession>,
    pub(crate) client: Arc<Client>,
    pub(crate) permit: CallPermit,
    pub(crate) owner: CallOwner,
}

/// Why there is no such place.
pub(crate) enum NotAdmitted {
    /// The server cannot be reached, or takes no more calls.
    NoServer(Fault),
    /// The call is over.
    Over(Outcome),
}

/// Which places a call may be made in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Any,
    /// One that still is there when the call's answer is asked for: not a session beside the shared one.
    Lasting,
    /// With this replica of the server, which knows of the call.
    Replica(usize),
}

impl CallAttempt<'_> {
    /// A session that is up, and leave to call through it, when it is the call's turn.
    pub(crate) async fn admit(&self, round: u32, place: Place) -> Result<CallRoute, NotAdmitted> {
        loop {
            let (home, may_overflow) = match (&self.home, place) {
                (Home::Shared, Place::Any) => (self.sessions.least_busy(), self.shared.config.replicas.is_empty()),
                (Home::Shared, Place::Lasting) => (self.sessions.least_busy(), false),
                (Home::Shared, Place::Replica(number)) => {
                    let known = self.sessions.replicas().into_iter().nth(number);
                    (known.unwrap_or_else(|| self.shared.clone()), false)
                }
                // In an earlier life its session was with another, which alone knows of its task.
                (Home::Scoped(lease), Place::Replica(number)) if lease.replica() != number => {
                    let known = self.sessions.replicas().into_iter().nth(number);
                    (known.unwrap_or_else(|| lease.session.clone()), false)
                }
                (Home::Scoped(lease), Place::Any | Place::Lasting | Place::Replica(_)) => {
                    (lease.session.clone(), false)
                }
            };
            self.not_lost(place)?;
            let client = self.connected(&home, round).await?;
            self.not_lost(place)?;
            let profile = self.profile(&home, &client, place).map_err(NotAdmitted::Over)?;
            if let Ok(permit) = home.exclusive_tools.try_acquire(&profile) {
                return Ok(CallRoute { session: home, client, permit, owner: profile.owner });
            }
            let overflow = if may_overflow { self.sessions.try_acquire_overflow(&profile) } else { None };
            let (session, permit) = match overflow {
                Some(found) => found,
                None => (home.clone(), self.wait(&home, &profile, round).await?),
            };
            // It may have been restarted, or is only being started, and more may be known of the call.
            let client = self.connected(&session, round).await?;
            self.not_lost(place)?;
            let is_as_thought = self.profile(&home, &client, place).map_err(NotAdmitted::Over)?.class == profile.class;
            if is_as_thought {
                return Ok(CallRoute { session, client, permit, owner: profile.owner });
            }
        }
    }

    /// The session that the call was to be made in may have ended since: another is not the same.
    fn not_lost(&self, place: Place) -> Result<(), NotAdmitted> {
        match (&self.home, place) {
            (Home::Scoped(lease), Place::Any | Place::Lasting)
                if lease.is_lost() && !self.sessions.keeps_nothing_by_sessions() =>
            {
                Err(NotAdmitted::NoServer(lost_session::fault(&self.shared.config.name, self.run.task())))
            }
            (Home::Scoped(_) | Home::Shared, Place::Any | Place::Lasting | Place::Replica(_)) => Ok(()),
        }
    }

    /// What is known of the call before it is made. `Err`: it is not made.
    fn profile(&self, home: &SupervisedSession, client: &Client, place: Place) -> Result<CallProfile, Outcome> {
        let (config, run, tool) = (&home.config, self.run, self.target.tool.as_str());
        let says = |list: &[String]| list.iter().any(|known| known == tool);
        // Questions of a task say themselves whose they are.
        let is_followed = matches!(place, Place::Replica(_));
        let asks = says(&config.interactive) && !is_followed;
        let is_silent = client.is_modern() || (!asks && (config.is_silent || says(&config.silent)));
        let class = match home.exclusive_tools.crashes.standing(Instant::now(), self.fingerprint) {
            CrashStanding::Banned(deaths, rest) => return Err(self.banned(deaths, rest)),
            CrashStanding::Suspect => ConcurrencyClass::CrashSuspect,
            CrashStanding::Clear if is_silent => ConcurrencyClass::Silent,
            // What it came to before may be the result of a question that nobody was asked.
            CrashStanding::Clear if asks || (run.attempt() > 1 && !is_followed) => ConcurrencyClass::Interactive,
            CrashStanding::Clear => match run.call().effect {
                Effect::ReadOnly => ConcurrencyClass::ReadOnly,
                Effect::Idempotent | Effect::Keyed | Effect::AtMostOnce => ConcurrencyClass::Unknown,
            },
        };
        Ok(CallProfile { owner: CallOwner::of(run.task()), tool: tool.to_owned(), class })
    }

    /// Waits for the call's turn; its task says why, and others have its slot.
    async fn wait(
        &self,
        home: &SupervisedSession,
        profile: &CallProfile,
        round: u32,
    ) -> Result<CallPermit, NotAdmitted> {
        let say = |why: String| {
            let message = Message::from_agent(self.run.message_id("waits"), vec![Part::text(why)]);
            self.run.progress(Some(Arc::new(message)), None);
        };
        let queued = home.exclusive_tools.enqueue(profile);
        let turn = async {
            loop {
                let aside = self.run.step_aside();
                queued.wait_turn(say).await;
                // Nobody holds a permit while he waits for a slot.
                aside.come_back().await;
                if let Some(permit) = queued.try_acquire() {
                    return permit;
                }
            }
        };
        tokio::select! {
            biased;
            () = self.run.canceled() => Err(NotAdmitted::Over(canceled(self.target, round))),
            () = time_is_up(self.run) => Err(NotAdmitted::NoServer(Fault::new(
                "server-busy",
                format!("`{}` waited for its turn until its time was up", self.target.tool),
            ))),
            permit = turn => {
                self.run.progress(None, None);
                Ok(permit)
            }
        }
    }

    async fn connected(&self, session: &SupervisedSession, round: u32) -> Result<Arc<Client>, NotAdmitted> {
        let mut logins = 0;
        loop {
            match (connected(session, self.run).await, session.login()) {
                (Connected::Yes(client), _) => return Ok(client),
                (Connected::Canceled, _) => return Err(NotAdmitted::Over(canceled(self.target, round))),
                (Connected::No(_), Some(login)) if logins < LOGINS_MAX => {
                    logins += 1;
                    self.log_in(session, &login, round).await.map_err(NotAdmitted::Over)?;
                    session.hurry();
                }
                (Connected::No(fault), _) => return Err(NotAdmitted::NoServer(fault)),
            }
        }
    }

    /// Has the caller log in, and waits until he says that he has, or it is seen. `Err`: the call is over.
    pub(crate) async fn log_in(
        &self,
        session: &SupervisedSession,
        login: &LoginNeeded,
        round: u32,
    ) -> Result<(), Outcome> {
        let question = Arc::new(login.question(self.run.message_id(&format!("login{round}"))));
        let answered = tokio::select! {
            biased;
            answered = self.run.ask(question) => answered,
            () = session.logged_in(login) => {
                // He may have answered just now, or it was not kept yet: then there is no question to take back.
                if let Err(error) = self.run.withdraw_question().await {
                    tracing::debug!(%error, "a question for a login was not taken back");
                }
                return Ok(());
            }
        };
        match answered {
            Ok(answer) if is_accepted(&answer) => Ok(()),
            Ok(_) => Err(declined_by_user(self.target)),
            Err(Unanswered::Expired) => Err(Outcome::Declined),
            Err(Unanswered::Over) => Err(canceled(self.target, round)),
            Err(Unanswered::NotAsked(error)) => Err(not_asked(self.target, &error)),
        }
    }

    /// What is known of a request of the call by this route, for the server's questions.
    pub(crate) fn tool_call(&self, route: &CallRoute, task: Option<&str>) -> ToolCall {
        let CallRoute { permit, owner, .. } = route;
        let (ticket, owner, task) = (permit.ticket, owner.clone(), task.map(Arc::from));
        ToolCall { ticket, owner, fingerprint: self.fingerprint, task, name: CallName::of(self.run.task()) }
    }

    /// Which replica of the server a session is with.
    pub(crate) fn replica_of(&self, session: &Arc<SupervisedSession>) -> usize {
        match &self.home {
            Home::Scoped(lease) if Arc::ptr_eq(&lease.session, session) => lease.replica(),
            Home::Scoped(_) | Home::Shared => {
                let replicas = self.sessions.replicas();
                replicas.iter().position(|known| Arc::ptr_eq(known, session)).unwrap_or_default()
            }
        }
    }

    /// A call that has killed its server too often is not made.
    fn banned(&self, deaths: u32, rest: Duration) -> Outcome {
        let tool = &self.target.tool;
        let text = format!(
            "the MCP server has died {deaths} times while it worked on `{tool}` with these arguments and on nothing else. \
             It is not called so again for {} s",
            rest.as_secs() + 1
        );
        match self.run.attempt() {
            1 => not_called(Fault::new("kills-server", text)),
            _ => unknown("kills-server", self.target, &text, false),
        }
    }
}

/// What comes of waiting for a connection.
enum Connected {
    Yes(Arc<Client>),
    No(Fault),
    Canceled,
}

async fn connected(shared: &SupervisedSession, run: &Run) -> Connected {
    let deadline = || run.deadline();
    let client = async {
        match shared.config.fallback {
            // There is somebody to be called instead.
            Some(_) => shared.client_unless_resting(deadline).await,
            None => shared.client(deadline).await,
        }
    };
    tokio::select! {
        biased;
        () = run.canceled() => Connected::Canceled,
        client = client => client.map_or_else(Connected::No, Connected::Yes),
    }
}

/// There is no server for a call: it surely did not happen.
pub(crate) fn not_called(fault: Fault) -> Outcome {
    Outcome::Failed(nothing_called(fault))
}

/// Why there is no server, for whoever wanted something called.
pub(crate) fn nothing_called(fault: Fault) -> Fault {
    Fault { text: format!("{}. Nothing was called", fault.text), ..fault }
}

/// There is no server for the next round of a call. What the rounds before it did, nobody but the server knows.
pub(crate) fn unreachable(target: &Target, round: u32, fault: Fault) -> Outcome {
    match round {
        0 if fault.code == TOOL_WITHHELD => Outcome::Failed(fault),
        0 => not_called(fault),
        _ => unknown(fault.code, target, &format!("it asked for more, and then {}", fault.text), false),
    }
}
