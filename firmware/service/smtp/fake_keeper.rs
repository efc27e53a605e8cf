//! A keeper for tests: its spool lies on a disk in memory, and its answers are those that a test wants.

use crate::keeper::{Answer, Failure, Keeper};
use archive::{Digest, Event};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use store::faulty_disk::SimDisk;
use store::{Body, Deposit, Moment, Novelty, Options, Receipt, Spool, Store, VOLUME_BYTES_MAX};

/// The only account: name and password.
pub(super) const ACCOUNT: (&str, &str) = ("exchange", "Käse-Bohrer 7");

/// What it says to every digest question.
pub(super) const DIGEST: Digest = Digest([0xab; 32]);

pub(super) struct FakeKeeper {
    pub(super) disk: SimDisk,
    store: Store,
    plan: Mutex<Plan>,
    kept: Mutex<Vec<Kept>>,
}

/// What becomes of messages.
pub(super) enum Plan {
    Keep,
    Know,
    Fail(Failure),
    /// No mail is taken, and it says so when it is asked.
    TakeNone(Failure),
    FailLater(Failure),
    /// Tells that it was asked, and answers when it is told to.
    Hold {
        asked: Sender<()>,
        released: Receiver<()>,
    },
    /// The real store does it.
    Store,
}

/// A message that was handed over.
pub(super) struct Kept {
    pub(super) bytes: Vec<u8>,
    pub(super) in_file: bool,
    pub(super) deposit: Deposit,
}

impl FakeKeeper {
    pub(super) fn new(plan: Plan) -> Arc<Self> {
        let disk = SimDisk::new();
        let clock = Arc::new(|| Moment {
            at_us: 1_750_000_000_000_000,
            ..Moment::default()
        });
        let options = Options {
            clock,
            boot_id: [1; 16],
            volume_bytes_max: VOLUME_BYTES_MAX,
            index_threads: 1,
            upkeep: store::WhenUpkeep::Never,
            follower_patience: store::FOLLOWER_PATIENCE,
        };
        let store = Store::open(Arc::new(disk.clone()), options, &mut |_| {})
            .expect("a store on an empty disk");
        Arc::new(Self {
            disk,
            store,
            plan: Mutex::new(plan),
            kept: Mutex::default(),
        })
    }

    pub(super) fn holding() -> (Arc<Self>, Receiver<()>, Sender<()>) {
        let ((asked, is_asked), (release, released)) = (channel(), channel());
        (Self::new(Plan::Hold { asked, released }), is_asked, release)
    }

    pub(super) fn plan(&self, plan: Plan) {
        *self.plan.lock().expect("no panic before") = plan;
    }

    pub(super) fn kept(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.kept.lock().expect("no panic before")
    }

    pub(super) fn message(&self, number: u64) -> Vec<u8> {
        bytes_of(&self.store.message(number).expect("a stored message"))
    }

    fn receipt(&self, body: &Body, deposit: Deposit, novelty: Novelty) -> Receipt {
        let in_file = matches!(body, Body::File { .. });
        let mut kept = self.kept();
        kept.push(Kept {
            bytes: bytes_of(body),
            in_file,
            deposit,
        });
        let number = kept.len() as u64;
        Receipt {
            number,
            reception: number,
            digest: DIGEST,
            novelty,
        }
    }
}

fn bytes_of(body: &Body) -> Vec<u8> {
    let mut bytes = Vec::new();
    body.write_to(&mut bytes).expect("a readable body");
    bytes
}

fn put_off(error: store::Error) -> Failure {
    Failure::Later(error.to_string())
}

impl Keeper for FakeKeeper {
    fn spool(&self) -> &Spool {
        self.store.spool()
    }

    fn takes_mail(&self) -> Result<(), Failure> {
        match &*self.plan.lock().expect("no panic before") {
            Plan::TakeNone(failure) => Err(failure.clone()),
            _ => Ok(()),
        }
    }

    fn deposit(&self, body: Body, deposit: Deposit) -> Result<Answer<Receipt>, Failure> {
        let mut plan = self.plan.lock().expect("no panic before");
        let at_once = |receipt| Ok(Answer::new(move || Ok(receipt)));
        match &mut *plan {
            Plan::Keep => at_once(self.receipt(&body, deposit, Novelty::NewMessage)),
            Plan::Know => at_once(self.receipt(&body, deposit, Novelty::NewReception)),
            Plan::Fail(failure) | Plan::TakeNone(failure) => Err(failure.clone()),
            Plan::FailLater(failure) => {
                let failure = failure.clone();
                Ok(Answer::new(move || Err(failure)))
            }
            Plan::Hold { .. } => {
                let Plan::Hold { asked, released } = std::mem::replace(&mut *plan, Plan::Keep)
                else {
                    unreachable!("it was looked at just before")
                };
                let receipt = self.receipt(&body, deposit, Novelty::NewMessage);
                Ok(Answer::new(move || {
                    asked.send(()).expect("a listening test");
                    released.recv().expect("a test that goes on");
                    Ok(receipt)
                }))
            }
            Plan::Store => {
                let pending = self.store.deposit(body, deposit).map_err(put_off)?;
                Ok(Answer::new(move || pending.wait().map_err(put_off)))
            }
        }
    }

    fn sign_in(&self, name: &str, password: &str) -> Result<bool, Failure> {
        match &*self.plan.lock().expect("no panic before") {
            Plan::Fail(failure) => Err(failure.clone()),
            _ => Ok((name, password) == ACCOUNT),
        }
    }

    fn log(&self, _actor: u64, _event: Event) -> Result<u64, Failure> {
        Err(Failure::BadRequest(
            "no test looks at the audit log".to_owned(),
        ))
    }
}
