# All that the page says in English. The German catalogue says the same; a test compares them.

# Every page
skip-to-content = Skip to content
navigation = Main pages
search = Search
state = State
setup = Setup
people = People
sign-out = Sign out
to-start = To the first page
not-found-title = Not found
not-found = There is nothing here, or it is not for you.
failed-title = This did not work
archive-failed = The archive cannot do this at the moment. Try again in a minute; if it stays so, tell whoever looks after it.
form-old-title = This form is no longer valid
form-old = The form was open for too long, was sent from another site, or your browser keeps no cookies. Nothing was changed. Go back, reload the page and send it again.
save = Save
later = Later
add = Add
remove = remove
name = Name
date = Date
month-1 = January
month-2 = February
month-3 = March
month-4 = April
month-5 = May
month-6 = June
month-7 = July
month-8 = August
month-9 = September
month-10 = October
month-11 = November
month-12 = December
date-written = { $day } { $month } { $year }
short-date = { $day } { $month }
duration-short = less than an hour
duration-hours = { $count ->
    [one] one hour
   *[other] { $count } hours
  }
duration-days = { $count ->
    [one] one day
   *[other] { $count } days
  }
moment = { $day }, { $time }

# Claiming
claim-title = Welcome to Coffer
claim-welcome = This mail archive is new and belongs to nobody yet. Show that you have it before you, and you become its administrator.
claim-code = Claim code
claim-code-hint = The box shows it on its screen; on a computer, it stands where Coffer was started.
claim-administrator = Administrator
claim-administrator-hint = The administrator looks after the archive. Reading mail is not part of that: each person reads their own.
claim-do = Set up the archive
claim-wrong = This is not the claim code.
claimed-already = The archive has been claimed already. Sign in instead.

# As long as there is no archive
recovery-title = Coffer helps out
recovery-nothing-starts = No other version of Coffer starts on this box. Version { $version } runs out of the recovery slot, so that you can mend it.
recovery-too-old = Version { $version } runs, but newer versions have worked with the archive. Only version { $floor } or a newer one may open it.
recovery-mail = The archive is closed and stays as it is. Mail is put off, and senders bring it again later.
recovery-code-hint = The box shows it on its screen, and it stands in the file COFFER.TXT on its stick if nobody has claimed the archive yet.
recovery-others = Start another version
recovery-others-hint = The version that you choose has to prove itself: if it fails three times, this page comes back.
recovery-was-good = Version { $version } has worked here.
recovery-was-not = Version { $version } has not proved itself here.
recovery-start = Start version { $version }
recovery-restart = Start again as usual
recovery-look = Look again
no-archive-title = Nothing is archived yet
no-archive-welcome = This box has no archive disk yet. For now mail is refused, and senders bring it again later. It is not lost, but it waits.
no-archive-opens = The archive is being opened. That takes some seconds.
no-archive-go-on = Go on
disks-title = Make a disk the archive disk
disks-none = There is no disk. Connect one and load this page again.
disks-choose = Which one?
disk-serial = Serial number
disk-blank = It is empty.
disk-foreign = There is something on it: { $found }
disk-boot-medium = The box was started from it.
disk-in-use = It is in use.
disk-locked = An archive disk. It needs its recovery key.
disk-unreadable = It cannot be read.
disk-warning = Everything on the chosen disk will be lost.
disk-confirmation = To confirm
disk-confirmation-hint = The last four characters of the disk’s serial number; if it has none, its name in brackets.
disk-takes-time = This takes up to some minutes. Do not switch the box off meanwhile.
disk-do = Erase the disk and make it the archive disk
disk-wrong-confirmation = This is not what the disk asks for to confirm. Nothing was changed.
disk-not-this = This disk cannot become an archive disk, or it is gone.
disk-no-boot-medium = The boot medium is missing or cannot be read. The key of the disk could not be kept.
disk-failed = This did not work: { $why }
disks-second = A second archive disk holds everything once more. Either goes on alone when the other fails. It has to be at least as large as the first.
machine = Box
machine-end = Switching off
machine-end-hint = What is coming in is finished first. The button on the box switches it off in the same way.
machine-restart = Start again
machine-power-off = Switch off and leave it off
machine-restarts = The box starts again. That takes about a minute.
machine-powers-off = The box switches itself off.
network = Network
network-change = Show and change name, address and servers
network-hint = Fields that are left empty are set by the network itself (DHCP). IPv6 addresses always come from the network.
network-hostname = Name
network-hostname-hint = Letters, digits and hyphens. The page is then at https://NAME.local. Whoever is signed in has to sign in again under the new name.
network-address = Fixed address
network-address-hint = With the bits of its network, for example 192.168.1.20/24.
network-router = Router
network-router-hint = For a fixed address only.
network-dns = Name servers
network-dns-hint = Up to three addresses with blanks between them. A fixed address without name servers asks the router.
network-ntp = Time servers
network-ntp-hint = Up to three addresses with blanks between them. They are asked before those of the network.
network-addresses = Addresses now
network-two-minutes = A change first holds for two minutes. Whoever then opens the page and confirms keeps it; otherwise everything is as before again.
network-try = Try the change
network-on-trial = The change takes effect in a moment. Open the page within two minutes under one of these addresses and confirm:
network-else-undone = If nobody confirms, the settings from before hold again.
network-unconfirmed = These settings are not kept yet. They are undone in { $seconds } seconds.
network-confirm = Keep the settings
network-unknown = How the network is set cannot be found out at the moment.
network-wrong-hostname = A name has letters, digits and inner hyphens, 63 characters at most. Nothing was changed.
network-wrong-address = This is not the address of a host with the bits of its network. Nothing was changed.
network-wrong-router = The router has to be another address of the same network. Nothing was changed.
network-wrong-servers = Servers are given by up to three IPv4 addresses. Nothing was changed.
network-nothing-to-confirm = There is no change to confirm, or it has been undone already.
machine-reset = Reset
machine-reset-hint = Sets everything that the setup asks for, and the network, as it was at first. The archive, its disks, people and their rights, and the certificate stay as they are.
machine-reset-do = Reset all settings
machine-reset-by-file = Whoever cannot get in any more puts a file RESET.TXT into the first partition of the boot medium on another computer, with the sign-in name of an operator in its first line. At the next start the network’s settings are forgotten, and the console shows a new password for him. With keyboard and screen it is quicker: hold the space bar while the box starts, and choose “Reset network and password”.
machine-log = Messages of the box
machine-log-show = Show what the box has said
machine-log-hint = For whoever looks for a fault: what system and services have said, with the seconds since the box was started. Nothing of the archive’s mail.
machine-log-since-start = since the start
machine-log-kept = from earlier starts, too
machine-log-file = Save as a file
machine-log-find = Lines that contain
machine-log-search = Show
machine-log-lines = The newest { $shown } lines of { $all }
machine-log-failed = The messages cannot be read: { $why }
recovery-key = Recovery key
recovery-key-made = The archive disk is ready. This is its recovery key:
recovery-key-keep = Print it or write it down, and keep it apart from the box. It opens the disk when the boot medium is broken or missing, and it is not shown again.
unlock-title = Open archive disks
unlock-hint = There is an archive disk whose key this box does not have.
unlock-do = Open
unlock-wrong = This key opens none of the disks.
guess-too-soon = A code or key was wrong just now. Wait two seconds and try again.

