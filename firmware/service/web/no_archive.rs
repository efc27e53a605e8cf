//! The page of a box without an open archive: it says that nothing is archived, and lets whoever has the claim code choose a disk.
//!
//! There are no accounts yet, since these lie in the archive. What changes anything needs a code that only the console, the boot medium or a
//! printed sheet shows; so forms need no other token against foreign pages (CSRF).

use super::assets::Assets;
use super::reasons;
use super::visit::language_cookie;
use super::words::{Catalogues, Language, Words};
use super::{Method, Request, Response};
use crate::machine::{DiskSeen, DiskState, Machine, NetworkField, NewDisk, Refusal};
use maud::{DOCTYPE, Markup, html};
use std::sync::Arc;

/// The page while there is no archive.
pub struct NoArchive {
    pub(super) machine: Arc<dyn Machine>,
    catalogues: Catalogues,
    assets: Assets,
}

impl NoArchive {
    /// Makes the page of a machine.
    pub fn new(machine: Arc<dyn Machine>) -> Self {
        Self {
            machine,
            catalogues: Catalogues::new(),
            assets: Assets::new(),
        }
    }

    /// Answers a request.
    pub fn answer(&self, request: &Request) -> Response {
        if let Some(asset) = self.assets.find(&request.path) {
            return asset;
        }
        let path: Vec<&str> = request.path.split('/').skip(1).collect();
        let helps_out = self.machine.recovery().ok().flatten();
        match (request.method, path.as_slice()) {
            (Method::Get, [""]) if helps_out.is_some() => self.recovery(request, helps_out),
            (Method::Post, ["recovery", rest @ ..]) => self.recover(request, rest, helps_out),
            (Method::Get, [""]) => self.show(request, 200, None),
            (Method::Get, ["language", tag]) => match Language::from_tag(tag) {
                Some(language) => {
                    Response::see_other("/").with("Set-Cookie", language_cookie(language))
                }
                None => Response::see_other("/"),
            },
            (Method::Post, ["disk"]) => self.format(request),
            (Method::Post, ["unlock"]) => self.unlock(request),
            _ => Response::see_other("/"),
        }
    }

    pub(super) fn words(&self, request: &Request) -> &Words {
        self.catalogues.of(Language::of(request))
    }

    fn format(&self, request: &Request) -> Response {
        let value = |name| request.form_value(name).to_owned();
        let wanted = NewDisk {
            name: value("disk"),
            confirmation: value("confirmation"),
            claim_code: value("code"),
        };
        match self.machine.format(wanted) {
            Ok(key) => {
                let words = self.words(request);
                self.page(words, "recovery-key", 200, recovery_key(words, &key, "/"))
            }
            Err(refusal) => self.show(request, 422, Some(&refusal)),
        }
    }

    fn unlock(&self, request: &Request) -> Response {
        match self.machine.unlock(request.form_value("recovery-key")) {
            Ok(_) => {
                let words = self.words(request);
                let content = html! { p { (words.text("no-archive-opens")) } p { a href="/" { (words.text("no-archive-go-on")) } } };
                self.page(words, "unlock-title", 200, content)
            }
            Err(refusal) => self.show(request, 422, Some(&refusal)),
        }
    }

    fn show(&self, request: &Request, status: u16, refusal: Option<&Refusal>) -> Response {
        let words = self.words(request);
        let (disks, failure) = match self.machine.disks() {
            Ok(disks) => (disks, None),
            Err(failure) => (Vec::new(), Some(failure)),
        };
        let content = html! {
            p { (words.text("no-archive-welcome")) }
            @for refusal in refusal.into_iter().chain(failure.as_ref()) {
                p.trouble role="alert" { (reason(words, refusal)) }
            }
            @if is_any_locked(&disks) { (unlock_form(words)) }
            (format_form(words, request, &disks))
        };
        self.page(words, "no-archive-title", status, content)
    }

    pub(super) fn page(
        &self,
        words: &Words,
        title: &str,
        status: u16,
        content: Markup,
    ) -> Response {
        let title = words.text(title);
        let others = Language::ALL
            .into_iter()
            .filter(|other| *other != words.language);
        let html = html! {
            (DOCTYPE)
            html lang=(words.language.tag()) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (title) " – Coffer" }
                    link rel="stylesheet" href=(self.assets.style);
                    link rel="icon" type="image/svg+xml" href=(self.assets.icon);
                    script src=(self.assets.script) defer {}
                }
                body {
                    a.skip href="#content" { (words.text("skip-to-content")) }
                    header.top { div { a.brand href="/" { img src=(self.assets.icon) alt=""; "Coffer" } } }
                    main #content .narrow {
                        h1 { (title) }
                        (content)
                    }
                    footer.end { div {
                        @for other in others {
                            a href={ "/language/" (other.tag()) } lang=(other.tag()) hreflang=(other.tag()) { (other.name()) }
                        }
                    } }
                }
            }
        };
        Response::page(status, html.into_string())
    }
}

