//! The keeper in the process that owns the data directory.

use super::documents::{Documents, StartExtractor};
use super::figures::LogWatch;
use super::messages::{
    AuthorityCertificate, BodyRequest, ClockStats, CopyStats, Details, DocumentText, Entry, Hit,
    ProofEntry, Request, Response, SearchPage, SearchRequest, Stats, WireAsker,
};
use super::outgoing::OutgoingFailure;
use super::{Answer, DirectoryLock, Failure, Keeper, Watch};
use crate::accounts::{self, PasswordRecord, SALT_BYTES};
use crate::certificates;
use crate::people::{Desk, Office, PeopleAnswer, PeopleRequest, Session, Token};
use crate::self_test;
use crate::settings::Setting;
use crate::smtp::SmtpFigures;
use crate::tls::TlsIdentity;
use archive::people::{Action, Reach, reach};
use archive::query::{Parsed, Query, parse};
use archive::{Asker, Digest, Event, EventKind};
use extract::Label;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;
use store::disk::{Disk, RealDisk};
use store::index::{Order, Page, snippet};
use store::note::Verifier;
use store::{
    Body, CopyState, Deposit, MendReport, Opening, Options, Receipt, Spool, StateTable, Store,
    Summary, VerifyOptions,
};

/// Threads that read the texts of a page: with more, the others of a computer would feel each page.
const SNIPPET_THREADS_MAX: usize = 4;

/// The owner of a data directory.
pub struct LocalKeeper {
    store: Store,
    people: Office,
    /// Settings that were asked for: each connection asks for some.
    settings: RwLock<BTreeMap<String, String>>,
    log_watch: LogWatch,
    outgoing_failure: OutgoingFailure,
    /// Gives the certificate and key of the doors.
    identity: OnceLock<MakeIdentity>,
    /// What the door for mail has counted, where it is in another process.
    mail_counts: Mutex<SmtpFigures>,
    documents: Documents,
    copy: Option<PathBuf>,
    /// Why the copy's directory cannot be used until the next start.
    copy_trouble: Option<String>,
    _locks: Vec<DirectoryLock>,
}

/// Gives the certificate of the archive's doors as its host's name and addresses are now.
pub type MakeIdentity = Box<dyn Fn(&LocalKeeper) -> Result<TlsIdentity, Failure> + Send + Sync>;

/// The disk of a data directory.
pub fn data_disk(data: &Path) -> Arc<dyn Disk> {
    Arc::new(RealDisk::new(data))
}

impl LocalKeeper {
    /// Takes a data directory and opens the archive in it, or makes a new one there.
    ///
    /// # Errors
    /// `InUse` when another process owns the directory; otherwise why it cannot be opened.
    pub fn open(
        data: &Path,
        options: Options,
        watch: &mut dyn FnMut(u64),
    ) -> Result<Self, Failure> {
        Self::open_with_copy(data, None, options, &mut |opening| {
            if let Opening::Catalog { leaves } = opening {
                watch(leaves);
            }
        })
    }

    /// Takes a data directory, and a second one that is to be a copy of it.
    ///
    /// # Errors
    /// As [`LocalKeeper::open`], and when the second one can never be a copy. Nothing else of it keeps the archive from opening.
    pub fn open_with_copy(
        data: &Path,
        copy: Option<&Path>,
        options: Options,
        watch: &mut dyn FnMut(Opening),
    ) -> Result<Self, Failure> {
        let lock = DirectoryLock::take(data)?;
        let patience = options.follower_patience;
        let lock_of_copy = copy.map(|copy| take_patiently(copy, patience)).transpose();
        let (copy_lock, copy_trouble) = match lock_of_copy {
            Ok(lock) => (lock, None),
            Err(in_use @ Failure::InUse(_)) => return Err(in_use),
            // A dead second disk is no reason to take no mail.
            Err(failure) => {
                tracing::error!(%failure, "the copy cannot be used; mail goes on without it");
                (None, Some(failure.to_string()))
            }
        };
        let disk = copy_lock.as_ref().and(copy).map(data_disk);
        let store = Store::open_with_copy(data_disk(data), disk, options, watch)
            .map_err(|error| failure_of_opening(error, copy))?;
        Ok(Self {
            store,
            people: Office::default(),
            settings: RwLock::default(),
            log_watch: LogWatch::default(),
            outgoing_failure: OutgoingFailure::default(),
            identity: OnceLock::new(),
            mail_counts: Mutex::default(),
            documents: Documents::default(),
            copy: copy.map(Path::to_owned),
            copy_trouble,
            _locks: std::iter::once(lock).chain(copy_lock).collect(),
        })
    }

