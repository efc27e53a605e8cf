//! Who sets the box up, by its page and what its console says.

use std::path::Path;
use std::thread;
use std::time::Duration;
use tests::{Emulator, Folder, Page, wait_for};

/// 4 minutes, a second between two looks: an emulated box fetches, installs and proves a version within them.
const UPDATES_LOOKS: u32 = 240;
const UPDATES_EVERY: Duration = Duration::from_secs(1);

/// The owner of a box, in front of its page.
#[derive(Clone)]
pub(crate) struct Owner {
    page: Page,
    recovery_keys: Vec<String>,
}

impl Owner {
    /// Sets a new box up on its first disk, until it takes mail from the emulator's network.
    pub(crate) fn set_up(emulated: &Emulator) -> Self {
        let (code, _) = Self::looks_at(emulated);
        Self::begin(emulated, &code)
    }

    /// Reads the claim code off the console, and the page of a new box.
    pub(crate) fn looks_at(emulated: &Emulator) -> (String, String) {
        let code = claim_code(emulated);
        let page = emulated.page();
        let html = wait_for("the page of a new box", || answer(&page, "/"));
        (code, html)
    }

    /// What the page of a new box shows of the disk in a place.
    pub(crate) fn sees(html: &str, place: usize) -> &str {
        disk_piece(html, &format!("disk{place}"))
    }

    /// Tries to format disks, each with what another one asks for.
    pub(crate) fn confirms_wrongly(emulated: &Emulator, html: &str, code: &str, places: &[usize]) {
        for place in places {
            let disk = disk_name(html, &format!("disk{place}"));
            let values = [
                ("disk", disk.as_str()),
                ("confirmation", "isk1"),
                ("code", code),
            ];
            let refused = emulated.page().post("/disk", &values);
            assert!(refused.starts_with("HTTP/1.1 422 "), "{refused}");
        }
    }

    /// Makes the first disk the archive disk, and claims the archive.
    pub(crate) fn begin(emulated: &Emulator, code: &str) -> Self {
        let mut owner = Self {
            page: emulated.page(),
            recovery_keys: Vec::new(),
        };
        owner.format("/", "/disk", 1, code);
        emulated.says("takes mail");
        owner.page.claim_with(code);
        let networks = [
            ("allowed networks", "10.0.2.0/24"),
            ("journal networks", ""),
        ];
        let saved = owner.page.send("/setup/mail", "/setup/mail", &networks);
        assert!(saved.contains("Location: /setup\r\n"), "{saved}");
        owner
    }

    /// The recovery keys of the disks, in the order in which they were formatted.
    pub(crate) fn recovery_keys(&self) -> &[String] {
        &self.recovery_keys
    }

    /// Makes the disk in a place an archive disk, too.
    pub(crate) fn add_disk(&mut self, place: usize) {
        self.format("/machine", "/machine/disk", place, "");
    }

    /// Comes to the page of a box that was started again.
    pub(crate) fn returns_to(&mut self, emulated: &Emulator) {
        self.page = emulated.page();
        self.signs_in();
    }

    /// Waits until signing in is possible.
    pub(crate) fn signs_in(&self) {
        wait_for("signing in", || self.page.sign_in().then_some(()));
    }

    /// Comes to the page of a box that was started again, where only another password is good.
    pub(crate) fn returns_with(&mut self, emulated: &Emulator, password: &str) {
        self.page = emulated.page();
        let signed_in = || self.page.sign_in_with(password).then_some(());
        wait_for("signing in with the new password", signed_in);
        assert!(!self.page.sign_in(), "the old password is good no more");
    }

    /// Waits until the page says this about the second disk.
    #[track_caller]
    pub(crate) fn waits_for_second_disk(&self, state: &str) {
        wait_for(&format!("the second disk is {state}"), || {
            let html = answer(&self.page, "/state")?;
            after(&html, "<dt>Second disk</dt><dd>")
                .contains(state)
                .then_some(())
        });
    }

    /// Waits until the page of the state warns of something.
    #[track_caller]
    pub(crate) fn warns(&self, words: &str) {
        wait_for(&format!("a warning: {words}"), || {
            let html = answer(&self.page, "/state")?;
            let mut warnings = html.split("role=\"alert\"").skip(1);
            warnings
                .any(|warning| warning.contains(words))
                .then_some(())
        });
    }

    /// Uses one of the forms of the page "Updates".
    pub(crate) fn updates(&self, deed: &str) {
        let done = self.page.send("/updates", &format!("/updates/{deed}"), &[]);
        assert!(done.contains("Location: /updates\r\n"), "{done}");
    }

    /// Uploads an update on the page "Updates".
    #[track_caller]
    pub(crate) fn uploads(&self, folder: &Folder, update: &Path) {
        let form = self.page.get("/updates");
        let answers = self.page.upload(&form, folder, update);
        assert!(!answers.contains("HTTP/1.1 4"), "{answers}");
        assert!(answers.contains("<h1"), "the page follows: {answers}");
    }

    /// Uploads what follows no other piece.
    pub(crate) fn uploads_a_gap(&self) {
        let piece = [("offset", "3"), ("length", "6"), ("piece", "YWJj")];
        let refused = self.page.send("/updates", "/updates/upload", &piece);
        assert!(refused.starts_with("HTTP/1.1 422 "), "{refused}");
        let why = "a piece of the upload is missing";
        assert!(refused.contains(why), "{refused}");
    }

