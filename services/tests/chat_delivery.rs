//! Messages arrive once, whole and in order, or their senders are told, whatever the network does to datagrams.

mod chat_support;

use std::time::Duration;

use chat_support::{Weather, World, address, name};
use services::chat::{Event, Lost, MAX_TEXT, SayError, Undelivered};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Five people who each say 200 messages to the others in turn; then all is checked.
fn five_people(weather: Weather) -> World {
    let mut world = World::new(weather);
    let names = ["ann", "ben", "cat", "dan", "eve"];
    for name in names {
        world.add(name);
    }
    world.run(HOUR, World::all_joined);
    for round in 0..200 {
        for (number, from) in names.iter().enumerate() {
            let to = names[(number + 1 + round % 4) % 5];
            world.say(number, to, &format!("{from} to {to} {round}"));
        }
    }
    world.run(HOUR, |world| {
        world
            .people
            .iter()
            .all(|person| person.client.under_way() == 0)
    });
    world.pass(MINUTE);

    let (mut delivered, mut failed) = (0, 0);
    for (number, from) in names.iter().enumerate() {
        let mut told = 0;
        for event in &world.people[number].events {
            match event {
                Event::Delivered { .. } => (delivered, told) = (delivered + 1, told + 1),
                Event::Failed { .. } => (failed, told) = (failed + 1, told + 1),
                Event::Joined | Event::Message { .. } => {}
                event => panic!("{from}: {event:?}"),
            }
        }
        assert_eq!(told, 200, "{from} is told of each message once");
        for (other, to) in names.iter().enumerate() {
            let texts = world.texts(other, from);
            let rounds: Vec<usize> = texts
                .iter()
                .map(|text| text.rsplit(' ').next().unwrap().parse().unwrap())
                .collect();
            let rising = rounds.windows(2).all(|pair| pair[0] < pair[1]);
            assert!(rising, "{from} to {to}: not once and in order: {rounds:?}");
            let expected = format!("{from} to {to} ");
            assert!(texts.iter().all(|text| text.starts_with(&expected)));
        }
    }
    let shown: usize = (0..5)
        .map(|who| {
            names
                .iter()
                .map(|from| world.texts(who, from).len())
                .sum::<usize>()
        })
        .sum();
    assert_eq!(delivered + failed, 1000);
    assert!(shown >= delivered, "what is told as delivered was shown");
    assert_eq!(failed, 0, "no network was that bad");
    assert_eq!(shown, 1000);
    assert_eq!(world.directory.waiting_bytes(), 0, "nothing is left behind");
    world
}

/// How many datagrams a piece took on average.
fn cost(world: &World) -> f64 {
    let stats = world.people.iter().map(|person| person.client.stats());
    let (sent, repeated) = stats.fold((0, 0), |sum, stats| {
        (sum.0 + stats.sent, sum.1 + stats.repeated)
    });
    sent as f64 / (sent - repeated) as f64
}

#[test]
fn svc_g5_a_thousand_messages_survive_the_loss_of_every_third_datagram() {
    for seed in [1, 2, 3] {
        let world = five_people(Weather {
            seed,
            loss: 30,
            copies: 1,
            delay: (1, 5),
        });
        let cost = cost(&world);
        println!(
            "seed {seed}: {cost:.2} datagrams a message, {} in all, {:?} of time",
            world.sent,
            world.now - world.start
        );
        assert!(cost <= 4.0, "{cost}");
    }
}

#[test]
fn svc_g4_every_datagram_three_times_and_each_message_once() {
    let world = five_people(Weather {
        copies: 3,
        delay: (1, 30),
        ..Weather::FAIR
    });
    assert!(cost(&world) < 1.1);
}

#[test]
fn svc_g6_twenty_datagrams_in_any_order_and_the_messages_in_theirs() {
    // Pieces leave eight at a time, so with answers some twenty are under way, each at its own speed.
    let world = five_people(Weather {
        delay: (1, 200),
        ..Weather::FAIR
    });
    assert!(cost(&world) < 2.0);
}

#[test]
fn svc_g4_g5_g6_all_of_it_at_once() {
    five_people(Weather {
        seed: 7,
        loss: 20,
        copies: 2,
        delay: (1, 400),
    });
}

#[test]
fn svc_g7_a_text_of_any_size_comes_whole_or_is_refused() {
    let mut world = World::new(Weather {
        loss: 5,
        delay: (1, 20),
        ..Weather::FAIR
    });
    let (ann, ben) = (world.add("ann"), world.add("ben"));
    world.run(MINUTE, World::all_joined);
    let mut expected = Vec::new();
    for size in [1, 800, 801, 1200, 1201, 4000, MAX_TEXT - 3] {
        for kind in ["x", "\u{1b}", "\""] {
            expected.push(kind.repeat(size));
        }
        expected.push("语".repeat(size / 3 + 1));
    }
    for text in &expected {
        world.say(ann, "ben", text);
    }
    let to = name("ben");
    let client = &mut world.people[ann].client;
    assert_eq!(client.say(&to, ""), Err(SayError::Empty));
    for bytes in [MAX_TEXT + 1, 65_507] {
        let error = client.say(&to, &"x".repeat(bytes)).unwrap_err();
        assert_eq!(error, SayError::TooLong { bytes });
        assert!(error.to_string().contains("8192 are allowed"), "{error}");
    }
    world.run(HOUR, |world| world.people[ann].client.under_way() == 0);
    let texts = world.texts(ben, "ann");
    let sizes: Vec<_> = texts.iter().map(|text| text.len()).collect();
    assert!(texts == expected, "{sizes:?}");
}