    /// Says how a process is started that reads documents, where nobody else starts one.
    pub fn start_extractor_by(&self, start: StartExtractor) {
        self.documents.start_by(start);
    }

    fn answer_about_people(&self, request: PeopleRequest) -> Result<PeopleAnswer, Failure> {
        Ok(match request {
            PeopleRequest::Mail { token, peer, ask } => self
                .answer_about_mail(token, &peer, ask)
                .unwrap_or_else(PeopleAnswer::Denied),
            other => self.people()?.answer(other),
        })
    }

    pub(super) fn search(&self, request: SearchRequest) -> Result<SearchPage, Failure> {
        let Parsed { query, notes } = parsed(&request.query)?;
        let order = if request.by_relevance {
            Order::Relevance
        } else {
            Order::Newest
        };
        let page = Page {
            order,
            offset: request.offset as usize,
            limit: request.limit as usize,
            behind: request.behind,
        };
        let asker = asker(&request.asker)?;
        let found = self
            .store
            .search(&query, &asker, page, request.self_tests, request.fresh)?;
        self.store.fetch_summaries(&found.hits)?;
        let shown: Vec<(u64, Vec<u64>)> = found.hits.into_iter().zip(found.copies).collect();
        let hit = |(number, copies): &(u64, Vec<u64>)| {
            Ok(Hit {
                copies: copies.clone(),
                ..self.hit(*number, &query, request.snippet_chars)?
            })
        };
        let threads = match request.snippet_chars {
            0 => 1,
            _ => std::thread::available_parallelism().map_or(1, usize::from),
        };
        let lack = found.lacks_from.map(|number| {
            format!(
                "entries from number {number} on cannot be found yet: the index waits for room on the disk"
            )
        });
        Ok(SearchPage {
            count: found.count,
            hits: in_parts(&shown, threads.min(SNIPPET_THREADS_MAX), hit)?,
            notes: notes.iter().map(ToString::to_string).chain(lack).collect(),
        })
    }

    fn hit(&self, number: u64, query: &Query, snippet_chars: u32) -> Result<Hit, Failure> {
        let entry = self.entry(number)?;
        if snippet_chars == 0 {
            return Ok(Hit {
                entry,
                ..Hit::default()
            });
        }
        // A damaged message is still listed; only its text cannot be shown.
        let text = self
            .store
            .beginning(number)
            .map(|reading| reading.body)
            .unwrap_or_default();
        let snippet = snippet(query, &text, snippet_chars as usize);
        let marks = snippet
            .marks
            .iter()
            .map(|mark| (mark.start as u32, mark.end as u32))
            .collect();
        Ok(Hit {
            entry,
            snippet: snippet.text,
            marks,
            ..Hit::default()
        })
    }

    pub(super) fn entry(&self, number: u64) -> Result<Entry, Failure> {
        Ok(entry(number, self.store.summary(number)?))
    }

    fn details(&self, number: u64) -> Result<Details, Failure> {
        let receptions = self.store.receptions(number)?;
        Ok(Details {
            entry: self.entry(number)?,
            receptions: receptions
                .iter()
                .map(|(number, r)| (*number, store::encode_reception(r)))
                .collect(),
            linked: self.store.linked(number)?,
            copies: self.store.copies(number)?,
        })
    }

    pub(super) fn prove(
        &self,
        numbers: &[u64],
        tree_size: Option<u64>,
    ) -> Result<Vec<ProofEntry>, Failure> {
        let proven = self.store.prove(numbers, tree_size)?;
        let entry = |(number, proven): (&u64, store::ProvenLeaf)| ProofEntry {
            number: *number,
            proof: proven.proof.to_string(),
        };
        Ok(numbers.iter().zip(proven).map(entry).collect())
    }

