//! The worker that follows the repository of newer versions: looks once a day, fetches, and has the disks' worker install in the window. It has no rights
//! but the network and its own folder.
//!
//! One thread answers the page, the other one does what takes long; what they share is what is remembered and what is wanted. What was tried is
//! remembered on the archive disk, or in memory while none is open. Deliberately decides neither what is trusted nor what comes next (room `update`).

use crate::confinement::{Confinement, INTERNET};
use crate::disk_messages::{self as disks, do_it};
use crate::disks::PLACE;
use crate::time_keeper;
use crate::update_messages::{Answer, Request, SOCKET};
use crate::update_record::Standing;
use crate::upload::{Upload, UploadError};
use crate::workers;
use nix::sys::prctl::set_no_new_privs;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::sys::statvfs::statvfs;
use service::machine::{BroughtSeen, Doing, Refusal, UpdateDeed, UpdatesSeen, UploadPiece};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use update::by_hand::{self, Brought};
use update::choose::{self, Choice, Offer, Running, Schedule};
use update::error::chain;
use update::file_repository::FileRepository;
use update::folder::MetadataFolder;
use update::http::Trust;
use update::memory::{Available, Memory, Outcome};
use update::plain_fallback::PlainFallback;
use update::updater::Updater;
use update::{KeyTypes, Limits, Options, Stale, Time, VersionNumber, installation};

/// What the image says about itself, and where newer versions are found.
const RELEASE: &str = "/etc/coffer/release";
const ADDRESS: &str = "/etc/coffer/updates/address";
pub(crate) const ROOT: &str = "/etc/coffer/updates/root.json";

/// Whose word is taken for the server's name, where it is not one of the authorities that browsers know.
const AUTHORITY: &str = "/etc/coffer/updates/authority.pem";

/// What is remembered while no archive is open, and what is fetched then or when its disk is nearly full, in memory.
pub(crate) const FOLDER: &str = "/run/coffer/updates";

/// The folder of trusted metadata, where updates are remembered.
pub(crate) const METADATA: &str = "metadata";

/// What is to be installed, in the folder that it was fetched to.
pub(crate) const FETCHED: &str = "fetched";

/// What somebody has brought, and what is uploaded until it is whole; in the folder of what is fetched.
pub(crate) const BROUGHT: &str = "brought.tar";
const UPLOADED: &str = "uploaded";

/// A folder to look into what has expired.
const SCRATCH: &str = "scratch";

/// 256 MiB that stay free on an archive disk: mail goes before updates.
const ROOM_BYTES_MIN: u64 = 256 << 20;

/// Below it archive disks are mounted, now or later.
const ARCHIVES: &str = "/archive";

/// The hour of the window and people's time zone, as the archive says it.
pub(crate) const WINDOW: &str = "/run/coffer/update-window";

/// How many exports are under way, as the archive says it.
pub(crate) const EXPORTS: &str = "/run/coffer/exports-under-way";

/// How many messages are on their way in, as the door for mail says it.
pub(crate) const MESSAGES: &str = "/run/coffer/messages-under-way";

/// 03:00 by the clocks of Central Europe in winter, until the archive says otherwise.
const USUAL_WINDOW: (u8, i64) = (3, 3600);

/// A minute between two looks at whether something is due, and 5 seconds while it is awaited how a version proves itself.
const LOOK_EVERY: Duration = Duration::from_secs(60);
const LOOK_AT_TRIAL_EVERY: Duration = Duration::from_secs(5);

/// 2 seconds until it is noticed that an archive was opened or is gone.
const PLACE_EVERY: Duration = Duration::from_secs(2);

/// A day between two checks. After one that failed a minute, since the network may come up just then, and twice as long each time, up to an hour.
const CHECK_EVERY_S: i64 = 86_400;
const RETRY_FIRST_S: i64 = 60;
const RETRY_MAX_S: i64 = 3_600;

/// 10 minutes between two attempts to install: within the window's hour a way that is broken may mend.
const INSTALL_AGAIN_S: i64 = 600;

