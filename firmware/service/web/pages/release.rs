//! Mail released to an auditor: what a query finds, until a day, for a reason that the log keeps. It waits like all that lets somebody see more.

use super::super::visit::Visit;
use super::people::is_in_charge;
use crate::people::{Acting, Denial};
use archive::access::Scope;
use archive::calendar::Date;
use archive::people::{Account, AccountId, Change, Grant, GrantTerms, Refusal, Role, Step};
use archive::query::parse;
use maud::{Markup, html};

/// A day, in seconds: a release goes to the end of its last one.
const DAY_S: i64 = 86_400;

/// Proposes what the form says.
///
/// # Errors
/// When a field says nothing that can be, or the rules forbid it.
pub(super) fn propose(
    visit: &Visit,
    acting: Acting,
    account: AccountId,
) -> Result<Option<u64>, Denial> {
    let request = visit.request;
    let unsound = || Denial::Refused(Refusal::Unsound);
    let query = parse(request.form_value("query"), 0).map_err(|_| unsound())?;
    let last_day = day(request.form_value("until")).ok_or_else(unsound)?;
    let reason = request.form_value("reason").trim();
    if reason.is_empty() {
        return Err(unsound());
    }
    // By the archive's clock; it opens when it takes effect, which is later.
    let sessions = acting.sessions()?;
    let this = sessions.iter().find(|session| session.is_this);
    let this = this.ok_or(Denial::NotSignedIn)?;
    let terms = GrantTerms {
        scope: Scope {
            addresses: None,
            numbers: None,
            query: query.query,
        },
        from: this.since,
        until: visit.unix_s(last_day.unix_s() + DAY_S),
    };
    acting.change(&Change::Account(account, Step::Release(terms)), reason)
}

/// Ends a grant, which takes effect at once.
///
/// # Errors
/// When there is none of this number, or the rules forbid it.
pub(super) fn end(
    visit: &Visit,
    acting: Acting,
    account: AccountId,
) -> Result<Option<u64>, Denial> {
    let number = visit.request.form_value("grant").parse();
    let number = number.map_err(|_| Denial::Refused(Refusal::Unsound))?;
    acting.change(&Change::Account(account, Step::EndGrant(number)), "")
}

/// Reads a day as browsers send it: `2025-03-31`.
fn day(text: &str) -> Option<Date> {
    let mut parts = text.splitn(3, '-');
    let year = parts.next()?.parse().ok()?;
    let month = parts.next()?.parse().ok()?;
    Date::new(year, month, parts.next()?.parse().ok()?)
}

/// Says what is released and until when: the query in its one way to be written, and the last whole day.
pub(super) fn terms_text(visit: &Visit, terms: &GrantTerms) -> (String, String) {
    let until = visit.words.day(visit.local_s(terms.until - 1));
    (terms.scope.query.to_string(), until)
}

/// Lists what is released to an account, each with a button that ends it.
pub(super) fn released(visit: &Visit, account: &Account, grants: &[Grant]) -> Markup {
    let words = visit.words;
    let own: Vec<_> = grants
        .iter()
        .filter(|grant| grant.account == account.id)
        .collect();
    html! {
        @if !own.is_empty() {
            dt { (words.text("released")) }
            dd { @for grant in own {
                @let (query, until) = terms_text(visit, &grant.terms);
                div {
                    (words.filled("released-until", &[("query", query.into()), ("until", until.into())])) " "
                    @if is_in_charge(visit) { (end_form(visit, account, grant)) }
                }
            } }
        }
    }
}

fn end_form(visit: &Visit, account: &Account, grant: &Grant) -> Markup {
    html! {
        form.plain method="post" action="/people/end-release" {
            input type="hidden" name="token" value=(visit.form_token());
            input type="hidden" name="account" value=(account.id);
            input type="hidden" name="grant" value=(grant.number);
            button.link type="submit" { (visit.words.text("release-end")) }
        }
    }
}

/// The form, for accounts that read what is released to them.
pub(super) fn form(visit: &Visit, account: &Account) -> Markup {
    let words = visit.words;
    let id = account.id;
    html! {
        @if account.is(Role::Auditor) {
            (visit.form("/people/release", html! {
                input type="hidden" name="account" value=(id);
                label for={ "query-" (id) } { (words.text("release-query")) }
                p.hint id={ "query-hint-" (id) } { (words.text("release-hint")) }
                input id={ "query-" (id) } name="query" type="text" required autocomplete="off" autocapitalize="none" spellcheck="false" aria-describedby={ "query-hint-" (id) };
                label for={ "until-" (id) } { (words.text("release-until")) }
                input id={ "until-" (id) } name="until" type="date" required;
                label for={ "reason-" (id) } { (words.text("release-reason")) }
                input id={ "reason-" (id) } name="reason" type="text" required autocomplete="off";
                div.deeds { button.second type="submit" { (words.text("release")) } }
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_as_browsers_send_them() {
        for (text, expected) in [
            ("2025-03-31", Date::new(2025, 3, 31)),
            ("2024-02-29", Date::new(2024, 2, 29)),
            ("2025-02-29", None),
            ("2025-3", None),
            ("2025-03-31-1", None),
            ("31.03.2025", None),
            ("", None),
        ] {
            assert_eq!(day(text), expected, "{text}");
        }
    }
}