    pub(super) fn stats(&self) -> Result<Stats, Failure> {
        let (leaves, indexed) = self.store.progress()?;
        let (read, copy_read) = self.store.volumes_read()?;
        let now = self.store.now();
        let identity = self.store.identity();
        let copy = self.copy.as_ref().map(|path| CopyStats {
            path: path.display().to_string(),
            state: self.copy_state(),
        });
        Ok(Stats {
            archive: store::hex(&identity.archive),
            disk_id: store::hex(&identity.disk),
            epoch: identity.epoch,
            members: identity.members.iter().map(store::hex).collect(),
            copy,
            key: self.store.key().to_string(),
            totals: self.store.totals()?,
            disk: self.store.disk_use()?,
            leaves,
            indexed,
            waiting_bytes: self.store.waiting_bytes()?,
            damage: self.store.known_damage()?,
            sources: self.store.sources()?,
            read,
            copy_read,
            clock: ClockStats {
                at_us: now.at_us,
                synchronised: now.synchronised,
                uncertainty_ms: now.uncertainty_ms,
            },
        })
    }

    fn verify(
        &self,
        key: Option<String>,
        checkpoint: Option<String>,
        watch: Watch,
    ) -> Result<Response, Failure> {
        let bad_key = |error: store::note::NoteError| {
            Failure::BadRequest(format!("the key cannot be read: {error}"))
        };
        let key = key
            .map(|key| key.parse::<Verifier>().map_err(bad_key))
            .transpose()?;
        let options = VerifyOptions { key, checkpoint };
        Ok(Response::Verified(self.store.verify(&options, watch)?))
    }

    /// Mends from a copy that nobody else has open, or from the one in step.
    fn mend(&self, copy: Option<&Path>, watch: Watch) -> Result<MendReport, Failure> {
        let own = self.copy.as_deref();
        let Some(copy) = copy.filter(|copy| Some(*copy) != own) else {
            return self.store.mend_in_step(watch).map_err(|error| match error {
                store::Error::Follower(why) => Failure::BadRequest(why),
                error => error.into(),
            });
        };
        if !copy.join("identity").exists() {
            let text = format!("there is no archive in {}", copy.display());
            return Err(Failure::BadRequest(text));
        }
        let _lock = DirectoryLock::take(copy)?;
        Ok(self.store.mend(&*data_disk(copy), watch)?)
    }