# Signing in
sign-in = Sign in
sign-in-hint = Forgotten your password? Ask whoever looks after the archive for a new one.
sign-in-wrong = Name or password is wrong.
sign-in-again = Please sign in again.
code-title = One more step
code = Code
code-hint = The six digits that your authenticator app shows now.
code-wrong = This code is wrong or was used already.
wait = { $seconds ->
    [one] Too many tries. Please wait one second.
   *[other] Too many tries. Please wait { $seconds } seconds.
  }

# Passwords
password = Password
password-again = Password again
old-password = Password until now
new-password = New password
old-password-wrong = The password until now is wrong.
password-change = Change password
password-rule = At least 12 characters. Three or four words that have nothing to do with each other are good, and easy to remember.
passwords-differ = The two passwords are not the same.
password-short = This password is too short: it needs at least 12 characters.
password-long = This password is too long.
password-name = This password is made of a name or an address. Choose something that others cannot guess.
password-repeats = This password repeats itself. Choose something that others cannot guess.
password-row = This password runs along the keys. Choose something that others cannot guess.
password-common = This password is one of those that are tried first. Choose another one.
must-choose-password = Somebody else knows this password. Choose one of your own before you go on.

# One's account
roles = Roles
no-role = no role yet
role-staff = Staff: reads their own mail
role-operator = Operator: looks after the archive
role-auditor = Auditor: reads what was released
role-privacy-officer = Privacy officer: approves wider rights
old-mail-closed = Others made your password. Mail from before that stays closed until its opening is approved.
old-mail-ask = Ask for it to be opened
old-mail-asked = You have asked. Old mail is opened when it is approved, or by itself after a day where nobody is privacy officer.
sessions = Where you are signed in
session-used = { $peer }, last used { $used }
session-this = This is where you are now.
session-end = Sign out there
second-factor = Second step of signing in
second-factor-hint = With it, a stolen password alone opens nothing: signing in takes a code from an app on your phone, too. Any authenticator app will do.
second-factor-on = It is switched on. Switching it off takes your password and a code.
second-factor-begin = Switch on
second-factor-end = Switch off
second-factor-app = Open the authenticator app on your phone and add an account.
second-factor-scan = Scan this picture with it.
second-factor-code = QR code with the key, which also stands below
second-factor-secret = Without a camera, type in this key:
second-factor-link = On the phone itself: open it in the app
second-factor-type = Type in here the six digits that the app shows then.
second-factor-code-wrong = This code was not right. Nothing was switched on. Begin again.
second-factor-end-wrong = Password or code is wrong.
tokens = Tokens for programs
tokens-hint = With a token, a program of yours searches and fetches as you do on this page, and every time the log says so. It sees what the role sees that it is bound to, never more. How to ask is described in
token-new = Make a token
token-name = Name of the token
token-name-hint = The program that gets it, so that you know later what may be ended.
token-name-wrong = A token needs a name.
token-bond = What it may do
token-days = Ends after
token-make = Make the token
token-made = This is the token. It is shown once: put it into the program now.
token-password-wrong = The password is wrong.
token-no-role = Nobody has given you a role yet, so there is nothing that a token could do.
token-unused = never used
token-until = ends { $until }
token-end = End this token
scope-mail = Search, read and take mail along
scope-health = Only ask how the archive is
days = { $days } days

# People
addresses = Addresses
no-address = no address yet
account-make = Make an account
account-make-hint = The name for signing in. It never changes and is never used again. An account begins without any right.
account-change = Change
people-all = All people
people-further = Further ones
account-show = Look at it
addresses-more = { $count ->
    [one] and one more
   *[other] and { $count } more
  }
account-number = account { $number }
account-disabled = This account cannot be used at the moment.
account-enable = Let it be used again
account-disable = Do not let it be used
reset-password = Propose a new password
reset-second-factor = Propose to end the second step of signing in
open-old-mail = Propose to open old mail
address-add = Give an address
role-add = Give a role
password-issue = Make a first password
password-issued = Hand this password over in person. It is shown once, and has to be changed at the first sign-in.
proposals = What waits
proposals-hint = Whatever lets somebody see more waits until a privacy officer approves. Where there is none, it waits for a day, and everybody concerned gets notice. Notices go out by the outgoing mail server that the setup names; without one, what needs a notice waits on. If it is gone for good and there is no privacy officer, another one takes effect once it stood on every page for 30 days without objection.
proposed-by = Proposed by { $by }
notices-given = Notices: { $given } of { $all } have gone out.
proposal-shown = Everybody has this on every page: for { $days } of { $all } days. After them it takes effect even if no notice could go out, unless somebody objects.
standing-route = Notices and status mails are to go out by another mail server: { $server }. Whoever does not agree may object.
standing-proposals = { $count ->
    [one] A change of rights waits that you may object to.
   *[other] { $count } changes of rights wait that you may object to.
  }
