//! A disk in memory that fails when it is told to: it shows what the store does with every fault at every step.
//!
//! A *step* is whatever may change the disk: making, writing, sizing, syncing, renaming, removing. A test counts the steps of
//! a scenario once ([`SimDisk::steps`]), then runs it again with a [`Fault`] at the first, the second … the last one, ends
//! with [`SimDisk::crash`] or [`SimDisk::reopen`], opens the store again and looks at what is there.
//!
//! It keeps every file and every name twice, as the program sees it (live) and as it would be after a power cut (durable),
//! and is as strict as POSIX allows: a new file that was synced is gone when its folder was not. It does not model time, the
//! loss of what was durable, or memory that the file system needs for itself. Length counts as taken room, holes included.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::disk::{Bytes, Disk, DiskFile, Open, Room, check_name, folder_of};
use crate::pages::{PAGE_BYTES, Pages};

/// Bytes that reach a disk together or not at all; the smallest sector in use.
pub const SECTOR_BYTES: usize = 512;

/// Size in bytes of a disk that was not given one: more than any test writes.
const CAPACITY_BYTES: u64 = 1 << 40;

/// What goes wrong, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The step it befalls, counted from 1 since the disk was made.
    pub at_step: u64,
    /// What goes wrong.
    pub kind: FaultKind,
}

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The step fails without effect, and the disk is dead until it is opened again: a pulled cable.
    Error,
    /// The step alone fails without effect; after a failed sync, what it should have synced is never made durable.
    ErrorOnce,
    /// From this step on nothing grows.
    Full,
    /// The power is cut during the first write or sync from this step on: some of its sectors are durable.
    TornWrite,
    /// The power is cut before the step: whatever was not synced is lost.
    LostUnsynced,
    /// The first write from this step on succeeds, with one bit changed.
    FlippedBit,
}

/// What a power cut does to bytes and names that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// All are lost.
    LoseUnsynced,
    /// Each sector and each change of a name is kept or lost at random; the same seed does the same again.
    KeepSome {
        /// Start of the random numbers.
        seed: u64,
    },
}

/// A disk in memory; clones are the same disk.
#[derive(Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    gate: Arc<(Mutex<bool>, Condvar)>,
}

impl SimDisk {
    /// Makes an empty disk that no test can fill.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes an empty disk of a size.
    pub fn with_capacity(capacity_bytes: u64) -> Self {
        let disk = Self::default();
        disk.set_capacity(capacity_bytes);
        disk
    }

    /// Makes another disk that is as this one is now, steps included; files that are open here stay open here alone.
    pub fn fork(&self) -> Self {
        Self {
            state: Arc::new(Mutex::new(self.state().clone())),
            gate: Arc::default(),
        }
    }

    /// Changes the size; what lies on the disk stays, even if it is more. A disk that was filled up has the room then.
    pub fn set_capacity(&self, capacity_bytes: u64) {
        let mut state = self.state();
        state.capacity_bytes = capacity_bytes;
        state.full = false;
    }

    /// Lets a file, or those of a folder, not grow any more although there seems to be room, as when another program takes it just
    /// then; none lets all grow.
    pub fn keep_from_growing(&self, name: Option<&Path>) {
        self.state().stunted = name.map(Path::to_owned);
    }

    /// Gives the count of steps so far.
    pub fn steps(&self) -> u64 {
        self.state().steps
    }

    /// Gives the count of bytes written to files so far.
    pub fn written_bytes(&self) -> u64 {
        self.state().written_bytes
    }

    /// Plans a fault in place of the one before; opening the disk again calls it off.
    pub fn set_fault(&self, fault: Option<Fault>) {
        let mut state = self.state();
        state.fault = fault;
        state.fault_was_hit = false;
    }

    /// Tells whether the fault planned last did befall something.
    pub fn fault_was_hit(&self) -> bool {
        self.state().fault_was_hit
    }

    /// Lets whoever looks for a file, opens, writes or syncs one wait until [`SimDisk::release`].
    pub fn hang(&self) {
        *self.is_shut() = true;
    }

    /// Lets those go on who wait since [`SimDisk::hang`].
    pub fn release(&self) {
        *self.is_shut() = false;
        self.gate.1.notify_all();
    }

    fn is_shut(&self) -> MutexGuard<'_, bool> {
        self.gate.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while the disk hangs.
    fn pass_gate(&self) {
        let shut = self.is_shut();
        drop(self.gate.1.wait_while(shut, |shut| *shut));
    }

    /// Ends the program and starts it again: open files become unusable, a dead or full disk works again, nothing is lost.
    pub fn reopen(&self) {
        self.state().reopen();
    }

