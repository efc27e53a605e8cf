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
short-date = { $day }. { $month }
duration-short = weniger als eine Stunde
duration-hours = { $count ->
    [one] eine Stunde
   *[other] { $count } Stunden
  }
duration-days = { $count ->
    [one] ein Tag
   *[other] { $count } Tage
  }
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

# Solange es kein Archiv gibt
recovery-title = Coffer hilft aus
recovery-nothing-starts = Auf diesem Gerät startet keine andere Version von Coffer. Version { $version } läuft aus dem Notfallplatz, damit Sie es wieder in Ordnung bringen.
recovery-too-old = Version { $version } läuft, aber neuere haben schon mit dem Archiv gearbeitet. Öffnen darf es nur Version { $floor } oder eine neuere.
recovery-mail = Das Archiv ist geschlossen und bleibt, wie es ist. Mails werden vorläufig abgewiesen und von den Absendern später wieder gebracht.
recovery-code-hint = Das Gerät zeigt ihn auf seinem Bildschirm; solange niemand das Archiv in Besitz genommen hat, steht er auch in der Datei COFFER.TXT auf seinem Stick.
recovery-others = Eine andere Version starten
recovery-others-hint = Die gewählte Version muss sich bewähren: Gelingt das dreimal nicht, kommt diese Seite wieder.
recovery-was-good = Version { $version } hat hier schon gearbeitet.
recovery-was-not = Version { $version } hat sich hier nicht bewährt.
recovery-start = Version { $version } starten
recovery-restart = Wie sonst neu starten
recovery-look = Noch einmal nachsehen
no-archive-title = Es wird noch nichts archiviert
no-archive-welcome = Dieses Gerät hat noch keine Archivplatte. Mails werden vorläufig abgewiesen und von den Absendern später wieder gebracht. Sie gehen nicht verloren, aber sie warten.
no-archive-opens = Das Archiv wird geöffnet. Das dauert einige Sekunden.
no-archive-go-on = Weiter
disks-title = Eine Platte zur Archivplatte machen
disks-none = Es ist keine Platte angeschlossen. Schließen Sie eine an und laden Sie diese Seite neu.
disks-choose = Welche?
disk-serial = Seriennummer
disk-blank = Sie ist leer.
disk-foreign = Darauf ist etwas: { $found }
disk-boot-medium = Von ihr ist das Gerät gestartet.
disk-in-use = Sie ist in Gebrauch.
disk-locked = Eine Archivplatte. Sie braucht ihren Wiederherstellungsschlüssel.
disk-unreadable = Sie kann nicht gelesen werden.
disk-warning = Alles, was auf der gewählten Platte ist, geht verloren.
disk-confirmation = Zur Bestätigung
disk-confirmation-hint = Die letzten vier Zeichen der Seriennummer der Platte; hat sie keine, ihr Name in Klammern.
disk-takes-time = Das dauert bis zu einigen Minuten. Schalten Sie das Gerät solange nicht aus.
disk-do = Platte löschen und zur Archivplatte machen
disk-wrong-confirmation = Das ist nicht, was die Platte zur Bestätigung verlangt. Es wurde nichts geändert.
disk-not-this = Diese Platte kann keine Archivplatte werden, oder sie ist nicht mehr da.
disk-no-boot-medium = Das Startmedium ist nicht da oder nicht lesbar. Der Schlüssel der Platte könnte nicht aufbewahrt werden.
disk-failed = Das hat nicht geklappt: { $why }
disks-second = Eine zweite Archivplatte hält alles noch einmal. Jede der beiden macht allein weiter, wenn die andere ausfällt. Sie muss mindestens so groß sein wie die erste.
machine = Gerät
machine-end = Ausschalten
machine-end-hint = Was gerade ankommt, wird erst fertig. Der Knopf am Gerät schaltet ebenso aus.
machine-restart = Neu starten
machine-power-off = Ausschalten und aus lassen
machine-restarts = Das Gerät startet neu. Das dauert etwa eine Minute.
machine-powers-off = Das Gerät schaltet sich aus.
network = Netzwerk
network-change = Name, Adresse und Server zeigen und ändern
network-hint = Was leer bleibt, gibt das Netzwerk selbst vor (DHCP). IPv6-Adressen kommen immer aus dem Netzwerk.
network-hostname = Name
network-hostname-hint = Buchstaben, Ziffern und Bindestriche. Die Seite ist dann unter https://NAME.local. Wer angemeldet ist, meldet sich unter dem neuen Namen neu an.
network-address = Feste Adresse
network-address-hint = Mit den Bits ihres Netzes, zum Beispiel 192.168.1.20/24.
network-router = Router
network-router-hint = Nur zu einer festen Adresse.
network-dns = Nameserver
network-dns-hint = Bis zu drei Adressen, durch Leerzeichen getrennt. Eine feste Adresse ohne Nameserver fragt den Router.
network-ntp = Zeitserver
network-ntp-hint = Bis zu drei Adressen, durch Leerzeichen getrennt. Sie werden vor denen des Netzwerks gefragt.
network-addresses = Adressen jetzt
network-two-minutes = Eine Änderung gilt zunächst zwei Minuten. Wer dann die Seite öffnet und bestätigt, behält sie; sonst ist alles wieder wie vorher.
network-try = Änderung ausprobieren
network-on-trial = Die Änderung gilt gleich. Öffnen Sie die Seite innerhalb von zwei Minuten unter einer dieser Adressen und bestätigen Sie:
network-else-undone = Bestätigt niemand, gelten wieder die Einstellungen von vorher.
network-unconfirmed = Diese Einstellungen sind noch nicht behalten. Sie werden in { $seconds } Sekunden zurückgenommen.
network-confirm = Einstellungen behalten
network-unknown = Wie das Netzwerk eingestellt ist, lässt sich gerade nicht feststellen.
network-wrong-hostname = Ein Name hat Buchstaben, Ziffern und Bindestriche im Inneren, höchstens 63 Zeichen. Nichts wurde geändert.
network-wrong-address = Das ist nicht die Adresse eines Geräts mit den Bits ihres Netzes. Nichts wurde geändert.
network-wrong-router = Der Router muss eine andere Adresse desselben Netzes sein. Nichts wurde geändert.
network-wrong-servers = Server werden mit bis zu drei IPv4-Adressen angegeben. Nichts wurde geändert.
network-nothing-to-confirm = Es gibt keine Änderung zu bestätigen, oder sie ist schon zurückgenommen.
machine-reset = Zurücksetzen
machine-reset-hint = Stellt alles, wonach die Einrichtung fragt, und das Netzwerk wieder so ein wie am Anfang. Archiv, Archivplatten, Personen mit ihren Rechten und das Zertifikat bleiben, wie sie sind.
machine-reset-do = Alle Einstellungen zurücksetzen
machine-reset-by-file = Wer nicht mehr hineinkommt, legt an einem anderen Computer in die erste Partition des Startmediums eine Datei RESET.TXT, in deren erster Zeile der Anmeldename eines Betreibers steht. Beim nächsten Start werden die Netzwerkeinstellungen vergessen, und der Bildschirm am Gerät zeigt ein neues Passwort für ihn. Mit Tastatur und Bildschirm geht es schneller: beim Einschalten die Leertaste halten und „Netz und Passwort zurücksetzen“ wählen.
machine-log = Meldungen des Geräts
machine-log-show = Zeigen, was das Gerät gemeldet hat
machine-log-hint = Für die Fehlersuche: was System und Dienste gemeldet haben, mit den Sekunden seit dem Start des Geräts. Nichts aus archivierten Mails.
machine-log-since-start = seit dem Start
machine-log-kept = auch von früheren Starts
machine-log-file = Als Datei speichern
machine-log-find = Zeilen mit
machine-log-search = Zeigen
machine-log-lines = Die neuesten { $shown } Zeilen von { $all }
machine-log-failed = Die Meldungen sind nicht lesbar: { $why }
recovery-key = Wiederherstellungs­schlüssel
recovery-key-made = Die Archivplatte ist fertig. Das ist ihr Wiederherstellungsschlüssel:
recovery-key-keep = Drucken Sie ihn aus oder schreiben Sie ihn ab, und bewahren Sie ihn getrennt vom Gerät auf. Er öffnet die Platte, wenn das Startmedium kaputt ist oder fehlt, und er wird nicht noch einmal gezeigt.
unlock-title = Archivplatten öffnen
unlock-hint = Es ist eine Archivplatte angeschlossen, deren Schlüssel dieses Gerät nicht hat.
unlock-do = Öffnen
unlock-wrong = Mit diesem Schlüssel geht keine der Platten auf.
guess-too-soon = Gerade war ein Code oder Schlüssel falsch. Warten Sie zwei Sekunden und versuchen Sie es noch einmal.

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
no-role = noch keine Rolle
role-staff = Mitarbeit: liest die eigenen Mails
role-operator = Betrieb: kümmert sich um das Archiv
role-auditor = Prüfung: liest, was freigegeben wurde
role-privacy-officer = Datenschutz: stimmt weiteren Rechten zu
old-mail-closed = Ihr Passwort haben andere gemacht. Mails von davor bleiben geschlossen, bis ihrer Öffnung zugestimmt wurde.
old-mail-ask = Um Öffnung bitten
old-mail-asked = Sie haben darum gebeten. Alte Mails werden geöffnet, sobald zugestimmt wurde, oder von selbst nach einem Tag, wo niemand für den Datenschutz da ist.
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
second-factor-scan = Nehmen Sie damit dieses Bild auf.
second-factor-code = QR-Code mit dem Schlüssel, der auch unten steht
second-factor-secret = Ohne Kamera: Tippen Sie diesen Schlüssel ein:
second-factor-link = Auf dem Telefon selbst: in der App öffnen
second-factor-type = Tippen Sie hier die sechs Ziffern ein, die die App dann zeigt.
second-factor-code-wrong = Dieser Code war nicht richtig. Es wurde nichts eingeschaltet. Beginnen Sie noch einmal.
second-factor-end-wrong = Passwort oder Code ist falsch.
tokens = Zugänge für Programme
tokens-hint = Mit einem solchen Zugang (Token) sucht und holt ein Programm von Ihnen wie Sie auf dieser Seite, und jedes Mal steht es im Protokoll. Es sieht, was die Rolle sieht, an die es gebunden ist, nie mehr. Wie es fragt, beschreibt
token-new = Zugang anlegen
token-name = Name des Zugangs
token-name-hint = Das Programm, das ihn bekommt, damit Sie später wissen, was beendet werden kann.
token-name-wrong = Ein Zugang braucht einen Namen.
token-bond = Was er darf
token-days = Endet nach
token-make = Zugang anlegen
token-made = Das ist der Zugang. Er wird nur einmal gezeigt: Tragen Sie ihn jetzt in das Programm ein.
token-password-wrong = Das Passwort ist falsch.
token-no-role = Sie haben noch keine Rolle, also könnte ein Zugang nichts tun.
token-unused = nie benutzt
token-until = endet { $until }
token-end = Diesen Zugang beenden
scope-mail = Post suchen, lesen und mitnehmen
scope-health = Nur fragen, wie es dem Archiv geht
days = { $days } Tage

