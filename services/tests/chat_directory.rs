//! What strangers can do to a directory, and what they cannot. Requests are written by hand, as
//! `docs/chat.md` tells.

mod chat_support;

use std::{net::SocketAddr, time::Duration};

use chat_support::{Chance, Packet, Weather, World, address, token};
use proptest::prelude::*;
use serde_json::{Value, json};
use services::chat::{DirectoryOptions, Event, MAX_DATAGRAM, Refusal};

const MINUTE: Duration = Duration::from_secs(60);

fn ask(world: &mut World, from: SocketAddr, request: &Value) -> Option<Value> {
    let answer = world.ask(from, request.to_string().as_bytes())?;
    Some(serde_json::from_str(&answer).unwrap())
}

fn cookie(world: &mut World, from: SocketAddr) -> String {
    let hello = json!({ "op": "hello", "id": 1, "pad": "x".repeat(128) });
    let answer = ask(world, from, &hello).unwrap();
    answer["cookie"].as_str().unwrap().to_owned()
}

fn join_with(world: &mut World, from: SocketAddr, name: &str, token: &str, cookie: &str) -> Value {
    let request = json!({
        "op": "join", "id": 2, "name": name, "token": token, "cookie": cookie, "fresh": true,
        "pad": "x".repeat(64),
    });
    ask(world, from, &request).unwrap()
}

/// A session under `name`, or the code of the refusal.
fn join(world: &mut World, from: SocketAddr, name: &str, owner: &str) -> Result<String, String> {
    let cookie = cookie(world, from);
    let answer = join_with(world, from, name, token(owner).expose(), &cookie);
    match answer["session"].as_str() {
        Some(session) => Ok(session.to_owned()),
        None => Err(answer["code"].as_str().unwrap().to_owned()),
    }
}

fn say(session: &str, seq: u64, to: &str, text: &str) -> Value {
    json!({ "op": "say", "id": 3, "session": session, "seq": seq, "to": to, "text": text })
}

fn poll(session: &str, got: u64) -> Value {
    json!({ "op": "poll", "id": 4, "session": session, "got": got })
}