standing-look = Look at it
notices-no-server = No outgoing mail server is set up, so none can go out. The setup has a step for it.
objected = Somebody concerned objected. Only an approval helps now.
approve = Approve
object = Object
withdraw = Withdraw
change-waits = This lets somebody see more, so it waits now. You find it under “What waits”.
change-notice-route = Notices and status mails go out by another mail server: { $server }
change-add-role = { $who } gets a role: { $role }
change-give-address = { $who } gets an address: { $address }
change-enable = { $who } can be used again
change-reset-password = { $who } gets a new password from others
change-reset-second-factor = { $who } loses the second step of signing in
change-open-old-mail = { $who } may read mail from before the reset again
change-release = Mail is released to { $who } until { $until }: { $query }
change-other = Something changes for { $who }
release = Release mail
release-query = Mail that this finds
release-hint = As in the search field, for example “subject:invoice after:2024”. It cannot be all mail.
release-until = Up to and including
release-reason = What for
released = Released
released-until = { $query }, up to and including { $until }
release-end = end it
change-rename = { $who } is shown as { $display }
table-title = Accounts from a table
table-hint = A table with a line for each person, as every spreadsheet saves it (CSV). Nothing happens before you have seen what would.
table-example =
    name;display name;roles;addresses
    kim;Kim Meier;staff;kim@office.example
    lee;Lee Adams;staff operator;lee@office.example info@office.example
table-field = The table
table-field-hint = Paste it here. The first line names the columns; only “name” is needed. A table takes nothing away from anybody. For more than a few hundred people, use several.
table-file = Or choose a file
table-try = Show what would happen
table-planned = This would happen
table-do = Do it
table-done = This was done.
table-empty = The table is empty.
table-line = Line
table-what = What happens
table-made = The account is made. It begins without any right and without a password.
table-at-once = { $change }
table-waits = { $change }: waits
table-nothing = nothing: all of it is so already
table-no-name = The first line names no column “name”.
table-long = A table has 1,000 lines at most. This one and all behind it were left out.
table-quote = A quotation mark is opened here and never closed. The rest of the table was left out.
table-role = There is no such role: { $role }. There are staff, operator, auditor and privacy-officer.
refused-may-not = You may not do that.
refused-unknown = That does not exist any longer.
refused-unsound = That changes nothing, or cannot be.
refused-name = This name cannot be used: it is taken, or was in the past.
refused-roles = These roles do not go together.
refused-last-operator = Somebody must remain operator.
refused-no-officer = One of the two must be a privacy officer who gains nothing by it.
refused-not-second = A second person must approve, and nobody who gains by it.
refused-no-own-password = The person must choose a password of their own first.
refused-waiting = Something waits for this account. Decide on that first.
refused-too-many = There are too many already.

# Trust
trust-title = Trust this box
trust-why = Your browser warns of this page because it does not know the box. Install the certificate of the box once on every computer and phone, and the warning is gone for good. The certificate speaks only for machines of the local network.
trust-download = Download the certificate
trust-name = Its name
trust-compare = Compare the digits with those that the box shows on its screen, or “coffer certificate” on the computer.
trust-windows = Windows
trust-windows-steps =
    Open the downloaded file and choose “Install Certificate”.
    Choose “Local Machine”, then “Place all certificates in the following store”.
    Choose “Trusted Root Certification Authorities” and finish.
trust-macos = macOS
trust-macos-steps =
    Open the downloaded file; Keychain Access asks where to put it: choose “System”.
    Open the certificate there, unfold “Trust” and choose “Always Trust”.
trust-ios = iPhone and iPad
trust-ios-steps =
    Download the file with Safari and allow the profile.
    In Settings, open “Profile Downloaded” and install it.
    Under General, About, Certificate Trust Settings, switch it on.
trust-android = Android
trust-android-steps =
    In Settings, search for “CA certificate”.
    Choose “Install anyway” and then the downloaded file.
trust-firefox = Firefox
trust-firefox-steps =
    In Settings, search for “certificates” and choose “View Certificates”.
    Under “Authorities”, import the downloaded file and tick “identify websites”.

# Searching
search-field = Search mail
search-example = Words, names, from: to: subject: …
search-do = Search
query-long = This is too long to be searched for.
query-wrong = It cannot be searched for when written like this.
query-understood = This was searched for: messages with all of
query-alone = search for this alone
query-everything = any message
query-nothing = nothing that can be searched
query-words = “{ $value }”
query-phrase = “{ $value }”, exactly so
query-prefix = words that begin with “{ $value }”
query-in-from = from { $value }
query-in-to = to { $value }
query-in-cc = copy to { $value }
query-in-bcc = hidden copy to { $value }
query-in-subject = { $value }, in the subject
query-in-body = { $value }, in the text
query-in-filename = { $value }, in the name of an attachment
query-before = before { $value }
query-after = from { $value } on
query-larger = larger than { $value }
query-smaller = smaller than { $value }
query-attachment = an attachment
query-id = the Message-ID { $value }
query-number = record { $value }
query-and = and
query-or = or
query-not = not { $value }
query-many = There are too many words to search for. Leave out what stands before character { $at }.
query-deep = There are too many parentheses within each other. Leave out the one at character { $at }.
note-unknown-field = “{ $value }:” is no filter; it was searched as a word.
note-empty-field = Nothing stands behind “{ $value }”; it was searched as a word.
note-no-date = “{ $value }” is no date and was searched as words. Write 2024, 2024-03 or 31.03.2024.
note-no-size = “{ $value }” is no size and was searched as words. Write 500k or 5M.
note-no-number = “{ $value }” is no number and was searched as words.
note-unknown-feature = Of “has:” only has:attachment is known; “{ $value }” was searched as words.
note-nothing = “{ $value }” has no letter or digit and was left out.
note-star = A star works only at the end of a word: “{ $value }”.
note-lone-operator = “{ $value }” joins nothing and was left out. In quotation marks it is searched as a word.
note-or = OR parts all words before it from all after it. Parentheses change that.
note-quote = A quotation mark is not closed; it goes to the end.
note-parenthesis = A parenthesis is not closed; it goes to the end.
note-stray-parenthesis = A closing parenthesis without an opening one was left out.
filter-from = from { $name }
filter-year = only { $year }
filter-older = before { $year }
filters = Narrow the search
found = { $count ->
    [0] Nothing found
    [one] One message
   *[other] { $shown } messages
  }
