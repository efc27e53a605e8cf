//! The page of the box's machine: who sees it, what it asks for, and that it stands in the log before it is done.

use super::*;
use crate::machine::{
    DiskSeen, DiskState, LogKind, Machine, MachineEnd, NetworkField, NetworkState, NetworkTexts,
    NewDisk, Refusal, UpdateDeed, UpdatesSeen, UploadPiece,
};
use std::sync::Mutex;
use update::Time;
use update::memory::{Available, Memory, Outcome};
use update::release::Notes;
use update::trial::{Failure, Proof};

/// What it notes of a change of the network.
const ON_TRIAL: &str = "network on trial";

/// What it has said; it is given in pieces of 7 bytes.
const LINES: &str = "   1.000 kernel: <one>\n   2.000 disks: Two\n   3.000 kernel: thr\u{fffd}e\n";

/// A machine with three disks, which remembers what it was asked to do.
#[derive(Default)]
struct ThreeDisks(Mutex<Vec<String>>);

impl ThreeDisks {
    fn note(&self, text: String) {
        self.0.lock().expect("no panic before").push(text);
    }
}

impl Machine for ThreeDisks {
    fn disks(&self) -> Result<Vec<DiskSeen>, Refusal> {
        let disk = |name: &str, state| DiskSeen {
            name: name.to_owned(),
            model: String::new(),
            serial: "S-0001".to_owned(),
            bytes: 1_000_000_000,
            state,
            confirmation: "0001".to_owned(),
        };
        let all = [
            ("sda", DiskState::InUse),
            ("sdb", DiskState::Blank),
            ("sdc", DiskState::Locked),
        ];
        Ok(all.map(|(name, state)| disk(name, state)).into())
    }

    fn format(&self, wanted: NewDisk) -> Result<String, Refusal> {
        match wanted.confirmation.as_str() {
            "0001" => {
                self.note(format!("format {}", wanted.name));
                Ok("THE-KEY".to_owned())
            }
            _ => Err(Refusal::WrongConfirmation),
        }
    }

    fn end(&self, how: MachineEnd) -> Result<(), Refusal> {
        self.note(format!("{how:?}"));
        Ok(())
    }

    fn network(&self) -> Result<NetworkState, Refusal> {
        let is_on_trial =
            self.0.lock().expect("no panic before").last() == Some(&ON_TRIAL.to_owned());
        Ok(NetworkState {
            texts: NetworkTexts {
                hostname: "archive-7".to_owned(),
                ..NetworkTexts::default()
            },
            unconfirmed_s: is_on_trial.then_some(97),
            addresses: vec!["192.0.2.7".to_owned()],
        })
    }

    fn set_network(&self, wanted: NetworkTexts) -> Result<(), Refusal> {
        if wanted.address == "wrong" {
            return Err(Refusal::WrongNetwork(NetworkField::Address));
        }
        self.note(ON_TRIAL.to_owned());
        Ok(())
    }

    fn confirm_network(&self) -> Result<(), Refusal> {
        self.note("confirmed".to_owned());
        Ok(())
    }

    fn log(&self, kind: LogKind, offset: u64) -> Result<Vec<u8>, Refusal> {
        let text = match kind {
            LogKind::SinceStart => LINES.as_bytes(),
            LogKind::Kept => return Err(Refusal::Failed("no disk".to_owned())),
        };
        let from = text.len().min(offset as usize);
        Ok(text[from..text.len().min(from + 7)].to_vec())
    }

    fn unlock(&self, recovery_key: &str) -> Result<usize, Refusal> {
        match recovery_key {
            "GOOD" => {
                self.note("unlock".to_owned());
                Ok(1)
            }
            _ => Err(Refusal::WrongRecoveryKey),
        }
    }

