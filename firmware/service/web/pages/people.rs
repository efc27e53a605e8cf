//! Accounts and what waits to change about them, for operators and privacy officers; what concerns oneself, for everybody.
//!
//! What widens rights waits, as [`archive::people`] has the rules: the page only says so.

use super::super::{Response, visit::Visit, words::Words};
use super::layout::Width;
use super::outgoing;
use super::people_account;
use super::release;
use super::sign_in::denied;
use crate::people::{Acting, Denial};
use archive::access::OwnAddress;
use archive::people::{AccountId, Change, NOTICE_S, Proposal, ROUTE_SHOWN_S, Role, State, Step};
use maud::{Markup, html};

/// 15 proposals a page, some 20 KB with their forms.
const PAGE_PROPOSALS: usize = 15;

/// 30 accounts a page, some 20 KB.
const PAGE_ACCOUNTS: usize = 30;

/// Says what a role is called.
pub(in super::super) fn role_name(words: &Words, role: Role) -> String {
    words.text(match role {
        Role::Staff => "role-staff",
        Role::Operator => "role-operator",
        Role::Auditor => "role-auditor",
        Role::PrivacyOfficer => "role-privacy-officer",
    })
}

/// Gives how accounts are called, by their numbers where the person may not know more.
pub(super) fn names(visit: &Visit) -> impl Fn(AccountId) -> String {
    let names = visit.acting().and_then(|acting| acting.names().ok());
    let names = names.unwrap_or_default();
    let words = visit.words;
    move |id| {
        let number = [("number", id.to_string().into())];
        let unnamed = || words.filled("account-number", &number);
        names.get(&id).cloned().unwrap_or_else(unnamed)
    }
}

/// Tells whether the person changes rights of others.
pub(super) fn is_in_charge(visit: &Visit) -> bool {
    visit.has(Role::Operator) || visit.has(Role::PrivacyOfficer)
}

/// Shows proposals and accounts, or one account with all that can be changed about it.
pub(in super::super) fn show(visit: &Visit) -> Response {
    match visit.request.query_value("account") {
        Some(number) => people_account::show(visit, number),
        None => page(visit, 200, html! {}),
    }
}

/// Does one thing about people.
pub(in super::super) fn act(visit: &Visit, deed: &str) -> Response {
    let Some(person) = &visit.person else {
        return visit.not_found();
    };
    let acting = visit.site.people().acting(person.token, &visit.peer);
    let done = match deed {
        "make" => match make(visit, acting) {
            Ok(id) => return Response::see_other(format!("/people?account={id}")),
            Err(denial) => Err(denial),
        },
        "change" => change(visit, acting),
        "issue-password" => return issue_password(visit, acting),
        "approve" => proposal(visit).and_then(|number| acting.approve(number)),
        "object" => proposal(visit).and_then(|number| acting.object(number, "").map(|()| None)),
        "withdraw" => proposal(visit).and_then(|number| acting.withdraw(number).map(|()| None)),
        "release" => account(visit).and_then(|account| release::propose(visit, acting, account)),
        "end-release" => account(visit).and_then(|account| release::end(visit, acting, account)),
        _ => return visit.not_found(),
    };
    match done {
        Ok(None) => Response::see_other("/people"),
        Ok(Some(_)) => page(
            visit,
            200,
            html! { p.note role="status" { (visit.words.text("change-waits")) } },
        ),
        Err(denial) => {
            let trouble = denied(visit.words, &denial, "refused-unsound");
            page(visit, 422, visit.trouble(Some(&trouble)))
        }
    }
}

fn make(visit: &Visit, acting: Acting) -> Result<AccountId, Denial> {
    acting.make_account(visit.request.form_value("name").trim())
}

fn change(visit: &Visit, acting: Acting) -> Result<Option<u64>, Denial> {
    let request = visit.request;
    let account = account(visit)?;
    let own = || OwnAddress {
        address: mail::normal_address(request.form_value("address")),
        from: None,
        until: None,
    };
    let role = || Role::from_name(request.form_value("role")).ok_or_else(unsound);
    let step = match request.form_value("step") {
        "add-role" => Step::AddRole(role()?),
        "remove-role" => Step::RemoveRole(role()?),
        "give-address" if own().address.contains('@') => Step::GiveAddress(own()),
        "take-address" => Step::TakeAddress(own()),
        "disable" => Step::Disable,
        "enable" => Step::Enable,
        "open-old-mail" => Step::OpenOldMail,
        "reset-password" => Step::ResetPassword,
        "reset-second-factor" => Step::ResetSecondFactor,
        _ => return Err(unsound()),
    };
    acting.change(&Change::Account(account, step), "")
}