#[test]
fn svc_g1_who_has_not_proved_where_it_is_gets_no_more_than_it_sent() {
    let mut world = World::new(Weather::FAIR);
    let victim = address(1);
    let requests = [
        json!({ "op": "hello", "id": 1 }),
        json!({ "op": "hello", "id": 4294967295u32, "pad": "x".repeat(1000) }),
        json!({ "op": "join", "id": 1, "name": "a", "token": "t", "cookie": "c" }),
        json!({ "op": "say", "id": 1, "session": "", "seq": 1, "to": "", "text": "" }),
        json!({ "op": "poll", "id": 1, "session": "", "got": 0 }),
        json!({ "op": "who", "id": 1, "session": "" }),
        json!({ "op": "leave", "id": 1, "session": "" }),
    ];
    let mut answered = 0;
    for request in requests {
        let request = request.to_string();
        if let Some(answer) = world.ask(victim, request.as_bytes()) {
            answered += 1;
            assert!(answer.len() <= request.len(), "{request}: {answer}");
        }
    }
    assert!(answered >= 3, "{answered}");
    // A hello that is too short for its cookie is not answered at all.
    assert_eq!(world.ask(victim, br#"{"op":"hello","id":1}"#), None);
    assert!(world.directory.is_empty(), "nothing is kept for a stranger");
}

#[test]
fn svc_g2_neither_end_answers_an_answer() {
    let mut world = World::new(Weather::FAIR);
    let ann = world.add("ann");
    world.record = Some(Vec::new());
    world.run(MINUTE, World::all_joined);
    world.pass(Duration::from_secs(5));
    let packets = world.record.take().unwrap();
    let answers: Vec<_> = packets
        .iter()
        .filter(|packet| packet.to == address(ann))
        .collect();
    assert!(answers.len() >= 3);
    // As if forged from the port of another directory, or reflected by one.
    for packet in &answers {
        assert_eq!(world.ask(address(9), &packet.object), None);
        assert_eq!(world.ask(packet.to, &packet.object), None);
    }
    for text in [
        &br#"{"is":"error","id":1,"code":"no-session"}"#[..],
        br#"{"is":"said","id":1,"seq":1,"next":2}"#,
        b"error",
        b"",
    ] {
        assert_eq!(world.ask(address(9), text), None);
        // And a client, given such a thing from nowhere, says nothing at all.
        let now = world.now;
        let client = &mut world.people[ann].client;
        while client.transmit(now).is_some() {}
        client.receive(text, now);
        assert_eq!(client.transmit(now), None);
        assert_eq!(client.event(), None);
    }
}

#[test]
fn svc_g3_a_name_is_its_owners_wherever_the_owner_is() {
    let mut world = World::new(Weather::FAIR);
    let (home, road, thief) = (address(1), address(2), address(3));
    let at_home = join(&mut world, home, "alice", "alice").unwrap();
    join(&mut world, address(4), "bob", "bob").unwrap();
    assert_eq!(
        join(&mut world, thief, "alice", "thief").unwrap_err(),
        "taken"
    );
    assert_eq!(
        join(&mut world, thief, "Alice", "thief").unwrap_err(),
        "look-alike"
    );
    // With a session that was overheard, from elsewhere.
    let stolen = ask(&mut world, thief, &say(&at_home, 1, "bob", "give me money")).unwrap();
    assert_eq!(stolen["code"], "no-session");

    // The owner moves. A join that was recorded before is late, whoever sends it, as long as its cookie lives.
    let old_cookie = cookie(&mut world, home);
    let moved = join(&mut world, road, "alice", "alice").unwrap();
    let late = join_with(
        &mut world,
        home,
        "alice",
        token("alice").expose(),
        &old_cookie,
    );
    assert_eq!(late["code"], "stale");
    let old = ask(&mut world, home, &say(&at_home, 1, "bob", "old")).unwrap();
    assert_eq!(old["code"], "moved");
    let said = ask(&mut world, road, &say(&moved, 1, "bob", "new")).unwrap();
    assert_eq!((&said["is"], &said["next"]), (&json!("said"), &json!(2)));
}

#[test]
fn svc_g3_a_join_that_is_repeated_gives_the_same_session() {
    let mut world = World::new(Weather::FAIR);
    let home = address(1);
    let cookie = cookie(&mut world, home);
    let token = token("alice");
    let first = join_with(&mut world, home, "alice", token.expose(), &cookie);
    let again = join_with(&mut world, home, "alice", token.expose(), &cookie);
    assert_eq!(first, again);
    assert_eq!(first["is"], "joined");
}

#[test]
fn svc_g10_a_flood_of_names_finds_a_bound_and_those_who_are_here_stay() {
    let options = DirectoryOptions::default().most_names(1000);
    let mut world = World::with(Weather::FAIR, options);
    let alice = join(&mut world, address(1), "alice", "alice").unwrap();
    for number in 0..5_000 {
        let from = SocketAddr::from((
            [127, 0, (number / 250) as u8, 2],
            9000 + (number % 250) as u16,
        ));
        let name = format!("flood{number}");
        match join(&mut world, from, &name, "flood") {
            Ok(session) => {
                let left = json!({ "op": "leave", "id": 1, "session": session });
                assert_eq!(ask(&mut world, from, &left).unwrap()["is"], "left");
            }
            Err(code) => assert!(matches!(code.as_str(), "full" | "look-alike"), "{code}"),
        }
        assert!(world.directory.len() <= 1000);
    }
    let who = json!({ "op": "who", "id": 1, "session": alice });
    assert_eq!(
        ask(&mut world, address(1), &who).unwrap()["names"],
        json!(["alice"])
    );
    assert_eq!(
        join(&mut world, address(3), "alice", "thief").unwrap_err(),
        "taken"
    );
}

#[test]
fn svc_g10_a_directory_full_of_those_who_are_here_takes_nobody_else() {
    let options = DirectoryOptions::default().most_names(3);
    let mut world = World::with(Weather::FAIR, options);
    for (number, name) in ["ann", "ben", "cat"].into_iter().enumerate() {
        join(&mut world, address(number), name, name).unwrap();
    }
    assert_eq!(
        join(&mut world, address(9), "dan", "dan").unwrap_err(),
        "full"
    );
}

#[test]
fn what_waits_for_somebody_has_a_bound_and_so_has_what_one_sender_has_under_way() {
    let options = DirectoryOptions::default().mailbox(10_000);
    let mut world = World::with(Weather::FAIR, options);
    let alice = join(&mut world, address(1), "alice", "alice").unwrap();
    let bob = join(&mut world, address(2), "bob", "bob").unwrap();
    let text = "x".repeat(700);
    let mut refused = 0;
    for seq in 1..=100_000 {
        if ask(&mut world, address(1), &say(&alice, seq, "bob", &text)).is_none() {
            refused += 1;
        }
    }
    assert!(refused > 90_000, "{refused}");
    assert!(
        world.directory.waiting_bytes() < 100_000,
        "{}",
        world.directory.waiting_bytes()
    );
    // Too long a piece is no piece.
    let long = say(&bob, 1, "alice", &"x".repeat(801));
    let answer = ask(&mut world, address(2), &long).unwrap();
    assert_eq!(answer["code"], "bad-request");
}

#[test]
fn svc_g12_a_recorded_session_says_nothing_a_second_time() {
    let mut world = World::new(Weather::FAIR);
    world.record = Some(Vec::new());
    let (ann, ben) = (world.add("ann"), world.add("ben"));
    world.run(MINUTE, World::all_joined);
    for round in 0..10 {
        world.say(ann, "ben", &format!("pay {round}"));
    }
    world.run(MINUTE, |world| world.people[ann].client.under_way() == 0);
    let recorded = world.record.take().unwrap();
    let expected: Vec<String> = (0..10).map(|round| format!("pay {round}")).collect();
    assert_eq!(world.texts(ben, "ann"), expected);

    let replay = |world: &mut World| {
        for packet in &recorded {
            let Packet { from, to, object } = packet.clone();
            world.send(Packet { from, to, object });
        }
        world.pass(MINUTE);
    };
    // At once, within the session.
    replay(&mut world);
    assert_eq!(world.texts(ben, "ann"), expected);
    // Later, in another session: the cookies are old.
    world.people[ann].is_away = true;
    world.pass(3 * MINUTE);
    replay(&mut world);
    world.people[ann].is_away = false;
    world.pass(MINUTE);
    assert_eq!(world.texts(ben, "ann"), expected);
    // After a restart: sessions and cookies are of another key.
    world.restart();
    replay(&mut world);
    assert_eq!(world.texts(ben, "ann"), expected);
    world.say(ann, "ben", "and still");
    world.pass(MINUTE);
    assert_eq!(world.texts(ben, "ann").last(), Some(&"and still"));
}

#[test]
fn svc_g13_a_session_ends_after_its_time_and_no_clock_of_the_day_is_asked() {
    // Time is an argument, and only ever grows: there is no other clock to jump.
    let mut world = World::new(Weather::FAIR);
    let alice = join(&mut world, address(1), "alice", "alice").unwrap();
    world.now += MINUTE;
    assert_eq!(
        ask(&mut world, address(1), &poll(&alice, 0)).unwrap()["is"],
        "mail"
    );
    // As after a suspend of five minutes.
    world.now += 5 * MINUTE;
    let answer = ask(&mut world, address(1), &poll(&alice, 0)).unwrap();
    assert_eq!(answer["code"], "no-session");
    // The name is still its owner's.
    assert_eq!(
        join(&mut world, address(2), "alice", "thief").unwrap_err(),
        "taken"
    );
    // A cookie of before is too old as well.
    let old = cookie(&mut world, address(1));
    world.now += 5 * MINUTE;
    let late = join_with(
        &mut world,
        address(1),
        "alice",
        token("alice").expose(),
        &old,
    );
    assert_eq!(late["code"], "cookie");
}

#[test]
fn two_clients_with_one_token_do_not_take_the_name_from_each_other_for_ever() {
    let mut world = World::new(Weather::FAIR);
    world.add("alice");
    world.run(MINUTE, World::all_joined);
    world.add("alice");
    world.pass(MINUTE);
    assert_eq!(world.people[0].events, [Event::Joined, Event::Moved]);
    assert_eq!(world.people[1].events, [Event::Joined]);
    // The wrong token is told, and that is the end as well.
    let token = token("mallory");
    let now = world.now;
    world.people[0].client = services::chat::Client::new("alice".parse().unwrap(), token, 5, now);
    world.pass(MINUTE);
    let last = world.people[0].events.last().unwrap();
    assert!(
        matches!(
            last,
            Event::Refused {
                code: Refusal::Taken,
                ..
            }
        ),
        "{last:?}"
    );
}

fn fragment() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("hello"),
        Just("join"),
        Just("say"),
        Just("poll"),
        Just("who"),
        Just("leave"),
        Just("SESSION"),
        Just("mail"),
        Just("alice"),
        Just("COOKIE"),
        Just("0123456789abcdef0123456789abcdef"),
    ]
    .prop_map(|word| format!("{word:?}"));
    let value = prop_oneof![
        word,
        any::<u64>().prop_map(|number| number.to_string()),
        ".{0,20}".prop_map(|text| json!(text).to_string()),
        Just("null".to_owned()),
        Just("-1".to_owned()),
        Just("[[{}]]".to_owned()),
        Just("true".to_owned()),
    ];
    let key = prop_oneof![
        Just("op"),
        Just("is"),
        Just("id"),
        Just("name"),
        Just("token"),
        Just("cookie"),
        Just("session"),
        Just("seq"),
        Just("to"),
        Just("text"),
        Just("more"),
        Just("got"),
        Just("mail"),
        Just("fresh"),
    ];
    proptest::collection::vec((key, value), 0..9).prop_map(|pairs| {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(key, value)| format!("{key:?}:{value}"))
            .collect();
        format!("{{{}}}", pairs.join(","))
    })
}