/// Shows the recovery key of a new disk, this once.
pub(super) fn recovery_key(words: &Words, recovery_key: &str, next: &str) -> Markup {
    html! {
        p { (words.text("recovery-key-made")) }
        p.code { strong { (recovery_key) } }
        p { (words.text("recovery-key-keep")) }
        p { a href=(next) { (words.text("no-archive-go-on")) } }
    }
}

/// Tells whether any of the disks may be formatted.
pub(super) fn is_any_offered(disks: &[DiskSeen]) -> bool {
    disks.iter().any(|disk| disk.state.may_be_formatted())
}

/// Tells whether any of the disks asks for its recovery key.
pub(super) fn is_any_locked(disks: &[DiskSeen]) -> bool {
    disks.iter().any(|disk| disk.state == DiskState::Locked)
}

/// The field in which a choice is confirmed.
pub(super) fn confirmation(words: &Words) -> Markup {
    html! {
        p.trouble { (words.text("disk-warning")) }
        label for="confirmation" { (words.text("disk-confirmation")) }
        p.hint #confirmation-hint { (words.text("disk-confirmation-hint")) }
        input.code #confirmation name="confirmation" type="text" required autocomplete="off" autocapitalize="none" spellcheck="false" aria-describedby="confirmation-hint";
    }
}

fn unlock_form(words: &Words) -> Markup {
    html! {
        h2 { (words.text("unlock-title")) }
        p { (words.text("unlock-hint")) }
        form method="post" action="/unlock" { (recovery_key_field(words)) }
    }
}

/// The field for a recovery key, with its button.
pub(super) fn recovery_key_field(words: &Words) -> Markup {
    html! {
        label for="recovery-key" { (words.text("recovery-key")) }
        input.code #recovery-key name="recovery-key" type="text" required autocomplete="off" autocapitalize="characters" spellcheck="false";
        div.deeds { button type="submit" { (words.text("unlock-do")) } }
    }
}

fn format_form(words: &Words, request: &Request, disks: &[DiskSeen]) -> Markup {
    html! {
        h2 { (words.text("disks-title")) }
        @if disks.is_empty() { p { (words.text("disks-none")) } }
        form method="post" action="/disk" {
            @if !disks.is_empty() { (list(words, request, disks)) }
            @if is_any_offered(disks) {
                (confirmation(words))
                label for="code" { (words.text("claim-code")) }
                p.hint #code-hint { (words.text("claim-code-hint")) }
                input.code #code name="code" type="text" required autocomplete="off" autocapitalize="none" spellcheck="false" aria-describedby="code-hint" value=(request.form_value("code"));
                p.hint { (words.text("disk-takes-time")) }
                div.deeds { button type="submit" { (words.text("disk-do")) } }
            }
        }
    }
}

/// The disks, to choose one that may be formatted.
pub(super) fn list(words: &Words, request: &Request, disks: &[DiskSeen]) -> Markup {
    html! {
        fieldset {
            legend { (words.text("disks-choose")) }
            @for disk in disks {
                @if disk.state.may_be_formatted() {
                    label.choice {
                        input type="radio" name="disk" value=(disk.name) required checked[request.form_value("disk") == disk.name];
                        span { (about(words, disk)) }
                    }
                } @else {
                    div.choice.off { (about(words, disk)) }
                }
            }
        }
    }
}

/// What a disk is, how it is told from others, and what is on it.
fn about(words: &Words, disk: &DiskSeen) -> Markup {
    html! {
        strong { (name(disk)) } ", " (words.size(disk.bytes)) br;
        @if !disk.serial.is_empty() { (words.text("disk-serial")) " " code { (disk.serial) } br; }
        (what_is_on(words, &disk.state))
    }
}

fn name(disk: &DiskSeen) -> String {
    match disk.model.as_str() {
        "" => disk.name.clone(),
        model => format!("{model} ({})", disk.name),
    }
}

fn what_is_on(words: &Words, state: &DiskState) -> String {
    match state {
        DiskState::Blank => words.text("disk-blank"),
        DiskState::Foreign(found) => {
            words.filled("disk-foreign", &[("found", found.join(", ").into())])
        }
        DiskState::BootMedium => words.text("disk-boot-medium"),
        DiskState::InUse => words.text("disk-in-use"),
        DiskState::Locked => words.text("disk-locked"),
        DiskState::Unreadable => words.text("disk-unreadable"),
    }
}

