//! The thread that sends Coffer's own mail: notices that are due, then a status mail and one about updates if they are. Only what the server took over counts as sent;
//! everything else is tried again.

use super::dialogue::{Patience, Sender, Trouble};
use super::notices;
use super::route::Route;
use super::status_mail::{self, StatusMail};
use crate::keeper::{Failure, Keeper};
use crate::machine::Machine;
use crate::people::{NoticeDue, People, Secret};
use crate::web::words::Catalogues;
use archive::people::Proposal;
use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// 30 s between looks for mail to send: a notice stands for a day, so nobody waits for this.
const PAUSE: Duration = Duration::from_secs(30);

/// 5 minutes after a failure, so that a server that is down is not called all the time.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(300);

/// 100 notices a look, so that an import of a whole office is no flood.
const NOTICES_MAX: usize = 100;

/// What the start of the program says about mail that goes out.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The name this host gives itself.
    pub hostname: String,
    /// The way that counts as long as the page has set none.
    pub route: Option<Route>,
}

/// A way out with its password.
#[derive(Clone, Debug)]
pub struct Way {
    /// Where and how.
    pub route: Route,
    /// The password of its user.
    pub password: Option<Secret>,
}

/// Gives the way that is in effect; none when nobody has named one.
///
/// # Errors
/// When the keeper cannot say.
pub fn way(keeper: &dyn Keeper, origin: &Origin) -> Result<Option<Way>, Failure> {
    let text = keeper.outgoing_route()?;
    if text.is_empty() {
        let route = origin.route.clone();
        return Ok(route.map(|route| Way {
            route,
            password: None,
        }));
    }
    let bad = |error| Failure::Damaged(format!("the way of outgoing mail: {error}: {text}"));
    let route: Route = text.parse().map_err(bad)?;
    let password = keeper.outgoing_password(&route)?;
    Ok(Some(Way { route, password }))
}

/// The delivery, while it runs.
pub struct MailDelivery {
    _stop: mpsc::Sender<()>,
}

impl MailDelivery {
    /// Begins to send the mail of an archive, until it is dropped.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(keeper: &Arc<dyn Keeper>, origin: Origin) -> io::Result<Self> {
        Self::begin(keeper, origin, None)
    }

    /// Does so on a box, about whose updates people are told, too.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_on(
        machine: Arc<dyn Machine>,
        keeper: &Arc<dyn Keeper>,
        origin: Origin,
    ) -> io::Result<Self> {
        Self::begin(keeper, origin, Some(machine))
    }

    fn begin(
        keeper: &Arc<dyn Keeper>,
        origin: Origin,
        machine: Option<Arc<dyn Machine>>,
    ) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let delivery = Delivery {
            // The keeper closes in order, however long a mail server hangs: the thread has it only while it asks.
            keeper: Arc::downgrade(keeper),
            origin,
            machine,
            catalogues: Catalogues::new(),
        };
        let run = move || {
            loop {
                let pause = delivery.round();
                if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name("outgoing".to_owned())
            .spawn(run)?;
        Ok(Self { _stop: stop })
    }
}

struct Delivery {
    keeper: Weak<dyn Keeper>,
    origin: Origin,
    machine: Option<Arc<dyn Machine>>,
    catalogues: Catalogues,
}

/// Why a round of mail did not go out whole.
enum Stop {
    /// The keeper could not do it.
    Keeper(Failure),
    /// The mail server could not.
    Server(Trouble),
    /// The archive is being closed.
    Closed,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Keeper(failure)
    }
}

impl Delivery {
    /// Sends what is due once, notes whether it went, and gives how long to wait then.
    fn round(&self) -> Duration {
        let (why_not, pause) = match self.send_due() {
            Ok(()) => (None, PAUSE),
            Err(Stop::Closed) => return PAUSE,
            Err(Stop::Keeper(failure)) => {
                tracing::warn!(%failure, "mail that is due cannot be looked for or noted");
                return PAUSE;
            }
            Err(Stop::Server(trouble)) => {
                let why = trouble.chain();
                tracing::warn!(why, "mail did not go out");
                (Some(why), PAUSE_AFTER_FAILURE)
            }
        };
        let noted = self.asks(|keeper| keeper.outgoing_went(why_not.as_deref()));
        if let Err(Stop::Keeper(failure)) = noted {
            tracing::warn!(%failure, "whether mail goes out cannot be noted");
        }
        pause
    }

    fn send_due(&self) -> Result<(), Stop> {
        let Some(way) = self.asks(|keeper| way(keeper, &self.origin))? else {
            return Ok(());
        };
        let due = self.asks(|keeper| Ok(People::of(keeper).notices_due()?))?;
        for notice in due.iter().take(NOTICES_MAX) {
            self.send_notice(&way, notice)?;
        }
        let status = self.asks(|keeper| {
            status_mail::due(keeper, &self.catalogues, &way.route, &self.origin.hostname)
        })?;
        if let Some(mail) = status {
            self.send_status(&way, &mail)?;
        }
        let Some(machine) = self.machine.as_deref() else {
            return Ok(());
        };
        let hostname = &self.origin.hostname;
        let about_updates = self.asks(|keeper| {
            status_mail::about_updates(keeper, machine, &self.catalogues, &way.route, hostname)
        })?;
        match about_updates {
            Some(mail) => self.send_status(&way, &mail),
            None => Ok(()),
        }
    }

    fn send_notice(&self, way: &Way, notice: &NoticeDue) -> Result<(), Stop> {
        let Ok(proposal) = Proposal::from_record(&notice.proposal) else {
            return Ok(());
        };
        let message = notices::message(&way.route, &self.origin.hostname, notice, &proposal);
        match self.hand_over(way, &notice.address, &message) {
            Ok(()) => {}
            Err(trouble) if trouble.is_of_message() => {
                let (why, address) = (trouble.chain(), &notice.address);
                tracing::warn!(why, address, "a notice did not go out");
                return Ok(());
            }
            Err(trouble) => return Err(Stop::Server(trouble)),
        }
        let note = |keeper: &dyn Keeper| {
            Ok(People::of(keeper).notice_given(proposal.number, &notice.address)?)
        };
        self.asks(note)
    }

    fn send_status(&self, way: &Way, mail: &StatusMail) -> Result<(), Stop> {
        self.hand_over(way, &mail.to, &mail.message)
            .map_err(Stop::Server)?;
        self.asks(|keeper| status_mail::was_sent(keeper, mail))
    }

    fn hand_over(&self, way: &Way, to: &str, message: &str) -> Result<(), Trouble> {
        let sender = Sender {
            route: &way.route,
            password: way.password.as_ref(),
            hostname: &self.origin.hostname,
            patience: Patience::USUAL,
        };
        sender.hand_over(to, message, &mut |_, _| {})
    }

    fn asks<T>(&self, ask: impl FnOnce(&dyn Keeper) -> Result<T, Failure>) -> Result<T, Stop> {
        let keeper = self.keeper.upgrade().ok_or(Stop::Closed)?;
        Ok(ask(&*keeper)?)
    }
}