/// Half an hour that exports may keep a version waiting that is installed already; longer ones begin again. 10 minutes that mail may: where it never
/// rests, senders whose message is cut off come again.
const EXPORTS_PATIENCE: Duration = Duration::from_secs(1_800);
const MAIL_PATIENCE: Duration = Duration::from_secs(600);

/// 5 seconds between two looks at them.
const WORK_EVERY: Duration = Duration::from_secs(5);

/// 5 seconds for a page to say what it wants.
const REQUEST_PATIENCE: Duration = Duration::from_secs(5);

/// What both threads know.
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    memory: Memory,
    doing: Doing,
    /// Somebody wants a check or an installation now.
    wish: Option<UpdateDeed>,
    before: Option<VersionNumber>,
    too_old: Option<VersionNumber>,
    is_on_trial: bool,
    /// Whether this version is there to help out only: then nothing is done that nobody asked for.
    is_recovery: bool,
    /// When the last check was tried.
    tried_at: Option<Time>,
    /// How many checks in a row have failed since the start.
    failures: u32,
    /// What is being uploaded, and what came of what was brought last.
    upload: Option<Upload>,
    brought: Option<BroughtSeen>,
}

impl State {
    /// Takes a piece of an upload, whose first one begins a file at `place`; tells whether the file is whole.
    fn take_piece(
        &mut self,
        piece: &UploadPiece,
        place: impl Fn(u64) -> PathBuf,
    ) -> Result<bool, UploadError> {
        if piece.offset == 0 {
            self.upload = Some(Upload::begin(&place(piece.length), piece.length)?);
        }
        let mut upload = self.upload.take().ok_or(UploadError::Gap)?;
        let is_whole = upload.take(piece)?;
        match is_whole {
            true => upload.keep_as(BROUGHT)?,
            false => self.upload = Some(upload),
        }
        Ok(is_whole)
    }

    /// Versions that are not tried again. In recovery somebody brings one because nothing else starts: then it may be the same.
    fn failed(&self) -> Vec<VersionNumber> {
        match self.is_recovery {
            true => Vec::new(),
            false => self.memory.failed.clone(),
        }
    }

    /// Somebody wants this; it begins at once, unless something else is under way.
    fn wishes(&mut self, deed: UpdateDeed) {
        self.wish = Some(deed);
        if self.doing == Doing::Nothing {
            self.doing = Doing::Checking;
        }
    }
}

/// Follows the repository until it is asked to end.
///
/// # Errors
/// When its door cannot be opened or the image says nothing of itself.
pub(crate) fn run() -> io::Result<()> {
    set_no_new_privs()?;
    let unknown = State {
        is_recovery: true, // until the disks' worker says otherwise
        ..State::default()
    };
    let shared = Arc::new(Shared {
        state: Mutex::new(unknown),
        wake: Condvar::new(),
    });
    let worker = Worker {
        running: running()?,
        address: fs::read_to_string(ADDRESS)
            .ok()
            .map(|text| text.trim().to_owned()),
        shared: shared.clone(),
    };
    let about = About {
        running: worker.running.version,
        has_source: worker.address.is_some(),
    };
    let _ = fs::remove_file(SOCKET); // of a worker that died
    let door = UnixListener::bind(SOCKET)?;
    // Who may ask is told by the kernel for each connection.
    fs::set_permissions(SOCKET, fs::Permissions::from_mode(0o666))?;
    fs::set_permissions(FOLDER, fs::Permissions::from_mode(0o711))?;
    // Whose folder on an archive disk it is, the file system says.
    let confinement = Confinement {
        writes: &[Path::new(FOLDER), Path::new(ARCHIVES)],
        reads: &["/run/coffer"],
        sockets: &INTERNET,
        calls: &[],
    };
    confinement.begin()?;
    thread::Builder::new()
        .name("updates".to_owned())
        .spawn(move || worker.work())?;
    loop {
        let (stream, _) = door.accept()?;
        if let Err(error) = shared.serve(stream, &about) {
            tracing::warn!(%error, "a question about updates was not answered");
        }
    }
}