# Personen
addresses = Adressen
no-address = noch keine Adresse
account-make = Konto anlegen
account-make-hint = Der Name zum Anmelden. Er ändert sich nie und wird nie wieder vergeben. Ein Konto beginnt ohne jedes Recht.
account-change = Ändern
people-all = Alle Personen
people-further = Weitere
account-show = Ansehen
addresses-more = { $count ->
    [one] und eine weitere
   *[other] und { $count } weitere
  }
account-number = Konto { $number }
account-disabled = Dieses Konto kann zurzeit nicht benutzt werden.
account-enable = Wieder benutzen lassen
account-disable = Nicht mehr benutzen lassen
reset-password = Neues Passwort vorschlagen
reset-second-factor = Ende des zweiten Anmeldeschritts vorschlagen
open-old-mail = Öffnung alter Mails vorschlagen
address-add = Adresse geben
role-add = Rolle geben
password-issue = Erstes Passwort machen
password-issued = Übergeben Sie dieses Passwort persönlich. Es wird nur einmal gezeigt und muss bei der ersten Anmeldung geändert werden.
proposals = Was wartet
proposals-hint = Alles, wodurch jemand mehr sieht, wartet auf die Zustimmung des Datenschutzes. Wo es keinen gibt, wartet es einen Tag, und alle Betroffenen bekommen Nachricht. Nachrichten gehen über den Server für ausgehende Mails hinaus, den die Einrichtung nennt; ohne ihn wartet, was eine braucht. Ist er für immer fort und gibt es keinen Datenschutz, so wird ein anderer wirksam, wenn er 30 Tage lang ohne Widerspruch auf jeder Seite stand.
proposed-by = Vorgeschlagen von { $by }
notices-given = Nachrichten: { $given } von { $all } sind hinausgegangen.
proposal-shown = Das steht seit { $days } von { $all } Tagen bei allen auf jeder Seite. Danach wird es wirksam, auch wenn keine Nachricht hinausgehen konnte, falls niemand widerspricht.
standing-route = Nachrichten und Zustandsmails sollen über einen anderen Mailserver hinausgehen: { $server }. Wer nicht einverstanden ist, kann widersprechen.
standing-proposals = { $count ->
    [one] Eine Änderung von Rechten wartet, der Sie widersprechen können.
   *[other] { $count } Änderungen von Rechten warten, denen Sie widersprechen können.
  }
standing-look = Ansehen
notices-no-server = Es ist kein Server für ausgehende Mails eingerichtet, darum kann keine hinausgehen. Die Einrichtung hat einen Schritt dafür.
objected = Jemand Betroffenes hat widersprochen. Nun hilft nur noch eine Zustimmung.
approve = Zustimmen
object = Widersprechen
withdraw = Zurückziehen
change-waits = Dadurch sieht jemand mehr, darum wartet es nun. Sie finden es unter „Was wartet“.
change-notice-route = Nachrichten und Zustandsmails gehen über einen anderen Mailserver hinaus: { $server }
change-add-role = { $who } bekommt eine Rolle: { $role }
change-give-address = { $who } bekommt eine Adresse: { $address }
change-enable = { $who } kann wieder benutzt werden
change-reset-password = { $who } bekommt von anderen ein neues Passwort
change-reset-second-factor = { $who } verliert den zweiten Schritt beim Anmelden
change-open-old-mail = { $who } darf Mails von vor dem Zurücksetzen wieder lesen
change-release = Für { $who } werden Mails freigegeben, bis einschließlich { $until }: { $query }
change-other = Für { $who } ändert sich etwas
release = Mails freigeben
release-query = Mails, die hiermit gefunden werden
release-hint = Wie im Suchfeld, zum Beispiel „betreff:Rechnung nach:2024“. Alle Mails sind nicht möglich.
release-until = Bis einschließlich
release-reason = Wozu
released = Freigegeben
released-until = { $query }, bis einschließlich { $until }
release-end = beenden
change-rename = { $who } wird als { $display } gezeigt
table-title = Konten aus einer Tabelle
table-hint = Eine Tabelle mit einer Zeile für jede Person, wie jede Tabellenkalkulation sie speichert (CSV). Nichts geschieht, bevor Sie gesehen haben, was geschehen würde.
table-example =
    name;display name;roles;addresses
    kim;Kim Meier;staff;kim@office.example
    lee;Lee Adams;staff operator;lee@office.example info@office.example