    /// Cuts the power and opens the disk again.
    pub fn crash(&self, crash: Crash) {
        let mut state = self.state();
        if let Crash::KeepSome { seed } = crash {
            state.keep_some(&mut Random(seed));
        }
        state.lose_unsynced();
        state.reopen();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked elsewhere still wants to look at its disk.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, name: &Path) -> io::Result<()> {
        check_name(name)?;
        let mut state = self.state();
        state.step()?;
        let above: Vec<_> = name.ancestors().map(Path::to_owned).collect();
        for folder in above.into_iter().rev() {
            match state.names.get(&folder) {
                Some(Entry::File(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
                Some(Entry::Folder) => {}
                None => state.change(vec![(folder.clone(), Some(Entry::Folder))]),
            }
            state.sync_names(folder_of(&folder));
        }
        Ok(())
    }

    fn open(&self, name: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        check_name(name)?;
        self.pass_gate();
        let mut state = self.state();
        let file = match (state.entry(name), how) {
            (Ok(_), Open::CreateNew) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Ok(Entry::Folder), _) => return Err(io::ErrorKind::IsADirectory.into()),
            (Ok(Entry::File(file)), _) => file,
            (Err(error), Open::Create | Open::CreateNew)
                if error.kind() == io::ErrorKind::NotFound =>
            {
                state.create(name)?
            }
            (Err(error), _) => return Err(error),
        };
        Ok(Box::new(OpenFile {
            disk: self.clone(),
            file,
            opening: state.opening,
            writable: how != Open::Read,
        }))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        check_name(folder)?;
        let state = self.state();
        state.folder(folder)?;
        let names = state.names.keys();
        Ok(names
            .filter(|name| name.parent() == Some(folder))
            .cloned()
            .collect())
    }

    fn exists(&self, name: &Path) -> io::Result<bool> {
        check_name(name)?;
        self.pass_gate();
        let state = self.state();
        state.alive()?;
        Ok(state.names.contains_key(name))
    }

    fn remove(&self, name: &Path) -> io::Result<()> {
        check_name(name)?;
        let mut state = self.state();
        if state.entry(name)? == Entry::Folder {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        state.step()?;
        state.change(vec![(name.to_owned(), None)]);
        Ok(())
    }

    fn remove_dir_all(&self, folder: &Path) -> io::Result<()> {
        check_name(folder)?;
        let mut state = self.state();
        state.folder(folder)?;
        state.step()?;
        let below = state.below(folder);
        for name in below.iter().rev() {
            state.change(vec![(name.clone(), None)]);
        }
        // Once more and together: syncing the folder above must take all of it away.
        state.change(below.into_iter().map(|name| (name, None)).collect());
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        check_name(from)?;
        check_name(to)?;
        let mut state = self.state();
        state.entry(from)?;
        state.folder(folder_of(to))?;
        if state.names.get(to) == Some(&Entry::Folder) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        state.step()?;
        let moved = state.below(from).into_iter().filter_map(|name| {
            let entry = *state.names.get(&name)?;
            let rest = name.strip_prefix(from).ok()?;
            let new = if rest.as_os_str().is_empty() {
                to.to_owned()
            } else {
                to.join(rest)
            };
            Some([(name, None), (new, Some(entry))])
        });
        let moved = moved.flatten().collect();
        state.change(moved);
        Ok(())
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        check_name(folder)?;
        let mut state = self.state();
        state.folder(folder)?;
        state.step()?;
        state.sync_names(folder);
        Ok(())
    }

    fn map(&self, name: &Path) -> io::Result<Bytes> {
        self.read(name).map(Bytes::new)
    }

    fn room(&self) -> io::Result<Room> {
        let state = self.state();
        state.alive()?;
        Ok(Room {
            total_bytes: state.capacity_bytes,
            available_bytes: state.available_bytes(),
        })
    }
}

/// An open file, until the disk is opened again.
struct OpenFile {
    disk: SimDisk,
    file: FileId,
    opening: u64,
    writable: bool,
}

impl OpenFile {
    /// Gives the disk, when it still works and this file may still be used.
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        state.alive()?;
        if state.opening == self.opening {
            Ok(state)
        } else {
            Err(io::Error::other("the file was opened before the crash"))
        }
    }

    fn writable_state(&self) -> io::Result<MutexGuard<'_, State>> {
        self.disk.pass_gate();
        let state = self.state()?;
        if self.writable {
            Ok(state)
        } else {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }
}

impl DiskFile for OpenFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state()?.file(self.file).live.len() as u64)
    }

    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let mut state = self.state()?;
        let live = &state.file(self.file).live;
        let range = range(offset, bytes.len())?;
        let read = live.read(range.start, bytes);
        read.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.writable_state()?;
        let fault = state.step()?;
        let range = range(offset, bytes.len())?;
        let fitting = state.fitting(self.file, range.end);
        let written = bytes.len().min(fitting.saturating_sub(range.start));
        state.written_bytes += written as u64;
        let file = state.file(self.file);
        file.write(range.start, &bytes[..written]);
        if written < bytes.len() {
            return Err(state.no_room());
        }
        let sectors = sectors(&range);
        match fault {
            Some(FaultKind::TornWrite) => Err(state.tear(self.file, sectors)),
            Some(FaultKind::FlippedBit) if !bytes.is_empty() => {
                // Zeros written ahead carry nothing: the bit is one of the bytes before them.
                let carrying = bytes.iter().rposition(|byte| *byte != 0);
                let end = carrying.map_or(bytes.len(), |last| last + 1);
                let bit = Random(state.steps).below(end as u64 * 8) as usize;
                let flipped = bytes[bit / 8] ^ 1 << (bit % 8);
                let live = &mut state.file(self.file).live;
                live.write(range.start + bit / 8, &[flipped]);
                state.hit();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.writable_state()?;
        state.step()?;
        let len = range(len, 0)?.end;
        if state.fitting(self.file, len) < len {
            return Err(state.no_room());
        }
        state.file(self.file).set_len(len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.pass_gate();
        let mut state = self.state()?;
        let fault = state.step().inspect_err(|_| {
            // Linux forgets what it could not write and reports success the next time.
            if let Some(file) = state.files.get_mut(&self.file) {
                file.forget_unsynced();
            }
        })?;
        if fault == Some(FaultKind::TornWrite) {
            let end = state.file(self.file).live.len();
            return Err(state.tear(self.file, sectors(&(0..end))));
        }
        state.file(self.file).sync();
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        if len <= self.len()? {
            let mut state = self.writable_state()?;
            return state.step().map(|_| ());
        }
        self.set_len(len)
    }
}

type FileId = u64;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Folder,
    File(FileId),
}

