//! The client workflow of TUF as a machine: it asks for files one after the other, and believes of them what the specification allows.
//!
//! It reads no clock, no folder and no network: [`next`](Client::next) says what it wants, [`receive`](Client::receive) takes it. What
//! it wants kept was checked in every way, and is kept before it asks for more. An error ends the run; what is trusted stays, and the
//! next run begins with it. Source: §5.
//!
//! Where the specification leaves a choice:
//! - The timestamp and snapshot that are kept are forgotten when a new root's keys no longer vouch for both of them (§5.3.11). A key that is only
//!   added leaves them alone: otherwise an older timestamp of the keys that stayed could be played back.
//! - A timestamp of the version that is trusted is discarded without an error (§5.4.3.1); other content under the same version is noted.
//!   Snapshot and targets with other content under the version that is kept are refused.
//! - The way of delegations is walked anew for each target; a role that was kept is believed only as far as the one that delegates to it now.

use crate::error::{Fault, FetchError, UpdateError};
use crate::key::KeyTypes;
use crate::metadata::{
    Delegated, Header, Listed, ROOT, Role, Root, SNAPSHOT, Snapshot, TARGETS, TIMESTAMP, Target,
    Targets, Timestamp,
};
use crate::name::file_name;
use crate::signed::{Signed, Signers};
use crate::time::Time;
use serde_json::Value;
use std::collections::{BTreeSet, VecDeque};
use std::mem;

/// What whoever starts a client decides.
#[derive(Clone, Debug)]
pub struct Options {
    /// What time it is, for the whole run (§5.1).
    pub now: Time,
    /// A moment that is surely past. A clock that says less is wrong, and this counts instead.
    pub clock_floor: Time,
    /// Which keys count.
    pub key_types: KeyTypes,
    /// What becomes of a timestamp and snapshot that have expired.
    pub stale: Stale,
    /// How much is read at most.
    pub limits: Limits,
}

/// What becomes of a timestamp and snapshot that have expired. Root and targets that have are always refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stale {
    /// They are refused.
    Refuse,
    /// They are taken: a person was shown the version and confirmed it, for files from a stick.
    Confirmed,
}

/// How much is read at most, whatever a repository offers.
#[derive(Clone, Debug)]
pub struct Limits {
    /// 512 KiB: some hundred keys and signatures. What is longer is refused.
    pub root_bytes: u64,
    /// 16 KiB: it names one file, and is fetched each time.
    pub timestamp_bytes: u64,
    /// 2 MiB: about 20,000 roles.
    pub snapshot_bytes: u64,
    /// 5 MiB: about 20,000 targets a role.
    pub targets_bytes: u64,
    /// 256 roots in one run: years of rotations. The next run goes on from there.
    pub root_rotations: u32,
    /// 32 roles asked for one target, the top one included: each is a file to fetch.
    pub roles: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            root_bytes: 512 * 1024,
            timestamp_bytes: 16 * 1024,
            snapshot_bytes: 2 * 1024 * 1024,
            targets_bytes: 5 * 1024 * 1024,
            root_rotations: 256,
            roles: 32,
        }
    }
}

/// What a client wants next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// The metadata of a role that were kept; answer with them.
    Load {
        /// Name of the role, as the repository calls it.
        role: String,
    },
    /// A file of the repository; answer with it.
    Fetch {
        /// Its name, fit for an address.
        name: String,
        /// Most bytes that it may have.
        bytes_max: u64,
    },
    /// Metadata to keep, exactly as they are, before anything else is asked; no answer.
    Keep {
        /// Name of the role.
        role: String,
        /// The file as it was received.
        bytes: Vec<u8>,
    },
    /// Metadata that are not trusted any more; no answer.
    Forget {
        /// Name of the role.
        role: String,
    },
    /// Nothing: all is up to date, or the search for a target has ended, or an error ended the run.
    Rest,
}

/// What becomes of a wish.
#[derive(Debug)]
pub enum Answer {
    /// The file.
    Bytes(Vec<u8>),
    /// There is none.
    Missing,
    /// It cannot be had.
    Failed(FetchError),
}