    /// Waits until the page says that there is no way back to a version.
    pub(crate) fn cannot_go_back(&self, number: &str) {
        let words = format!("Version {number} is still there, but there is no way back to it");
        let html = self.waits_for_updates(&words);
        assert!(!html.contains("action=\"/updates/back\""), "{html}");
        let refused = self.page.send("/updates", "/updates/back", &[]);
        assert!(refused.starts_with("HTTP/1.1 422 "), "{refused}");
    }

    /// Shows a version that helps out the code of the console, and uploads an update.
    pub(crate) fn recovers_by_upload(
        &mut self,
        emulated: &Emulator,
        folder: &Folder,
        update: &Path,
    ) {
        let code = claim_code(emulated);
        self.page = emulated.page();
        wait_for("the page of recovery", || answer(&self.page, "/"));
        let form = self.page.post("/recovery", &[("code", code.as_str())]);
        let answers = self.page.upload(&form, folder, update);
        assert!(!answers.contains("HTTP/1.1 4"), "{answers}");
    }

    /// Shows a version that helps out the code of the console, and has it take the update on the stick.
    pub(crate) fn recovers_by_stick(&mut self, emulated: &Emulator) {
        let code = claim_code(emulated);
        self.page = emulated.page();
        let asked = wait_for("the page of recovery", || answer(&self.page, "/"));
        assert!(asked.contains("action=\"/recovery\""), "{asked}");
        let refused = self.page.post("/recovery", &[("code", "AAAAA-AAAAA")]);
        assert!(refused.starts_with("HTTP/1.1 422 "), "{refused}");
        let values = [("code", code.as_str())];
        wait_for("the stick", || {
            let all = self.page.post("/recovery", &values);
            all.contains("action=\"/recovery/stick\"").then_some(())
        });
        let taken = self.page.post("/recovery/stick", &values);
        assert!(taken.starts_with("HTTP/1.1 200 "), "{taken}");
    }

    /// Waits until the page "Updates" says something, and gives the page.
    #[track_caller]
    pub(crate) fn waits_for_updates(&self, words: &str) -> String {
        let mut last = String::new();
        for _ in 0..UPDATES_LOOKS {
            if let Some(html) = answer(&self.page, "/updates") {
                if html.contains(words) {
                    return html;
                }
                last = html;
            }
            thread::sleep(UPDATES_EVERY); // between two looks at a state that is waited for
        }
        panic!("the page never says {words:?}, but {last}");
    }

    /// Opens locked disks with a recovery key.
    pub(crate) fn unlock(&mut self, emulated: &Emulator, recovery_key: &str) {
        self.page = emulated.page();
        let form = wait_for("the page of a locked box", || answer(&self.page, "/"));
        assert!(form.contains("name=\"recovery-key\""), "{form}");
        let opened = self.page.post("/unlock", &[("recovery-key", recovery_key)]);
        assert!(opened.starts_with("HTTP/1.1 200 "), "{opened}");
    }

    /// Opens a further locked disk with its recovery key, by the page of the open archive.
    pub(crate) fn unlock_second(&self, recovery_key: &str) {
        let values = [("recovery-key", recovery_key)];
        let opened = self.page.send("/machine", "/machine/unlock", &values);
        assert!(opened.starts_with("HTTP/1.1 200 "), "{opened}");
    }

    /// Ends the machine, by the page.
    pub(crate) fn ends(&self, how: &str) {
        let done = self.page.send("/machine", &format!("/machine/{how}"), &[]);
        assert!(!done.contains("role=\"alert\""), "{done}");
    }

    fn format(&mut self, at: &str, path: &str, place: usize, code: &str) {
        let serial = format!("disk{place}");
        // A disk that was just given takes a moment.
        let form = wait_for("the page with the disk", || {
            answer(&self.page, at).filter(|html| html.contains(&format!("<code>{serial}</code>")))
        });
        let disk = disk_name(&form, &serial);
        let values = [
            ("disk", disk.as_str()),
            ("confirmation", &serial[serial.len() - 4..]),
            ("code", code),
        ];
        let done = if code.is_empty() {
            self.page.send(at, path, &values)
        } else {
            self.page.post(path, &values)
        };
        let key = after(&done, "<p class=\"code\"><strong>");
        assert_eq!(key.matches('-').count(), 5, "{done}");
        self.recovery_keys.push(key);
    }
}

/// Waits for the claim code that the console shows.
pub(crate) fn claim_code(emulated: &Emulator) -> String {
    let line = emulated.says("  code     ");
    let code = line.split_whitespace().nth(1).expect("a code");
    code.to_owned()
}

/// What a page answers; nothing while nobody does.
fn answer(page: &Page, path: &str) -> Option<String> {
    let ran = page.curl(path, &[]);
    let text = String::from_utf8(ran.stdout).ok()?;
    (ran.code == Some(0) && text.starts_with("HTTP/1.1 200 ")).then_some(text)
}

/// What stands between some HTML and the next tag.
fn after(html: &str, head: &str) -> String {
    let rest = html.split_once(head).map_or("", |(_, rest)| rest);
    rest.split('<').next().unwrap_or_default().to_owned()
}

/// The name that the box gives a disk with a serial number today.
fn disk_name(form: &str, serial: &str) -> String {
    let piece = disk_piece(form, serial);
    let (_, rest) = piece.split_once("value=\"").expect("it is offered");
    rest.split('"').next().expect("a name").to_owned()
}

/// The piece of a form that offers a disk.
fn disk_piece<'a>(form: &'a str, serial: &str) -> &'a str {
    let named = format!("<code>{serial}</code>");
    let piece = form
        .split("class=\"choice")
        .find(|piece| piece.contains(&named));
    piece.unwrap_or_else(|| panic!("no disk {serial} in {form}"))
}