fn issue_password(visit: &Visit, acting: Acting) -> Response {
    let issued = account(visit).and_then(|account| acting.issue_password(account));
    match issued {
        Ok(password) => {
            let words = visit.words;
            let content = html! {
                div.note role="status" { p { (words.text("password-issued")) } p.mono { (password.0) } }
            };
            page(visit, 200, content)
        }
        Err(denial) => {
            let trouble = denied(visit.words, &denial, "refused-unsound");
            page(visit, 422, visit.trouble(Some(&trouble)))
        }
    }
}

fn unsound() -> Denial {
    Denial::Refused(archive::people::Refusal::Unsound)
}

fn account(visit: &Visit) -> Result<AccountId, Denial> {
    let number = visit.request.form_value("account").parse();
    number.map(AccountId).map_err(|_| unsound())
}

fn proposal(visit: &Visit) -> Result<u64, Denial> {
    let number = visit.request.form_value("proposal").parse();
    number.map_err(|_| unsound())
}

fn page(visit: &Visit, status: u16, above: Markup) -> Response {
    let Some(person) = &visit.person else {
        return visit.not_found();
    };
    let words = visit.words;
    let acting = visit.site.people().acting(person.token, &visit.peer);
    let accounts = acting.accounts().unwrap_or_default();
    let proposals = match acting.proposals() {
        Ok(proposals) => proposals,
        Err(_) => return visit.not_found(),
    };
    let name = names(visit);
    let behind = |name| {
        let value = visit.request.query_value(name);
        value.and_then(|value| value.parse().ok()).unwrap_or(0)
    };
    let (first_proposal, first_account): (u64, u64) = (behind("proposal"), behind("from"));
    let waiting = proposals
        .iter()
        .filter(|proposal| proposal.number >= first_proposal);
    let used = accounts
        .iter()
        .filter(|account| account.state != State::Removed && account.id.0 >= first_account);
    let (shown_proposals, more_proposals) = first_of(waiting, PAGE_PROPOSALS);
    let (shown_accounts, more_accounts) = first_of(used, PAGE_ACCOUNTS);
    let content = html! {
        (above)
        @if !proposals.is_empty() {
            h2 { (words.text("proposals")) }
            p.quiet { (words.text("proposals-hint")) }
            @for proposal in shown_proposals { (proposal_sheet(visit, proposal, &name)) }
            (further(visit, "proposal", more_proposals.map(|proposal| proposal.number)))
            h2 { (words.text("people-all")) }
        }
        @for account in shown_accounts { (people_account::summary(visit, account)) }
        (further(visit, "from", more_accounts.map(|account| account.id.0)))
        @if visit.has(Role::Operator) {
            h2 { (words.text("account-make")) }
            (visit.form("/people/make", html! {
                label for="name" { (words.text("name")) }
                p.hint { (words.text("account-make-hint")) }
                input #name name="name" type="text" required autocomplete="off" autocapitalize="none" spellcheck="false";
                div.deeds {
                    button type="submit" { (words.text("account-make")) }
                    a.button.second href="/people/table" { (words.text("table-title")) }
                }
            }))
        }
    };
    visit.page(status, &words.text("people"), Width::Wide, content)
}

/// Parts what fits on a page from the first one behind it.
fn first_of<'t, T>(all: impl Iterator<Item = &'t T>, most: usize) -> (Vec<&'t T>, Option<&'t T>) {
    let mut all = all;
    let shown = all.by_ref().take(most).collect();
    (shown, all.next())
}

/// The link to those that come next, from this number on.
fn further(visit: &Visit, name: &str, next: Option<u64>) -> Markup {
    html! {
        @if let Some(next) = next {
            p { a rel="next" href={ "/people?" (name) "=" (next) } { (visit.words.text("people-further")) } }
        }
    }
}