/// A run of the client workflow.
#[derive(Debug)]
pub struct Client {
    options: Options,
    root: Trusted<Root>,
    timestamp: Option<Trusted<Timestamp>>,
    snapshot: Option<Trusted<Snapshot>>,
    targets: Option<Trusted<Targets>>,
    stage: Stage,
    /// Wishes without an answer, which go before the one of the stage.
    outbox: VecDeque<Step>,
    rotations: u32,
    search: Option<Search>,
    timestamp_changed: bool,
}

/// Metadata that are believed.
#[derive(Debug)]
struct Trusted<T> {
    signed: Signed,
    header: Header,
    says: T,
    /// The file, for digests that are listed of it.
    bytes: Vec<u8>,
}

/// What the next answer is about.
#[derive(Debug)]
enum Stage {
    LoadTimestamp,
    LoadSnapshot,
    FetchRoot,
    FetchTimestamp,
    FetchSnapshot,
    LoadTargets(Delegated),
    FetchTargets(Delegated, Option<Box<Trusted<Targets>>>),
    Refreshed,
    Failed,
}

/// A walk through the roles that may provide a target.
#[derive(Debug)]
struct Search {
    path: String,
    /// The next one is the last.
    to_visit: Vec<Delegated>,
    visited: BTreeSet<String>,
    found: Option<Target>,
}

impl Client {
    /// Begins with the root that is kept, whose expiry does not matter yet.
    ///
    /// # Errors
    /// When it is none, or not signed by its own keys.
    pub fn new(root: Vec<u8>, options: Options) -> Result<Self, UpdateError> {
        let root = read_root(root, &options).map_err(|fault| refused(ROOT, fault))?;
        Ok(Self {
            options,
            root,
            timestamp: None,
            snapshot: None,
            targets: None,
            stage: Stage::LoadTimestamp,
            outbox: VecDeque::new(),
            rotations: 0,
            search: None,
            timestamp_changed: false,
        })
    }

    /// Says what is wanted next: the same again until it is answered, but what is to be kept or forgotten only once.
    #[expect(clippy::should_implement_trait, reason = "it never ends, and repeats")]
    pub fn next(&mut self) -> Step {
        self.outbox.pop_front().unwrap_or_else(|| self.wish())
    }

    /// Takes the answer to the last `Load` or `Fetch`.
    ///
    /// # Errors
    /// When what came is not to be believed, or nothing came that must be there. The run is over then.
    pub fn receive(&mut self, answer: Answer) -> Result<(), UpdateError> {
        let name = match self.wish() {
            Step::Fetch { name, .. } => name,
            Step::Load { role } => role,
            Step::Keep { .. } | Step::Forget { .. } | Step::Rest => return Ok(()),
        };
        let stage = mem::replace(&mut self.stage, Stage::Failed);
        let file = match answer {
            Answer::Bytes(bytes) => Some(bytes),
            Answer::Missing => None,
            Answer::Failed(source) => return Err(UpdateError::Fetch { name, source }),
        };
        self.stage = self.proceed(stage, name, file)?;
        Ok(())
    }

    /// Begins to look for a target, once all is up to date.
    ///
    /// # Errors
    /// As `receive`. Before all is up to date, there is no such target.
    pub fn search(&mut self, path: &str) -> Result<(), UpdateError> {
        let (Stage::Refreshed, Some(targets)) = (&self.stage, &self.targets) else {
            return Err(UpdateError::NoSuchTarget(path.to_owned()));
        };
        let mut search = Search {
            path: path.to_owned(),
            to_visit: Vec::new(),
            visited: BTreeSet::from([TARGETS.to_owned()]),
            found: None,
        };
        search.visit(&targets.says);
        self.stage = Stage::Failed;
        self.stage = self.go_on(search)?;
        Ok(())
    }

    /// Gives the target that the last search found.
    ///
    /// # Errors
    /// `NoSuchTarget`.
    pub fn found(&self) -> Result<&Target, UpdateError> {
        let search = self.search.as_ref();
        search
            .and_then(|search| search.found.as_ref())
            .ok_or_else(|| {
                UpdateError::NoSuchTarget(search.map_or(String::new(), |s| s.path.clone()))
            })
    }