found-nothing-hint = Try fewer or other words. Only mail that is yours is searched.
filter-attachment = only with attachments
filter-large = only larger than 5 MB
picture-in-text = Picture in the text that is not shown there
pictures-in-text = { $count ->
    [one] One picture in the text
   *[other] { $count } pictures in the text
  }
attachments = { $count ->
    [one] One attachment
   *[other] { $count } attachments
  }
no-subject = (no subject)
pages = Pages of results
page-before = Newer
page-next = Older
page-of = Page { $page } of { $last }
help-title = How to search
help-from = from somebody
help-to = to an address
help-subject = words of the subject, together
help-dates = in a time
help-attachment = with an attachment of a name
help-not = one word, without another
help-prefix = words that begin so
choose = Choose: { $subject }
take-along = Take several messages along
take-along-hint = Tick messages above, or take all that was found. The file is made while you wait; you can go on working meanwhile.
take-which = Which
take-chosen = The ticked messages
take-all = { $count ->
    [one] The one message found
   *[other] All { $shown } messages found
  }
take-format = As
take-zip = A zip file with proofs: shows to anybody that nothing was changed
take-mbox = An mbox file, which mail programs read
take-do = Make the file
take-nothing = No message was ticked.
exports = Files to take along
exports-none = There are none. Below the results of a search they can be made.
exports-hint = Each file holds up to { $count } messages and { $size } of mail, and is kept for a day.
export = File to take along
export-chosen = { $count ->
    [one] One chosen message
   *[other] { $count } chosen messages
  }
export-everything = All mail that you may see
export-found = All that was found by: { $query }
export-waits = It waits until the files before it are made.
export-runs = It is being made: { $done } of { $total } messages. This page shows it by itself when it is there.
export-done = { $count ->
    [one] One message, { $size }.
   *[other] { $shown } messages, { $size }.
  }
export-left-out = { $count ->
    [one] One message was left out: it is damaged, or its header names recipients who are hidden from you. It can be downloaded alone.
   *[other] { $count } messages were left out: they are damaged, or their headers name recipients who are hidden from you. Each can be downloaded alone.
  }
export-kept = It is kept for a day.
export-fetch = Download
export-cancel = Cancel
export-remove = Remove the file
export-again = Make it again
export-cancelled = It was cancelled, or the file was removed.
export-too-many = There are too many messages. Search for less, by year for example.
export-too-large = The mail is too large for one file. Search for less, by year for example.
export-no-room = The disk has no room for it: what is left is for new mail.
export-signed-out = It was broken off because you signed out, or may no longer do this.
export-busy = Too many files wait already. Try again in some minutes.
help-keys = Keys: / goes to the field, j and k from result to result, Enter opens one, Esc leads back, n and p turn the page.

# Reading
message = Message
from = From
to = To
cc = Copy to
back-to-results = Back to the results
unchanged-since = Unchanged since { $since }, record { $number }; the next signed checkpoint will hold it
unchanged-signed = Unchanged since { $since }, record { $number }, checkpoint { $checkpoint }
unchanged-means = The archive has kept this message exactly as it came in. The file below proves it to anybody who has the key of this archive, without asking the archive: “coffer verify” and others check it.
download-proof = Download the proof
view-html = As sent
view-text = Text only
view-source = Header and source
view-print = Print view
print = Print
back-to-message = Back to the message
views = Views of the message
download-eml = Download
remote-left-out = Pictures from elsewhere were left out: loading them would tell the sender that the mail was read.
source-cut = Only the beginning is shown. The download has all of it.
message-too-large = This message is too large to be shown. It can be downloaded as it came in.
attachment = Attachment
preview-of = Preview of { $name }
show-text = Show text
download-attachment = Download the attachment
attachment-text-means = Only the words of the attachment, without its layout and pictures. What counts is the attachment itself.
attachment-text-cut = There is more in the attachment than is shown here. The download has all of it.
no-text-unknown-kind = The text of this kind of attachment cannot be shown.
no-text-encrypted = The attachment is protected by a password, so its text cannot be shown. It can be downloaded and opened with the password.
no-text-damaged = The attachment is damaged or not what it says to be, so its text cannot be shown. It can be downloaded as it came in.
no-text-too-large = The attachment is too large for its text to be shown. It can be downloaded.
no-text-no-words = There is no text in the attachment. Perhaps it holds pictures of pages, such as a scan.
no-text-lost = Reading the text failed or took too long. The attachment itself is unharmed and can be downloaded.

# State
all-is-well = All is well.
messages = Messages
arrivals = Arrivals
bytes-of-mail = Size of the mail
bytes-on-disk = Room taken on the disk
bytes-left = Room left for mail
second-disk = Second disk
second-disk-none = none
second-disk-unknown = not looked at yet
second-disk-in-step = in step: everything is on both
second-disk-catching-up = catching up
second-disk-detached = detached
second-disk-diverged = went its own way
second-disk-too-small = too small
found-up-to = Entries that can be searched
index-lag = { $count ->
    [0] all of them
    [one] all but one, which follows in a moment
   *[other] all but { $shown }, which follow in a moment
  }
clock = Clock
clock-synchronised = { $now }, synchronised
clock-alone = { $now }, not synchronised: nobody else confirms it
forecast-young = for how long that is enough cannot be told before two weeks of mail
forecast-no-pace = no mail came lately, so for how long that is enough cannot be told
forecast-long = enough for more than 30 years at the pace of the last 90 days
forecast-days = { $count ->
    [one] enough for about one day at the pace of the last 90 days
   *[other] enough for about { $count } days at the pace of the last 90 days
  }
