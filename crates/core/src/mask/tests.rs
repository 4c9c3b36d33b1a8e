use super::*;

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

#[test]
fn secrets_in_every_usual_place_go() {
    let mask = Mask::new(["known/secret".to_owned()]);
    for (given, expected) in [
        ("psql postgres://ann:hush@h/db", "psql postgres://ann:***@h/db"),
        ("psql postgres://ann:hu@sh@h/db?x=1", "psql postgres://ann:***@h/db?x=1"),
        ("migrate --password=hush up", "migrate --password=*** up"),
        ("migrate --db-password hush up", "migrate --db-password *** up"),
        ("migrate --password --force up", "migrate --password --force up"),
        ("env PGPASSWORD=hush psql", "env PGPASSWORD=*** psql"),
        ("flyway -Dflyway.password=hush", "flyway -Dflyway.password=***"),
        ("x API_KEY=a;b&c", "x API_KEY=***"),
        ("psql host=h\u{a0}password='two'", "psql host=h\u{a0}password=***"),
        ("a known/secret b known%2fsecret", "a *** b ***"),
        ("psql -c select=1 --file=x.sql", "psql -c select=1 --file=x.sql"),
        ("tool --token=", "tool --token="),
        ("tool --db-pass hush up", "tool --db-pass *** up"),
        ("tool -token hush up", "tool -token *** up"),
        ("tool --auth=hush up", "tool --auth=*** up"),
        ("tool --password:hush up", "tool --password:*** up"),
        ("tool --pwd hush PWD=hush DB_PASS=hush", "tool --pwd *** PWD=*** DB_PASS=***"),
        ("curl -H Authorization: Bearer hush x", "curl -H Authorization: Bearer *** x"),
        ("goose mysql ann:hu@sh@tcp(h:1)/db", "goose mysql ann:***@tcp(h:1)/db"),
        ("goose ann:hush@db.example.com:5432/shop", "goose ann:***@db.example.com:5432/shop"),
        ("goose --dsn=ann:hush@localhost", "goose --dsn=ann:***@localhost"),
        ("npm run auth:migrate --author ann", "npm run auth:migrate --author ann"),
        ("env PRIVATE_KEY=hush SSH_KEY=hush run", "env PRIVATE_KEY=*** SSH_KEY=*** run"),
        ("tool --key=hush --key hush --master-key hush", "tool --key=*** --key *** --master-key ***"),
        ("tool -W hush up", "tool -W *** up"),
        ("psql -W shop", "psql -W shop"),
        ("/usr/bin/pg_dump -W shop", "/usr/bin/pg_dump -W shop"),
        (
            "tool --keys=a --primary-key=id KEYBOARD=de PUBLIC_KEY=x",
            "tool --keys=a --primary-key=id KEYBOARD=de PUBLIC_KEY=x",
        ),
        ("psql --no-password shop db:migrate", "psql --no-password shop db:migrate"),
        ("docker run image:tag@sha256:0a git@h.example:x", "docker run image:tag@sha256:0a git@h.example:x"),
    ] {
        assert_eq!(mask.command(&words(given)).join(" "), expected);
    }
}