    /// Lists what the top-level targets role itself vouches for, once all is up to date; before, nothing. Delegated roles are not asked.
    pub fn top_level_targets(&self) -> Vec<Target> {
        match (&self.stage, &self.targets) {
            (Stage::Refreshed, Some(targets)) => targets.says.all(),
            _ => Vec::new(),
        }
    }

    /// Gives the path of a target's file in the repository, which may bear its digest.
    pub fn file_path(&self, target: &Target) -> String {
        target.file_path(self.root.says.consistent_snapshot)
    }

    /// Says whether the repository changed its timestamp without a new version. It was discarded.
    pub fn timestamp_changed(&self) -> bool {
        self.timestamp_changed
    }

    fn wish(&self) -> Step {
        let limits = &self.options.limits;
        match &self.stage {
            Stage::LoadTimestamp => load(TIMESTAMP),
            Stage::LoadSnapshot => load(SNAPSHOT),
            Stage::LoadTargets(delegated) => load(&delegated.role),
            // A root of the highest version has no successor, and whatever comes under this name is refused.
            Stage::FetchRoot => Step::Fetch {
                name: format!("{}.root.json", self.root.header.version().saturating_add(1)),
                bytes_max: limits.root_bytes,
            },
            Stage::FetchTimestamp => Step::Fetch {
                name: "timestamp.json".to_owned(),
                bytes_max: limits.timestamp_bytes,
            },
            Stage::FetchSnapshot => self.fetch_listed(SNAPSHOT, limits.snapshot_bytes),
            Stage::FetchTargets(delegated, _) => {
                self.fetch_listed(&delegated.role, limits.targets_bytes)
            }
            Stage::Refreshed | Stage::Failed => Step::Rest,
        }
    }

    fn proceed(
        &mut self,
        stage: Stage,
        name: String,
        file: Option<Vec<u8>>,
    ) -> Result<Stage, UpdateError> {
        let missing = UpdateError::Missing(name);
        match stage {
            Stage::LoadTimestamp => Ok(self.load_timestamp(file)),
            Stage::LoadSnapshot => Ok(self.load_snapshot(file)),
            Stage::LoadTargets(from) => self.load_targets(from, file),
            Stage::FetchRoot => self.receive_root(file),
            Stage::FetchTimestamp => self.receive_timestamp(file.ok_or(missing)?),
            Stage::FetchSnapshot => self.receive_snapshot(file.ok_or(missing)?),
            Stage::FetchTargets(from, kept) => {
                self.receive_targets(&from, kept, file.ok_or(missing)?)
            }
            Stage::Refreshed | Stage::Failed => Ok(stage),
        }
    }

    /// A file whose version and perhaps length are known already.
    fn fetch_listed(&self, role: &str, bytes_max: u64) -> Step {
        let Ok(listed) = self.listed(role) else {
            return Step::Rest;
        };
        Step::Fetch {
            name: self.listed_name(role, listed.version()),
            bytes_max: listed.length.unwrap_or(bytes_max).min(bytes_max),
        }
    }

    fn listed_name(&self, role: &str, version: u64) -> String {
        let name = file_name(role).unwrap_or_default();
        match self.root.says.consistent_snapshot {
            true => format!("{version}.{name}.json"),
            false => format!("{name}.json"),
        }
    }

    fn listed(&self, role: &str) -> Result<&Listed, Fault> {
        match (role, &self.timestamp, &self.snapshot) {
            (SNAPSHOT, Some(timestamp), _) => Ok(timestamp.says.snapshot()),
            (_, _, Some(snapshot)) => snapshot.says.listed(role),
            _ => Err(Fault::NotListed),
        }
    }

    fn load_timestamp(&mut self, file: Option<Vec<u8>>) -> Stage {
        self.timestamp = self.kept(file, &self.root.says.timestamp());
        Stage::LoadSnapshot
    }

    fn load_snapshot(&mut self, file: Option<Vec<u8>>) -> Stage {
        self.snapshot = self.kept(file, &self.root.says.snapshot());
        Stage::FetchRoot
    }

    /// What was kept and still is vouched for. Its expiry does not matter: it says how far back no newer one may go.
    fn kept<T: Role>(&self, file: Option<Vec<u8>>, signers: &Signers) -> Option<Trusted<T>> {
        read(file?, signers, self.options.key_types).ok()
    }