table-field = Die Tabelle
table-field-hint = Fügen Sie sie hier ein. Die erste Zeile nennt die Spalten; nötig ist nur „name“. Eine Tabelle nimmt niemandem etwas weg. Nehmen Sie für mehr als ein paar hundert Personen mehrere.
table-file = Oder wählen Sie eine Datei
table-try = Zeigen, was geschehen würde
table-planned = Das würde geschehen
table-do = Ausführen
table-done = Das wurde getan.
table-empty = Die Tabelle ist leer.
table-line = Zeile
table-what = Was geschieht
table-made = Das Konto wird angelegt. Es beginnt ohne Rechte und ohne Passwort.
table-at-once = { $change }
table-waits = { $change }: wartet
table-nothing = nichts: alles ist schon so
table-no-name = Die erste Zeile nennt keine Spalte „name“.
table-long = Eine Tabelle hat höchstens 1.000 Zeilen. Diese und alle folgenden wurden weggelassen.
table-quote = Hier wird ein Anführungszeichen geöffnet und nie geschlossen. Der Rest der Tabelle wurde weggelassen.
table-role = Diese Rolle gibt es nicht: { $role }. Es gibt staff, operator, auditor und privacy-officer.
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
query-wrong = So geschrieben kann danach nicht gesucht werden.
query-understood = Gesucht wurde nach Nachrichten mit allem von:
query-alone = allein danach suchen
query-everything = jede Nachricht
query-nothing = nichts, wonach gesucht werden kann
query-words = „{ $value }“
query-phrase = „{ $value }“, genau so
query-prefix = Wörter, die mit „{ $value }“ beginnen
query-in-from = von { $value }
query-in-to = an { $value }
query-in-cc = Kopie an { $value }
query-in-bcc = Blindkopie an { $value }
query-in-subject = { $value }, im Betreff
query-in-body = { $value }, im Text
query-in-filename = { $value }, im Namen eines Anhangs
query-before = vor dem { $value }
query-after = ab dem { $value }
query-larger = größer als { $value }
query-smaller = kleiner als { $value }
query-attachment = ein Anhang
query-id = die Message-ID { $value }
query-number = Eintrag { $value }
query-and = und
query-or = oder
query-not = nicht { $value }
query-many = Das sind zu viele Wörter zum Suchen. Lassen Sie weg, was vor Zeichen { $at } steht.
query-deep = Das sind zu viele Klammern ineinander. Lassen Sie die bei Zeichen { $at } weg.
note-unknown-field = „{ $value }:“ ist kein Filter; danach wurde als Wort gesucht.
note-empty-field = Hinter „{ $value }“ steht nichts; danach wurde als Wort gesucht.
note-no-date = „{ $value }“ ist kein Datum; danach wurde als Wörter gesucht. Schreiben Sie 2024, 2024-03 oder 31.03.2024.
note-no-size = „{ $value }“ ist keine Größe; danach wurde als Wörter gesucht. Schreiben Sie 500k oder 5M.
note-no-number = „{ $value }“ ist keine Nummer; danach wurde als Wörter gesucht.
note-unknown-feature = Bei „has:“ gibt es nur has:attachment; nach „{ $value }“ wurde als Wörter gesucht.
note-nothing = „{ $value }“ hat keinen Buchstaben und keine Ziffer und wurde weggelassen.
note-star = Ein Stern wirkt nur am Ende eines Wortes: „{ $value }“.
note-lone-operator = „{ $value }“ verbindet nichts und wurde weggelassen. In Anführungszeichen wird danach als Wort gesucht.
note-or = OR trennt alle Wörter davor von allen danach. Klammern ändern das.
note-quote = Ein Anführungszeichen ist nicht geschlossen; es reicht bis zum Ende.
note-parenthesis = Eine Klammer ist nicht geschlossen; sie reicht bis zum Ende.
note-stray-parenthesis = Eine schließende Klammer ohne öffnende wurde weggelassen.
filter-from = von { $name }
filter-year = nur { $year }
filter-older = vor { $year }
filters = Suche eingrenzen
found = { $count ->
    [0] Nichts gefunden
    [one] Eine Nachricht
   *[other] { $shown } Nachrichten
  }
found-nothing-hint = Versuchen Sie weniger oder andere Wörter. Gesucht wird nur in Ihren Mails.
filter-attachment = nur mit Anhang
filter-large = nur über 5 MB
picture-in-text = Bild im Text, das dort nicht gezeigt wird
pictures-in-text = { $count ->
    [one] Ein Bild im Text
   *[other] { $count } Bilder im Text
  }
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
choose = Auswählen: { $subject }
take-along = Mehrere Nachrichten mitnehmen
take-along-hint = Kreuzen Sie oben Nachrichten an, oder nehmen Sie alle gefundenen. Die Datei entsteht, während Sie warten; Sie können so lange weiterarbeiten.
take-which = Welche
take-chosen = Die angekreuzten Nachrichten
take-all = { $count ->
    [one] Die eine gefundene Nachricht
   *[other] Alle { $shown } gefundenen Nachrichten
  }
take-format = Als
take-zip = Zip-Datei mit Nachweisen: zeigt jedem, dass nichts verändert wurde
take-mbox = Mbox-Datei, die Mailprogramme lesen
take-do = Datei erstellen
take-nothing = Es ist keine Nachricht angekreuzt.
exports = Dateien zum Mitnehmen
exports-none = Es gibt keine. Unter den Ergebnissen einer Suche lassen sie sich machen.
exports-hint = Jede Datei fasst bis zu { $count } Nachrichten und { $size } Post und wird einen Tag lang aufgehoben.
export = Datei zum Mitnehmen
export-chosen = { $count ->
    [one] Eine ausgewählte Nachricht
   *[other] { $count } ausgewählte Nachrichten
  }
export-everything = Alle Post, die Sie sehen dürfen
export-found = Alles, was gefunden wurde mit: { $query }
export-waits = Sie wartet, bis die Dateien vor ihr erstellt sind.
export-runs = Sie entsteht: { $done } von { $total } Nachrichten. Diese Seite zeigt sie von selbst, sobald sie da ist.
export-done = { $count ->
    [one] Eine Nachricht, { $size }.
   *[other] { $shown } Nachrichten, { $size }.
  }
export-left-out = { $count ->
    [one] Eine Nachricht fehlt: Sie ist beschädigt, oder ihr Kopf nennt Empfänger, die vor Ihnen verborgen sind. Sie kann einzeln geladen werden.
   *[other] { $count } Nachrichten fehlen: Sie sind beschädigt, oder ihr Kopf nennt Empfänger, die vor Ihnen verborgen sind. Jede kann einzeln geladen werden.
  }
