//! The register of people as it is kept: each change is an entry of the audit log first, and stands in `state.redb` so that a
//! start need not read the whole log (FORMAT.md, "Register of people" and "state.redb").
//!
//! What counts is the log. Here nothing decides who may change what: that is [`Register`]'s.

use super::secrets;
use crate::keeper::Failure;
use archive::people::{RecordError, Register};
use archive::{AlarmKind, Digest, Event, EventKind};
use std::sync::Arc;
use store::{StateChange, StateTable, Store};

/// The name of the number of the event whose register the state file has.
const ANCHOR: &str = "anchor";

/// 20,000 leaves that are looked through at a start, some tens of milliseconds; when more have come, the log is told the digest anew.
const UNANCHORED_LEAVES_MAX: u64 = 20_000;

/// 10 minutes, in seconds: so much waiting a crash may lose, so that a minute costs no write.
const UNSAVED_S_MAX: u64 = 600;

/// Who is the archive itself among actors (FORMAT.md).
const COFFER: u64 = 0;

/// The register, the one in effect and the one in the state file.
pub(super) struct KeptRegister {
    /// What counts.
    in_effect: Arc<Register>,
    /// What the state file holds; behind when it could not be written.
    kept: Arc<Register>,
    /// Number of the event whose register is kept.
    anchor: u64,
    /// Seconds that ran since the state file was written.
    unsaved_s: u64,
}

/// Whose doing an entry of the log is.
#[derive(Clone, Copy, Debug)]
pub(super) struct By<'a> {
    /// The account, or an actor of the archive.
    pub(super) actor: u64,
    /// From where.
    pub(super) peer: &'a str,
}

impl By<'_> {
    /// The archive itself.
    pub(super) const COFFER: Self = Self {
        actor: COFFER,
        peer: "",
    };
}

/// A register read from the log.
#[derive(Default)]
struct Replay {
    register: Register,
    /// The digest that the log says it has, and the number of the event that says so.
    said: Option<(u64, Digest)>,
}

impl KeptRegister {
    /// Reads the register, and brings the state file to what the log says.
    pub(super) fn load(store: &Store) -> Result<Self, Failure> {
        let (leaves, _) = store.progress()?;
        let (kept, anchor) = from_state(store)?;
        let mut replay = Replay {
            register: kept.clone().unwrap_or_default(),
            said: None,
        };
        replay.take(store, anchor, leaves)?;
        let is_sound = kept.is_some() && replay.is_as_said(anchor);
        if !is_sound {
            tracing::error!("the register of people in state.redb is not that of the audit log");
            replay = Replay::default();
            replay.take(store, 0, leaves)?;
        }
        let mut register = Self {
            in_effect: Arc::new(replay.register),
            kept: Arc::new(kept.unwrap_or_default()),
            anchor: replay.said.map_or(anchor, |(number, _)| number),
            unsaved_s: 0,
        };
        if !is_sound {
            register.alarm(store)?;
        }
        register.save(store, Vec::new())?;
        register.anchor(store)?;
        Ok(register)
    }

    /// Gives the register in effect.
    pub(super) fn in_effect(&self) -> Arc<Register> {
        self.in_effect.clone()
    }

    /// Puts another register into effect: its entries are durable in the log before, and `secrets` are written with it.
    pub(super) fn enter(
        &mut self,
        store: &Store,
        by: By,
        register: Register,
        mut events: Vec<Event>,
        secrets: Vec<StateChange>,
    ) -> Result<(), Failure> {
        let changes = register.changes_since(&self.in_effect);
        let records: Vec<String> = changes
            .into_iter()
            .filter_map(|change| change.logged)
            .collect();
        if !records.is_empty() {
            // Only the last entry puts it into effect: those before it only say what people did.
            let last = events
                .last_mut()
                .expect("whatever changes the register says so");
            last.records = records;
            last.digest = Some(digest(&register));
        }
        for mut event in events {
            event.peer = by.peer.to_owned();
            let is_effect = !event.records.is_empty();
            let number = store.log(by.actor, event)?.wait()?;
            if is_effect {
                self.anchor = number;
            }
        }
        self.in_effect = Arc::new(register);
        self.save(store, secrets)
    }

    /// Puts a register into effect that differs only in seconds that ran.
    pub(super) fn run(&mut self, register: Register, seconds: u64) {
        self.in_effect = Arc::new(register);
        self.unsaved_s = self.unsaved_s.saturating_add(seconds);
    }

    /// Writes the seconds that ran, now and then.
    pub(super) fn save_seconds(&mut self, store: &Store) -> Result<(), Failure> {
        if self.unsaved_s < UNSAVED_S_MAX {
            return Ok(());
        }
        self.save(store, Vec::new())
    }