forecast-months = enough for about { $count } months at the pace of the last 90 days
forecast-years = enough for about { $count } years at the pace of the last 90 days
plot-title = Mail of the last { $days } days
plot-spans = Days shown
plot-span = { $days } days
plot-description = { $count ->
    [0] Nothing came from { $from } to { $until }.
    [one] One mail came from { $from } to { $until }.
   *[other] { $shown } mails came from { $from } to { $until }, by day and source.
  }
plot-table = The same as a table
sources = Sources
sources-none = No mail has come from anywhere yet.
source = Source
source-last = Last mail
source-silent = Silent for
source-smtp = { $name } (SMTP)
source-smtp-others = other senders (SMTP)
source-pull = { $name } (fetched)
source-files = imported files
source-others = others
checked-title = Last check of the disks
checked-hint = The archive reads each disk through once a month, while no mail comes, and compares every byte with its digests.
first-disk = First disk
checked-nothing-sealed = No volume is full yet. From the first full one on, each is checked.
checked-never = Not checked yet.
checked-read = { $read } of { $sealed } full volumes are checked, between { $oldest } and { $newest }.
checked-whole = Everything was as it should be.
checked-damage = { $count ->
    [one] One place is damaged.
   *[other] { $count } places are damaged.
  }
updates-title = Updates
updates-none = This is Coffer { $version }. This build does not update itself and does not look for updates: whoever installed it brings newer ones.
updates-running = This is Coffer { $version }.
updates-on-trial = It was just installed and is on trial: if it does not prove itself, the version before starts again by itself.
updates-supported = This version gets security updates until { $until }.
updates-unchecked = For { $days } days this box could not look for updates. Look at its way to the internet, or at the reason below.
updates-more = All about updates
updates-no-source = This build has no address at which newer versions are found: whoever built it brings them.
updates-next = What comes next
updates-checking = Newer versions are looked for.
updates-fetching = The new version is fetched.
updates-installing = The new version is written.
updates-restarting = The box starts again with the new version.
updates-available = Version { $version } is there.
updates-when = It is installed at night, from { $at } on, when no export is running. To fetch: { $size }. Mail that comes meanwhile is delivered again by its sender.
updates-install = Install it now
updates-newest = This is the newest version.
updates-checked = Looked for the last time: { $at }
updates-not-checked = The last look did not succeed: { $why }
updates-check = Look now
updates-wrong-board = Version { $version } is for another kind of device: { $board }
updates-not-newer = Version { $version } is not newer than this one.
updates-needs = Before version { $version }, version { $first } or a newer one has to be installed.
updates-failed-before = Version { $version } is not installed: version { $failed } was tried and did not prove itself. The next newer one is installed again.
updates-again = Try it again all the same
updates-by-hand = From a stick or a file
updates-by-hand-hint = Where this box has no way to the internet, the file of a release (coffer-update-….tar) comes on a USB stick or from this computer. It is checked as one that was fetched, and installed at once.
updates-stick = Install from the USB stick
updates-stick-none = Plug a USB stick with the file in and open this page again.
updates-file = Or choose the file
updates-upload = Upload and install
updates-uploading = How much of the file was uploaded
brought-refused = What was brought is not installed: { $why }
brought-newest = What was brought has nothing newer than this version.
brought-stale = What was brought has version { $version }, and was valid until { $expired } only: there may be a newer one by now, or this one was withdrawn. Install it only if you know where the file comes from.
brought-stale-do = Install { $version } all the same
updates-pause-title = Pause
updates-paused = Nothing is installed until { $until }.
updates-resume = Install again from now on
updates-pause-hint = For up to { $days } days nothing is installed; security updates wait, too.
updates-pause-days = Days
updates-pause = Pause
updates-put-off = For { $days } days a newer version has been waiting, because updates are paused.
updates-put-off-long = Holes that it closes are known to everybody by now: install it, or say who is answerable for waiting.
updates-history = What happened
updates-history-none = Nothing was installed yet.
updates-at = When
updates-version = Version
updates-outcome = Outcome
outcome-installed = written, on trial from the next start on
outcome-good = has proved itself
outcome-left = somebody went back to the version before
outcome-not-installed = not installed: { $why }
outcome-failed = has not proved itself; the version before runs again. Reason: { $why }
failure-silent = it did not start, or hung
failure-memory = it needed more and more memory
proof-archive = the archive did not open
proof-self-test = a test message was not stored and found again
proof-smtp = mail was not taken
proof-page = the page did not answer
proof-disks = archive disks were missing
proof-clock = the clock was wrong
updates-mail-available = Coffer: version { $version } is there
updates-mail-good = Coffer: version { $version } is installed
updates-mail-failed = Coffer: version { $version } did not prove itself; the version before runs
updates-mail-not-installed = Coffer: version { $version } could not be installed
updates-mail-left = Coffer: back from version { $version } to the version before
updates-mail-unchecked = Coffer: no updates could be looked for in { $days } days
updates-back-title = Back to the version before
updates-back-hint = Version { $version } is still there. It may have faults that this version has mended, and this version is not installed again by itself.
updates-back-withdrawn = Those who make releases do not vouch for version { $version } any more: it may have a hole that is known. Go back only if you have to, and not for long.
updates-back-too-old = Version { $version } is still there, but there is no way back to it: this version has run for more than 7 days, and may have written what { $version } cannot read. Started all the same, it would open no archive.
updates-back = Go back to { $version } and start again
key-title = The key of this archive
key-hint = Keep this line outside of the archive, in the safe for example. With it anybody can check that nothing was changed, not even by those who look after the archive.
warning-refused = No mail is taken at the moment ({ $why }). Senders keep it and try again for some days. If the disk is full, make room or take a larger one; if this stays so, start Coffer again.
warning-damaged = Damage was found: { $places } places on the disks do not hold. With a second disk it is mended from there; else run “coffer verify” and keep this disk as it is.
warning-detached = The second disk is detached: mail is kept on one disk only ({ $why }). Check its cable and power, then start Coffer again.
warning-diverged = Each of the two disks was started alone and has what the other lacks. Nothing is copied between them. Decide which one is to go on.
warning-too-small = The second disk is smaller than the first and is not used. Take a larger one.
warning-alarm = Alarm of { $at }: { $text }
alarm-other = “{ $text }”. The log has what came before and after it.
alarm-state-lost = The file with settings and passwords (state.redb) was lost. No mail is lost. Go through the setup again, give people new passwords, and keep the new signing key outside beside the old one.
alarm-register-differs = The list of people on the disk was not the one that the log tells of. The log counts, and the list was made anew from it. See under “People” whether all is as you know it; if nobody put an older state.redb back, find out who else could change it.
alarm-checkpoint-damaged = The newest signed checkpoint could not be read, and another one was signed. Run “coffer verify” with the key that you keep outside.
alarm-damage-left = Damage on the disk could not be mended, since no second disk has the place whole. Run “coffer verify” to see what it means; if there is an older copy of the disk, mend it from there with “coffer verify --mend --copy”. Get a new disk.
alarm-damage-left-on-copy = Damage on the second disk could not be mended. The first disk goes on by itself. Get a new second disk.
warning-room = The disk is nearly full: { $left } are left. Take a larger one before mail has to be refused.
warning-room-days = The disk is nearly full: { $left } are left, which lasts for { $days ->
    [one] one more day
   *[other] { $days } more days
  } at the present pace. Take a larger one before mail has to be refused.