export-kept = Sie wird einen Tag lang aufgehoben.
export-fetch = Herunterladen
export-cancel = Abbrechen
export-remove = Datei entfernen
export-again = Noch einmal erstellen
export-cancelled = Abgebrochen, oder die Datei wurde entfernt.
export-too-many = Es sind zu viele Nachrichten. Suchen Sie nach weniger, zum Beispiel nach einem Jahr.
export-too-large = Die Post ist zu groß für eine Datei. Suchen Sie nach weniger, zum Beispiel nach einem Jahr.
export-no-room = Auf der Platte ist kein Platz dafür: Was frei ist, ist für neue Post.
export-signed-out = Abgebrochen, weil Sie sich abgemeldet haben oder das nicht mehr dürfen.
export-busy = Es warten schon zu viele Dateien. Versuchen Sie es in einigen Minuten wieder.
help-keys = Tasten: / geht zum Feld, j und k von Ergebnis zu Ergebnis, Enter öffnet eines, Esc führt zurück, n und p blättern.

# Lesen
message = Nachricht
from = Von
to = An
cc = Kopie an
back-to-results = Zurück zu den Ergebnissen
unchanged-since = Unverändert seit { $since }, Eintrag { $number }; der nächste signierte Prüfpunkt wird ihn enthalten
unchanged-signed = Unverändert seit { $since }, Eintrag { $number }, Prüfpunkt { $checkpoint }
unchanged-means = Das Archiv hat diese Nachricht genau so behalten, wie sie ankam. Die Datei unten beweist das jedem, der den Schlüssel dieses Archivs hat, ohne das Archiv zu fragen: „coffer verify“ und andere prüfen sie.
download-proof = Beweis herunterladen
view-html = Wie gesendet
view-text = Nur Text
view-source = Kopf und Quelltext
view-print = Druckansicht
print = Drucken
back-to-message = Zurück zur Nachricht
views = Ansichten der Nachricht
download-eml = Herunterladen
remote-left-out = Bilder von anderswo wurden weggelassen: Sie zu laden würde dem Absender verraten, dass die Mail gelesen wurde.
source-cut = Nur der Anfang wird gezeigt. Die heruntergeladene Datei hat alles.
message-too-large = Diese Nachricht ist zu groß zum Zeigen. Sie kann so heruntergeladen werden, wie sie ankam.
attachment = Anhang
preview-of = Vorschau von { $name }
show-text = Text zeigen
download-attachment = Anhang herunterladen
attachment-text-means = Nur die Wörter des Anhangs, ohne seine Gestaltung und Bilder. Es gilt der Anhang selbst.
attachment-text-cut = Im Anhang steht mehr, als hier gezeigt wird. Wer ihn herunterlädt, hat alles.
no-text-unknown-kind = Der Text von Anhängen dieser Art kann nicht gezeigt werden.
no-text-encrypted = Der Anhang ist durch ein Passwort geschützt, deshalb kann sein Text nicht gezeigt werden. Sie können ihn herunterladen und mit dem Passwort öffnen.
no-text-damaged = Der Anhang ist beschädigt oder nicht das, was er zu sein vorgibt, deshalb kann sein Text nicht gezeigt werden. Sie können ihn so herunterladen, wie er ankam.
no-text-too-large = Der Anhang ist zu groß, um seinen Text zu zeigen. Sie können ihn herunterladen.
no-text-no-words = Im Anhang steht kein Text. Vielleicht enthält er Bilder von Seiten, etwa einen Scan.
no-text-lost = Den Text zu lesen ist misslungen oder hat zu lange gedauert. Der Anhang selbst ist unversehrt und kann heruntergeladen werden.

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
index-lag = { $count ->
    [0] alle
    [one] alle bis auf einen, der gleich folgt
   *[other] alle bis auf { $shown }, die gleich folgen
  }
clock = Uhr
clock-synchronised = { $now }, abgeglichen
clock-alone = { $now }, nicht abgeglichen: Niemand sonst bestätigt sie
forecast-young = wie lange das reicht, lässt sich erst nach zwei Wochen mit Mails sagen
forecast-no-pace = zuletzt kamen keine Mails, deshalb lässt sich nicht sagen, wie lange das reicht
forecast-long = reicht für mehr als 30 Jahre, wenn es so weitergeht wie in den letzten 90 Tagen
forecast-days = { $count ->
    [one] reicht etwa einen Tag, wenn es so weitergeht wie in den letzten 90 Tagen
   *[other] reicht etwa { $count } Tage, wenn es so weitergeht wie in den letzten 90 Tagen
  }
forecast-months = reicht etwa { $count } Monate, wenn es so weitergeht wie in den letzten 90 Tagen
forecast-years = reicht etwa { $count } Jahre, wenn es so weitergeht wie in den letzten 90 Tagen
plot-title = Mails der letzten { $days } Tage
plot-spans = Gezeigte Tage
plot-span = { $days } Tage
plot-description = { $count ->
    [0] Vom { $from } bis zum { $until } kam nichts.
    [one] Vom { $from } bis zum { $until } kam eine Mail.
   *[other] Vom { $from } bis zum { $until } kamen { $shown } Mails, nach Tag und Quelle.
  }
plot-table = Dasselbe als Tabelle
sources = Quellen
sources-none = Es ist noch von nirgends eine Mail gekommen.
source = Quelle
source-last = Letzte Mail
source-silent = Still seit
source-smtp = { $name } (SMTP)
source-smtp-others = andere Absender (SMTP)
source-pull = { $name } (abgeholt)
source-files = importierte Dateien
source-others = andere
checked-title = Letzte Prüfung der Festplatten
checked-hint = Das Archiv liest jede Festplatte einmal im Monat ganz durch, während keine Mails kommen, und vergleicht jedes Byte mit seinen Prüfsummen.
first-disk = Erste Festplatte
checked-nothing-sealed = Noch ist kein Band voll. Vom ersten vollen an wird jeder geprüft.
checked-never = Noch nicht geprüft.
checked-read = { $read } von { $sealed } vollen Bänden sind geprüft, zwischen dem { $oldest } und dem { $newest }.
checked-whole = Alles war, wie es sein soll.
checked-damage = { $count ->
    [one] Eine Stelle ist beschädigt.
   *[other] { $count } Stellen sind beschädigt.
  }