    fn updates(&self) -> Result<UpdatesSeen, Refusal> {
        let version = |text: &str| text.parse().expect("a version");
        let mut memory = Memory::default();
        memory.checked(Time::from_unix(1_795_300_000));
        for outcome in [
            Outcome::Failed(Failure::Unproved(Proof::SelfTest, "not found".to_owned())),
            Outcome::Good,
        ] {
            memory.happened(Time::from_unix(1_795_300_000), version("0.2.0"), outcome);
        }
        memory.offered(Available {
            version: version("0.3.0"),
            notes: Notes {
                de: "Neu auf Deutsch".to_owned(),
                en: "New in English".to_owned(),
            },
            length: 22 << 20,
            seen_at: Time::from_unix(1_795_300_000),
        });
        Ok(UpdatesSeen {
            has_source: true,
            running: "0.2.0".to_owned(),
            before: Some(version("0.1.0")),
            is_withdrawn: true,
            memory,
            ..UpdatesSeen::default()
        })
    }

    fn update(&self, deed: UpdateDeed) -> Result<(), Refusal> {
        self.note(format!("{deed:?}"));
        match deed {
            UpdateDeed::GoBack => Err(Refusal::Failed("it does not".to_owned())),
            _ => Ok(()),
        }
    }

    fn upload(&self, piece: UploadPiece) -> Result<(), Refusal> {
        let UploadPiece {
            offset,
            length,
            bytes,
        } = piece;
        if length > 100 {
            return Err(Refusal::Failed("longer than an update may be".to_owned()));
        }
        let text = String::from_utf8_lossy(&bytes);
        self.note(format!("{text} at {offset} of {length}"));
        Ok(())
    }
}

/// Texts of the log's entries of changed settings.
fn changes(scene: &Scene) -> Vec<String> {
    let (leaves, _) = scene.keeper.store().progress().expect("open");
    let mut texts = Vec::new();
    let events = scene.keeper.store().events(1..leaves + 1, |_, event| {
        if event.kind == EventKind::SettingChanged {
            texts.push(event.text);
        }
    });
    events.expect("it can be read");
    texts
}

#[test]
fn an_ordinary_computer_has_no_such_page() {
    let (scene, mut operator) = Scene::claimed();
    assert_eq!(operator.get(&scene, "/machine").status, 404);
    for deed in ["disk", "restart", "power-off"] {
        let posted = operator.post(&scene, &format!("/machine/{deed}"), &[]);
        assert_eq!(posted.status, 404, "{deed}");
    }
    assert!(!operator.get(&scene, "/state").text().contains("/machine"));
}

#[test]
fn the_operator_alone_asks_the_machine_and_the_log_tells_it() {
    let (mut scene, mut operator, mut kim) = Scene::with_staff();
    let machine = Arc::new(ThreeDisks::default());
    scene.site = scene.site.with_machine(machine.clone());
    assert_eq!(kim.get(&scene, "/machine").status, 404);
    assert_eq!(kim.post(&scene, "/machine/restart", &[]).status, 404);
    let page = operator.get(&scene, "/machine").text();
    assert!(page.contains("value=\"sdb\"") && !page.contains("value=\"sda\""));
    let before = changes(&scene).len();
    let disk = |confirmation| [("disk", "sdb"), ("confirmation", confirmation)];
    let refused = operator.post(&scene, "/machine/disk", &disk("0002"));
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("role=\"alert\""));
    let made = operator.post(&scene, "/machine/disk", &disk("0001"));
    assert!(made.status == 200 && made.text().contains("THE-KEY"));
    assert!(page.contains("action=\"/machine/unlock\""), "sdc is locked");
    for (key, status) in [("BAD", 422), ("GOOD", 200)] {
        let tried = operator.post(&scene, "/machine/unlock", &[("recovery-key", key)]);
        assert_eq!(tried.status, status, "{key}");
    }
    operator.post(&scene, "/machine/restart", &[]);
    operator.post(&scene, "/machine/power-off", &[]);
    assert_eq!(operator.post(&scene, "/machine/burn", &[]).status, 404);
    let done = machine.0.lock().expect("no panic").clone();
    assert_eq!(done, ["format sdb", "unlock", "Restart", "PowerOff"]);
    let logged = changes(&scene).split_off(before);
    assert_eq!(logged.len(), 6, "{logged:?}");
    assert!(logged[0].contains("sdb") && logged[4] == "restart");
    let has_key = |text: &String| text.contains("GOOD") || text.contains("BAD");
    assert!(
        !logged.iter().any(has_key),
        "a key is in no log: {logged:?}"
    );
}