#[test]
fn a_shell_command_in_one_word_is_masked_too() {
    let mask = Mask::default();
    let given = "PGPASSWORD='a b' psql -c 'select 1' && curl https://u:p@h/x";
    assert_eq!(mask.script(given), "PGPASSWORD=*** psql -c 'select 1' && curl https://u:***@h/x");
    for (given, expected) in [
        (r#"curl -d '{"password":"hu sh", "x": 1}' h"#, r#"curl -d '{"password":***, "x": 1}' h"#),
        (r#"curl -d "{\"token\": \"hu sh\"}""#, r#"curl -d "{\"token\": ***}""#),
        ("curl -H 'Authorization: Bearer hush' h", "curl -H 'Authorization: ***' h"),
        ("password: hush, x", "password: *** x"),
        ("migrate --db-pass hush && x", "migrate --db-pass *** && x"),
        ("psql -c \"ALTER ROLE a PASSWORD 'hu sh'\"", "psql -c \"ALTER ROLE a PASSWORD ***\""),
        (r"PGPASSWORD='hu'\''sh sh' psql", "PGPASSWORD=*** psql"),
        ("api-key: hush\nx-api-key: hush\nsecret-key: hush", "api-key: ***\nx-api-key: ***\nsecret-key: ***"),
        (r#"{"pass" : "hu sh", "n" : 1}"#, r#"{"pass" : ***, "n" : 1}"#),
        ("ALTER ROLE a PASSWORD $$hu sh$$; x", "ALTER ROLE a PASSWORD ***; x"),
        ("ALTER ROLE a PASSWORD $tag$hu $$ sh$tag$ VALID", "ALTER ROLE a PASSWORD *** VALID"),
        ("ALTER ROLE a PASSWORD E'hu\\' sh' VALID", "ALTER ROLE a PASSWORD *** VALID"),
        ("x Bearer hush-9f1; y", "x Bearer ***; y"),
        ("AccountName=a;AccountKey=hush/x==;Suffix=y", "AccountName=a;AccountKey=***;Suffix=y"),
        ("Endpoint=sb://h/;SharedAccessKey=hush=", "Endpoint=sb://h/;SharedAccessKey=***"),
        ("password = hush\ndb_password = 'hu sh' x", "password = ***\ndb_password = *** x"),
        (
            "the pass : fails, the \"pass\", a password or 3 passes: pass = 3",
            "the pass : fails, the \"pass\", a password or 3 passes: pass = 3",
        ),
        ("the bearer of the key : a primary key : id", "the bearer of the key : a primary key : id"),
        ("a::pass::b tokens https://pass://x", "a::pass::b tokens https://pass://x"),
    ] {
        assert_eq!(mask.script(given), expected);
    }
    assert!(!format!("{:?}", Mask::new(["hush-hush".to_owned()])).contains("hush"));
}

#[test]
fn passwords_of_urls_go_from_messages() {
    let mask = Mask::default();
    for (text, masked) in [
        ("postgresql://ann:hush@h/db", "postgresql://ann:***@h/db"),
        ("at 'postgres://ann:hu@sh@h/db?x=1'.", "at 'postgres://ann:***@h/db?x=1'."),
        ("postgresql://ann@h:5432/db", "postgresql://ann@h:5432/db"),
        ("s3://k:s@b and file:///x:1/y", "s3://k:***@b and file:///x:1/y"),
        ("postgres://:hush@h", "postgres://:***@h"),
        ("no url: a@b", "no url: a@b"),
    ] {
        assert_eq!(mask.message(text), masked);
    }
}

#[test]
fn values_of_secret_parameters_go_from_messages() {
    let mask = Mask::default();
    for (text, masked) in [
        ("host=h password=hush user=u", "host=h password=*** user=u"),
        ("password='two words' x", "password=*** x"),
        ("?user=u&Password=hush&x=1", "?user=u&Password=***&x=1"),
        ("PGPASSWORD=hush pg_dump", "PGPASSWORD=*** pg_dump"),
        ("sent Bearer hush-9f1 to https://hooks.slack.com/T/hush", "sent Bearer *** to https://hooks.slack.com/***"),
        ("k=-----BEGIN PRIVATE KEY-----\nhush", "k=-----BEGIN PRIVATE KEY-----***"),
        ("AccountName=a;AccountKey=hush==;x", "AccountName=a;AccountKey=***;x"),
        ("password=", "password="),
        ("password='open", "password=***"),
    ] {
        assert_eq!(mask.message(text), masked);
    }
}

#[test]
fn known_secrets_go_wherever_they_stand() {
    let mask = Mask::new(["hunter2x".to_owned(), "hunter2xlonger".to_owned(), "ab".to_owned()]);
    assert_eq!(mask.message("a hunter2xlonger, a hunter2x, ab"), "a ***, a ***, ab");
    assert!(!format!("{mask:?}").contains("hunter"));
}

/// A message keeps the words that a command would lose.
#[test]
fn messages_stay_readable() {
    let mask = Mask::default();
    for text in ["connection parameter password: is empty", "use --token or --auth x", "auth=md5 failed", "pwd: /tmp"] {
        assert_eq!(mask.message(text), text);
    }
    assert_eq!(mask.script("use --token x"), "use --token ***");
}

#[test]
fn flags_of_known_programs_hold_secrets() {
    let mask = Mask::new(["known/secret".to_owned()]);
    let of = |words: &[&str]| mask.command(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()).join("|");
    for (given, expected) in [
        (&["curl", "-u", "ann:hush", "h"][..], "curl|-u|ann:***|h"),
        (&["curl", "-uann:hush", "h"], "curl|-uann:***|h"),
        (&["tool", "--user", "ann:hu:sh"], "tool|--user|ann:***"),
        (&["tool", "--user=ann:hush", "x"], "tool|--user=ann:***|x"),
        (&["/usr/bin/curl", "-H", "Authorization: Bearer hush", "h"], "/usr/bin/curl|-H|Authorization: ***|h"),
        (&["curl", "-HX-Api-Key: hush", "h"], "curl|-HX-Api-Key: ***|h"),
        (&["curl", "--header=Cookie: id=hush", "h"], "curl|--header=Cookie: ***|h"),
        (&["migrate", "--password", "hush", "up"], "migrate|--password|***|up"),
        (&["mysql", "-phush", "shop"], "mysql|-p***|shop"),
        (&["psql", "-phush", "shop"], "psql|-p***|shop"),
        (&["env", "A=1", "sshpass", "-p", "hush", "ssh", "h"], "env|A=1|sshpass|-p|***|ssh|h"),
        (&["redis-cli", "-a", "hush"], "redis-cli|-a|***"),
        (&["curl", "-u", "ann:known/secret"], "curl|-u|ann:***"),
        // What holds none stays readable.
        (&["sshpass", "-p", "87654321", "ssh", "h"], "sshpass|-p|***|ssh|h"),
        (&["mysql", "-p12345678", "-P", "3306"], "mysql|-p***|-P|3306"),
        (&["psql", "-p", "5432", "-p5433", "-U", "ann"], "psql|-p|5432|-p5433|-U|ann"),
        (&["docker", "run", "-u", "1000:1000", "-p", "80:80"], "docker|run|-u|1000:1000|-p|80:80"),
        (&["sudo", "-u", "postgres", "./apply.sh"], "sudo|-u|postgres|./apply.sh"),
        (&["curl", "-H", "Accept: text/plain", "h"], "curl|-H|Accept: text/plain|h"),
        (&["mvn", "-pl", "db", "-Pprod"], "mvn|-pl|db|-Pprod"),
    ] {
        assert_eq!(of(given), expected);
    }
    for (given, expected) in [
        ("npm run x && curl -u ann:hush https://h", "npm run x && curl -u ann:*** https://h"),
        ("curl -u 'ann:hu sh' h; mysql -phush shop", "curl -u 'ann:***' h; mysql -p*** shop"),
        (r#"curl -H "X-Api-Key: hush" h"#, r#"curl -H "X-Api-Key: ***" h"#),
        ("psql -p 5432 -c 'select 1' # don't", "psql -p 5432 -c 'select 1' # don't"),
    ] {
        assert_eq!(mask.script(given), expected);
    }
}

#[test]
fn lines_of_a_known_secret_go_too() {
    let mask = Mask::new(["first-line\n  second-line\nx\n".to_owned()]);
    assert_eq!(mask.script("a first-line\nb second-line x"), "a ***\nb *** x");
}

/// A text that was cut is shown up to where a secret may have begun.
#[test]
fn what_may_be_a_secrets_beginning_is_open() {
    let mask = Mask::new(["hunter2x".to_owned(), "xylophone".to_owned()]);
    for (shown, kept_back) in [
        ("Go on? ", ""),
        ("as ", "hunter2"),
        ("as unter", ""),
        ("as ", "%68unt"),
        ("a hunter2x", ""),
        ("postgres://ann:", "hus"),
        ("postgres://ann:hush@db", ""),
        ("see http://localhost:", "30"),
        ("see http://localhost:3000 ", ""),
        ("send Bearer ", "tok"),
        ("send Bearer tok ", ""),
    ] {
        let text = format!("{shown}{kept_back}");
        assert_eq!(mask.open_at(&text), shown.len(), "{text}");
    }
}