    fn put_account(&self, name: &str, password: Option<&str>) -> Result<(), Failure> {
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(Failure::BadRequest(format!(
                "an account needs a name without control characters: {name:?}"
            )));
        }
        let record =
            password.map(|password| accounts::hash(password, store::random::<SALT_BYTES>()));
        let bytes = record.as_ref().map(PasswordRecord::as_bytes);
        let existed = self.store.state().put(StateTable::Accounts, name, bytes)?;
        if password.is_none() && !existed {
            return Err(Failure::NotFound(format!("there is no account: {name}")));
        }
        let what = match (password, existed) {
            (None, _) => "removed",
            (Some(_), true) => "password changed",
            (Some(_), false) => "made",
        };
        let kind = EventKind::AccountChanged;
        self.log(
            1,
            Event {
                kind,
                account: name.to_owned(),
                text: what.to_owned(),
                ..Event::default()
            },
        )
        .map(drop)
    }

    fn setting(&self, name: &str) -> Result<String, Failure> {
        let known = self.settings.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = known.get(name) {
            return Ok(value.clone());
        }
        drop(known);
        let mut known = self
            .settings
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let value = self.store.state().get(StateTable::Settings, name)?;
        let value = String::from_utf8_lossy(&value.unwrap_or_default()).into_owned();
        if Setting::from_name(name).is_some() {
            known.insert(name.to_owned(), value.clone());
        }
        Ok(value)
    }

    /// Gives a session whose person may do this by himself.
    pub(super) fn session_that_may(
        &self,
        token: Token,
        action: Action,
    ) -> Result<Session, Failure> {
        let session = self.people()?.session(token);
        let session = session.map_err(|denial| Failure::BadRequest(denial.to_string()))?;
        let roles: BTreeSet<_> = session.roles.iter().copied().collect();
        if reach(&roles, action) != Reach::Alone {
            let text = format!("this account may not {}", action.name());
            return Err(Failure::BadRequest(text));
        }
        Ok(session)
    }

    fn change_setting(
        &self,
        token: Token,
        peer: String,
        name: &str,
        value: String,
    ) -> Result<(), Failure> {
        let refused = |why: String| Failure::BadRequest(why);
        let session = self.session_that_may(token, Action::ChangeSettings)?;
        let setting = Setting::from_name(name).filter(|setting| setting.takes(&value));
        let setting = setting.ok_or_else(|| refused(format!("{name} cannot be: {value}")))?;
        let event = Event {
            kind: EventKind::SettingChanged,
            account: session.name,
            peer,
            text: setting.name().to_owned(),
            before: self.setting(name)?,
            after: value.clone(),
            ..Event::default()
        };
        self.log(session.account.0, event)?;
        // Nobody takes the old value over as the new one is written.
        let mut known = self
            .settings
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        known.remove(name);
        let state = self.store.state();
        state.put(StateTable::Settings, name, Some(value.as_bytes()))?;
        Ok(())
    }

    fn authority(&self) -> Result<AuthorityCertificate, Failure> {
        let authority = certificates::authority(self.store.state())?;
        let authority = authority.ok_or_else(|| {
            Failure::NotFound("a certificate: it is made when coffer serve first starts".to_owned())
        })?;
        Ok(AuthorityCertificate {
            pem: authority.certificate_pem(),
            fingerprint: store::sha256(&authority.certificate_der).0,
            name: authority.name,
        })
    }

    /// Says how the certificate of the doors is made: the names and addresses of the host are not the keeper's to know. Only the first word counts.
    pub fn make_identity_by(&self, make: MakeIdentity) {
        let _ = self.identity.set(make);
    }

    fn identity(&self) -> Result<TlsIdentity, Failure> {
        let make = self.identity.get();
        let make = make.ok_or_else(|| Failure::NotFound("doors for others".to_owned()))?;
        make(self)
    }

    fn mail_counts(&self) -> MutexGuard<'_, SmtpFigures> {
        let counts = self.mail_counts.lock();
        counts.unwrap_or_else(PoisonError::into_inner)
    }

    /// What the copy is now; none without one, or before it was looked at.
    pub fn copy_state(&self) -> Option<CopyState> {
        let unusable = self.copy_trouble.clone().map(|reason| {
            let since_us = 0;
            CopyState::Detached { since_us, reason }
        });
        unusable.or_else(|| self.store.copy_state())
    }

    pub(super) fn people(&self) -> Result<Desk<'_>, Failure> {
        self.people.desk(&self.store)
    }

    /// Gives the claim code while nobody has claimed the archive; it is for the console, never for the page.
    ///
    /// # Errors
    /// When the register of people or the state file fails.
    pub fn claim_code(&self) -> Result<Option<String>, Failure> {
        self.people()?.claim_code()
    }

    /// Makes this the claim code of an archive that has none yet: that of the box, which may be printed on it.
    ///
    /// # Errors
    /// When the register of people or the state file fails.
    pub fn offer_claim_code(&self, code: &str) -> Result<(), Failure> {
        self.people()?.offer_claim_code(code)
    }

    /// Lets time pass that the machine's own counter has counted: proposals wait, grants and sessions end.
    ///
    /// # Errors
    /// When what is due cannot be written; it is due again the next time.
    pub fn pass(&self, seconds: u64) -> Result<(), Failure> {
        self.people()?.passes(seconds)
    }

    pub(super) fn outgoing_failure(&self) -> &OutgoingFailure {
        &self.outgoing_failure
    }

    pub(super) fn log_watch(&self) -> &LogWatch {
        &self.log_watch
    }

    /// Gives the store, for what only its owner may do.
    pub fn store(&self) -> &Store {
        &self.store
    }
}

impl Keeper for LocalKeeper {
    fn spool(&self) -> &Spool {
        self.store.spool()
    }