/// What does not change.
struct About {
    running: VersionNumber,
    has_source: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut stream: UnixStream, about: &About) -> io::Result<()> {
        stream.set_read_timeout(Some(REQUEST_PATIENCE))?;
        stream.set_write_timeout(Some(REQUEST_PATIENCE))?;
        let user = getsockopt(&stream, PeerCredentials)?.uid();
        let request = disks::read(&mut stream)?;
        if !self.may_ask(user, &request) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let answer = match request {
            Request::Seen => Answer::Seen(Box::new(self.seen(about))),
            Request::Deed(deed) => self.take(deed, about),
            Request::Piece(piece) => self.take_piece(&piece, about),
        };
        disks::write(&mut stream, &answer)
    }

    /// The page of an archive has asked who may do what; the one that waits asks for the console's code, and may only bring updates, and only in recovery.
    fn may_ask(&self, user: u32, request: &Request) -> bool {
        let brings = match request {
            Request::Deed(deed) => is_brought(*deed),
            Request::Seen | Request::Piece(_) => true,
        };
        let is_page = [0, workers::PAGE_USER].contains(&user);
        is_page || user == workers::WAITING_USER && brings && self.lock().is_recovery
    }

    fn seen(&self, about: &About) -> UpdatesSeen {
        let state = self.lock();
        let (schedule, now, local_s) = schedule(&state);
        UpdatesSeen {
            has_source: about.has_source,
            running: about.running.to_string(),
            is_on_trial: state.is_on_trial,
            before: state.before,
            is_withdrawn: state.before.is_some_and(|it| state.memory.is_withdrawn(it)),
            too_old: state.too_old,
            doing: state.doing,
            next_window_s: schedule.next_window_s(now, local_s),
            memory: state.memory.clone(),
            brought: state.brought.clone(),
        }
    }

    fn take(&self, deed: UpdateDeed, about: &About) -> Answer {
        let mut state = self.lock();
        match deed {
            UpdateDeed::Check
            | UpdateDeed::Install
            | UpdateDeed::TakeStick
            | UpdateDeed::TakeUpload
            | UpdateDeed::TakeStale(_) => {
                if !about.has_source {
                    return no_source();
                }
                state.wishes(deed);
            }
            UpdateDeed::Pause(days) => match choose::pause(now(), days) {
                Some(until) => state.memory.pause(now(), until),
                None => return Answer::Refused(Refusal::Failed(format!("not {days} days"))),
            },
            UpdateDeed::Resume => state.memory.resume(),
            UpdateDeed::TryAgain => {
                state.memory.failed.clear();
                state.wishes(UpdateDeed::Check);
            }
            UpdateDeed::GoBack if state.before.is_none() => {
                let why = "there is no good version before".to_owned();
                return Answer::Refused(Refusal::Failed(why));
            }
            // It must not come back by itself; who writes the EFI partition is asked next.
            UpdateDeed::GoBack => state.memory.happened(now(), about.running, Outcome::Left),
        }
        save(&state.memory);
        self.wake.notify_all();
        Answer::Done
    }

    /// Takes a piece of an upload; the last one is followed by a look at the whole.
    fn take_piece(&self, piece: &UploadPiece, about: &About) -> Answer {
        if !about.has_source {
            return no_source();
        }
        // Beside the file the version in it needs as much room.
        let place = |length: u64| roomy_folder(length.saturating_mul(2)).join(UPLOADED);
        let taken = self.lock().take_piece(piece, place);
        match taken {
            Ok(true) => self.take(UpdateDeed::TakeUpload, about),
            Ok(false) => Answer::Done,
            Err(error) => Answer::Refused(Refusal::Failed(chain(&error))),
        }
    }
}

fn no_source() -> Answer {
    let why = "this build has no address at which newer versions are found";
    Answer::Refused(Refusal::Failed(why.to_owned()))
}

/// The thread that does what takes long.
struct Worker {
    running: Running,
    address: Option<String>,
    shared: Arc<Shared>,
}