updates-title = Updates
updates-none = Dies ist Coffer { $version }. Diese Fassung bringt sich nicht selbst auf den neuesten Stand und sucht nicht nach Updates: Neuere spielt ein, wer sie installiert hat.
updates-running = Das ist Coffer { $version }.
updates-on-trial = Diese Version wurde gerade eingespielt und muss sich bewähren: Gelingt das nicht, startet von selbst wieder die vorige.
updates-supported = Diese Version bekommt Sicherheitsupdates bis { $until }.
updates-unchecked = Seit { $days } Tagen konnte das Gerät nicht nach Updates sehen. Prüfen Sie seinen Weg ins Internet oder den Grund unten.
updates-more = Alles über Updates
updates-no-source = Diese Fassung kennt keine Adresse, unter der es neuere gibt: Wer sie gebaut hat, bringt sie.
updates-next = Was als Nächstes kommt
updates-checking = Es wird nach neueren Versionen gesehen.
updates-fetching = Die neue Version wird geholt.
updates-installing = Die neue Version wird geschrieben.
updates-restarting = Das Gerät startet mit der neuen Version.
updates-available = Version { $version } ist da.
updates-when = Sie wird nachts eingespielt, ab { $at }, wenn kein Export läuft. Zu holen: { $size }. Mails, die währenddessen kommen, stellt ihr Absender noch einmal zu.
updates-install = Jetzt einspielen
updates-newest = Das ist die neueste Version.
updates-checked = Zuletzt nachgesehen: { $at }
updates-not-checked = Das letzte Nachsehen ist nicht gelungen: { $why }
updates-check = Jetzt nachsehen
updates-wrong-board = Version { $version } ist für eine andere Art von Gerät: { $board }
updates-not-newer = Version { $version } ist nicht neuer als diese.
updates-needs = Vor Version { $version } muss erst Version { $first } oder eine neuere eingespielt werden.
updates-failed-before = Version { $version } wird nicht eingespielt: Version { $failed } wurde versucht und hat sich nicht bewährt. Die nächste neuere wird wieder eingespielt.
updates-again = Trotzdem noch einmal versuchen
updates-by-hand = Von einem Stick oder aus einer Datei
updates-by-hand-hint = Hat das Gerät keinen Weg ins Internet, kommt die Datei einer Version (coffer-update-….tar) auf einem USB-Stick oder von diesem Computer. Sie wird geprüft wie eine geholte und gleich eingespielt.
updates-stick = Vom USB-Stick einspielen
updates-stick-none = Stecken Sie einen USB-Stick mit der Datei an und öffnen Sie diese Seite neu.
updates-file = Oder wählen Sie die Datei
updates-upload = Hochladen und einspielen
updates-uploading = Wie viel von der Datei hochgeladen ist
brought-refused = Das Mitgebrachte wird nicht eingespielt: { $why }
brought-newest = Im Mitgebrachten ist nichts Neueres als diese Version.
brought-stale = Im Mitgebrachten ist Version { $version }; es galt nur bis { $expired }. Inzwischen kann es eine neuere geben, oder diese wurde zurückgezogen. Spielen Sie sie nur ein, wenn Sie wissen, woher die Datei kommt.
brought-stale-do = { $version } trotzdem einspielen
updates-pause-title = Pause
updates-paused = Bis { $until } wird nichts eingespielt.
updates-resume = Ab jetzt wieder einspielen
updates-pause-hint = Für höchstens { $days } Tage wird nichts eingespielt; auch Sicherheitsupdates warten.
updates-pause-days = Tage
updates-pause = Pausieren
updates-put-off = Seit { $days } Tagen wartet eine neuere Version, weil Updates pausieren.
updates-put-off-long = Die Lücken, die sie schließt, kennt inzwischen jeder: Spielen Sie sie ein, oder legen Sie fest, wer das Warten verantwortet.
updates-history = Was geschehen ist
updates-history-none = Es wurde noch nichts eingespielt.
updates-at = Wann
updates-version = Version
updates-outcome = Ergebnis
outcome-installed = geschrieben, ab dem nächsten Start auf Probe
outcome-good = hat sich bewährt
outcome-left = jemand ist zur vorigen Version zurückgegangen
outcome-not-installed = nicht eingespielt: { $why }
outcome-failed = hat sich nicht bewährt; die vorige läuft wieder. Grund: { $why }
failure-silent = sie startete nicht oder blieb hängen
failure-memory = sie brauchte immer mehr Speicher
proof-archive = das Archiv ging nicht auf
proof-self-test = eine Testmail wurde nicht gespeichert und wiedergefunden
proof-smtp = Mails wurden nicht angenommen
proof-page = die Seite antwortete nicht
proof-disks = Archivplatten fehlten
proof-clock = die Uhr ging falsch
updates-mail-available = Coffer: Version { $version } liegt bereit
updates-mail-good = Coffer: Version { $version } ist eingespielt
updates-mail-failed = Coffer: Version { $version } hat sich nicht bewährt; die Version davor läuft
updates-mail-not-installed = Coffer: Version { $version } konnte nicht eingespielt werden
updates-mail-left = Coffer: zurück von Version { $version } zur Version davor
updates-mail-unchecked = Coffer: seit { $days } Tagen konnte nicht nach Updates gesehen werden
updates-back-title = Zurück zur vorigen Version
updates-back-hint = Version { $version } ist noch da. Sie kann Fehler haben, die diese Version behoben hat, und diese wird dann nicht von selbst wieder eingespielt.
updates-back-withdrawn = Für Version { $version } steht niemand mehr ein, der Versionen herausgibt: Sie kann eine bekannte Lücke haben. Gehen Sie nur zurück, wenn es sein muss, und nicht für lange.
updates-back-too-old = Version { $version } ist noch da, aber es führt kein Weg mehr zurück: Diese Version läuft seit mehr als 7 Tagen und kann geschrieben haben, was { $version } nicht lesen kann. Trotzdem gestartet, würde sie kein Archiv öffnen.
updates-back = Zurück zu { $version } und neu starten
key-title = Der Schlüssel dieses Archivs
key-hint = Bewahren Sie diese Zeile außerhalb des Archivs auf, zum Beispiel im Tresor. Mit ihr kann jeder prüfen, dass nichts verändert wurde, auch nicht von denen, die sich um das Archiv kümmern.
warning-refused = Im Augenblick werden keine Mails angenommen ({ $why }). Die Absender behalten sie und versuchen es einige Tage lang wieder. Ist die Festplatte voll, schaffen Sie Platz oder nehmen Sie eine größere; bleibt es dabei, starten Sie Coffer neu.
warning-damaged = Es wurde ein Schaden gefunden: { $places } Stellen auf den Festplatten halten nicht. Mit einer zweiten Festplatte wird er von dort behoben; sonst rufen Sie „coffer verify“ auf und lassen Sie diese Festplatte, wie sie ist.
warning-detached = Die zweite Festplatte ist abgehängt: Mails liegen nur auf einer ({ $why }). Prüfen Sie Kabel und Strom und starten Sie Coffer neu.
warning-diverged = Beide Festplatten wurden einzeln gestartet, und jede hat, was der anderen fehlt. Zwischen ihnen wird nichts kopiert. Entscheiden Sie, mit welcher es weitergeht.
warning-too-small = Die zweite Festplatte ist kleiner als die erste und wird nicht benutzt. Nehmen Sie eine größere.
warning-alarm = Alarm vom { $at }: { $text }
alarm-other = „{ $text }“. Was davor und danach geschah, steht im Protokoll.
alarm-state-lost = Die Datei mit Einstellungen und Passwörtern (state.redb) war verloren. Mails sind keine verloren. Gehen Sie noch einmal durch die Einrichtung, geben Sie den Personen neue Passwörter und bewahren Sie den neuen Signaturschlüssel außerhalb neben dem alten auf.
alarm-register-differs = Das Verzeichnis der Personen auf der Festplatte war nicht das, von dem das Protokoll berichtet. Es zählt das Protokoll, und das Verzeichnis wurde daraus neu gemacht. Sehen Sie unter „Personen“ nach, ob alles so ist, wie Sie es kennen; hat niemand eine ältere state.redb zurückgespielt, klären Sie, wer sie sonst ändern konnte.
alarm-checkpoint-damaged = Der neueste signierte Stand war nicht zu lesen, und ein anderer wurde signiert. Rufen Sie „coffer verify“ mit dem Schlüssel auf, den Sie außerhalb aufbewahren.
alarm-damage-left = Ein Schaden auf der Festplatte ließ sich nicht beheben, denn auf keiner zweiten ist die Stelle heil. Rufen Sie „coffer verify“ auf, um zu sehen, was er bedeutet; gibt es eine ältere Kopie der Festplatte, beheben Sie ihn von dort mit „coffer verify --mend --copy“. Besorgen Sie eine neue Festplatte.
alarm-damage-left-on-copy = Ein Schaden auf der zweiten Festplatte ließ sich nicht beheben. Mit der ersten geht es von selbst weiter. Besorgen Sie eine neue zweite Festplatte.
warning-room = Die Festplatte ist fast voll: { $left } sind frei. Nehmen Sie eine größere, bevor Mails abgewiesen werden müssen.
warning-room-days = Die Festplatte ist fast voll: { $left } sind frei, das reicht beim jetzigen Zuwachs noch { $days ->
    [one] einen Tag
   *[other] { $days } Tage
  }. Nehmen Sie eine größere, bevor Mails abgewiesen werden müssen.
