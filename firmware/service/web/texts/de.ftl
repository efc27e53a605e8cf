# Alles, was die Seite auf Deutsch sagt. Der englische Katalog sagt dasselbe; ein Test vergleicht sie.

# Jede Seite
skip-to-content = Zum Inhalt
navigation = Hauptseiten
search = Suche
state = Zustand
setup = Einrichtung
people = Personen
sign-out = Abmelden
to-start = Zur ersten Seite
not-found-title = Nicht gefunden
not-found = Hier ist nichts, oder es ist nicht für Sie.
failed-title = Das hat nicht geklappt
archive-failed = Das Archiv kann das gerade nicht. Versuchen Sie es in einer Minute wieder; bleibt es so, sagen Sie es dem, der sich darum kümmert.
form-old-title = Dieses Formular gilt nicht mehr
form-old = Das Formular war zu lange offen, kam von einer anderen Seite, oder Ihr Browser behält keine Cookies. Es wurde nichts geändert. Gehen Sie zurück, laden Sie die Seite neu und senden Sie es noch einmal.
save = Sichern
later = Später
add = Hinzufügen
remove = wegnehmen
name = Name
date = Datum
month-1 = Januar
month-2 = Februar
month-3 = März
month-4 = April
month-5 = Mai
month-6 = Juni
month-7 = Juli
month-8 = August
month-9 = September
month-10 = Oktober
month-11 = November
month-12 = Dezember
date-written = { $day }. { $month } { $year }
moment = { $day }, { $time }

# In Besitz nehmen
claim-title = Willkommen bei Coffer
claim-welcome = Dieses Mailarchiv ist neu und gehört noch niemandem. Zeigen Sie, dass Sie es vor sich haben, und Sie verwalten es.
claim-code = Besitzcode
claim-code-hint = Das Gerät zeigt ihn auf seinem Bildschirm; auf einem Computer steht er dort, wo Coffer gestartet wurde.
claim-administrator = Verwaltung
claim-administrator-hint = Wer verwaltet, kümmert sich um das Archiv. Mails zu lesen gehört nicht dazu: Das tut jede Person mit den eigenen.
claim-do = Archiv einrichten
claim-wrong = Das ist nicht der Besitzcode.
claimed-already = Das Archiv hat schon jemand in Besitz genommen. Melden Sie sich stattdessen an.

# Anmelden
sign-in = Anmelden
sign-in-hint = Passwort vergessen? Wer sich um das Archiv kümmert, gibt Ihnen ein neues.
sign-in-wrong = Name oder Passwort ist falsch.
sign-in-again = Bitte melden Sie sich noch einmal an.
code-title = Noch ein Schritt
code = Code
code-hint = Die sechs Ziffern, die Ihre Authentifizierungs-App gerade zeigt.
code-wrong = Dieser Code ist falsch oder wurde schon benutzt.
wait = { $seconds ->
    [one] Zu viele Versuche. Bitte warten Sie eine Sekunde.
   *[other] Zu viele Versuche. Bitte warten Sie { $seconds } Sekunden.
  }

# Passwörter
password = Passwort
password-again = Passwort wiederholen
old-password = Bisheriges Passwort
new-password = Neues Passwort
old-password-wrong = Das bisherige Passwort ist falsch.
password-change = Passwort ändern
password-rule = Mindestens 12 Zeichen. Gut und leicht zu merken sind drei oder vier Wörter, die nichts miteinander zu tun haben.
passwords-differ = Die beiden Passwörter sind nicht gleich.
password-short = Dieses Passwort ist zu kurz: Es braucht mindestens 12 Zeichen.
password-long = Dieses Passwort ist zu lang.
password-name = Dieses Passwort besteht aus einem Namen oder einer Adresse. Wählen Sie etwas, das andere nicht erraten.
password-repeats = Dieses Passwort wiederholt sich. Wählen Sie etwas, das andere nicht erraten.
password-row = Dieses Passwort läuft die Tasten entlang. Wählen Sie etwas, das andere nicht erraten.
password-common = Dieses Passwort gehört zu denen, die zuerst probiert werden. Wählen Sie ein anderes.
must-choose-password = Dieses Passwort kennt noch jemand. Wählen Sie ein eigenes, bevor es weitergeht.