impl Worker {
    fn work(&self) -> ! {
        let mut place = None;
        loop {
            let found = folder();
            if place.as_ref() != Some(&found) {
                self.shared.lock().memory = Memory::load(&found);
                // Of a worker that ended before it was through with it.
                for name in [BROUGHT, UPLOADED] {
                    let _ = fs::remove_file(found.join(name));
                }
                place = Some(found.clone());
            }
            self.settle();
            let brings = |wish: &mut UpdateDeed| is_brought(*wish);
            let brought = self.shared.lock().wish.take_if(brings);
            if let Some(deed) = brought {
                self.take(deed);
            }
            if let Some(address) = self.address.as_deref() {
                self.look(address);
            }
            self.wait(&found);
        }
    }

    /// Waits until something is wanted, may be due, or is remembered elsewhere than in this place.
    fn wait(&self, place: &Path) {
        let began = Instant::now();
        let mut state = self.shared.lock();
        let every = if state.is_on_trial {
            LOOK_AT_TRIAL_EVERY
        } else {
            LOOK_EVERY
        };
        while state.wish.is_none() && began.elapsed() < every && folder() == place {
            let waited = self.shared.wake.wait_timeout(state, PLACE_EVERY);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes note of how the version that was installed last has ended.
    fn settle(&self) {
        let Ok(disks::Answer::Versions {
            standing,
            before,
            too_old,
            is_on_trial,
            is_recovery,
        }) = disks::ask(&disks::Request::Versions)
        else {
            return;
        };
        let mut state = self.shared.lock();
        (state.before, state.too_old) = (before, too_old);
        (state.is_on_trial, state.is_recovery) = (is_on_trial, is_recovery);
        let (version, outcome) = match standing {
            Standing::Good(version) => (version, Outcome::Good),
            Standing::Failed(version, failure) => (version, Outcome::Failed(failure)),
            Standing::Settled | Standing::Waits(_) | Standing::OnTrial(_) => return,
        };
        if state.memory.ended_so(version, &outcome) && !is_kept() {
            return;
        }
        state.memory.happened(now(), version, outcome);
        // In memory it would be forgotten at the next start, and the version tried again.
        if save(&state.memory) && is_kept() {
            drop(state);
            if let Err(error) = do_it(&disks::Request::Settled) {
                tracing::warn!(?error, "the end of an update is told twice");
            }
        }
    }

    /// Checks and installs as far as it is due or wanted.
    fn look(&self, address: &str) {
        let (wish, check_is_due, may_install) = {
            let mut state = self.shared.lock();
            let wish = state.wish.take();
            let may_install = is_over(state.tried_at, INSTALL_AGAIN_S);
            let is_due = check_is_due(&state) && !state.is_recovery;
            (
                wish,
                wish.is_some() || is_due,
                may_install && !state.is_recovery,
            )
        };
        let install_is_due = may_install && self.install_is_due(wish);
        if !check_is_due && !install_is_due {
            return;
        }
        self.do_as(Doing::Checking);
        let now = now();
        self.shared.lock().tried_at = Some(now);
        let followed = self.follow(address, now, wish);
        let mut state = self.shared.lock();
        state.doing = Doing::Nothing;
        match followed {
            Ok(()) => {
                state.failures = 0;
                state.memory.checked(now);
            }
            Err(why) => {
                state.failures = state.failures.saturating_add(1);
                tracing::warn!(why, "newer versions cannot be looked for");
                state.memory.not_checked(now, why);
            }
        }
        save(&state.memory);
    }

    fn do_as(&self, doing: Doing) {
        self.shared.lock().doing = doing;
    }

    /// Whether a version is on offer and now is the time for it.
    fn install_is_due(&self, wish: Option<UpdateDeed>) -> bool {
        let state = self.shared.lock();
        let (mut schedule, now, local_s) = schedule(&state);
        schedule.at_once = wish == Some(UpdateDeed::Install);
        let is_free = !state.is_on_trial && (schedule.at_once || exports_under_way() == 0);
        is_free && state.memory.available.is_some() && schedule.is_due(now, local_s)
    }

    /// Follows the repository to its end; where it is time, what comes next is fetched and installed.
    fn follow(&self, address: &str, now: Time, wish: Option<UpdateDeed>) -> Result<(), String> {
        let repository = PlainFallback::new(address, &trust()?).map_err(told)?;
        let kept = kept()?;
        let options = self.options(now, Stale::Refuse);
        let mut updater = Updater::new(&kept, &repository, options).map_err(told)?;
        updater.refresh().map_err(told)?;
        let offers = Offer::all(updater.top_level_targets());
        let Some(offer) = self.choose(offers, now) else {
            return Ok(());
        };
        if !self.install_is_due(wish) {
            return Ok(());
        }
        self.install_or_note(&updater, &offer)
    }

    /// Takes what somebody has brought in a file, on a stick or uploaded, and says what came of it.
    fn take(&self, deed: UpdateDeed) {
        self.do_as(Doing::Checking);
        let brought = self.bring(deed).unwrap_or_else(|why| {
            tracing::warn!(why, "an update that was brought is not installed");
            Some(BroughtSeen::Refused(why))
        });
        let may_be_confirmed = matches!(brought, Some(BroughtSeen::Stale { .. }));
        if let Some(path) = brought_file().filter(|_| !may_be_confirmed) {
            let _ = fs::remove_file(path); // it takes room, and is overwritten by the next one
        }
        let mut state = self.shared.lock();
        state.doing = Doing::Nothing;
        state.brought = brought;
        save(&state.memory);
    }

    /// Installs what was brought; nothing is left to say then.
    fn bring(&self, deed: UpdateDeed) -> Result<Option<BroughtSeen>, String> {
        if deed == UpdateDeed::TakeStick {
            do_it(&disks::Request::TakeStick).map_err(refused)?;
        }
        let path = brought_file().ok_or("nothing was brought, or it is gone")?;
        let repository = FileRepository::open(fs::File::open(path).map_err(told)?).map_err(told)?;
        let (stale, confirmed) = match deed {
            UpdateDeed::TakeStale(version) => (Stale::Confirmed, Some(version)),
            _ => (Stale::Refuse, None),
        };
        let options = self.options(now(), stale);
        let (kept, scratch) = (kept()?, folder().join(SCRATCH));
        let failed = self.shared.lock().failed();
        let (opts, running) = (options.clone(), &self.running);
        let found = by_hand::look(&kept, &scratch, &repository, opts, running, &failed);
        let offer = match found.map_err(told)? {
            Brought::Stale { version, expired } => {
                return Ok(Some(BroughtSeen::Stale { version, expired }));
            }
            Brought::Fresh(Choice::UpToDate) => return Ok(Some(BroughtSeen::Newest)),
            Brought::Fresh(Choice::Refused(version, why)) => {
                return Ok(Some(BroughtSeen::Unsuitable(version, why)));
            }
            Brought::Fresh(Choice::Next(offer)) => offer,
        };
        let version = offer.release.version;
        if confirmed.is_some_and(|confirmed| confirmed != version) {
            return Err(format!("another version than the one confirmed: {version}"));
        }
        let mut updater = Updater::new(&kept, &repository, options).map_err(told)?;
        updater.refresh().map_err(told)?;
        self.shared.lock().memory.signed(offer.release.released_at);
        self.install_or_note(&updater, &offer).map(|()| None)
    }

    /// Installs a release; that it could not be is remembered.
    fn install_or_note(&self, updater: &Updater<'_>, offer: &Offer) -> Result<(), String> {
        let installed = self.install(updater, offer);
        if let Err(why) = &installed {
            let outcome = Outcome::NotInstalled(why.clone());
            let mut state = self.shared.lock();
            state.memory.happened(now(), offer.release.version, outcome);
        }
        installed
    }

    fn options(&self, now: Time, stale: Stale) -> Options {
        let floor_s = fs::read_to_string(time_keeper::FLOOR).unwrap_or_default();
        let floor = Time::from_unix(floor_s.trim().parse().unwrap_or(0));
        let signed = self.shared.lock().memory.signed_at;
        Options {
            now,
            clock_floor: signed.map_or(floor, |signed| signed.max(floor)),
            key_types: KeyTypes::Ed25519,
            stale,
            limits: Limits::default(),
        }
    }

    /// Notes what is on offer, and gives what comes next.
    fn choose(&self, offers: Vec<Offer>, now: Time) -> Option<Box<Offer>> {
        let mut state = self.shared.lock();
        let own = offers.iter().map(|offer| &offer.release);
        let own = own.filter(|release| release.board == self.running.board);
        state
            .memory
            .lists(own.map(|release| release.version).collect());
        for offer in &offers {
            state.memory.signed(offer.release.released_at);
            if offer.release.version == self.running.version {
                state.memory.supported_until = Some(offer.release.supported_until);
            }
        }
        let choice = choose::choose(offers, &self.running, &state.memory.failed);
        state.memory.refused = None;
        let offer = match choice {
            Choice::Next(offer) => offer,
            other => {
                state.memory.available = None;
                if let Choice::Refused(version, why) = other {
                    state.memory.refused = Some((version, why));
                }
                return None;
            }
        };
        state.memory.offered(Available {
            version: offer.release.version,
            notes: offer.release.notes.clone(),
            length: offer.target.length(),
            seen_at: now,
        });
        save(&state.memory);
        Some(offer)
    }

    /// Fetches a release, verifies it, has it installed, and lets the machine start again with it.
    fn install(&self, updater: &Updater<'_>, offer: &Offer) -> Result<(), String> {
        self.do_as(Doing::Fetching);
        let version = offer.release.version;
        let folder = roomy_folder(offer.target.length());
        remove_others(&folder, &version.to_string());
        let path = updater.download(&offer.target, &folder).map_err(told)?;
        let mut file = fs::File::open(&path).map_err(told)?;
        installation::verify(&mut file, &offer.target, &offer.release).map_err(told)?;
        let fetched = folder.join(FETCHED);
        fs::rename(&path, &fetched).map_err(told)?;
        self.do_as(Doing::Installing);
        let installed = do_it(&disks::Request::Install(version));
        let _ = fs::remove_file(fetched); // it lies in its slot, or is fetched again
        installed.map_err(refused)?;
        let mut state = self.shared.lock();
        state.memory.happened(now(), version, Outcome::Installed);
        save(&state.memory);
        state.doing = Doing::Restarting;
        drop(state);
        wait_for_work();
        do_it(&disks::Request::StartNew).map_err(refused)
    }
}

/// Whether this is about what somebody has brought in a file.
fn is_brought(deed: UpdateDeed) -> bool {
    use UpdateDeed::{TakeStale, TakeStick, TakeUpload};
    matches!(deed, TakeStick | TakeUpload | TakeStale(_))
}

/// What somebody has brought, wherever there was room for it; the newest, should there be two.
fn brought_file() -> Option<PathBuf> {
    let places = [folder(), PathBuf::from(FOLDER)].map(|folder| folder.join(BROUGHT));
    let brought_at = |path: &PathBuf| fs::metadata(path).and_then(|it| it.modified()).ok();
    let found = places.into_iter().filter(|path| path.is_file());
    found.max_by_key(brought_at)
}

/// The metadata that are trusted, from the root in the image on.
fn kept() -> Result<MetadataFolder, String> {
    let kept = MetadataFolder::new(folder().join(METADATA));
    if kept.root().is_err() {
        let root = fs::read(ROOT).map_err(|error| format!("no root in the image: {error}"))?;
        kept.init(&root).map_err(told)?;
    }
    Ok(kept)
}

/// Why the disks' worker has not done something, in words of the log.
fn refused(refusal: Refusal) -> String {
    match refusal {
        Refusal::Failed(why) => why,
        other => format!("{other:?}"),
    }
}

/// Whose word is taken for the server's name.
fn trust() -> Result<Trust, String> {
    match fs::read(AUTHORITY) {
        Ok(pem) => Trust::only(&pem).map_err(told),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Trust::Browsers),
        Err(error) => Err(format!("{AUTHORITY} cannot be read: {error}")),
    }
}

/// When updates are installed, what time it is, and what people's clocks show.
fn schedule(state: &State) -> (Schedule, Time, i64) {
    let said = fs::read_to_string(WINDOW).unwrap_or_default();
    let (window_hour, ahead_s) = window(&said).unwrap_or(USUAL_WINDOW);
    let now = now();
    let schedule = Schedule {
        window_hour,
        paused_until: state.memory.paused_until,
        at_once: false,
    };
    (schedule, now, now.unix() + ahead_s)
}

/// Reads what the archive says of the window: its hour, and the seconds that people's clocks are ahead of UTC.
fn window(said: &str) -> Option<(u8, i64)> {
    let (hour, ahead_s) = said.trim().split_once(' ')?;
    let hour = hour.parse().ok().filter(|hour| *hour < 24)?;
    Some((hour, ahead_s.parse().ok()?))
}

fn exports_under_way() -> u32 {
    under_way(EXPORTS)
}

/// How much is under way, as a file says it.
fn under_way(file: &str) -> u32 {
    let said = fs::read_to_string(file).unwrap_or_default();
    said.trim().parse().unwrap_or(0)
}

/// Lets exports and messages end that have begun meanwhile.
fn wait_for_work() {
    let began = Instant::now();
    while keeps_waiting(exports_under_way(), under_way(MESSAGES), began.elapsed()) {
        thread::sleep(WORK_EVERY);
    }
}

/// Whether so many exports or messages keep the machine from starting again, so long after the version was installed.
fn keeps_waiting(exports: u32, messages: u32, waited: Duration) -> bool {
    exports > 0 && waited < EXPORTS_PATIENCE || messages > 0 && waited < MAIL_PATIENCE
}

/// Whether so many seconds are over. A clock that was set back makes it come early.
fn is_over(then: Option<Time>, wait_s: i64) -> bool {
    let since_s = then.map_or(i64::MAX, |then| now().unix() - then.unix());
    !(0..wait_s).contains(&since_s)
}

fn check_is_due(state: &State) -> bool {
    let doublings = state.failures.saturating_sub(1).min(10);
    let retry_s = (RETRY_FIRST_S << doublings).min(RETRY_MAX_S);
    is_over(state.memory.checked_at, CHECK_EVERY_S) && is_over(state.tried_at, retry_s)
}

/// Where updates are remembered.
fn folder() -> PathBuf {
    match fs::read_to_string(PLACE) {
        Ok(place) => PathBuf::from(place),
        Err(_) => PathBuf::from(FOLDER),
    }
}

/// Where so many bytes are fetched to: the archive disk, where what has come stays when the power fails, or memory.
pub(crate) fn roomy_folder(length: u64) -> PathBuf {
    let folder = folder();
    let available = statvfs(&folder).map_or(0, |it| {
        it.blocks_available().saturating_mul(it.fragment_size())
    });
    match available >= length.saturating_add(ROOM_BYTES_MIN) {
        true => folder,
        false => PathBuf::from(FOLDER),
    }
}

/// Removes what was fetched of other versions than this one.
fn remove_others(folder: &Path, version: &str) {
    for file in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        let is_fetched = name == FETCHED || name.contains(".efi.zst");
        if is_fetched && !name.contains(&format!("-{version}.efi")) {
            // What cannot be removed takes room, and nothing else.
            let _ = fs::remove_file(file.path());
        }
    }
}