    fn takes_mail(&self) -> Result<(), Failure> {
        Ok(self.store.takes_mail()?)
    }

    fn deposit(&self, body: Body, deposit: Deposit) -> Result<Answer<Receipt>, Failure> {
        let pending = self.store.deposit(body, deposit)?;
        Ok(Answer::new(|| pending.wait().map_err(Failure::from)))
    }

    fn sign_in(&self, name: &str, password: &str) -> Result<bool, Failure> {
        let bytes = self.store.state().get(StateTable::Accounts, name)?;
        let record = bytes
            .map(|bytes| PasswordRecord::from_bytes(&bytes))
            .transpose();
        let record =
            record.map_err(|error| Failure::Damaged(format!("account {name}: {error}")))?;
        // Without an account a password is computed all the same, so that time tells nothing.
        Ok(accounts::verify(record.as_ref(), password))
    }

    fn log(&self, actor: u64, event: Event) -> Result<u64, Failure> {
        Ok(self.store.log(actor, event)?.wait()?)
    }

    fn ask(&self, request: Request, watch: Watch) -> Result<Response, Failure> {
        let bad_event = || Failure::BadRequest("an event that does not hold".to_owned());
        Ok(match request {
            Request::Deposit(_)
            | Request::Body(_)
            | Request::SpoolFile
            | Request::ReadDocument(_) => {
                return Err(Failure::BadRequest(
                    "bytes have calls of their own".to_owned(),
                ));
            }
            Request::SignIn { name, password } => {
                Response::SignedIn(self.sign_in(&name, &password)?)
            }
            Request::Log { actor, event } => Response::Number(
                self.log(actor, store::decode_event(&event).ok_or_else(bad_event)?)?,
            ),
            Request::Search(request) => Response::Page(self.search(request)?),
            Request::Matching { query, asker: who } => {
                Response::Numbers(self.store.matching(&parsed(&query)?.query, &asker(&who)?)?)
            }
            Request::Entries(numbers) => Response::Entries(
                numbers
                    .iter()
                    .map(|number| self.entry(*number))
                    .collect::<Result<_, _>>()?,
            ),
            Request::NumberOf(digest) => Response::Number(self.store.number_of(&Digest(digest))?),
            Request::Details(number) => Response::Details(self.details(number)?),
            Request::Prove { numbers, tree_size } => {
                Response::Proofs(self.prove(&numbers, tree_size)?)
            }
            Request::Checkpoint => Response::Checkpoint(self.store.checkpoint()?.note),
            Request::SignedEntries => {
                Response::Number(self.store.newest_checkpoint_size()?.unwrap_or(0))
            }
            Request::TakesMail => {
                self.takes_mail()?;
                Response::Done
            }
            Request::Identity => Response::Identity(Box::new(self.identity()?)),
            Request::SelfTest => {
                self_test::message(self).map_err(Failure::Later)?;
                Response::Done
            }
            Request::CountMail(counts) => {
                *self.mail_counts() = counts;
                Response::Done
            }
            Request::MailCounts => Response::MailCounts(*self.mail_counts()),
            Request::Stats => Response::Stats(self.stats()?),
            Request::NewestArrival => Response::NewestArrival(self.newest_arrival()?),
            Request::Health => Response::Health(Box::new(self.figures()?)),
            Request::Hours { from, until } => Response::Hours(self.store.hours(from..until)?),
            Request::Verify { key, checkpoint } => self.verify(key, checkpoint, watch)?,
            Request::Rebuild => {
                self.store.rebuild(&mut |done| watch(done, 0))?;
                Response::Done
            }
            Request::Recompress { seal } => {
                Response::Recompressed(self.store.recompress(seal, watch)?)
            }
            Request::Mend { copy } => Response::Mended(self.mend(copy.as_deref(), watch)?),
            Request::Flush => {
                self.store.flush()?;
                Response::Done
            }
            Request::PutAccount { name, password } => {
                self.put_account(&name, password.as_deref())?;
                Response::Done
            }
            Request::Accounts => Response::Names(self.store.state().names(StateTable::Accounts)?),
            Request::People(request) => {
                let answer = self.answer_about_people(*request)?;
                Response::People(Box::new(answer))
            }
            Request::Outgoing(request) => Response::Outgoing(self.outgoing(request)?),
            Request::Authority => Response::Authority(self.authority()?),
            Request::OwnCertificate => Response::OwnCertificate(self.own_certificate()?),
            Request::ChangeCertificate { token, peer, pem } => {
                self.change_certificate(token, peer, pem)?;
                Response::Done
            }
            Request::Setting(name) => Response::Setting(self.setting(&name)?),
            Request::ChangeSetting {
                token,
                peer,
                name,
                value,
            } => {
                self.change_setting(token, peer, &name, value)?;
                Response::Done
            }
        })
    }