#[test]
fn the_operator_reads_what_the_machine_has_said() {
    let (mut scene, mut operator, mut kim) = Scene::with_staff();
    assert_eq!(operator.get(&scene, "/machine/log").status, 404);
    scene.site = scene.site.with_machine(Arc::new(ThreeDisks::default()));
    for path in ["/machine/log", "/machine/log/since-start.txt"] {
        assert_eq!(kim.get(&scene, path).status, 404, "{path}");
    }
    let whole = operator.get(&scene, "/machine/log").text();
    assert!(whole.contains("&lt;one&gt;") && whole.contains("disks: Two"));
    let found = operator.get(&scene, "/machine/log?find=KERNEL").text();
    assert!(found.contains("&lt;one&gt;") && !found.contains("disks: Two"));
    let failed = operator.get(&scene, "/machine/log?of=kept");
    assert!(failed.status == 503 && failed.text().contains("no disk"));
    let file = operator.get(&scene, "/machine/log/since-start.txt");
    assert_eq!((file.status, file.text().as_str()), (200, LINES));
    assert_eq!(operator.get(&scene, "/machine/log/kept.txt").status, 503);
    assert_eq!(operator.get(&scene, "/machine/log/other.txt").status, 404);
}

#[test]
fn a_change_of_the_network_is_tried_and_then_confirmed() {
    let (mut scene, mut operator, mut kim) = Scene::with_staff();
    assert_eq!(operator.get(&scene, "/machine/network").status, 404);
    let machine = Arc::new(ThreeDisks::default());
    scene.site = scene.site.with_machine(machine.clone());
    assert_eq!(kim.get(&scene, "/machine/network").status, 404);
    assert_eq!(kim.post(&scene, "/machine/network", &[]).status, 404);
    let page = operator.get(&scene, "/machine/network").text();
    assert!(page.contains("archive-7") && page.contains("192.0.2.7"));
    assert!(!page.contains("/machine/network/confirm"));
    let wrong = operator.post(&scene, "/machine/network", &[("address", "wrong")]);
    assert_eq!(wrong.status, 422);
    assert!(wrong.text().contains("role=\"alert\"") && wrong.text().contains("value=\"wrong\""));
    let new = [("hostname", "Archive-8"), ("address", "192.0.2.8/24")];
    let tried = operator.post(&scene, "/machine/network", &new).text();
    assert!(tried.contains("https://archive-8.local/machine/network"));
    assert!(tried.contains("https://192.0.2.8/machine/network"));
    let page = operator.get(&scene, "/machine/network").text();
    assert!(page.contains("/machine/network/confirm") && page.contains("97"));
    let confirmed = operator.post(&scene, "/machine/network/confirm", &[]);
    assert_eq!(confirmed.status, 303);
    let done = machine.0.lock().expect("no panic").clone();
    assert_eq!(done, [ON_TRIAL, "confirmed"]);
    let logged = changes(&scene);
    assert!(logged.contains(&"network, on trial".to_owned()));
    assert_eq!(
        logged.last().map(String::as_str),
        Some("network, confirmed")
    );
}