# Das eigene Konto
roles = Rollen
no-role = noch keine
role-staff = Mitarbeit: liest die eigenen Mails
role-operator = Betrieb: kümmert sich um das Archiv
role-auditor = Prüfung: liest, was freigegeben wurde
role-privacy-officer = Datenschutz: stimmt weiteren Rechten zu
old-mail-closed = Ihr Passwort wurde zurückgesetzt. Mails von davor bleiben geschlossen, bis der Datenschutz sie öffnet.
sessions = Wo Sie angemeldet sind
session-used = { $peer }, zuletzt benutzt { $used }
session-this = Hier sind Sie gerade.
session-end = Dort abmelden
second-factor = Zweiter Schritt beim Anmelden
second-factor-hint = Mit ihm öffnet ein gestohlenes Passwort allein nichts: Zum Anmelden gehört dann auch ein Code aus einer App auf Ihrem Telefon. Jede Authentifizierungs-App geht.
second-factor-on = Er ist eingeschaltet. Zum Ausschalten braucht es Ihr Passwort und einen Code.
second-factor-begin = Einschalten
second-factor-end = Ausschalten
second-factor-app = Öffnen Sie die Authentifizierungs-App auf Ihrem Telefon und fügen Sie ein Konto hinzu.
second-factor-secret = Tippen Sie diesen Schlüssel ein:
second-factor-link = Auf dem Telefon selbst: in der App öffnen
second-factor-type = Tippen Sie hier die sechs Ziffern ein, die die App dann zeigt.
second-factor-code-wrong = Dieser Code war nicht richtig. Es wurde nichts eingeschaltet. Beginnen Sie noch einmal.
second-factor-end-wrong = Passwort oder Code ist falsch.

# Personen
addresses = Adressen
no-address = noch keine
account-make = Konto anlegen
account-make-hint = Der Name zum Anmelden. Er ändert sich nie und wird nie wieder vergeben. Ein Konto beginnt ohne jedes Recht.
account-change = Ändern
account-disabled = Dieses Konto kann zurzeit nicht benutzt werden.
account-enable = Wieder benutzen lassen
account-disable = Nicht mehr benutzen lassen
address-add = Adresse geben
role-add = Rolle geben
password-issue = Erstes Passwort machen
password-issued = Übergeben Sie dieses Passwort persönlich. Es wird nur einmal gezeigt und muss bei der ersten Anmeldung geändert werden.
proposals = Was wartet
proposals-hint = Alles, wodurch jemand mehr sieht, wartet auf die Zustimmung des Datenschutzes. Wo es keinen gibt, wartet es einen Tag, und alle Betroffenen bekommen Nachricht. Nachrichten gehen über den Mailserver hinaus, den „coffer serve --notices“ nennt; ohne ihn wartet, was eine braucht.
proposed-by = Vorgeschlagen von { $by }
objected = Jemand Betroffenes hat widersprochen. Nun hilft nur noch eine Zustimmung.
approve = Zustimmen
object = Widersprechen
withdraw = Zurückziehen
change-waits = Dadurch sieht jemand mehr, darum wartet es nun. Sie finden es unter „Was wartet“.
change-notice-route = Nachrichten gehen auf anderem Weg hinaus
change-add-role = { $who } bekommt eine Rolle: { $role }
change-give-address = { $who } bekommt eine Adresse: { $address }
change-enable = { $who } kann wieder benutzt werden
change-reset-password = { $who } bekommt von anderen ein neues Passwort
change-reset-second-factor = { $who } verliert den zweiten Schritt beim Anmelden
change-open-old-mail = { $who } darf Mails von vor dem Zurücksetzen wieder lesen
change-release = Für { $who } werden Mails freigegeben
change-other = Für { $who } ändert sich etwas
refused-may-not = Das dürfen Sie nicht.
refused-unknown = Das gibt es nicht mehr.
refused-unsound = Das ändert nichts oder kann nicht sein.
refused-name = Dieser Name geht nicht: Er ist vergeben oder war es früher.
refused-roles = Diese Rollen passen nicht zusammen.
refused-last-operator = Jemand muss den Betrieb behalten.
refused-no-officer = Eine der beiden Personen muss Datenschutz sein und darf nichts davon haben.
refused-not-second = Eine zweite Person muss zustimmen, und keine, die etwas davon hat.
refused-no-own-password = Die Person muss zuerst ein eigenes Passwort wählen.
refused-waiting = Für dieses Konto wartet etwas. Entscheiden Sie zuerst darüber.
refused-too-many = Es sind schon zu viele.