proptest! {
    #[test]
    fn svc_g17_no_object_panics_or_leaves_much_behind(objects in proptest::collection::vec(fragment(), 1..60), seed in 1u64..) {
        let mut world = World::new(Weather::FAIR);
        let session = join(&mut world, address(1), "alice", "alice").unwrap();
        let cookie = cookie(&mut world, address(1));
        let mut chance = Chance(seed);
        for object in objects {
            let object = object.replace("SESSION", &session).replace("COOKIE", &cookie);
            if let Some(answer) = world.ask(address(1), object.as_bytes()) {
                prop_assert!(answer.len() < MAX_DATAGRAM);
            }
            let now = world.now;
            if world.people.is_empty() {
                world.add("carol");
            }
            world.people[0].client.receive(object.as_bytes(), now);
            while world.people[0].client.transmit(now).is_some() {}
            world.now += Duration::from_millis(chance.below(5000));
        }
        prop_assert!(world.directory.waiting_bytes() < 1_000_000);
        prop_assert!(world.directory.len() <= 10);
    }

    #[test]
    fn svc_g17_no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut world = World::new(Weather::FAIR);
        world.add("carol");
        let now = world.now;
        world.ask(address(1), &bytes);
        world.people[0].client.receive(&bytes, now);
        services::chat::PlainMessage::read(address(1), &bytes);
    }
}