warning-silent = { $source } hat seit { $last } nichts geschickt, länger als üblich. Sehen Sie nach, ob die Journalregel dort noch besteht und das Netz die Mails durchlässt.
warning-certificate = Das eingesetzte Zertifikat dieser Seite gilt bis { $day }. Setzen Sie ein neues ein oder gehen Sie zum eigenen der Box zurück.
warning-route = Nachrichten und Zustandsmails sollen über einen anderen Mailserver hinausgehen: { $server }. Wer das nicht erwartet hat, sieht unter „Personen“, wer es vorschlug, und kann widersprechen.
warning-outgoing = Nachrichten und Zustandsmails gehen seit { $since } nicht hinaus ({ $why }). Prüfen Sie in der Einrichtung den Server für ausgehende Mails.
warning-index = { $entries } Einträge sind noch nicht zu finden: Der Index kommt nicht nach. Bleibt es dabei, starten Sie Coffer neu.
warning-unverified = Das Archiv wurde zuletzt am { $day } ganz gelesen. Das geschieht von selbst, während keine Mails kommen; lassen Sie die Box nachts laufen oder rufen Sie „coffer verify“ auf.
warning-no-mail = Es ist noch keine Mail gekommen. Die Einrichtung zeigt, wie Mails hierher kommen.

# Einrichtung
setup-hint = Jeder Schritt kann warten und später geändert werden. Nichts davon hält Mails auf.
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
status-mail-when = Eine Mail kommt jede Woche, die erste binnen einer Minute, und sofort, wenn etwas Aufmerksamkeit braucht. Sie geht über den Server des Schritts „Ausgehende Mails“ hinaus.
status-mail-no-server = Es gibt noch keinen Server für ausgehende Mails; der Schritt „Ausgehende Mails“ nennt einen.
mail-hint = Ihr Mailserver schickt von jeder Mail eine Kopie an dieses Archiv. Das heißt Journaling. Tragen Sie dort Folgendes ein.
mail-host = Server
mail-ports = Adresse und Port
mail-no-port = keiner: Starten Sie Coffer mit --smtp
mail-allowed = Darf senden
networks-always = Immer:
networks-allowed = Netze, die senden dürfen
networks-allowed-hint = Nur diese dürfen ohne Anmeldung senden, damit niemand von außen das Archiv füllt. Adressen oder Netze wie 192.168.1.0/24, durch Kommas oder Zeilen getrennt. Wer senden darf, kann Mails hinzufügen; etwas zu lesen oder sonst etwas zu erreichen wird ihm dadurch nicht möglich.
networks-journal = Netze, deren Journalberichten geglaubt wird
networks-journal-hint = Ein Journalbericht sagt, wer eine Mail wirklich bekam. Tragen Sie hier nur Ihren Mailserver ein (Exchange, Microsoft 365, Google): Was er berichtet, entscheidet, wer im Büro die Mail findet. Auch diese dürfen senden.
networks-wrong = Das ist keine Liste von Adressen oder Netzen, oder eines davon ist so weit wie das Internet (am weitesten geht /8). Bitte prüfen Sie es.
mail-wait = Auf die nächste Mail warten
mail-waiting = Warten auf die nächste Mail. Diese Seite zeigt sie von selbst, sobald sie da ist.
mail-newest = Die letzte kam am { $at } von { $server }.
mail-newest-file = Die letzte kam am { $at } aus einer Datei.
mail-arrived = { $count ->
    [one] Die erste Mail ist angekommen.
   *[other] { $shown } Nachrichten sind angekommen.
  }
send-exchange = Exchange Server
send-exchange-steps =
    Legen Sie einen Sendeconnector für den Adressraum archive.invalid mit { $host } als Smarthost an.
    Legen Sie einen E-Mail-Kontakt mit der Adresse journal@archive.invalid an.
    Legen Sie eine Journalregel für alle Nachrichten an, die an diesen Kontakt sendet.
    Tragen Sie die Adresse des Servers oben unter „Netze, deren Journalberichten geglaubt wird“ ein.
send-microsoft365 = Microsoft 365
send-microsoft365-steps =
    Microsoft 365 sendet über das Internet: Das Archiv braucht einen öffentlichen Namen und den weitergeleiteten Port 25, nur für die Netze von Microsoft.
    Legen Sie einen Connector von Microsoft 365 zum Server Ihrer Organisation mit diesem Namen an.
    Legen Sie in Purview unter Datenlebenszyklusverwaltung eine Journalregel für alle Nachrichten an eine Adresse dieses Namens an; vorher fragt es nach einem Postfach für Berichte, die nicht zugestellt werden können.
    Tragen Sie die Netze von Exchange Online oben unter „Netze, deren Journalberichten geglaubt wird“ ein. Microsoft führt sie unter „URLs und IP-Adressbereiche von Microsoft 365“ auf.
send-google = Google Workspace
send-google-steps =
    Google sendet über das Internet: Das Archiv braucht einen öffentlichen Namen und den weitergeleiteten Port 25, nur für die Netze von Google.
    Fügen Sie in der Admin-Konsole unter Gmail, Routing ein Archiv eines anderen Anbieters mit einer Adresse dieses Namens hinzu.
    Tragen Sie die Netze von Google oben unter „Netze, deren Journalberichten geglaubt wird“ ein. Google führt sie im SPF-Eintrag von _spf.google.com auf.
send-postfix = Postfix
send-postfix-steps =
    Setzen Sie in main.cf: always_bcc = journal@archive.invalid
    Tragen Sie in die Transporttabelle ein: archive.invalid smtp:[{ $host }]
    Damit auch verborgene Empfänger (Bcc) ihre Mail finden, setzen Sie smtpd_recipient_restrictions = check_recipient_access pcre:/etc/postfix/envelope_to vor das, was dort steht, mit der Zeile /(.+)/ prepend X-Envelope-To: $1 in dieser Datei.
    Rufen Sie postmap für die Tabelle auf und laden Sie Postfix neu.
    Tragen Sie die Adresse des Servers oben unter „Netze, die senden dürfen“ ein.
back-to-setup = Zurück zur Einrichtung
metrics = Zahlen für ein Überwachungsprogramm
metrics-hint = Ein Programm wie Prometheus kann unter /metrics Zahlen holen: wie viel Post es gibt, was wartet, die Platten, SMTP. Adressen und Betreffe sind nicht dabei.
metrics-token = Es braucht einen Zugang, der fragen darf, wie es dem Archiv geht:
metrics-on = Eingeschaltet.
metrics-off = Ausgeschaltet.
metrics-switch-on = Einschalten
metrics-switch-off = Ausschalten