warning-silent = { $source } has sent nothing since { $last }, which is longer than usual. See whether the journal rule there still stands and the network lets it through.
warning-certificate = The certificate that was put in for this page is good until { $day }. Put in a new one, or go back to the box’s own.
warning-route = Notices and status mails are to go out by another mail server: { $server }. Whoever did not expect that sees under “People” who proposed it, and may object.
warning-outgoing = Notices and status mails have not gone out since { $since } ({ $why }). Check the outgoing mail server in the setup.
warning-index = { $entries } entries cannot be found yet: the index does not come along. If this stays so, start Coffer again.
warning-unverified = The archive was last read whole on { $day }. It is read by itself while no mail comes; let the box run at night, or run “coffer verify”.
warning-no-mail = No mail has come yet. Setup shows how to send it here.

# Setup
setup-hint = Each step can be left and come back to. Nothing here stops mail from coming in.
step-open = open
step-on = on
step-language = Language and time zone
step-mail = Where mail comes from
step-retention = How long mail is kept
step-updates = When updates may be installed
step-status-mail = Who gets status mails
step-people = People and their addresses
setting-wrong = This cannot be kept as it is written. Please check it.
language = Language of notices and status mails
language-hint = The pages follow the browser of whoever reads them.
time-zone = Time zone
zone-central = Central Europe (Berlin, Vienna, Zurich)
zone-western = Western Europe (London, Dublin, Lisbon)
zone-eastern = Eastern Europe (Helsinki, Athens, Sofia)
zone-utc = Universal time (UTC)
retention-hint = The law asks traders and many others to keep letters for 6 years, accounts for 8 or 10, each from the end of the year. Ask your tax adviser if in doubt.
retention-legend = Keep mail for
retention-only-written = This is written down now. Nothing is removed by this version of Coffer, whatever stands here.
years = { $years } years
years-forever = for ever
update-hour = Hour of the night
update-only-written = This is written down now. This version of Coffer does not install updates by itself.
status-mail-to = Address
status-mail-hint = Leave it empty for none.
status-mail-when = A mail comes once a week, the first one within a minute, and at once when something has to be looked after. It goes out by the server of the step “Outgoing mail”.
status-mail-no-server = There is no outgoing mail server yet; the step “Outgoing mail” names one.
mail-hint = Your mail server sends a copy of each mail to this archive. This is called journaling. Enter the following there.
mail-host = Server
mail-ports = Address and port
mail-no-port = none: start Coffer with --smtp
mail-allowed = May send
networks-always = Always:
networks-allowed = Networks that may send
networks-allowed-hint = Only these may send without signing in, so that nobody fills the archive from outside. Addresses or networks such as 192.168.1.0/24, parted by commas or lines. Whoever may send can add mail; reading any, or reaching anything else here, is not opened by it.
networks-journal = Networks whose journal reports are believed
networks-journal-hint = A journal report says who really got a mail. Enter only your mail server here (Exchange, Microsoft 365, Google): what it reports decides who of the staff finds the mail. These may send, too.
networks-wrong = This is no list of addresses or networks, or one of them is as wide as the internet (the widest that can be is /8). Please check it.
mail-wait = Wait for the next mail
mail-waiting = Waiting for the next mail. This page shows it by itself as soon as it is there.
mail-newest = The last came on { $at } from { $server }.
mail-newest-file = The last came on { $at } from a file.
mail-arrived = { $count ->
    [one] The first mail has arrived.
   *[other] { $shown } messages have arrived.
  }
send-exchange = Exchange Server
send-exchange-steps =
    Make a send connector for the address space archive.invalid with { $host } as smart host.
    Make a mail contact with the address journal@archive.invalid.
    Make a journal rule for all messages that sends to this contact.
    Enter the server’s address above under “Networks whose journal reports are believed”.
send-microsoft365 = Microsoft 365
send-microsoft365-steps =
    Microsoft 365 sends over the internet: the archive needs a public name, and port 25 forwarded to it, for Microsoft’s networks only.
    Make a connector from Microsoft 365 to your organisation’s server with that name.
    In Purview, under data lifecycle management, make a journal rule for all messages to an address at that name; first it asks for a mailbox for reports that cannot be delivered.
    Enter Microsoft’s networks for Exchange Online above, under “Networks whose journal reports are believed”. Microsoft lists them under “Microsoft 365 URLs and IP address ranges”.
send-google = Google Workspace
send-google-steps =
    Google sends over the internet: the archive needs a public name, and port 25 forwarded to it, for Google’s networks only.
    In the Admin console, under Gmail, Routing, add a third-party archive with an address at that name.
    Enter Google’s networks above, under “Networks whose journal reports are believed”. Google lists them in the SPF record of _spf.google.com.