    fn receive_root(&mut self, file: Option<Vec<u8>>) -> Result<Stage, UpdateError> {
        let Some(bytes) = file else {
            return self.end_roots();
        };
        let root = self.new_root(bytes).map_err(|fault| refused(ROOT, fault))?;
        self.forget_if_rotated(&root.says);
        self.outbox.push_back(keep(ROOT, &root));
        self.root = root;
        self.rotations += 1;
        match self.rotations < self.options.limits.root_rotations {
            true => Ok(Stage::FetchRoot),
            false => self.end_roots(),
        }
    }

    /// A root that the keys of the last one and its own vouch for, and exactly the next one (§5.3.4, §5.3.5).
    fn new_root(&self, bytes: Vec<u8>) -> Result<Trusted<Root>, Fault> {
        let types = self.options.key_types;
        let root: Trusted<Root> = read(bytes, &self.root.says.root(), types)?;
        root.says.root().check(&root.signed, types)?;
        let version = self.root.header.version();
        has_version(&root.header, version.saturating_add(1))?;
        Ok(root)
    }

    /// Recovers from versions that attackers with rotated keys have driven up (§5.3.11).
    ///
    /// Must precede keeping the new root: a run that ends in between begins again with the old one.
    fn forget_if_rotated(&mut self, root: &Root) {
        let types = self.options.key_types;
        let vouched = |signed: Option<&Signed>, signers: Signers| {
            signed.is_none_or(|signed| signers.check(signed, types).is_ok())
        };
        let timestamp = self.timestamp.as_ref().map(|kept| &kept.signed);
        let snapshot = self.snapshot.as_ref().map(|kept| &kept.signed);
        if vouched(timestamp, root.timestamp()) && vouched(snapshot, root.snapshot()) {
            return;
        }
        self.timestamp = None;
        self.snapshot = None;
        self.outbox.extend([forget(TIMESTAMP), forget(SNAPSHOT)]);
    }

    /// There is no newer root: only now its expiry matters (§5.3.10).
    fn end_roots(&self) -> Result<Stage, UpdateError> {
        self.fresh(&self.root.header)
            .map_err(|fault| refused(ROOT, fault))?;
        Ok(Stage::FetchTimestamp)
    }

    fn receive_timestamp(&mut self, bytes: Vec<u8>) -> Result<Stage, UpdateError> {
        self.new_timestamp(bytes)
            .map_err(|fault| refused(TIMESTAMP, fault))?;
        match self.snapshot_is_current() {
            true => self.visit(self.root.says.targets()),
            false => Ok(Stage::FetchSnapshot),
        }
    }

    fn new_timestamp(&mut self, bytes: Vec<u8>) -> Result<(), Fault> {
        let signers = self.root.says.timestamp();
        let new: Trusted<Timestamp> = read(bytes, &signers, self.options.key_types)?;
        if let Some(kept) = &self.timestamp {
            not_back(TIMESTAMP, kept.header.version(), new.header.version())?;
            if new.header.version() == kept.header.version() {
                self.timestamp_changed = !new.signed.says_the_same(&kept.signed);
                return self.fresh_or_confirmed(&kept.header);
            }
            let (kept, new) = (kept.says.snapshot(), new.says.snapshot());
            not_back(SNAPSHOT, kept.version(), new.version())?;
        }
        // The timestamp that is kept says no less, but may have been lost.
        if let Some(kept) = &self.snapshot {
            let found = new.says.snapshot().version();
            not_back(SNAPSHOT, kept.header.version(), found)?;
        }
        self.fresh_or_confirmed(&new.header)?;
        self.outbox.push_back(keep(TIMESTAMP, &new));
        self.timestamp = Some(new);
        Ok(())
    }

    /// Says whether the snapshot that is kept is the one that the timestamp means.
    fn snapshot_is_current(&self) -> bool {
        let (Some(kept), Ok(listed)) = (&self.snapshot, self.listed(SNAPSHOT)) else {
            return false;
        };
        kept.header.version() == listed.version()
            && listed.check(&kept.bytes).is_ok()
            && self.fresh_or_confirmed(&kept.header).is_ok()
    }