/// Names that change together, each with what it stands for afterwards.
type Change = Vec<(PathBuf, Option<Entry>)>;

type Names = BTreeMap<PathBuf, Entry>;

#[derive(Clone)]
struct State {
    names: Names,
    durable_names: Names,
    /// What leads from the durable names to the live ones, in order.
    unsynced_names: Vec<Change>,
    files: BTreeMap<FileId, SimFile>,
    file_count: u64,
    capacity_bytes: u64,
    steps: u64,
    written_bytes: u64,
    /// The file that does not grow.
    stunted: Option<PathBuf>,
    fault: Option<Fault>,
    fault_was_hit: bool,
    full: bool,
    /// The step that killed the disk.
    dead_since: Option<u64>,
    /// Counts how often the disk was opened again.
    opening: u64,
}

impl Default for State {
    fn default() -> Self {
        let root = BTreeMap::from([(PathBuf::new(), Entry::Folder)]);
        Self {
            names: root.clone(),
            durable_names: root,
            unsynced_names: Vec::new(),
            files: BTreeMap::new(),
            file_count: 0,
            capacity_bytes: CAPACITY_BYTES,
            steps: 0,
            written_bytes: 0,
            stunted: None,
            fault: None,
            fault_was_hit: false,
            full: false,
            dead_since: None,
            opening: 0,
        }
    }
}

impl State {
    fn alive(&self) -> io::Result<()> {
        match self.dead_since {
            Some(step) => Err(failure(step)),
            None => Ok(()),
        }
    }

    /// Counts a step and lets the planned fault befall it; gives back one that only a write or a sync can suffer.
    fn step(&mut self) -> io::Result<Option<FaultKind>> {
        self.alive()?;
        self.steps += 1;
        let due = self.fault.filter(|fault| fault.at_step <= self.steps);
        match due.map(|fault| fault.kind) {
            Some(FaultKind::Error) => Err(self.die()),
            Some(FaultKind::LostUnsynced) => {
                self.lose_unsynced();
                Err(self.die())
            }
            Some(FaultKind::ErrorOnce) => {
                self.hit();
                Err(failure(self.steps))
            }
            Some(FaultKind::Full) => {
                self.full = true;
                Ok(None)
            }
            later => Ok(later),
        }
    }

    fn hit(&mut self) {
        self.fault = None;
        self.fault_was_hit = true;
    }

    fn die(&mut self) -> io::Error {
        self.hit();
        self.dead_since = Some(self.steps);
        failure(self.steps)
    }