fn proposal_sheet(
    visit: &Visit,
    proposal: &Proposal,
    name: &dyn Fn(AccountId) -> String,
) -> Markup {
    let words = visit.words;
    let values = [("by", name(proposal.proposed_by).into())];
    html! {
        section.sheet {
            p { strong { (change_text(visit, &proposal.change, name)) } }
            @if !proposal.reason.is_empty() { p { (proposal.reason) } }
            p.quiet { (words.filled("proposed-by", &values)) }
            (notices(visit, proposal))
            (shown(visit, proposal))
            @if proposal.objected_by.is_some() { p.trouble { (words.text("objected")) } }
            div.deeds {
                @for deed in deeds_with(visit, proposal) {
                    (visit.form(&format!("/people/{deed}"), html! {
                        input type="hidden" name="proposal" value=(proposal.number);
                        button.second type="submit" { (words.text(deed)) }
                    }))
                }
            }
        }
    }
}

/// What the person could do with a proposal, as its text is called: whether he may is decided when he does.
fn deeds_with(visit: &Visit, proposal: &Proposal) -> Vec<&'static str> {
    let me = visit.person.as_ref().map(|person| person.session.account);
    let is_mine = me == Some(proposal.proposed_by);
    let mut deeds = Vec::new();
    if is_in_charge(visit) && !is_mine {
        deeds.push("approve");
    }
    if proposal.objected_by.is_none() && !is_mine {
        deeds.push("object");
    }
    if is_mine || visit.has(Role::PrivacyOfficer) {
        deeds.push("withdraw");
    }
    deeds
}

/// Says how many of those concerned have their notice.
fn notices(visit: &Visit, proposal: &Proposal) -> Markup {
    let words = visit.words;
    let all = proposal.notices.len() as u64;
    let given = proposal.notices.iter().filter(|notice| notice.is_given);
    let given = given.count() as u64;
    let values = [
        ("given", words.number(given).into()),
        ("all", words.number(all).into()),
    ];
    html! {
        @if all > 0 { p.quiet { (words.filled("notices-given", &values)) } }
        @if given < all && !outgoing::is_set(visit) { p.note { (words.text("notices-no-server")) } }
    }
}

/// Says for how long another way for notices was on every page, where that makes it take effect.
fn shown(visit: &Visit, proposal: &Proposal) -> Markup {
    let days = |seconds: u64| visit.words.number(seconds / NOTICE_S);
    let values = [
        ("days", days(proposal.shown_s).into()),
        ("all", days(ROUTE_SHOWN_S).into()),
    ];
    html! {
        @if proposal.shown_s > 0 { p.quiet { (visit.words.filled("proposal-shown", &values)) } }
    }
}

/// Says what a change does; `name` tells how an account is called.
pub(super) fn change_text(
    visit: &Visit,
    change: &Change,
    name: &dyn Fn(AccountId) -> String,
) -> String {
    let words = visit.words;
    let (account, step) = match change {
        Change::Account(account, step) => (account, step),
        Change::NoticeRoute(route) => {
            let server = outgoing::place(route);
            return words.filled("change-notice-route", &[("server", server.into())]);
        }
    };
    let who = ("who", name(*account).into());
    match step {
        Step::AddRole(role) => words.filled(
            "change-add-role",
            &[who, ("role", role_name(words, *role).into())],
        ),
        Step::GiveAddress(own) => words.filled(
            "change-give-address",
            &[who, ("address", own.address.as_str().into())],
        ),
        Step::Rename(display_name) => words.filled(
            "change-rename",
            &[who, ("display", display_name.as_str().into())],
        ),
        Step::Enable => words.filled("change-enable", &[who]),
        Step::ResetPassword => words.filled("change-reset-password", &[who]),
        Step::ResetSecondFactor => words.filled("change-reset-second-factor", &[who]),
        Step::OpenOldMail => words.filled("change-open-old-mail", &[who]),
        Step::Release(terms) => {
            let (query, until) = release::terms_text(visit, terms);
            let what = [who, ("query", query.into()), ("until", until.into())];
            words.filled("change-release", &what)
        }
        _ => words.filled("change-other", &[who]),
    }
}