#[test]
fn a_message_that_cannot_be_delivered_is_told() {
    let mut world = World::new(Weather::FAIR);
    let (ann, ben) = (world.add("ann"), world.add("ben"));
    world.run(MINUTE, World::all_joined);
    world.people[ben].is_away = true;
    world.say(ann, "nobody", "1");
    world.say(ann, "ben", "2");
    world.pass(MINUTE);
    let told: Vec<_> = world.people[ann].events.iter().skip(1).cloned().collect();
    let failed = |to: &str, why| Event::Failed {
        message: services::chat::MessageId(if to == "ben" { 2 } else { 1 }),
        to: name(to),
        why: Lost::Told(why),
    };
    // The second was put into an answer to the question that ben had open; nobody knows whether he saw it.
    let expected = [
        failed("nobody", Undelivered::Unknown),
        failed("ben", Undelivered::Unconfirmed),
    ];
    assert_eq!(told, expected);
    // Now that he is away for good, it is known that he did not.
    world.say(ann, "ben", "3");
    world.pass(MINUTE);
    let last = world.people[ann].events.last();
    assert!(
        matches!(
            last,
            Some(Event::Failed {
                why: Lost::Told(Undelivered::NotHere),
                ..
            })
        ),
        "{last:?}"
    );
    // Back again, he sees what was on its way to him, and once.
    world.people[ben].is_away = false;
    world.pass(MINUTE);
    assert_eq!(world.texts(ben, "ann"), ["2"]);
}

#[test]
fn a_directory_that_is_gone_is_told_after_so_many_tries_and_not_asked_in_a_storm() {
    let mut world = World::new(Weather::FAIR);
    let (ann, _) = (world.add("ann"), world.add("ben"));
    world.run(MINUTE, World::all_joined);
    world.weather.loss = 100;
    let before = world.sent;
    world.say(ann, "ben", "into the void");
    world.run(HOUR, |world| world.people[ann].client.under_way() == 0);
    let failed = world.people[ann].events.iter().any(|event| {
        matches!(
            event,
            Event::Failed {
                why: Lost::NoAnswer,
                ..
            }
        )
    });
    assert!(failed);
    assert!(world.people[ann].events.contains(&Event::Unreachable));
    let took = world.now - world.start;
    assert!(took < MINUTE, "{took:?}");
    let sent = world.sent - before;
    assert!(sent < 80, "{sent}");
    // It comes back, and all is well.
    world.weather.loss = 0;
    world.pass(MINUTE);
    world.say(ann, "ben", "again");
    world.pass(MINUTE);
    assert_eq!(world.texts(1, "ann"), ["again"]);
}

#[test]
fn svc_g12_after_a_restart_what_was_taken_is_told_as_lost_and_the_rest_goes_on() {
    let mut world = World::new(Weather::FAIR);
    let (ann, ben) = (world.add("ann"), world.add("ben"));
    world.run(MINUTE, World::all_joined);
    world.people[ben].is_away = true;
    world.say(ann, "ben", "taken");
    world.pass(Duration::from_secs(2));
    world.restart();
    world.people[ben].is_away = false;
    world.pass(MINUTE);
    let lost = world.people[ann].events.iter().any(|event| {
        matches!(
            event,
            Event::Failed {
                why: Lost::Restarted,
                ..
            }
        )
    });
    assert!(lost, "{:?}", world.people[ann].events);
    world.say(ann, "ben", "after");
    world.pass(MINUTE);
    assert_eq!(world.texts(ben, "ann"), ["after"]);
}

#[test]
fn a_client_that_moves_to_another_address_loses_nothing() {
    let mut world = World::new(Weather {
        loss: 20,
        delay: (1, 50),
        ..Weather::FAIR
    });
    let (ann, ben) = (world.add("ann"), world.add("ben"));
    world.run(MINUTE, World::all_joined);
    for round in 0..100 {
        world.say(ann, "ben", &round.to_string());
    }
    // As behind a router that gives another port now and then.
    for step in 0..10 {
        world.pass(Duration::from_millis(700));
        world.people[ann].address = address(100 + step);
        world.people[ben].address = address(200 + step);
    }
    world.run(HOUR, |world| world.people[ann].client.under_way() == 0);
    let expected: Vec<_> = (0..100).map(|round| round.to_string()).collect();
    assert_eq!(world.texts(ben, "ann"), expected);
}

#[test]
fn svc_g4_an_item_that_comes_again_is_passed_over_and_one_too_early_too() {
    let mut world = World::new(Weather::FAIR);
    let ann = world.add("ann");
    world.record = Some(Vec::new());
    world.run(MINUTE, World::all_joined);
    world.pass(Duration::from_secs(3));
    let now = world.now;
    let mut got = 0;
    for items in [&[1, 1, 2, 1][..], &[2, 3, 5], &[1, 2, 3, 4]] {
        // The question for mail that is open.
        let packets = world.record.as_ref().unwrap();
        let asked = packets
            .iter()
            .rev()
            .map(|packet| String::from_utf8(packet.object.to_vec()).unwrap());
        let poll = asked
            .into_iter()
            .find(|text| text.contains(r#""op":"poll""#))
            .unwrap();
        assert!(poll.contains(&format!(r#""got":{got}"#)), "{poll}");
        let id: serde_json::Value = serde_json::from_str(&poll).unwrap();
        let mail: Vec<_> = items
            .iter()
            .map(|n| serde_json::json!({ "n": n, "from": "ben", "text": n.to_string() }))
            .collect();
        let answer = serde_json::json!({ "id": id["id"], "is": "mail", "mail": mail });
        world.people[ann]
            .client
            .receive(answer.to_string().as_bytes(), now);
        world.run(Duration::ZERO, |_| false);
        got = items
            .iter()
            .fold(got, |got, n| if *n == got + 1 { *n } else { got });
    }
    assert_eq!(world.texts(ann, "ben"), ["1", "2", "3", "4"]);
}