    fn read_document(&self, document: Body, label: Label) -> Result<DocumentText, Failure> {
        self.documents.read(&document, label)
    }

    fn take_extractor(&self, stream: UnixStream) {
        self.documents.take(stream);
    }

    fn body(&self, which: BodyRequest) -> Result<Body, Failure> {
        Ok(match which {
            BodyRequest::Number(number) => self.store.message(number)?,
            BodyRequest::Digest(digest) => {
                self.store.message(self.store.number_of(&Digest(digest))?)?
            }
            BodyRequest::JournalReport(reception) => self.store.journal_report(reception)?,
            BodyRequest::Seen(seen) => self.seen_body(&seen)?,
        })
    }
}

/// Makes a hit of each message shown, in order, on so many threads.
fn in_parts<S: Sync>(
    shown: &[S],
    threads: usize,
    hit: impl Fn(&S) -> Result<Hit, Failure> + Sync,
) -> Result<Vec<Hit>, Failure> {
    let hits = |some: &[S]| some.iter().map(&hit).collect::<Result<Vec<_>, _>>();
    let share = shown.len().div_ceil(threads);
    if threads < 2 || share == 0 {
        return hits(shown);
    }
    std::thread::scope(|scope| {
        let parts: Vec<_> = shown
            .chunks(share)
            .map(|some| scope.spawn(move || hits(some)))
            .collect();
        let joined = parts.into_iter().map(|part| {
            part.join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        joined
            .collect::<Result<Vec<_>, _>>()
            .map(|hits| hits.concat())
    })
}

/// Takes the lock of a copy's directory; a disk that hangs is not waited for.
fn take_patiently(copy: &Path, patience: Duration) -> Result<DirectoryLock, Failure> {
    let (sender, taken) = sync_channel(1);
    let path = copy.to_owned();
    std::thread::spawn(move || {
        // One that comes too late is given back.
        let _ = sender.send(DirectoryLock::take(&path));
    });
    taken.recv_timeout(patience).unwrap_or_else(|_| {
        let place = copy.display();
        Err(Failure::Later(format!(
            "{place} did not answer within {patience:?}"
        )))
    })
}

/// Names the copy's directory where it is to blame.
fn failure_of_opening(error: store::Error, copy: Option<&Path>) -> Failure {
    match (&error, copy) {
        (store::Error::Follower(why), Some(copy)) => {
            Failure::BadRequest(format!("{} cannot be the copy: {why}", copy.display()))
        }
        _ => error.into(),
    }
}

pub(super) fn parsed(query: &str) -> Result<Parsed, Failure> {
    parse(query, 0)
        .map_err(|error| Failure::BadRequest(format!("the query cannot be searched: {error}")))
}

fn asker(asker: &WireAsker) -> Result<Asker, Failure> {
    let unreadable = || Failure::BadRequest("what was released cannot be read".to_owned());
    asker.asker().ok_or_else(unreadable)
}

fn entry(number: u64, summary: Summary) -> Entry {
    Entry {
        number,
        digest: summary.digest.map_or([0; 32], |digest| digest.0),
        size_bytes: summary.size_bytes,
        received_at_us: summary.received_at_us,
        sent_at: summary.sent_at,
        date: summary.date,
        from: summary.from,
        to: summary.to,
        subject: summary.subject,
        message_id: summary.message_id,
        attachments: summary.attachments,
        oddities: summary.oddities.names().map(str::to_owned).collect(),
    }
}