#[test]
fn the_operator_sees_what_comes_and_decides_when() {
    let (mut scene, mut operator, mut kim) = Scene::with_staff();
    assert_eq!(operator.get(&scene, "/updates").status, 404);
    let machine = Arc::new(ThreeDisks::default());
    scene.site = scene.site.with_machine(machine.clone());
    assert_eq!(kim.get(&scene, "/updates").status, 404);
    assert_eq!(kim.post(&scene, "/updates/install", &[]).status, 404);
    let page = operator.get(&scene, "/updates").text();
    for said in [
        "This is Coffer 0.2.0.",
        "Version 0.3.0 is there.",
        "New in English",
        "a test message was not stored and found again (not found)",
        "has proved itself",
        "Go back to 0.1.0",
        "do not vouch for version 0.1.0 any more",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    assert!(!page.contains("auf Deutsch"));
    assert!(operator.get(&scene, "/state").text().contains("/updates"));
    let before = changes(&scene).len();
    for (deed, fields, status) in [
        ("install", vec![], 303),
        ("pause", vec![("days", "7")], 303),
        ("again", vec![], 303),
        ("back", vec![], 422),
        ("burn", vec![], 404),
    ] {
        let posted = operator.post(&scene, &format!("/updates/{deed}"), &fields);
        assert_eq!(posted.status, status, "{deed}");
    }
    let done = machine.0.lock().expect("no panic").clone();
    assert_eq!(done, ["Install", "Pause(7)", "TryAgain", "GoBack"]);
    let logged = changes(&scene).split_off(before);
    assert_eq!(logged.len(), 4, "{logged:?}");
    assert!(logged[1].contains("7 days"), "{logged:?}");
}

#[test]
fn an_update_is_brought_on_a_stick_or_in_pieces() {
    let (mut scene, mut operator, mut kim) = Scene::with_staff();
    let machine = Arc::new(ThreeDisks::default());
    scene.site = scene.site.with_machine(machine.clone());
    let piece = |offset, length, piece| [("offset", offset), ("length", length), ("piece", piece)];
    let first = piece("0", "5", "YWI_"); // `ab?`, as browsers write it
    assert_eq!(kim.post(&scene, "/updates/upload", &first).status, 404);
    let before = changes(&scene).len();
    for (fields, status, said) in [
        (first, 200, ""),
        (piece("3", "5", "Y2Q="), 200, "This is Coffer 0.2.0."),
        (piece("0", "101", "YWI_"), 422, "longer than an update"),
        (piece("0", "5", "a b"), 422, "begin it anew"),
        (piece("x", "5", "YWI_"), 422, "begin it anew"),
    ] {
        let answer = operator.post(&scene, "/updates/upload", &fields);
        assert_eq!(answer.status, status, "{fields:?}");
        assert!(answer.text().contains(said), "{fields:?}");
    }
    operator.post(&scene, "/updates/stick", &[]);
    operator.post(&scene, "/updates/stale", &[("version", "0.3.0")]);
    let other = operator.post(&scene, "/updates/stale", &[("version", "x")]);
    assert_eq!(other.status, 404);
    let done = machine.0.lock().expect("no panic").clone();
    let version = "TakeStale(VersionNumber([0, 3, 0]))";
    assert_eq!(
        done,
        ["ab? at 0 of 5", "cd at 3 of 5", "TakeStick", version]
    );
    let logged = changes(&scene).split_off(before);
    let texts = [
        "upload an update and install it",
        "upload an update and install it",
        "install an update from a stick",
        "install an update that has expired: 0.3.0",
    ];
    assert_eq!(logged, texts);
}

#[test]
fn a_reset_sets_what_the_setup_proposes_and_the_network() {
    let (mut scene, mut operator, mut kim) = Scene::with_staff();
    let machine = Arc::new(ThreeDisks::default());
    assert_eq!(operator.post(&scene, "/machine/reset", &[]).status, 404);
    scene.site = scene.site.with_machine(machine.clone());
    assert_eq!(kim.post(&scene, "/machine/reset", &[]).status, 404);
    let hour = [("update hour", "22")];
    assert_eq!(operator.post(&scene, "/setup/updates", &hour).status, 303);
    let reset = operator.post(&scene, "/machine/reset", &[]);
    assert_eq!(reset.status, 303);
    assert!(operator.get(&scene, "/setup").text().contains("03:00"));
    let done = machine.0.lock().expect("no panic").clone();
    assert_eq!(done, [ON_TRIAL]);
    assert!(changes(&scene).contains(&"all settings were reset".to_owned()));
}