# Ausgehende Mails
step-outgoing = Ausgehende Mails
out-hint = Coffer verschickt eigene Mails: Nachrichten an Betroffene, bevor Rechte weiter werden, und Zustandsmails. Es übergibt sie einem Mailserver wie ein Mailprogramm; in den Unterlagen Ihres Anbieters heißt er „Postausgangsserver (SMTP)“. Mails aus dem Archiv gehen nie hinaus.
out-waits = Ein anderer Server wartet auf Zustimmung oder auf den Ablauf der Frist: { $server }. Ohne Datenschutz, und wenn keine Nachricht hinausgehen kann, wird er nach 30 Tagen auf jeder Seite wirksam.
out-server = Mailserver
out-security = Schutz
out-starttls = TLS nach dem Verbinden (STARTTLS), meist Port 587
out-tls-first = TLS von Anfang an, meist Port 465
out-no-tls = keiner: nur für einen Server im eigenen Netz
out-port = Port
out-port-hint = Leer lassen für den üblichen.
out-from = Mails kommen von
out-user = Benutzer
out-user-hint = Leer lassen, wenn Ihr Server Mails dieser Box ohne Anmeldung annimmt.
out-password-hint = Leer lassen, damit das vorhandene bleibt. Es wird nie angezeigt. Viele Anbieter verlangen hier ein App-Passwort.
out-confirmed = Bestätigtes Zertifikat
out-confirmed-hint = SHA-256 eines Zertifikats, für das keine öffentliche Stelle bürgt. Leeren Sie das Feld, um nur öffentlichen Stellen zu vertrauen.
out-test = Testmail
out-test-to = Adresse
out-test-hint = An diese Adresse geht eine kurze Testmail, immer mit demselben Text. Was der Server sagt, wird Schritt für Schritt gezeigt. Gespeichert wird dabei nichts.
out-test-do = Testmail senden
out-test-address = An diese Adresse kann keine Testmail gehen.
out-test-many = Das waren viele Testmails. Warten Sie zehn Minuten.
out-test-of = Testmail an { $to } über { $server }
out-test-runs = Der Test läuft. Diese Seite zeigt jeden Schritt von selbst.
out-test-good = Der Server hat die Testmail übernommen. Sehen Sie nach, ob sie angekommen ist, und speichern Sie dann.
out-step-connect = Verbunden
out-step-greeting = Begrüßung des Servers
out-step-hello = Was der Server kann
out-step-tls = Geschützt durch TLS
out-step-sign-in = Angemeldet
out-step-sender = Absender angenommen
out-step-recipient = Empfänger angenommen
out-step-content = Mail übernommen
out-address = An diese Adresse kann keine Mail gehen: { $said }
out-unknown = Niemand kennt einen Server dieses Namens: { $said }. Prüfen Sie den Namen und ob diese Box einen Nameserver erreicht.
out-unreachable = Der Server nimmt keine Verbindung an ({ $said }). Prüfen Sie Name und Port und ob eine Firewall dazwischen ist.
out-slow = Der Server antwortet nicht rechtzeitig (Schritt: { $step }). Oft passen Port und Schutz nicht zusammen: Zu Port 465 gehört TLS von Anfang an, zu 587 STARTTLS.
out-broken = Der Server hat die Verbindung abgebrochen (Schritt: { $step }). Prüfen Sie Port und Schutz.
out-odd = Dort antwortet kein Mailserver, oder ein sehr seltsamer. Er sagte: { $said }
out-refused = Der Server lehnt ab: { $said }
out-refused-later = Der Server bittet, später wiederzukommen: { $said }. Manche Server lassen Fremde einige Minuten warten. Versuchen Sie es dann noch einmal.
out-refused-sign-in = Der Server nimmt Benutzer und Passwort nicht an: { $said }. Prüfen Sie beide. Viele Anbieter verlangen ein App-Passwort, oder die Anmeldung über SMTP muss dort eingeschaltet werden.
out-refused-sender = Der Server nimmt keine Mails von dieser Adresse: { $said }. Meist muss es eine eigene des Benutzers sein.
out-refused-recipient = Der Server nimmt keine Mails für diesen Empfänger: { $said }. Prüfen Sie die Adresse. Für Adressen anderswo verlangt er vielleicht Benutzer und Passwort.
out-no-starttls = Der Server bietet kein STARTTLS an, und ohne Schutz wird nichts gesendet. Versuchen Sie TLS von Anfang an oder einen anderen Server.
out-no-sign-in = Der Server bietet keine Anmeldung mit Benutzer und Passwort an. Wenn er Mails dieser Box ohne annimmt, lassen Sie den Benutzer leer.
out-no-password = Das Passwort fehlt. Geben Sie es ein.
out-certificate = Für das Zertifikat dieses Servers bürgt keine bekannte Stelle: { $said }. Benutzer, Passwort und Mail wurden nicht gesendet.
out-confirm-hint = Wenn es ein eigener Server mit eigenem Zertifikat ist, vergleichen Sie diese Ziffern (SHA-256) mit denen, die der Server zeigt. Wenn Sie nicht sicher sind, gehen Sie nicht weiter.
out-confirm = Diesem Zertifikat vertrauen und noch einmal testen
out-tls-fails = Die geschützte Verbindung kommt nicht zustande ({ $said }). Prüfen Sie Port und Schutz.
back = Zurück
route-server = Das ist weder der Name eines Servers noch eine Adresse.
route-port = Der Port ist eine Zahl von 1 bis 65535.
route-from = Mails müssen von einer Adresse kommen.
route-user = Der Name des Benutzers kann keine Leerzeichen haben.
route-needs-tls = Benutzer und Passwort gehen nur über eine geschützte Verbindung. Wählen Sie STARTTLS oder TLS.
route-certificate = Das ist nicht der SHA-256 eines Zertifikats: 64 Ziffern und Buchstaben von A bis F.
test-mail-subject = Coffer: Testmail
test-mail-text =
    Dies ist eine Testmail des Mailarchivs { $host }. Sie wurde gesendet, weil jemand, der sich um das Archiv kümmert, dessen ausgehende Mails einrichtet.
    Es ist nichts zu tun.

# Zustandsmails
status-well = Coffer: Alles ist in Ordnung
status-warnings = { $count ->
    [one] Coffer: Eine Sache braucht Aufmerksamkeit
   *[other] Coffer: { $count } Sachen brauchen Aufmerksamkeit
  }
status-of = So geht es dem Mailarchiv { $host }.
status-source = Mails von { $source } in den letzten 7 Tagen: { $count }, die letzte am { $last }
status-days-left = Tage, bis die Festplatte beim jetzigen Zuwachs voll ist
status-verified = Zuletzt ganz gelesen
status-checkpoint = Bewahren Sie diese Mail auf: Mit den Zeilen unten kann jeder später zeigen, dass bis heute nichts verändert oder weggelassen wurde.
status-end = Wer diese Mail bekommt, steht auf der Seite des Archivs unter „Einrichtung“.