send-postfix = Postfix
send-postfix-steps =
    In main.cf, set always_bcc = journal@archive.invalid
    In the transport table, add: archive.invalid smtp:[{ $host }]
    So that hidden recipients (Bcc) find their mail, set smtpd_recipient_restrictions = check_recipient_access pcre:/etc/postfix/envelope_to before what stands there, with the line /(.+)/ prepend X-Envelope-To: $1 in that file.
    Run postmap on the table and reload Postfix.
    Enter the server’s address above under “Networks that may send”.
back-to-setup = Back to setup
metrics = Figures for a monitoring program
metrics-hint = A program such as Prometheus can fetch figures at /metrics: how much mail there is, what waits, the disks, SMTP. No address and no subject is among them.
metrics-token = It needs a token for asking how the archive is:
metrics-on = It is switched on.
metrics-off = It is switched off.
metrics-switch-on = Switch on
metrics-switch-off = Switch off

# Outgoing mail
step-outgoing = Outgoing mail
out-hint = Coffer sends mail of its own: notices that people get before rights widen, and status mails. It hands them to a mail server, as a mail program does; your provider’s papers name it under “outgoing server (SMTP)”. No mail of the archive ever goes out.
out-waits = Another server waits for approval, or for its day of notice: { $server }. Without a privacy officer and if no notice can go out, it takes effect after 30 days on every page.
out-server = Mail server
out-security = Protection
out-starttls = TLS after connecting (STARTTLS), usually port 587
out-tls-first = TLS from the start, usually port 465
out-no-tls = none: only for a server in your own network
out-port = Port
out-port-hint = Leave it empty for the usual one.
out-from = Mail comes from
out-user = User
out-user-hint = Leave it empty if your server takes mail from this box without signing in.
out-password-hint = Leave it empty to keep the one that is there. It is never shown. Many providers want an app password here.
out-confirmed = Confirmed certificate
out-confirmed-hint = SHA-256 of a certificate that no public authority vouches for. Empty it to trust public authorities only.
out-test = Test mail
out-test-to = Address
out-test-hint = A short test mail goes to this address, always with the same text. What the server says is shown step by step. Nothing is saved by it.
out-test-do = Send a test mail
out-test-address = This is no address that a test mail could go to.
out-test-many = That were many test mails. Wait ten minutes.
out-test-of = Test mail to { $to } by { $server }
out-test-runs = The test is running. This page shows each step by itself.
out-test-good = The server has taken the test mail over. See whether it has arrived, then save.
out-step-connect = Connected
out-step-greeting = Greeting of the server
out-step-hello = What the server can do
out-step-tls = Protected by TLS
out-step-sign-in = Signed in
out-step-sender = Sender accepted
out-step-recipient = Recipient accepted
out-step-content = Mail taken over
out-address = Mail cannot be sent to this address: { $said }
out-unknown = Nobody knows a server by this name: { $said }. Check the name, and whether this box reaches a name server.
out-unreachable = The server takes no connection ({ $said }). Check name and port, and whether a firewall is between.
out-slow = The server does not answer in time (step: { $step }). Often a wrong port or protection is the cause: port 465 goes with TLS from the start, 587 with STARTTLS.
out-broken = The server broke the connection off (step: { $step }). Check port and protection.
out-odd = What answers there is no mail server, or a very odd one. It said: { $said }
out-refused = The server refuses: { $said }
out-refused-later = The server asks to come again later: { $said }. Some servers let strangers wait for some minutes. Try again then.
out-refused-sign-in = The server does not take user and password: { $said }. Check both. Many providers want an app password, or signing in by SMTP has to be switched on there.
out-refused-sender = The server does not take mail from this address: { $said }. It usually has to be one of the user’s own.
out-refused-recipient = The server does not take mail for this recipient: { $said }. Check the address. For addresses elsewhere it may want user and password.
out-no-starttls = The server does not offer STARTTLS, and without protection nothing is sent. Try TLS from the start, or another server.
out-no-sign-in = The server offers no sign-in with user and password. If it takes mail from this box without, leave the user empty.
out-no-password = The password is missing. Type it in.
out-certificate = No known authority vouches for the certificate of this server: { $said }. User, password and mail were not sent.
out-confirm-hint = If it is a server of your own with a certificate of its own, compare these digits (SHA-256) with those that the server shows. If you are not sure, do not go on.
out-confirm = Trust this certificate and test again
out-tls-fails = The protected connection does not come about ({ $said }). Check port and protection.
back = Back
route-server = This is neither the name of a server nor an address.
route-port = The port is a number from 1 to 65535.
route-from = Mail must come from an address.
route-user = The name of the user cannot have blanks.
route-needs-tls = User and password go over a protected connection only. Choose STARTTLS or TLS.
route-certificate = This is not the SHA-256 of a certificate: 64 digits and letters from A to F.
test-mail-subject = Coffer: test mail
test-mail-text =
    This is a test mail of the mail archive { $host }. It has been sent because somebody who looks after the archive is setting up its outgoing mail.
    Nothing has to be done.

# Status mails
status-well = Coffer: all is well
status-warnings = { $count ->
    [one] Coffer: one thing to look after
   *[other] Coffer: { $count } things to look after
  }
status-of = This is how the mail archive { $host } is.
status-source = Mail from { $source } in the last 7 days: { $count }, the last on { $last }
status-days-left = Days until the disk is full at the present pace
status-verified = Last read whole
status-checkpoint = Keep this mail: with the lines below anybody can show later that nothing was changed or left out before today.
status-end = Who gets this mail is set on the page of the archive, under “Setup”.