    /// Writes what the state file lacks, together with `secrets`.
    fn save(&mut self, store: &Store, secrets: Vec<StateChange>) -> Result<(), Failure> {
        let changes = self.in_effect.changes_since(&self.kept);
        let mut values: Vec<StateChange> = changes
            .into_iter()
            .map(|change| {
                let record = change.record.map(String::into_bytes);
                (StateTable::People, change.name, record)
            })
            .collect();
        values.extend(secrets::closed(store.state(), &self.kept, &self.in_effect)?);
        values.extend(secrets);
        if values.is_empty() {
            return Ok(());
        }
        let anchor = self.anchor.to_le_bytes().to_vec();
        values.push((StateTable::People, ANCHOR.to_owned(), Some(anchor)));
        store.state().put_all(&values)?;
        self.kept = self.in_effect.clone();
        self.unsaved_s = 0;
        Ok(())
    }

    /// Lets the log say the digest anew when a start would have to look through many leaves.
    pub(super) fn anchor(&mut self, store: &Store) -> Result<(), Failure> {
        let (leaves, _) = store.progress()?;
        if leaves.saturating_sub(self.anchor) <= UNANCHORED_LEAVES_MAX {
            return Ok(());
        }
        let event = Event {
            kind: EventKind::RegisterKept,
            digest: Some(digest(&self.in_effect)),
            ..Event::default()
        };
        self.anchor = store.log(COFFER, event)?.wait()?;
        let anchor = self.anchor.to_le_bytes();
        store
            .state()
            .put(StateTable::People, ANCHOR, Some(&anchor))?;
        Ok(())
    }

    /// Says in the log that the state file did not hold what the log says; the log's register counts from now on.
    fn alarm(&mut self, store: &Store) -> Result<(), Failure> {
        let text =
            "the register of people in state.redb was not that of the audit log, which counts";
        let alarm = Event::alarm(AlarmKind::RegisterDiffers, text.to_owned());
        store.log(COFFER, alarm)?.wait()?;
        let kept = Event {
            kind: EventKind::RegisterKept,
            digest: Some(digest(&self.in_effect)),
            ..Event::default()
        };
        self.anchor = store.log(COFFER, kept)?.wait()?;
        let anchor = self.anchor.to_le_bytes();
        let mut values: Vec<StateChange> = store
            .state()
            .names(StateTable::People)?
            .into_iter()
            .map(|name| (StateTable::People, name, None))
            .collect();
        values.push((StateTable::People, ANCHOR.to_owned(), Some(anchor.to_vec())));
        store.state().put_all(&values)?;
        Ok(())
    }
}

impl Replay {
    /// Takes what the log says after a number; the entry of that number itself only says the digest.
    fn take(&mut self, store: &Store, anchor: u64, until: u64) -> Result<(), Failure> {
        let mut failed = None;
        store.events(anchor.max(1)..until + 1, |head, event| {
            let says = event.kind == EventKind::RegisterKept || !event.records.is_empty();
            let Some(digest) = event.digest.filter(|_| says) else {
                return;
            };
            self.said = Some((head.sequence, digest));
            let fresh = event.records.iter().filter(|_| head.sequence > anchor);
            for record in fresh {
                if let Err(error) = self.register.take_record(record) {
                    failed.get_or_insert((head.sequence, error));
                }
            }
        })?;
        match failed {
            None => Ok(()),
            Some((number, error)) => Err(Failure::Damaged(format!(
                "the register of people in number {number} of the log: {error}"
            ))),
        }
    }

    /// Tells whether the register is the one that the log says, which says one from the anchor on if there is any.
    fn is_as_said(&self, anchor: u64) -> bool {
        match self.said {
            Some((_, said)) => digest(&self.register) == said,
            None => anchor == 0 && self.register == Register::default(),
        }
    }
}

/// The digest that the log says of a register.
fn digest(register: &Register) -> Digest {
    store::sha256(register.text_at_rest().as_bytes())
}

/// Reads register and anchor of the state file; no register when its records do not hold.
fn from_state(store: &Store) -> Result<(Option<Register>, u64), Failure> {
    let mut register = Register::default();
    let mut anchor = 0;
    for (name, value) in store.state().entries(StateTable::People)? {
        if name == ANCHOR {
            anchor = value.try_into().map_or(0, u64::from_le_bytes);
            continue;
        }
        let record = String::from_utf8(value).map_err(|_| RecordError::Kind);
        if record
            .and_then(|record| register.take_record(&record))
            .is_err()
        {
            return Ok((None, anchor));
        }
    }
    Ok((Some(register), anchor))
}
