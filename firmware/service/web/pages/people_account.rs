//! One account: in a line or two for the list of all, and whole, with all that operators and privacy officers can change about it.

use super::super::{Response, visit::Visit};
use super::layout::Width;
use super::people::{is_in_charge, role_name};
use super::release;
use archive::people::{Account, Grant, Role, State};
use maud::{Markup, html};

/// 3 addresses of an account are told in the list; more are counted.
const SUMMARY_ADDRESSES: usize = 3;

/// Shows one account; who may not list it gets the same answer as for one that does not exist.
pub(super) fn show(visit: &Visit, number: &str) -> Response {
    let words = visit.words;
    let Some(acting) = visit.acting() else {
        return visit.not_found();
    };
    let accounts = acting.accounts().unwrap_or_default();
    let found = accounts
        .iter()
        .find(|account| account.id.to_string() == number && account.state != State::Removed);
    let Some(account) = found else {
        return visit.not_found();
    };
    let grants = acting.grants().unwrap_or_default();
    let content = html! {
        p { a href="/people" { (words.text("people-all")) } }
        (sheet(visit, account, &grants))
    };
    visit.page(200, &words.text("people"), Width::Wide, content)
}

/// Tells of an account in the list of all.
pub(super) fn summary(visit: &Visit, account: &Account) -> Markup {
    let words = visit.words;
    let roles = account.roles.iter().map(|role| role_name(words, *role));
    let roles: Vec<String> = roles.collect();
    let addresses = account.addresses.iter().take(SUMMARY_ADDRESSES);
    let addresses: Vec<&str> = addresses.map(|own| own.address.as_str()).collect();
    let others = account.addresses.len() - addresses.len();
    html! {
        section.sheet {
            h2 { (title(account)) }
            @if account.state == State::Disabled { p.quiet { (words.text("account-disabled")) } }
            @for role in &roles { div { (role) } }
            @if roles.is_empty() { div { (words.text("no-role")) } }
            div.quiet {
                (addresses.join(", "))
                @if addresses.is_empty() { (words.text("no-address")) }
                @if others > 0 { " " (words.filled("addresses-more", &[("count", others.into())])) }
            }
            p { a href={ "/people?account=" (account.id) } { (words.text(if is_in_charge(visit) { "account-change" } else { "account-show" })) } }
        }
    }
}

/// The name that others read, and the one for signing in where it is another.
fn title(account: &Account) -> String {
    match account.display_name == account.name {
        true => account.name.clone(),
        false => format!("{} ({})", account.display_name, account.name),
    }
}

fn sheet(visit: &Visit, account: &Account, grants: &[Grant]) -> Markup {
    let words = visit.words;
    let is_off = account.state == State::Disabled;
    let is_in_charge = is_in_charge(visit);
    html! {
        section.sheet {
            h2 { (title(account)) }
            @if is_off { p.quiet { (words.text("account-disabled")) } }
            dl.facts {
                dt { (words.text("roles")) }
                dd {
                    @if account.roles.is_empty() { (words.text("no-role")) }
                    @for role in &account.roles { div { (role_name(words, *role)) @if is_in_charge { " " (deed(visit, account, "remove-role", role.name(), "", "remove")) } } }
                }
                dt { (words.text("addresses")) }
                dd {
                    @if account.addresses.is_empty() { (words.text("no-address")) }
                    @for own in &account.addresses { div { (own.address) @if is_in_charge { " " (deed(visit, account, "take-address", "", &own.address, "remove")) } } }
                }
                (release::released(visit, account, grants))
            }
            @if is_in_charge { h3 { (words.text("account-change")) } (deeds(visit, account, is_off)) }
        }
    }
}

fn deeds(visit: &Visit, account: &Account, is_off: bool) -> Markup {
    let words = visit.words;
    let id = account.id;
    let wanting = Role::ALL.into_iter().filter(|role| !account.is(*role));
    html! {
        (visit.form("/people/change", html! {
            input type="hidden" name="account" value=(id);
            input type="hidden" name="step" value="give-address";
            label for={ "address-" (id) } { (words.text("address-add")) }
            input id={ "address-" (id) } name="address" type="email" required autocomplete="off";
            div.deeds { button.second type="submit" { (words.text("add")) } }
        }))
        (visit.form("/people/change", html! {
            input type="hidden" name="account" value=(id);
            input type="hidden" name="step" value="add-role";
            label for={ "role-" (id) } { (words.text("role-add")) }
            select id={ "role-" (id) } name="role" {
                @for role in wanting { option value=(role.name()) { (role_name(words, role)) } }
            }
            div.deeds { button.second type="submit" { (words.text("add")) } }
        }))
        (release::form(visit, account))
        div.deeds {
            @if account.lock.is_some_and(|lock| !lock.has_own_password) {
                (visit.form("/people/issue-password", html! {
                    input type="hidden" name="account" value=(id);
                    button.second type="submit" { (words.text("password-issue")) }
                }))
            }
            @match account.lock {
                None => (deed(visit, account, "reset-password", "", "", "reset-password")),
                Some(lock) if lock.has_own_password => (deed(visit, account, "open-old-mail", "", "", "open-old-mail")),
                Some(_) => {}
            }
            @if account.has_second_factor { (deed(visit, account, "reset-second-factor", "", "", "reset-second-factor")) }
            @if is_off { (deed(visit, account, "enable", "", "", "account-enable")) }
            @else { (deed(visit, account, "disable", "", "", "account-disable")) }
        }
    }
}

/// A button that changes one thing; `name` is the key of what it says.
fn deed(
    visit: &Visit,
    account: &Account,
    step: &str,
    role: &str,
    address: &str,
    name: &str,
) -> Markup {
    html! {
        form.plain method="post" action="/people/change" {
            input type="hidden" name="token" value=(visit.form_token());
            input type="hidden" name="account" value=(account.id);
            input type="hidden" name="step" value=(step);
            input type="hidden" name="role" value=(role);
            input type="hidden" name="address" value=(address);
            button.link type="submit" { (visit.words.text(name)) }
        }
    }
}