# Zertifikat von anderen
step-certificate = Zertifikat der Seite
certificate-hint = Wenn Ihr Büro ein Zertifikat für den Namen hat, unter dem diese Seite geöffnet wird, setzen Sie es hier ein. Die Seite und SMTP benutzen es von da an, und es wird nicht von selbst erneuert: 21 Tage vor seinem Ende kommt eine Warnung. Ohne eines benutzt die Box ihr eigenes, das sich selbst erneuert.
certificate-in-use = In Gebrauch
certificate-of-the-box = das eigene der Box
certificate-chain = Zertifikat mit seiner Kette
certificate-chain-hint = Der Text der Datei, die Sie bekommen haben (PEM): Er beginnt mit „-----BEGIN CERTIFICATE-----“. Ketten aus mehreren sind willkommen.
certificate-key = Privater Schlüssel
certificate-key-hint = Der Text der Schlüsseldatei, ohne Passwort. Er wird nie wieder angezeigt. Leer lassen, wenn er im Text oben steht.
certificate-use = Dieses Zertifikat benutzen
certificate-back = Zurück zum eigenen der Box
certificate-names = Es gilt für
certificate-until = Ende
certificate-good-until = gilt bis { $day }
certificate-none = In diesem Text steht kein Zertifikat. Es beginnt mit „-----BEGIN CERTIFICATE-----“.
certificate-no-key = In diesem Text steht kein privater Schlüssel. Er beginnt mit „-----BEGIN PRIVATE KEY-----“.
certificate-locked = Der Schlüssel ist mit einem Passwort verschlossen. Nehmen Sie es vorher ab, etwa mit „openssl pkey“.
certificate-many = Das sind mehr Zertifikate, als eine Kette hat.
certificate-other-key = Der Schlüssel gehört zu keinem dieser Zertifikate.
certificate-time = Dieses Zertifikat ist abgelaufen oder gilt noch nicht.
certificate-no-name = Dieses Zertifikat nennt keinen Namen, darum nähme es kein Browser an.

# Protokoll
log = Protokoll
log-hint = Wer was tat, wann und von wo. Sie sehen so viel davon, wie Ihre Rolle erlaubt. Ändern kann es niemand.
log-account = Name eines Kontos
log-filter = Zeigen
log-csv = Als Tabelle mitnehmen (CSV)
log-jsonl = als JSON-Zeilen
log-entry = Eintrag { $number }
log-proposal = Vorschlag { $number }: { $what }
log-withdrawn = Zurückgezogen: { $what }
log-lapsed = Verfallen: { $what }
log-agreed = zugestimmt: { $who }
log-rule-notice = wirksam nach Ablauf der Frist
log-rule-shown = wirksam nach 30 Tagen auf jeder Seite
log-claimed = { $who } wurde angelegt, für den Betrieb
log-made = { $who } wurde angelegt
log-token-made = { $who } legte einen Zugang für ein Programm an: { $what }
log-token-ended = { $who } beendete einen Zugang: { $what }
log-password-issued = { $who } bekam von anderen ein erstes Passwort
log-password-chosen = { $who } wählte ein Passwort
log-second-step-on = { $who } schaltete den zweiten Schritt beim Anmelden ein
log-second-step-off = { $who } schaltete den zweiten Schritt beim Anmelden aus
log-reset-at-machine = Das Passwort von { $who } wurde an der Maschine selbst zurückgesetzt
log-remove-role = { $who } verliert eine Rolle: { $role }
log-take-address = { $who } verliert eine Adresse: { $address }
log-disable = { $who } kann nicht mehr benutzt werden
log-remove = { $who } kann nie wieder benutzt werden
log-release = Für { $who } werden Mails freigegeben: { $what }
log-end-grant = Die Freigabe { $what } für { $who } endet
log-grant-over = Eine Freigabe für { $who } ist vorbei
log-language = Sprache
log-time-zone = Zeitzone
log-allowed = Netze, die senden dürfen
log-journal = Netze, deren Journalberichten geglaubt wird
log-out-password = Passwort für den Server ausgehender Mails
log-signed-out = Abgemeldet
log-restart = Das Gerät sollte neu starten
log-power-off = Das Gerät sollte sich ausschalten
log-network-trial = Das Netzwerk wurde auf Probe geändert
log-network-confirmed = Die Änderung des Netzwerks wurde bestätigt
log-disk = Die Platte { $disk } soll Archivplatte werden
log-other-session = Eine andere Sitzung wurde beendet
log-export-fetched = Ein Export wurde geholt
log-downloaded = Heruntergeladen
log-proof = Nachweis
log-test-mail = Testmail
log-status-week = Zustandsmail der Woche
log-status-warning = Zustandsmail mit einer Warnung
log-recovery-key = Ein Wiederherstellungsschlüssel wurde versucht
log-reset = Alle Einstellungen wurden zurückgesetzt
log-update-check = Es sollte nach Updates gesehen werden
log-update-install = Das Update sollte gleich eingespielt werden
log-update-resume = Updates werden wieder eingespielt
log-update-again = Gescheiterte Versionen dürfen noch einmal versucht werden
log-update-back = Zurück zur vorigen Version
log-wrong-password = Falsches Passwort
log-wrong-code = Falscher Code beim zweiten Schritt
log-wrong-claim-code = Falscher Einrichtungscode
log-sender-made = Passwort für das Senden von Mails angelegt
log-sender-changed = Passwort für das Senden von Mails geändert
log-sender-removed = Darf nicht mehr mit Passwort Mails senden
log-metrics = Zahlen für Programme (/metrics)
log-update-stick = Ein Update sollte von einem Stick eingespielt werden
log-update-upload = Ein Update wurde hochgeladen, um es einzuspielen
log-update-stale = Version { $version } sollte eingespielt werden, obwohl ihre Datei abgelaufen war
log-update-pause = Keine Updates für { $days } Tage
log-taken = Protokoll { $account }
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
event-mail-sent = Eigene Mail von Coffer gesendet

# Übliche Gründe des Systems und von TLS

reason-expired = das Zertifikat ist abgelaufen
reason-not-yet-valid = das Zertifikat gilt noch nicht, oder eine Uhr geht falsch
reason-other-name = das Zertifikat gilt für einen anderen Namen
reason-unknown-issuer = kein bekannter Aussteller hat das Zertifikat ausgestellt
reason-bad-certificate = das Zertifikat ist beschädigt oder gefälscht
reason-no-tls = dort wird kein TLS gesprochen
reason-old-tls = dort wird nur ein veraltetes TLS gesprochen
reason-refused = dort nimmt niemand Verbindungen an
reason-no-route = kein Weg führt dorthin
reason-no-network = diese Box hat kein Netz oder keinen Weg aus ihrem eigenen hinaus
reason-no-name = niemand kennt diesen Namen
reason-slow = es kam nicht rechtzeitig eine Antwort
reason-broken = die Gegenseite hat die Verbindung abgebrochen
reason-full = die Platte ist voll
reason-read-only = die Platte lässt sich nur lesen
reason-not-signed = was dort angeboten wird, haben nicht die unterschrieben, denen dieses Gerät glaubt
reason-older-metadata = was dort angeboten wird, ist älter als das, was dieses Gerät schon gesehen hat
reason-stale = was dort angeboten wird, ist zu lange nicht erneuert worden, oder die Uhr des Geräts geht falsch
reason-update-long = die Datei ist länger als ein Update
reason-no-update = das ist kein Update für Coffer, oder es ist beschädigt
reason-cut-off = die Datei ist nicht vollständig
reason-no-stick = kein Stick, der sich lesen lässt (FAT, exFAT oder ext4)
reason-stick-empty = auf dem Stick ist kein Update für diese Art von Gerät
reason-other-board = das Update ist für eine andere Art von Gerät
reason-upload-gap = das Hochladen wurde unterbrochen; beginnen Sie von vorn
reason-too-old = neuere Versionen haben damit gearbeitet, diese darf es nicht öffnen
reason-lacks-file = was dort angeboten wird, ist nicht vollständig oder nicht für diese Art von Gerät
reason-disk = die Platte liest oder schreibt nicht
reason-write-failed = ein Schreibvorgang ist gescheitert, und bis zum Neustart von Coffer wird nichts angenommen
reason-rebuilding = Katalog und Index werden gerade neu gemacht
reason-closing = Coffer wird gerade beendet
reason-without-copy = Coffer wurde ohne sie gestartet