    fn receive_snapshot(&mut self, bytes: Vec<u8>) -> Result<Stage, UpdateError> {
        self.new_snapshot(bytes)
            .map_err(|fault| refused(SNAPSHOT, fault))?;
        self.visit(self.root.says.targets())
    }

    fn new_snapshot(&mut self, bytes: Vec<u8>) -> Result<(), Fault> {
        let listed = self.listed(SNAPSHOT)?;
        listed.check(&bytes)?;
        let signers = self.root.says.snapshot();
        let new: Trusted<Snapshot> = read(bytes, &signers, self.options.key_types)?;
        has_version(&new.header, listed.version())?;
        if let Some(kept) = &self.snapshot {
            lists_no_less(&kept.says, &new.says)?;
            unchanged(kept, &new)?;
        }
        self.fresh_or_confirmed(&new.header)?;
        self.outbox.push_back(keep(SNAPSHOT, &new));
        self.snapshot = Some(new);
        Ok(())
    }

    /// Begins with a targets role, which the snapshot must list.
    fn visit(&self, delegated: Delegated) -> Result<Stage, UpdateError> {
        if file_name(&delegated.role).is_none() {
            return Err(UpdateError::UnusableName(delegated.role));
        }
        match self.listed(&delegated.role) {
            Ok(_) => Ok(Stage::LoadTargets(delegated)),
            Err(fault) => Err(refused(&delegated.role, fault)),
        }
    }

    fn load_targets(
        &mut self,
        from: Delegated,
        file: Option<Vec<u8>>,
    ) -> Result<Stage, UpdateError> {
        match self.kept(file, &from.signers) {
            Some(kept) if self.targets_are_current(&from.role, &kept) => {
                self.arrived(&from.role, kept)
            }
            kept => Ok(Stage::FetchTargets(from, kept.map(Box::new))),
        }
    }

    /// Says whether the targets metadata that are kept are those that the snapshot means.
    fn targets_are_current(&self, role: &str, kept: &Trusted<Targets>) -> bool {
        self.listed(role).is_ok_and(|listed| {
            kept.header.version() == listed.version() && listed.check(&kept.bytes).is_ok()
        }) && self.fresh(&kept.header).is_ok()
    }

    fn receive_targets(
        &mut self,
        from: &Delegated,
        kept: Option<Box<Trusted<Targets>>>,
        bytes: Vec<u8>,
    ) -> Result<Stage, UpdateError> {
        let new = self
            .new_targets(from, kept, bytes)
            .map_err(|fault| refused(&from.role, fault))?;
        self.outbox.push_back(keep(&from.role, &new));
        self.arrived(&from.role, new)
    }

    fn new_targets(
        &self,
        from: &Delegated,
        kept: Option<Box<Trusted<Targets>>>,
        bytes: Vec<u8>,
    ) -> Result<Trusted<Targets>, Fault> {
        let listed = self.listed(&from.role)?;
        listed.check(&bytes)?;
        let new: Trusted<Targets> = read(bytes, &from.signers, self.options.key_types)?;
        has_version(&new.header, listed.version())?;
        if let Some(kept) = &kept {
            unchanged(kept, &new)?;
        }
        self.fresh(&new.header)?;
        Ok(new)
    }

    /// Goes on with what a targets role says.
    fn arrived(&mut self, role: &str, targets: Trusted<Targets>) -> Result<Stage, UpdateError> {
        let Some(mut search) = self.search.take() else {
            self.targets = Some(targets);
            return Ok(Stage::Refreshed);
        };
        search.visited.insert(role.to_owned());
        search.visit(&targets.says);
        self.go_on(search)
    }

    /// Goes to the next role of a search, or ends it.
    fn go_on(&mut self, mut search: Search) -> Result<Stage, UpdateError> {
        let next = search.next();
        let visited = search.visited.len();
        self.search = Some(search);
        match next {
            None => Ok(Stage::Refreshed),
            Some(_) if visited >= self.options.limits.roles => {
                Err(UpdateError::TooManyRoles(self.options.limits.roles))
            }
            Some(delegated) => self.visit(delegated),
        }
    }

