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
no-role = none yet
role-staff = Staff: reads their own mail
role-operator = Operator: looks after the archive
role-auditor = Auditor: reads what was released
role-privacy-officer = Privacy officer: approves wider rights
old-mail-closed = Your password was reset. Mail from before that stays closed until the privacy officer opens it.
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
second-factor-secret = Type in this key:
second-factor-link = On the phone itself: open it in the app
second-factor-type = Type in here the six digits that the app shows then.
second-factor-code-wrong = This code was not right. Nothing was switched on. Begin again.
second-factor-end-wrong = Password or code is wrong.

# People
addresses = Addresses
no-address = none yet
account-make = Make an account
account-make-hint = The name for signing in. It never changes and is never used again. An account begins without any right.
account-change = Change
account-disabled = This account cannot be used at the moment.
account-enable = Let it be used again
account-disable = Do not let it be used
address-add = Give an address
role-add = Give a role
password-issue = Make a first password
password-issued = Hand this password over in person. It is shown once, and has to be changed at the first sign-in.
proposals = What waits
proposals-hint = Whatever lets somebody see more waits until a privacy officer approves. Where there is none, it waits for a day, and everybody concerned gets notice. Notices go out by the mail server that “coffer serve --notices” names; without one, what needs a notice waits on.
proposed-by = Proposed by { $by }
objected = Somebody concerned objected. Only an approval helps now.
approve = Approve
object = Object
withdraw = Withdraw
change-waits = This lets somebody see more, so it waits now. You find it under “What waits”.
change-notice-route = Notices go out in another way
change-add-role = { $who } gets a role: { $role }
change-give-address = { $who } gets an address: { $address }
change-enable = { $who } can be used again
change-reset-password = { $who } gets a new password from others
change-reset-second-factor = { $who } loses the second step of signing in
change-open-old-mail = { $who } may read mail from before the reset again
change-release = Mail is released to { $who }
change-other = Something changes for { $who }
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
query-wrong = This cannot be searched for as it is written. The examples show what can.
found = { $count ->
    [0] Nothing found
    [one] One message
   *[other] { $shown } messages
  }
found-nothing-hint = Try fewer or other words. Only mail that is yours is searched.
filter-attachment = only with attachments
filter-large = only larger than 5 MB
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

# Reading
message = Message
from = From
to = To
cc = Copy to
back-to-results = Back to the results
unchanged-since = Unchanged since { $since }, record { $number }
unchanged-means = The archive has kept this message exactly as it came in. The file below proves it to anybody who has the key of this archive, without asking the archive: “coffer verify” and others check it.
download-proof = Download the proof
view-html = As sent
view-text = Text only
view-source = Header and source
views = Views of the message
download-eml = Download
remote-left-out = Pictures from elsewhere were left out: loading them would tell the sender that the mail was read.
source-cut = Only the beginning is shown. The download has all of it.
message-too-large = This message is too large to be shown. It can be downloaded as it came in.
attachment = Attachment
look-at = Look at it

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
key-title = The key of this archive
key-hint = Keep this line outside of the archive, in the safe for example. With it anybody can check that nothing was changed, not even by those who look after the archive.
warning-detached = The second disk is detached: mail is kept on one disk only. Check its cable and power, then start Coffer again.
warning-diverged = Each of the two disks was started alone and has what the other lacks. Nothing is copied between them. Decide which one is to go on.
warning-too-small = The second disk is smaller than the first and is not used. Take a larger one.
warning-no-mail = No mail has come yet. Setup shows how to send it here.

# Setup
setup-hint = Each step can be left and come back to. Nothing here stops mail from coming in.
setup-lacks = Not there yet in this version: status mails, updates, certificates of your own.
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
status-mail-only-written = This is written down now. This version of Coffer does not send mail yet; the page “State” shows what it would say.
mail-hint = Your mail server sends a copy of each mail to this archive. This is called journaling. Enter the following there.
mail-host = Server
mail-ports = Address and port
mail-no-port = none: start Coffer with --smtp
mail-allowed = May send
mail-allowed-hint = Only these networks may send, so that nobody fills the archive from outside. To let others send, start Coffer with --allow and their network.
mail-wait = Wait for the first mail
mail-waiting = Waiting for the first mail. This page shows it by itself as soon as it is there.
mail-arrived = { $count ->
    [one] The first mail has arrived.
   *[other] { $shown } messages have arrived.
  }
send-exchange = Exchange Server
send-exchange-steps =
    Make a send connector for the address space archive.invalid with { $host } as smart host.
    Make a mail contact with the address journal@archive.invalid.
    Make a journal rule for all messages that sends to this contact.
send-microsoft365 = Microsoft 365
send-microsoft365-steps =
    Microsoft 365 sends over the internet: the archive needs a public name, and port 25 forwarded to it, for Microsoft’s networks only.
    Make a connector from Microsoft 365 to your organisation’s server with that name.
    In Purview, under data lifecycle management, make a journal rule for all messages to an address at that name.
send-google = Google Workspace
send-google-steps =
    Google sends over the internet: the archive needs a public name, and port 25 forwarded to it, for Google’s networks only.
    In the Admin console, under Gmail, Routing, add a third-party archive with an address at that name.
send-postfix = Postfix
send-postfix-steps =
    In main.cf, set always_bcc = journal@archive.invalid
    In the transport table, add: archive.invalid smtp:[{ $host }]
    Run postmap on the table and reload Postfix.
back-to-setup = Back to setup

# Audit log
log = Log
log-hint = Who did what, when and from where. You see as much of it as your role allows. Nobody can change it.
log-account = Name of an account
log-filter = Show
log-entry = entry { $number }
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