# Vertrauen
trust-title = Diesem Gerät vertrauen
trust-why = Ihr Browser warnt vor dieser Seite, weil er das Gerät nicht kennt. Installieren Sie das Zertifikat des Geräts einmal auf jedem Computer und Telefon, dann ist die Warnung für immer weg. Das Zertifikat spricht nur für Geräte des eigenen Netzes.
trust-download = Zertifikat herunterladen
trust-name = Sein Name
trust-compare = Vergleichen Sie die Ziffern mit denen, die das Gerät auf seinem Bildschirm zeigt, oder „coffer certificate“ auf dem Computer.
trust-windows = Windows
trust-windows-steps =
    Öffnen Sie die heruntergeladene Datei und wählen Sie „Zertifikat installieren“.
    Wählen Sie „Lokaler Computer“, dann „Alle Zertifikate in folgendem Speicher speichern“.
    Wählen Sie „Vertrauenswürdige Stammzertifizierungsstellen“ und beenden Sie den Vorgang.
trust-macos = macOS
trust-macos-steps =
    Öffnen Sie die heruntergeladene Datei; die Schlüsselbundverwaltung fragt nach dem Ort: Wählen Sie „System“.
    Öffnen Sie dort das Zertifikat, klappen Sie „Vertrauen“ auf und wählen Sie „Immer vertrauen“.
trust-ios = iPhone und iPad
trust-ios-steps =
    Laden Sie die Datei mit Safari herunter und erlauben Sie das Profil.
    Öffnen Sie in den Einstellungen „Profil geladen“ und installieren Sie es.
    Schalten Sie es unter Allgemein, Info, Zertifikatsvertrauenseinstellungen ein.
trust-android = Android
trust-android-steps =
    Suchen Sie in den Einstellungen nach „CA-Zertifikat“.
    Wählen Sie „Trotzdem installieren“ und dann die heruntergeladene Datei.
trust-firefox = Firefox
trust-firefox-steps =
    Suchen Sie in den Einstellungen nach „Zertifikate“ und wählen Sie „Zertifikate anzeigen“.
    Importieren Sie unter „Zertifizierungsstellen“ die heruntergeladene Datei und haken Sie „Websites identifizieren“ an.

# Suchen
search-field = Mails suchen
search-example = Wörter, Namen, from: to: subject: …
search-do = Suchen
query-long = Das ist zu lang zum Suchen.
query-wrong = So geschrieben kann danach nicht gesucht werden. Die Beispiele zeigen, was geht.
found = { $count ->
    [0] Nichts gefunden
    [one] Eine Nachricht
   *[other] { $shown } Nachrichten
  }
found-nothing-hint = Versuchen Sie weniger oder andere Wörter. Gesucht wird nur in Ihren Mails.
filter-attachment = nur mit Anhang
filter-large = nur über 5 MB
attachments = { $count ->
    [one] Ein Anhang
   *[other] { $count } Anhänge
  }
no-subject = (kein Betreff)
pages = Seiten mit Ergebnissen
page-before = Neuere
page-next = Ältere
page-of = Seite { $page } von { $last }
help-title = So wird gesucht
help-from = von jemandem
help-to = an eine Adresse
help-subject = Wörter des Betreffs, beieinander
help-dates = in einer Zeit
help-attachment = mit einem Anhang dieses Namens
help-not = ein Wort, ohne ein anderes
help-prefix = Wörter, die so beginnen