/// Whether what is remembered outlives this start.
fn is_kept() -> bool {
    folder() != Path::new(FOLDER)
}

/// Keeps what is remembered; tells whether that went well.
fn save(memory: &Memory) -> bool {
    let saved = memory.save(&folder());
    if let Err(error) = &saved {
        tracing::warn!(error = chain(error), "updates are not remembered");
    }
    saved.is_ok()
}

/// What this box is.
pub(crate) fn running() -> io::Result<Running> {
    let release = fs::read_to_string(RELEASE)?;
    let value = |key: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(key));
        line.map(|value| value.trim().to_owned())
            .unwrap_or_default()
    };
    Ok(Running {
        board: value("BOARD="),
        version: value("VERSION=").parse().map_err(io::Error::other)?,
    })
}

fn now() -> Time {
    SystemTime::now().into()
}

fn told(error: impl std::error::Error) -> String {
    chain(&error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_an_hour_and_an_offset() {
        for (said, expected) in [
            ("3 3600\n", Some((3, 3600))),
            ("23 0", Some((23, 0))),
            ("24 0", None),
            ("3", None),
            ("", None),
        ] {
            assert_eq!(window(said), expected, "{said:?}");
        }
    }

    #[test]
    fn a_check_is_due_after_a_day_or_a_while_after_a_failure() {
        let ago = |seconds: i64| Some(Time::from_unix(now().unix() - seconds));
        for (checked_at, tried_at, failures, expected) in [
            (None, None, 0, true),
            (None, ago(10), 1, false),
            (None, ago(70), 1, true),
            (None, ago(70), 2, false),
            (None, ago(130), 2, true),
            (None, ago(1_900), 6, false),
            (None, ago(2_000), 6, true),
            (None, ago(3_500), 7, false),
            (None, ago(3_700), u32::MAX, true),
            (ago(100), None, 0, false),
            (ago(90_000), ago(90_000), 0, true),
            (ago(90_000), ago(10), 1, false),
            (ago(-1_000), None, 0, true),
        ] {
            let mut state = State {
                tried_at,
                failures,
                ..State::default()
            };
            state.memory.checked_at = checked_at;
            assert_eq!(
                check_is_due(&state),
                expected,
                "{checked_at:?} {tried_at:?} {failures}"
            );
        }
    }

    #[test]
    fn exports_and_mail_keep_the_machine_from_starting_again_for_a_while() {
        for (exports, messages, minutes, expected) in [
            (0, 0, 0, false),
            (1, 0, 0, true),
            (1, 0, 29, true),
            (1, 0, 30, false),
            (0, 3, 9, true),
            (0, 3, 10, false),
            (1, 3, 10, true),
        ] {
            let waited = Duration::from_secs(60 * minutes);
            let found = keeps_waiting(exports, messages, waited);
            assert_eq!(found, expected, "{exports} {messages} {minutes}");
        }
    }

    #[test]
    fn a_pause_and_a_wish_are_taken() {
        let shared = Shared {
            state: Mutex::default(),
            wake: Condvar::new(),
        };
        let about = About {
            running: "0.2.0".parse().expect("a version"),
            has_source: true,
        };
        let take = |deed| shared.take(deed, &about);
        assert_eq!(take(UpdateDeed::Pause(7)), Answer::Done);
        assert!(shared.lock().memory.paused_until.is_some());
        assert!(matches!(take(UpdateDeed::Pause(31)), Answer::Refused(_)));
        take(UpdateDeed::Resume);
        assert_eq!(shared.lock().memory.paused_until, None);
        take(UpdateDeed::Install);
        assert_eq!(shared.lock().wish, Some(UpdateDeed::Install));
        take(UpdateDeed::TakeStick);
        assert_eq!(shared.lock().wish, Some(UpdateDeed::TakeStick));
        let check = |user, deed, expected| {
            let found = shared.may_ask(user, &Request::Deed(deed));
            assert_eq!(found, expected, "{user} {deed:?}");
        };
        check(workers::PAGE_USER, UpdateDeed::GoBack, true);
        check(workers::MAIL_USER, UpdateDeed::Check, false);
        check(workers::WAITING_USER, UpdateDeed::TakeStick, false);
        shared.lock().is_recovery = true;
        check(workers::WAITING_USER, UpdateDeed::TakeStick, true);
        check(workers::WAITING_USER, UpdateDeed::Pause(7), false);
        check(workers::MAIL_USER, UpdateDeed::TakeStick, false);
        assert_eq!(shared.seen(&about).running, "0.2.0");
        // A version that somebody has left does not come back by itself.
        assert!(matches!(take(UpdateDeed::GoBack), Answer::Refused(_)));
        shared.lock().before = Some("0.1.0".parse().expect("a version"));
        assert_eq!(take(UpdateDeed::GoBack), Answer::Done);
        assert_eq!(shared.lock().memory.failed, [about.running]);
    }
}
