//! Serves the page of a box whose machine is a file: what it shows of disks, network, log and updates is read from there for each question.
//!
//! For tests of the page in a browser, which can put no disks into the computer that they run on. There is no mail and no worker; the page
//! itself, its people and their archive are the real ones. What is asked of the machine is said to be done and is not.

use service::certificates::{self, Names};
use service::keeper::LocalKeeper;
use service::machine::{
    DiskSeen, LogKind, Machine, MachineEnd, NetworkState, NetworkTexts, NewDisk, RecoveryDeed,
    RecoverySeen, Refusal, UpdateDeed, UpdatesSeen, UploadPiece,
};
use service::tls::TlsServer;
use service::web::{Handler, MailDoor, NoArchive, Site, WebOptions, WebServer, WebSocket};
use std::error::Error;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use store::{Clock, Moment, Options};

const USAGE: &str = "usage: box FOLDER (machine.json in it has the states) [waiting]";

const HOSTNAME: &str = "coffer";

/// What the machine is to say, in the order of the file: disks, network, log, updates, why nothing is done that somebody asks for, and why it is there to
/// help out only.
type Said = (
    Vec<DiskSeen>,
    NetworkState,
    String,
    UpdatesSeen,
    Option<Refusal>,
    Option<RecoverySeen>,
);

struct Scripted(PathBuf);

impl Scripted {
    fn said(&self) -> Result<Said, Refusal> {
        let failed = |error: &dyn std::fmt::Display| Refusal::Failed(error.to_string());
        let text = std::fs::read_to_string(&self.0).map_err(|error| failed(&error))?;
        serde_json::from_str(&text).map_err(|error| failed(&error))
    }

    fn done(&self) -> Result<(), Refusal> {
        self.said()?.4.map_or(Ok(()), Err)
    }
}

impl Machine for Scripted {
    fn disks(&self) -> Result<Vec<DiskSeen>, Refusal> {
        Ok(self.said()?.0)
    }

    fn format(&self, _: NewDisk) -> Result<String, Refusal> {
        let key = "7GQ2-M4XW-9KDP-TB3F-8HJN-5RCV-2YLE-6ZSA";
        self.done().map(|()| key.to_owned())
    }

    fn end(&self, _: MachineEnd) -> Result<(), Refusal> {
        self.done()
    }

    fn network(&self) -> Result<NetworkState, Refusal> {
        Ok(self.said()?.1)
    }

    fn set_network(&self, _: NetworkTexts) -> Result<(), Refusal> {
        self.done()
    }

    fn confirm_network(&self) -> Result<(), Refusal> {
        self.done()
    }

    fn log(&self, _: LogKind, offset: u64) -> Result<Vec<u8>, Refusal> {
        let log = self.said()?.2.into_bytes();
        let from = log.len().min(offset as usize);
        Ok(log[from..].to_vec())
    }

    fn unlock(&self, _: &str) -> Result<usize, Refusal> {
        self.done().map(|()| 1)
    }

    fn updates(&self) -> Result<UpdatesSeen, Refusal> {
        Ok(self.said()?.3)
    }

    fn update(&self, _: UpdateDeed) -> Result<(), Refusal> {
        self.done()
    }

    fn upload(&self, _: UploadPiece) -> Result<(), Refusal> {
        self.done()
    }

    fn recovery(&self) -> Result<Option<RecoverySeen>, Refusal> {
        Ok(self.said()?.5)
    }

    fn recover(&self, code: &str, _: RecoveryDeed) -> Result<(), Refusal> {
        match code {
            "wrong" => Err(Refusal::WrongClaimCode),
            _ => self.done(),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (folder, waits) = match arguments.as_slice() {
        [folder] => (Path::new(folder), false),
        [folder, waiting] if waiting == "waiting" => (Path::new(folder), true),
        _ => return Err(USAGE.into()),
    };
    let machine = Arc::new(Scripted(folder.join("machine.json")));
    let keeper = Arc::new(LocalKeeper::open(
        &folder.join("data"),
        options(),
        &mut |_| {},
    )?);
    let names = Names {
        archive: &store::hex(&keeper.store().identity().archive),
        hostname: HOSTNAME,
        addresses: vec![Ipv4Addr::LOCALHOST.into()],
    };
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let identity = certificates::certificate(keeper.store().state(), &names, now_s)?;
    let tls = Arc::new(TlsServer::new(&identity)?);
    let code = keeper.claim_code()?.unwrap_or_default();
    let handler = match waits {
        true => waiting(machine),
        false => page(keeper, machine),
    };
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = socket.local_addr()?;
    let options = WebOptions {
        https_port: address.port(),
        ..WebOptions::default()
    };
    let sockets = vec![WebSocket::Https(socket)];
    let server = WebServer::start(options, sockets, folder, tls, handler)?;
    say(&format!(
        "web: https://{address}\nclaim code: {code}\nready\n"
    ))?;
    // Whoever started it ends it by closing its input.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    server.stop();
    Ok(())
}

fn page(keeper: Arc<LocalKeeper>, machine: Arc<Scripted>) -> Handler {
    let door = MailDoor {
        hostname: HOSTNAME.to_owned(),
        smtp: Vec::new(),
        allowed: String::new(),
        journal_from: String::new(),
    };
    let site = Site::new(keeper, door).with_machine(machine);
    Arc::new(move |request| site.answer(request))
}

/// The page while no archive is open.
fn waiting(machine: Arc<Scripted>) -> Handler {
    let site = NoArchive::new(machine);
    Arc::new(move |request| site.answer(request))
}

fn say(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn options() -> Options {
    Options {
        clock: clock(),
        boot_id: [0; 16],
        volume_bytes_max: store::VOLUME_BYTES_MAX,
        index_threads: 1,
        upkeep: store::WhenUpkeep::Never,
        follower_patience: store::FOLLOWER_PATIENCE,
    }
}

fn clock() -> Clock {
    Arc::new(|| Moment {
        at_us: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_micros() as i64),
        synchronised: true,
        uncertainty_ms: Some(10),
    })
}