    /// What time it is: never before the floor.
    fn now(&self) -> Time {
        self.options.now.max(self.options.clock_floor)
    }

    fn fresh(&self, header: &Header) -> Result<(), Fault> {
        match header.expires > self.now() {
            true => Ok(()),
            false => Err(Fault::Expired(header.expires)),
        }
    }

    fn fresh_or_confirmed(&self, header: &Header) -> Result<(), Fault> {
        match self.options.stale {
            Stale::Confirmed => Ok(()),
            Stale::Refuse => self.fresh(header),
        }
    }
}

impl Search {
    /// Takes what a role says: the target, or the roles to ask next, in their order, before those that wait already.
    fn visit(&mut self, targets: &Targets) {
        self.found = targets.target(&self.path);
        if self.found.is_some() {
            self.to_visit.clear();
            return;
        }
        let (delegated, terminating) = targets.delegated(&self.path);
        if terminating {
            self.to_visit.clear();
        }
        self.to_visit.extend(delegated.into_iter().rev());
    }

    /// The next role that was not visited yet, so that a circle ends.
    fn next(&mut self) -> Option<Delegated> {
        loop {
            let delegated = self.to_visit.pop()?;
            if !self.visited.contains(&delegated.role) {
                return Some(delegated);
            }
        }
    }
}

/// Reads the root that is kept: vouched for by its own keys alone.
fn read_root(bytes: Vec<u8>, options: &Options) -> Result<Trusted<Root>, Fault> {
    let (signed, unverified) = Signed::read(&bytes)?;
    let root: Trusted<Root> = believe(signed, &unverified, bytes)?;
    root.says.root().check(&root.signed, options.key_types)?;
    Ok(root)
}

/// Reads metadata and believes them if enough of the signers vouch for them, before anything else in them is looked at.
fn read<T: Role>(bytes: Vec<u8>, signers: &Signers, types: KeyTypes) -> Result<Trusted<T>, Fault> {
    let (signed, unverified) = Signed::read(&bytes)?;
    signers.check(&signed, types)?;
    believe(signed, &unverified, bytes)
}

fn believe<T: Role>(signed: Signed, says: &Value, bytes: Vec<u8>) -> Result<Trusted<T>, Fault> {
    Ok(Trusted {
        header: Header::read(says, T::KIND)?,
        says: T::deserialize(says)?,
        signed,
        bytes,
    })
}

fn has_version(header: &Header, expected: u64) -> Result<(), Fault> {
    match header.version() == expected {
        true => Ok(()),
        false => Err(Fault::WrongVersion {
            expected,
            found: header.version(),
        }),
    }
}

fn not_back(what: &str, trusted: u64, found: u64) -> Result<(), Fault> {
    match found >= trusted {
        true => Ok(()),
        false => Err(Fault::RolledBack {
            what: what.to_owned(),
            trusted,
            found,
        }),
    }
}

/// No role goes back or vanishes (§5.5.5).
fn lists_no_less(kept: &Snapshot, new: &Snapshot) -> Result<(), Fault> {
    for (name, listed) in &kept.meta {
        let Some(found) = new.meta.get(name) else {
            return Err(Fault::Removed(name.clone()));
        };
        not_back(name, listed.version(), found.version())?;
    }
    Ok(())
}

/// Whoever signs the same version twice with other content shows different things to different clients.
fn unchanged<T>(kept: &Trusted<T>, new: &Trusted<T>) -> Result<(), Fault> {
    let version = new.header.version();
    match kept.header.version() == version && !kept.signed.says_the_same(&new.signed) {
        true => Err(Fault::Changed(version)),
        false => Ok(()),
    }
}

fn load(role: &str) -> Step {
    Step::Load {
        role: role.to_owned(),
    }
}

fn keep<T>(role: &str, trusted: &Trusted<T>) -> Step {
    Step::Keep {
        role: role.to_owned(),
        bytes: trusted.bytes.clone(),
    }
}

fn forget(role: &str) -> Step {
    Step::Forget {
        role: role.to_owned(),
    }
}

fn refused(role: &str, source: Fault) -> UpdateError {
    UpdateError::Refused {
        role: role.to_owned(),
        source,
    }
}