    fn no_room(&mut self) -> io::Error {
        if self.full {
            self.hit();
        }
        io::ErrorKind::StorageFull.into()
    }

    /// Cuts the power while some sectors of a file are being written.
    fn tear(&mut self, file: FileId, sectors: Range<usize>) -> io::Error {
        let mut random = Random(self.steps);
        self.file(file).keep_some(sectors, &mut random);
        self.lose_unsynced();
        self.die()
    }

    fn reopen(&mut self) {
        self.opening += 1;
        self.fault = None;
        self.full = false;
        self.dead_since = None;
    }

    fn entry(&self, name: &Path) -> io::Result<Entry> {
        self.alive()?;
        let entry = self.names.get(name).copied();
        entry.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn folder(&self, name: &Path) -> io::Result<()> {
        match self.entry(name)? {
            Entry::Folder => Ok(()),
            Entry::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// Lists a name and all names below it.
    fn below(&self, name: &Path) -> Vec<PathBuf> {
        let names = self.names.keys();
        names.filter(|n| n.starts_with(name)).cloned().collect()
    }

    fn create(&mut self, name: &Path) -> io::Result<FileId> {
        self.folder(folder_of(name))?;
        self.step()?;
        self.file_count += 1;
        let id = self.file_count;
        self.files.insert(id, SimFile::default());
        self.change(vec![(name.to_owned(), Some(Entry::File(id)))]);
        Ok(id)
    }

    fn file(&mut self, id: FileId) -> &mut SimFile {
        let file = self.files.get_mut(&id);
        file.expect("a file lives as long as it is named, or the disk is not opened again")
    }

    fn available_bytes(&self) -> u64 {
        if self.full {
            return 0;
        }
        let lengths = self.names.values().map(|entry| match entry {
            Entry::File(id) => self.files.get(id).map_or(0, |file| file.live.len() as u64),
            Entry::Folder => 0,
        });
        self.capacity_bytes.saturating_sub(lengths.sum())
    }

    /// Gives how far towards `end` a file may grow.
    fn fitting(&mut self, id: FileId, end: usize) -> usize {
        let len = self.file(id).live.len();
        if end <= len {
            return end;
        }
        if self.is_stunted(id) {
            return len;
        }
        let available = usize::try_from(self.available_bytes()).unwrap_or(usize::MAX);
        end.min(len.saturating_add(available))
    }

    fn is_stunted(&self, id: FileId) -> bool {
        let stunted = self.stunted.iter().flat_map(|name| self.below(name));
        stunted
            .filter_map(|name| self.names.get(&name))
            .any(|entry| *entry == Entry::File(id))
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.names, &change);
        self.unsynced_names.push(change);
    }

    fn sync_names(&mut self, folder: &Path) {
        let touches = |change: &Change| change.iter().any(|(name, _)| folder_of(name) == folder);
        let changes = std::mem::take(&mut self.unsynced_names);
        let (synced, unsynced): (Vec<_>, Vec<_>) = changes.into_iter().partition(touches);
        for change in &synced {
            apply(&mut self.durable_names, change);
        }
        self.unsynced_names = unsynced;
    }

    fn keep_some(&mut self, random: &mut Random) {
        for file in self.files.values_mut() {
            let all = 0..file.live.len().div_ceil(SECTOR_BYTES);
            file.keep_some(all, random);
        }
        for change in &self.unsynced_names {
            if random.coin() {
                apply(&mut self.durable_names, change);
            }
        }
    }

    /// Makes the durable state the live one.
    fn lose_unsynced(&mut self) {
        self.unsynced_names.clear();
        // In ascending order a folder stands before what lies in it.
        let mut names = Names::new();
        for (name, entry) in std::mem::take(&mut self.durable_names) {
            if name.as_os_str().is_empty() || names.get(folder_of(&name)) == Some(&Entry::Folder) {
                names.insert(name, entry);
            }
        }
        let named = |id: &FileId| names.values().any(|entry| *entry == Entry::File(*id));
        self.files.retain(|id, _| named(id));
        for file in self.files.values_mut() {
            file.live.clone_from(&file.durable);
            file.forget_unsynced();
        }
        self.names = names.clone();
        self.durable_names = names;
    }
}

/// Sectors of a page: a bit each.
const PAGE_SECTORS: usize = PAGE_BYTES / SECTOR_BYTES;

#[derive(Clone, Default)]
struct SimFile {
    live: Pages,
    durable: Pages,
    /// The sectors that the next sync makes durable, by page.
    unsynced: BTreeMap<usize, u8>,
    /// The lengths since the last sync, in order: a write lets the file grow from one to the other, sector by sector;
    /// another change of the length happens at once, from and to are the same.
    unsynced_lengths: Vec<(usize, usize)>,
}

impl SimFile {
    fn write(&mut self, start: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let range = start..start + bytes.len();
        if self.live.len() < range.end {
            self.grow(range.end);
        }
        self.mark(&range);
        self.live.write(start, bytes);
    }

    fn grow(&mut self, len: usize) {
        let old = self.live.len();
        match self.unsynced_lengths.last_mut() {
            Some((_, to)) if *to == old => *to = len,
            _ => self.unsynced_lengths.push((old, len)),
        }
        self.live.resize(len);
    }

    fn set_len(&mut self, len: usize) {
        // What is cut off must not come back when the file grows again.
        let cut = len..self.live.len().max(len);
        self.mark(&cut);
        self.unsynced_lengths.push((len, len));
        self.live.resize(len);
    }

    /// Notes that a range of bytes is not durable.
    fn mark(&mut self, bytes: &Range<usize>) {
        let sectors = sectors(bytes);
        for page in sectors.start / PAGE_SECTORS..sectors.end.div_ceil(PAGE_SECTORS) {
            let first = page * PAGE_SECTORS;
            let from = sectors.start.max(first) - first;
            let until = sectors.end.min(first + PAGE_SECTORS) - first;
            let bits = (1_u16 << until) - (1 << from);
            *self.unsynced.entry(page).or_default() |= bits as u8;
        }
    }

    fn forget_unsynced(&mut self) {
        self.unsynced.clear();
        self.unsynced_lengths.clear();
    }

    fn sync(&mut self) {
        self.durable.resize(self.live.len());
        for (page, sectors) in std::mem::take(&mut self.unsynced) {
            let first = page * PAGE_SECTORS;
            match sectors {
                u8::MAX => self.keep(first..first + PAGE_SECTORS),
                some => sectors_of(page, some).for_each(|one| self.keep(one..one + 1)),
            }
        }
        self.unsynced_lengths.clear();
    }

    /// Makes sectors durable as far as they lie within both lengths.
    fn keep(&mut self, sectors: Range<usize>) {
        let bytes = sectors.start * SECTOR_BYTES..sectors.end * SECTOR_BYTES;
        self.durable.take_over(&self.live, bytes);
    }

    /// Makes some of the unsynced `sectors`, and one of the lengths since the last sync, durable.
    fn keep_some(&mut self, sectors: Range<usize>, random: &mut Random) {
        let lengths = &self.unsynced_lengths;
        let picked = random.below(lengths.len() as u64 + 1) as usize;
        // The one behind the last stands for the length that is durable.
        if let Some((from, to)) = lengths.get(picked) {
            let steps = (to - from).div_ceil(SECTOR_BYTES) as u64;
            let grown = random.below(steps + 1) as usize * SECTOR_BYTES;
            self.durable.resize((from + grown).min(*to));
        }
        let pages = sectors.start / PAGE_SECTORS..sectors.end.div_ceil(PAGE_SECTORS);
        let unsynced = self.unsynced.range(pages);
        let unsynced: Vec<_> = unsynced
            .flat_map(|(page, some)| sectors_of(*page, *some))
            .filter(|sector| sectors.contains(sector))
            .collect();
        for sector in unsynced {
            if random.coin() {
                self.keep(sector..sector + 1);
            }
        }
    }
}

/// Gives the numbers of the sectors of a page whose bits are set, ascending.
fn sectors_of(page: usize, bits: u8) -> impl Iterator<Item = usize> {
    let set = (0..PAGE_SECTORS).filter(move |sector| bits >> sector & 1 == 1);
    set.map(move |sector| page * PAGE_SECTORS + sector)
}

fn apply(names: &mut Names, change: &Change) {
    for (name, entry) in change {
        match entry {
            Some(entry) => names.insert(name.clone(), *entry),
            None => names.remove(name),
        };
    }
}

fn range(offset: u64, len: usize) -> io::Result<Range<usize>> {
    let start = usize::try_from(offset).ok();
    let end = start.and_then(|start| start.checked_add(len));
    match (start, end) {
        (Some(start), Some(end)) => Ok(start..end),
        _ => Err(io::ErrorKind::FileTooLarge.into()),
    }
}

/// Gives the numbers of the sectors that a range of bytes touches.
fn sectors(range: &Range<usize>) -> Range<usize> {
    range.start / SECTOR_BYTES..range.end.div_ceil(SECTOR_BYTES)
}

fn failure(step: u64) -> io::Error {
    io::Error::other(format!("the simulated disk failed at step: {step}"))
}

/// Random numbers that are the same for the same seed (SplitMix64, Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::disk::{RealDisk, contract};

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    const NAME: &str = "file";

    fn file(disk: &SimDisk) -> io::Result<Box<dyn DiskFile>> {
        disk.open(Path::new(NAME), Open::Create)
    }

    fn content(disk: &SimDisk) -> io::Result<Vec<u8>> {
        disk.read(Path::new(NAME))
    }

    /// A disk with one durable file of four sectors of ones.
    fn disk_with_ones() -> io::Result<SimDisk> {
        let disk = SimDisk::new();
        disk.replace(Path::new(NAME), &[1; 4 * SECTOR_BYTES])?;
        Ok(disk)
    }

    fn plan(disk: &SimDisk, steps_ahead: u64, kind: FaultKind) {
        let at_step = disk.steps() + steps_ahead;
        disk.set_fault(Some(Fault { at_step, kind }));
    }

    #[test]
    fn simulated_disk_keeps_the_contract() -> Outcome {
        contract::check(&SimDisk::new())
    }

    #[test]
    fn only_synced_bytes_under_synced_names_outlast_a_crash() -> Outcome {
        let disk = SimDisk::new();
        let write_one = |sync_file: bool, sync_folder: bool| -> io::Result<Option<Vec<u8>>> {
            let file = file(&disk)?;
            file.write_all_at(0, b"bytes")?;
            if sync_file {
                file.sync_data()?;
            }
            if sync_folder {
                disk.sync_dir(Path::new(""))?;
            }
            disk.crash(Crash::LoseUnsynced);
            assert!(file.len().is_err(), "opened before the crash");
            let found = content(&disk).ok();
            if found.is_some() {
                disk.remove(Path::new(NAME))?;
                disk.sync_dir(Path::new(""))?;
            }
            Ok(found)
        };
        assert_eq!(write_one(false, false)?, None);
        assert_eq!(write_one(true, false)?, None);
        assert_eq!(write_one(false, true)?, Some(vec![]));
        assert_eq!(write_one(true, true)?, Some(b"bytes".to_vec()));
        Ok(())
    }

    #[test]
    fn removing_and_renaming_last_once_the_folder_is_synced() -> Outcome {
        let disk = disk_with_ones()?;
        disk.create_dir(Path::new("folder"))?;
        for sync in [false, true] {
            disk.rename(Path::new(NAME), Path::new("folder/other"))?;
            if sync {
                disk.sync_dir(Path::new("folder"))?;
            }
            disk.crash(Crash::LoseUnsynced);
            assert_eq!(disk.exists(Path::new(NAME))?, !sync);
            assert_eq!(disk.exists(Path::new("folder/other"))?, sync);
        }
        for sync in [false, true] {
            disk.remove_dir_all(Path::new("folder"))?;
            if sync {
                disk.sync_dir(Path::new(""))?;
            }
            disk.crash(Crash::LoseUnsynced);
            assert_eq!(disk.exists(Path::new("folder/other"))?, !sync);
        }
        Ok(())
    }

    #[test]
    fn a_crash_keeps_whole_sectors_and_the_same_ones_for_a_seed() -> Outcome {
        let mut kinds = BTreeSet::new();
        for seed in 0..64 {
            let crashed = || -> io::Result<Vec<u8>> {
                let disk = disk_with_ones()?;
                file(&disk)?.write_all_at(0, &[2; 6 * SECTOR_BYTES])?;
                disk.crash(Crash::KeepSome { seed });
                content(&disk)
            };
            let found = crashed()?;
            assert_eq!(found, crashed()?, "seed {seed}");
            for (number, sector) in found.chunks(SECTOR_BYTES).enumerate() {
                let allowed: &[u8] = if number < 4 { &[1, 2] } else { &[0, 2] };
                assert!(allowed.contains(&sector[0]));
                assert!(sector.iter().all(|byte| *byte == sector[0]));
            }
            kinds.insert(found);
        }
        assert!(kinds.len() > 16, "{} outcomes", kinds.len());
        Ok(())
    }

    #[test]
    fn after_an_error_the_disk_is_dead_until_opened_again() -> Outcome {
        let disk = disk_with_ones()?;
        let file = file(&disk)?;
        plan(&disk, 2, FaultKind::Error);
        file.write_all_at(0, b"two")?;
        assert!(!disk.fault_was_hit());
        assert!(file.write_all_at(0, b"three").is_err());
        assert!(disk.fault_was_hit());
        assert!(file.len().is_err() && file.sync_data().is_err());
        assert!(content(&disk).is_err() && disk.sync_dir(Path::new("")).is_err());
        let steps = disk.steps();
        disk.reopen();
        assert!(content(&disk)?.starts_with(b"two\x01"));
        assert_eq!(disk.steps(), steps);
        Ok(())
    }

    #[test]
    fn what_a_failed_sync_left_out_is_never_synced() -> Outcome {
        let disk = disk_with_ones()?;
        let file = file(&disk)?;
        file.write_all_at(0, b"first")?;
        plan(&disk, 1, FaultKind::ErrorOnce);
        assert!(file.sync_data().is_err());
        file.write_all_at(SECTOR_BYTES as u64, b"second")?;
        file.sync_data()?;
        assert!(content(&disk)?.starts_with(b"first"));
        disk.crash(Crash::LoseUnsynced);
        let found = content(&disk)?;
        assert_eq!(found[0], 1);
        assert!(found[SECTOR_BYTES..].starts_with(b"second"));
        Ok(())
    }

    #[test]
    fn a_torn_write_leaves_old_and_new_sectors() -> Outcome {
        let mut torn = 0;
        for steps_ahead in 1..16 {
            let disk = disk_with_ones()?;
            let file = file(&disk)?;
            plan(&disk, steps_ahead, FaultKind::TornWrite);
            let wrote = (0..16).try_for_each(|_| file.write_all_at(0, &[2; 4 * SECTOR_BYTES]));
            assert!(wrote.is_err() && content(&disk).is_err());
            disk.reopen();
            let found = content(&disk)?;
            torn += usize::from(found.contains(&1) && found.contains(&2));
        }
        assert!(torn > 8, "torn: {torn}");
        Ok(())
    }

    #[test]
    fn a_power_cut_loses_what_was_not_synced() -> Outcome {
        let disk = disk_with_ones()?;
        let file = file(&disk)?;
        file.write_all_at(0, b"lost")?;
        plan(&disk, 1, FaultKind::LostUnsynced);
        assert!(file.sync_data().is_err());
        disk.reopen();
        assert_eq!(content(&disk)?, [1; 4 * SECTOR_BYTES]);
        Ok(())
    }

    #[test]
    fn one_bit_flips_and_nobody_is_told() -> Outcome {
        let disk = disk_with_ones()?;
        let file = file(&disk)?;
        plan(&disk, 1, FaultKind::FlippedBit);
        file.sync_data()?;
        assert!(!disk.fault_was_hit());
        file.write_all_at(100, &[0; 300])?;
        file.write_all_at(400, &[0; 300])?;
        assert!(disk.fault_was_hit());
        let found = content(&disk)?;
        let ones: u32 = found[100..700].iter().map(|byte| byte.count_ones()).sum();
        assert_eq!(ones, 1);
        Ok(())
    }

    #[test]
    fn on_a_full_disk_only_growing_fails() -> Outcome {
        let full = |result: io::Result<()>| {
            result.is_err_and(|error| error.kind() == io::ErrorKind::StorageFull)
        };
        let disk = SimDisk::with_capacity(1_000);
        let file = file(&disk)?;
        file.allocate(900)?;
        assert_eq!(disk.room()?.available_bytes, 100);
        assert!(full(file.write_all_at(850, &[3; 200])));
        assert_eq!(file.len()?, 1_000, "what fitted was written");
        assert!(full(file.set_len(1_001)) && full(file.allocate(1_001)));
        assert!(full(disk.replace(Path::new("other"), b"x")));
        assert_eq!(disk.list(Path::new(""))?, [Path::new(NAME)]);
        file.write_all_at(0, &[4; 1_000])?;
        file.sync_data()?;
        disk.set_capacity(2_000);
        plan(&disk, 1, FaultKind::Full);
        assert!(full(file.write_all_at(1_000, b"x")) && disk.fault_was_hit());
        assert!(full(file.set_len(1_001)), "it stays full");
        file.set_len(10)?;
        disk.reopen();
        file_grows_again(&disk)
    }

    fn file_grows_again(disk: &SimDisk) -> Outcome {
        Ok(file(disk)?.write_all_at(10, b"x")?)
    }

    #[test]
    fn replacing_gives_old_or_new_at_every_step_of_every_fault() -> Outcome {
        use FaultKind::*;
        let name = Path::new(NAME);
        let (old, new) = ([1; 4 * SECTOR_BYTES], [2; 3 * SECTOR_BYTES]);
        for kind in [Error, ErrorOnce, Full, TornWrite, LostUnsynced] {
            let mut hits = 0;
            for (step, seed) in (1..=6).flat_map(|step| (0..8).map(move |seed| (step, seed))) {
                let disk = disk_with_ones()?;
                plan(&disk, step, kind);
                let replaced = disk.replace(name, &new);
                hits += u64::from(disk.fault_was_hit());
                disk.crash(Crash::KeepSome { seed });
                let found = disk.read(name)?;
                assert!(found == new || found == old, "{kind:?} at {step}");
                assert!(replaced.is_err() || found == new, "{kind:?} at {step}");
                // Nothing left over by the crash stands in the way.
                disk.replace(name, b"next")?;
                assert_eq!(disk.list(Path::new(""))?, [name]);
            }
            assert!(hits > 0, "{kind:?}");
        }
        Ok(())
    }

    /// One thing done to a disk.
    #[derive(Debug, Clone)]
    enum Act {
        Create(u8, bool),
        Write(u8, u16, Vec<u8>),
        SetLen(u8, u16),
        Allocate(u8, u16),
        Rename(u8, u8),
        Remove(u8),
        Replace(u8, Vec<u8>),
        CreateDir(u8),
        RemoveDir(u8),
    }

    fn act() -> impl Strategy<Value = Act> {
        let bytes = proptest::collection::vec(any::<u8>(), 0..600);
        let name = 0..6_u8;
        prop_oneof![
            (name.clone(), any::<bool>()).prop_map(|(n, new)| Act::Create(n, new)),
            (name.clone(), 0..1500_u16, bytes.clone()).prop_map(|(n, o, b)| Act::Write(n, o, b)),
            (name.clone(), 0..2000_u16).prop_map(|(n, len)| Act::SetLen(n, len)),
            (name.clone(), 0..2000_u16).prop_map(|(n, len)| Act::Allocate(n, len)),
            (name.clone(), name.clone()).prop_map(|(from, to)| Act::Rename(from, to)),
            name.clone().prop_map(Act::Remove),
            (name.clone(), bytes).prop_map(|(n, b)| Act::Replace(n, b)),
            name.clone().prop_map(Act::CreateDir),
            name.prop_map(Act::RemoveDir),
        ]
    }

    /// Files 0 to 3 in two folders, 4 and 5 in the root.
    fn named(number: u8) -> PathBuf {
        match number {
            0..4 => format!("folder-{}/{}", number / 2, number % 2).into(),
            _ => number.to_string().into(),
        }
    }

    fn perform(disk: &dyn Disk, act: &Act) -> io::Result<()> {
        let write = |number: u8| disk.open(&named(number), Open::Write);
        let folder = |number: u8| PathBuf::from(format!("folder-{}", number / 2));
        match act {
            Act::Create(n, true) => disk.open(&named(*n), Open::CreateNew).map(|_| ()),
            Act::Create(n, false) => disk.open(&named(*n), Open::Create).map(|_| ()),
            Act::Write(n, offset, bytes) => write(*n)?.write_all_at((*offset).into(), bytes),
            Act::SetLen(n, len) => write(*n)?.set_len((*len).into()),
            Act::Allocate(n, len) => write(*n)?.allocate((*len).into()),
            Act::Rename(from, to) => disk.rename(&named(*from), &named(*to)),
            Act::Remove(n) => disk.remove(&named(*n)),
            Act::Replace(n, bytes) => disk.replace(&named(*n), bytes),
            Act::CreateDir(n) => disk.create_dir(&folder(*n)),
            Act::RemoveDir(n) => disk.remove_dir_all(&folder(*n)),
        }
    }

    /// All names of a disk, with the bytes of the files.
    fn all(disk: &dyn Disk, folder: &Path) -> io::Result<Vec<(PathBuf, Option<Vec<u8>>)>> {
        let mut found = Vec::new();
        for name in disk.list(folder)? {
            let bytes = disk.read(&name).ok();
            let below = if bytes.is_none() {
                all(disk, &name)?
            } else {
                vec![]
            };
            found.push((name, bytes));
            found.extend(below);
        }
        Ok(found)
    }

    proptest! {
        // Kept failures would make a folder beside the rooms, which Cargo then takes for a room.
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn it_does_what_the_real_disk_does(acts in proptest::collection::vec(act(), 1..40)) {
            let root = tempfile::tempdir()?;
            let (real, sim) = (RealDisk::new(root.path()), SimDisk::new());
            for act in &acts {
                let kinds = [&real as &dyn Disk, &sim].map(|disk| perform(disk, act).map_err(|e| e.kind()));
                prop_assert_eq!(kinds[0], kinds[1], "{:?}", act);
            }
            prop_assert_eq!(all(&real, Path::new(""))?, all(&sim, Path::new(""))?);
        }
    }
}