# Lesen
message = Nachricht
from = Von
to = An
cc = Kopie an
back-to-results = Zurück zu den Ergebnissen
unchanged-since = Unverändert seit { $since }, Eintrag { $number }
unchanged-means = Das Archiv hat diese Nachricht genau so behalten, wie sie ankam. Die Datei unten beweist das jedem, der den Schlüssel dieses Archivs hat, ohne das Archiv zu fragen: „coffer verify“ und andere prüfen sie.
download-proof = Beweis herunterladen
view-html = Wie gesendet
view-text = Nur Text
view-source = Kopf und Quelltext
views = Ansichten der Nachricht
download-eml = Herunterladen
remote-left-out = Bilder von anderswo wurden weggelassen: Sie zu laden würde dem Absender verraten, dass die Mail gelesen wurde.
source-cut = Nur der Anfang wird gezeigt. Die heruntergeladene Datei hat alles.
message-too-large = Diese Nachricht ist zu groß zum Zeigen. Sie kann so heruntergeladen werden, wie sie ankam.
attachment = Anhang
look-at = Ansehen

# Zustand
all-is-well = Alles ist in Ordnung.
messages = Nachrichten
arrivals = Eingänge
bytes-of-mail = Größe der Mails
bytes-on-disk = Belegter Platz
bytes-left = Freier Platz für Mails
second-disk = Zweite Festplatte
second-disk-none = keine
second-disk-unknown = noch nicht angesehen
second-disk-in-step = im Gleichschritt: alles ist auf beiden
second-disk-catching-up = holt auf
second-disk-detached = abgehängt
second-disk-diverged = eigene Wege gegangen
second-disk-too-small = zu klein
found-up-to = Durchsuchbare Einträge
key-title = Der Schlüssel dieses Archivs
key-hint = Bewahren Sie diese Zeile außerhalb des Archivs auf, zum Beispiel im Tresor. Mit ihr kann jeder prüfen, dass nichts verändert wurde, auch nicht von denen, die sich um das Archiv kümmern.
warning-detached = Die zweite Festplatte ist abgehängt: Mails liegen nur auf einer. Prüfen Sie Kabel und Strom und starten Sie Coffer neu.
warning-diverged = Beide Festplatten wurden einzeln gestartet, und jede hat, was der anderen fehlt. Zwischen ihnen wird nichts kopiert. Entscheiden Sie, mit welcher es weitergeht.
warning-too-small = Die zweite Festplatte ist kleiner als die erste und wird nicht benutzt. Nehmen Sie eine größere.
warning-no-mail = Es ist noch keine Mail gekommen. Die Einrichtung zeigt, wie Mails hierher kommen.

# Einrichtung
setup-hint = Jeder Schritt kann warten und später geändert werden. Nichts davon hält Mails auf.
setup-lacks = Noch nicht in dieser Version: Zustandsmails, Updates, eigene Zertifikate.
step-open = offen
step-on = an
step-language = Sprache und Zeitzone
step-mail = Woher die Mails kommen
step-retention = Wie lange Mails bleiben
step-updates = Wann Updates kommen dürfen
step-status-mail = Wer Zustandsmails bekommt
step-people = Personen und ihre Adressen
setting-wrong = So kann das nicht bleiben. Bitte prüfen Sie es.
language = Sprache von Nachrichten und Zustandsmails
language-hint = Die Seiten richten sich nach dem Browser dessen, der sie liest.
time-zone = Zeitzone
zone-central = Mitteleuropa (Berlin, Wien, Zürich)
zone-western = Westeuropa (London, Dublin, Lissabon)
zone-eastern = Osteuropa (Helsinki, Athen, Sofia)
zone-utc = Weltzeit (UTC)
retention-hint = Das Gesetz verlangt von Kaufleuten und vielen anderen, Briefe 6 Jahre, Belege und Abschlüsse 8 oder 10 Jahre aufzubewahren, jeweils ab Ende des Jahres. Fragen Sie im Zweifel Ihre Steuerberatung.
retention-legend = Mails bleiben
retention-only-written = Das wird jetzt festgehalten. Diese Version von Coffer entfernt nichts, was immer hier steht.
years = { $years } Jahre
years-forever = für immer
update-hour = Stunde der Nacht
update-only-written = Das wird jetzt festgehalten. Diese Version von Coffer installiert Updates noch nicht selbst.
status-mail-to = Adresse
status-mail-hint = Leer lassen für niemanden.
status-mail-only-written = Das wird jetzt festgehalten. Diese Version von Coffer verschickt noch keine Mails; die Seite „Zustand“ zeigt, was darin stünde.
mail-hint = Ihr Mailserver schickt von jeder Mail eine Kopie an dieses Archiv. Das heißt Journaling. Tragen Sie dort Folgendes ein.
mail-host = Server
mail-ports = Adresse und Port
mail-no-port = keiner: Starten Sie Coffer mit --smtp
mail-allowed = Darf senden
mail-allowed-hint = Nur diese Netze dürfen senden, damit niemand von außen das Archiv füllt. Für weitere starten Sie Coffer mit --allow und deren Netz.
mail-wait = Auf die erste Mail warten
mail-waiting = Warten auf die erste Mail. Diese Seite zeigt sie von selbst, sobald sie da ist.
mail-arrived = { $count ->
    [one] Die erste Mail ist angekommen.
   *[other] { $shown } Nachrichten sind angekommen.
  }