/// Why something was not done, in words.
pub(super) fn reason(words: &Words, refusal: &Refusal) -> String {
    match refusal {
        Refusal::WrongClaimCode => words.text("claim-wrong"),
        Refusal::WrongConfirmation => words.text("disk-wrong-confirmation"),
        Refusal::NotThisDisk => words.text("disk-not-this"),
        Refusal::NoBootMedium => words.text("disk-no-boot-medium"),
        Refusal::WrongRecoveryKey => words.text("unlock-wrong"),
        Refusal::TooSoon => words.text("guess-too-soon"),
        Refusal::WrongNetwork(field) => words.text(match field {
            NetworkField::Hostname => "network-wrong-hostname",
            NetworkField::Address => "network-wrong-address",
            NetworkField::Router => "network-wrong-router",
            NetworkField::Dns | NetworkField::Ntp => "network-wrong-servers",
        }),
        Refusal::NothingToConfirm => words.text("network-nothing-to-confirm"),
        Refusal::Failed(why) => {
            let why = reasons::plain(words, why);
            words.filled("disk-failed", &[("why", why.into())])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{LogKind, MachineEnd, NetworkState, NetworkTexts};
    use crate::web::Content;
    use std::net::{IpAddr, Ipv4Addr};

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// A machine with a disk of each kind, which takes one code.
    struct FourDisks;

    impl Machine for FourDisks {
        fn disks(&self) -> Result<Vec<DiskSeen>, Refusal> {
            let disk = |name: &str, state| DiskSeen {
                name: name.to_owned(),
                model: "Disk <7>".to_owned(),
                serial: "S-0001".to_owned(),
                bytes: 4_000_000_000_000,
                state,
                confirmation: "0001".to_owned(),
            };
            Ok(vec![
                disk("sda", DiskState::BootMedium),
                disk("sdb", DiskState::Blank),
                disk("sdc", DiskState::Foreign(vec!["NTFS".to_owned()])),
                disk("sdd", DiskState::Locked),
            ])
        }

        fn format(&self, wanted: NewDisk) -> Result<String, Refusal> {
            match (wanted.claim_code.as_str(), wanted.confirmation.as_str()) {
                ("ABC", "0001") => Ok(format!("KEY-OF-{}", wanted.name)),
                ("ABC", _) => Err(Refusal::WrongConfirmation),
                _ => Err(Refusal::WrongClaimCode),
            }
        }

        fn end(&self, _: MachineEnd) -> Result<(), Refusal> {
            Err(Refusal::NotThisDisk)
        }

        fn network(&self) -> Result<NetworkState, Refusal> {
            Err(Refusal::NotThisDisk)
        }

        fn set_network(&self, _: NetworkTexts) -> Result<(), Refusal> {
            Err(Refusal::NotThisDisk)
        }

        fn confirm_network(&self) -> Result<(), Refusal> {
            Err(Refusal::NothingToConfirm)
        }

        fn log(&self, _: LogKind, _: u64) -> Result<Vec<u8>, Refusal> {
            Err(Refusal::NotThisDisk)
        }

        fn unlock(&self, recovery_key: &str) -> Result<usize, Refusal> {
            match recovery_key {
                "GOOD" => Ok(1),
                _ => Err(Refusal::WrongRecoveryKey),
            }
        }
    }

    fn ask(method: Method, path: &str, form: &[u8]) -> (u16, String) {
        let request = Request::new(method, path, PEER).with_form(form);
        let response = NoArchive::new(Arc::new(FourDisks)).answer(&request);
        let html = match response.content {
            Content::Memory(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Content::Body(_) | Content::Part { .. } => String::new(),
        };
        (response.status, html)
    }

    #[test]
    fn only_disks_that_may_be_formatted_are_offered() {
        let (status, html) = ask(Method::Get, "/", b"");
        assert_eq!(status, 200);
        assert_eq!(html.matches("type=\"radio\"").count(), 2);
        assert!(html.contains("Disk &lt;7&gt;") && html.contains("NTFS"));
        assert!(html.contains("value=\"sdb\"") && !html.contains("value=\"sda\""));
        assert!(html.contains("name=\"recovery-key\""), "a disk is locked");
    }

    #[test]
    fn what_is_typed_decides() {
        for (path, form, status, text) in [
            (
                "/disk",
                "disk=sdb&confirmation=0001&code=ABC",
                200,
                "KEY-OF-sdb",
            ),
            (
                "/disk",
                "disk=sdb&confirmation=0002&code=ABC",
                422,
                "role=\"alert\"",
            ),
            ("/disk", "disk=sdb&confirmation=0001", 422, "role=\"alert\""),
            ("/unlock", "recovery-key=GOOD", 200, "href=\"/\""),
            ("/unlock", "recovery-key=BAD", 422, "role=\"alert\""),
            ("/sign-in", "", 303, ""),
        ] {
            let (found, html) = ask(Method::Post, path, form.as_bytes());
            assert_eq!(found, status, "{path} {form}");
            assert!(html.contains(text), "{path} {form}");
        }
        assert_eq!(ask(Method::Get, "/search?q=x", b"").0, 303);
    }
}