# A certificate of others
step-certificate = Certificate of the page
certificate-hint = If your office has a certificate for the name under which this page is opened, put it in here. The page and SMTP use it from then on, and it is not renewed by itself: you are warned 21 days before it ends. Without one the box uses its own, which renews itself.
certificate-in-use = In use
certificate-of-the-box = the box’s own
certificate-chain = Certificate and its chain
certificate-chain-hint = The text of the file that you got (PEM): it begins with “-----BEGIN CERTIFICATE-----”. Chains with several are welcome.
certificate-key = Private key
certificate-key-hint = The text of the key file, without a password. It is never shown again. Leave it empty if it stands in the text above.
certificate-use = Use this certificate
certificate-back = Back to the box’s own
certificate-names = It is for
certificate-until = End
certificate-good-until = good until { $day }
certificate-none = There is no certificate in this text. It begins with “-----BEGIN CERTIFICATE-----”.
certificate-no-key = There is no private key in this text. It begins with “-----BEGIN PRIVATE KEY-----”.
certificate-locked = The key is locked with a password. Take the password off before, as with “openssl pkey”.
certificate-many = These are more certificates than a chain has.
certificate-other-key = The key belongs to none of these certificates.
certificate-time = This certificate has ended, or is not good yet.
certificate-no-name = This certificate names no host, so no browser would take it.

# Audit log
log = Log
log-hint = Who did what, when and from where. You see as much of it as your role allows. Nobody can change it.
log-account = Name of an account
log-filter = Show
log-csv = Take it along as a table (CSV)
log-jsonl = as lines of JSON
log-entry = entry { $number }
log-proposal = Proposal { $number }: { $what }
log-withdrawn = Withdrawn: { $what }
log-lapsed = Lapsed: { $what }
log-agreed = agreed: { $who }
log-rule-notice = took effect after its time of notice
log-rule-shown = took effect after 30 days on every page
log-claimed = { $who } was made, as operator
log-made = { $who } was made
log-token-made = { $who } made a token for a program: { $what }
log-token-ended = { $who } ended a token: { $what }
log-password-issued = { $who } got a first password from others
log-password-chosen = { $who } chose a password
log-second-step-on = { $who } switched the second step of signing in on
log-second-step-off = { $who } switched the second step of signing in off
log-reset-at-machine = The password of { $who } was reset at the machine itself
log-remove-role = { $who } loses a role: { $role }
log-take-address = { $who } loses an address: { $address }
log-disable = { $who } can no longer be used
log-remove = { $who } can never be used again
log-release = Mail is released to { $who }: { $what }
log-end-grant = The release { $what } to { $who } ends
log-grant-over = A release to { $who } is over
log-language = Language
log-time-zone = Time zone
log-allowed = Networks that may send
log-journal = Networks whose journal reports are believed
log-out-password = Password for the outgoing mail server
log-signed-out = Signed out
log-restart = The box was to start again
log-power-off = The box was to switch itself off
log-network-trial = The network was changed, on trial
log-network-confirmed = The change of the network was confirmed
log-disk = Disk { $disk } is to become an archive disk
log-other-session = Another session was ended
log-export-fetched = An export was fetched
log-downloaded = Downloaded
log-proof = Proof
log-test-mail = Test mail
log-status-week = Status mail of the week
log-status-warning = Status mail with a warning
log-recovery-key = A recovery key was tried
log-reset = All settings were reset
log-update-check = It was to be looked for updates
log-update-install = The update was to be installed at once
log-update-resume = Updates are installed again
log-update-again = Versions that failed may be tried again
log-update-back = Going back to the version before
log-wrong-password = Wrong password
log-wrong-code = Wrong code of the second step
log-wrong-claim-code = Wrong claim code
log-sender-made = Password for sending mail made
log-sender-changed = Password for sending mail changed
log-sender-removed = May not send mail by password any more
log-metrics = Figures for programs (/metrics)
log-update-stick = An update was to be installed from a stick
log-update-upload = An update was uploaded, to be installed
log-update-stale = Version { $version } was to be installed although its file had expired
log-update-pause = No updates for { $days } days
log-taken = Audit log { $account }
event-archive-created = Archive made
event-started = Coffer started
event-stopped = Coffer stopped
event-command-run = Command run
event-viewed = Message read
event-searched = Searched
event-exported = Handed out
event-signed-in = Signed in
event-sign-in-failed = Sign-in failed
event-setting-changed = Setting changed
event-account-changed = Account changed
event-key = Signing key
event-member-attached = Disk joined
event-member-detached = Disk detached
event-alarm = Alarm
event-verified = Verified
event-rebuilt = Catalog and index made anew
event-mended = Damage mended
event-change-proposed = Wider rights proposed
event-change-approved = Wider rights approved
event-change-objected = Wider rights objected to
event-change-dropped = Proposal dropped
event-notice-given = Notice given
event-register-kept = Register of people compared
event-session-ended = Signed out
event-mail-sent = Mail of Coffer’s own sent

# Usual reasons of the system and of TLS

reason-expired = the certificate has expired
reason-not-yet-valid = the certificate is not valid yet, or a clock is wrong
reason-other-name = the certificate is for another name
reason-unknown-issuer = nobody known has issued the certificate
reason-bad-certificate = the certificate is damaged or forged
reason-no-tls = no TLS is spoken there
reason-old-tls = only an outdated kind of TLS is spoken there
reason-refused = nobody takes connections there
reason-no-route = no way leads there
reason-no-network = this box has no network, or no way out of its own
reason-no-name = nobody knows this name
reason-slow = no answer came in time
reason-broken = the other side broke the connection off
reason-full = the disk is full
reason-read-only = the disk can only be read
reason-not-signed = what is on offer there is not signed by those whom this box believes
reason-older-metadata = what is on offer there is older than what this box has seen already
reason-stale = what is on offer there has not been renewed for too long, or the clock of the box is wrong
reason-update-long = the file is longer than an update
reason-no-update = this is no update for Coffer, or it is damaged
reason-cut-off = the file is not whole
reason-no-stick = there is no stick that can be read (FAT, exFAT or ext4)
reason-stick-empty = no update for this kind of device is on the stick
reason-other-board = the update is for another kind of device
reason-upload-gap = the upload was interrupted; begin it anew
reason-too-old = newer versions have worked with it, and this one may not open it
reason-lacks-file = what is on offer there is not whole, or not for this kind of device
reason-disk = the disk does not read or write
reason-write-failed = a write failed, and nothing is taken until Coffer was started again
reason-rebuilding = catalog and index are being made anew
reason-closing = Coffer is being ended
reason-without-copy = Coffer was started without it