send-exchange = Exchange Server
send-exchange-steps =
    Legen Sie einen Sendeconnector für den Adressraum archive.invalid mit { $host } als Smarthost an.
    Legen Sie einen E-Mail-Kontakt mit der Adresse journal@archive.invalid an.
    Legen Sie eine Journalregel für alle Nachrichten an, die an diesen Kontakt sendet.
send-microsoft365 = Microsoft 365
send-microsoft365-steps =
    Microsoft 365 sendet über das Internet: Das Archiv braucht einen öffentlichen Namen und den weitergeleiteten Port 25, nur für die Netze von Microsoft.
    Legen Sie einen Connector von Microsoft 365 zum Server Ihrer Organisation mit diesem Namen an.
    Legen Sie in Purview unter Datenlebenszyklusverwaltung eine Journalregel für alle Nachrichten an eine Adresse dieses Namens an.
send-google = Google Workspace
send-google-steps =
    Google sendet über das Internet: Das Archiv braucht einen öffentlichen Namen und den weitergeleiteten Port 25, nur für die Netze von Google.
    Fügen Sie in der Admin-Konsole unter Gmail, Routing ein Archiv eines anderen Anbieters mit einer Adresse dieses Namens hinzu.
send-postfix = Postfix
send-postfix-steps =
    Setzen Sie in main.cf: always_bcc = journal@archive.invalid
    Tragen Sie in die Transporttabelle ein: archive.invalid smtp:[{ $host }]
    Rufen Sie postmap für die Tabelle auf und laden Sie Postfix neu.
back-to-setup = Zurück zur Einrichtung

# Protokoll
log = Protokoll
log-hint = Wer was tat, wann und von wo. Sie sehen so viel davon, wie Ihre Rolle erlaubt. Ändern kann es niemand.
log-account = Name eines Kontos
log-filter = Zeigen
log-entry = Eintrag { $number }
event-archive-created = Archiv angelegt
event-started = Coffer gestartet
event-stopped = Coffer beendet
event-command-run = Befehl ausgeführt
event-viewed = Nachricht gelesen
event-searched = Gesucht
event-exported = Herausgegeben
event-signed-in = Angemeldet
event-sign-in-failed = Anmeldung misslungen
event-setting-changed = Einstellung geändert
event-account-changed = Konto geändert
event-key = Signaturschlüssel
event-member-attached = Festplatte dazugekommen
event-member-detached = Festplatte abgehängt
event-alarm = Alarm
event-verified = Geprüft
event-rebuilt = Katalog und Index neu gemacht
event-mended = Schaden behoben
event-change-proposed = Weitere Rechte vorgeschlagen
event-change-approved = Weiteren Rechten zugestimmt
event-change-objected = Weiteren Rechten widersprochen
event-change-dropped = Vorschlag fallen gelassen
event-notice-given = Nachricht an Betroffene
event-register-kept = Verzeichnis der Personen verglichen
event-session-ended = Abgemeldet
