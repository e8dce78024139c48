//! A network in memory and in virtual time: a directory, its clients, and what may happen to datagrams.

#![allow(dead_code, reason = "each test file uses its own part of this one")]

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    task::Waker,
    time::{Duration, Instant},
};

use bytes::Bytes;
use services::chat::{
    Client, Directory, DirectoryOptions, Event, HOLD, PeerName, Reply, Ticket, Token,
};

/// Where the directory is.
pub(crate) const DIRECTORY: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8090);

/// What happens to each datagram, drawn from `seed`.
#[derive(Clone, Copy)]
pub(crate) struct Weather {
    pub(crate) seed: u64,
    /// So many of 100 are lost.
    pub(crate) loss: u64,
    /// How often each arrives.
    pub(crate) copies: usize,
    /// How many milliseconds each takes at least, and how many more at most.
    pub(crate) delay: (u64, u64),
}

impl Weather {
    pub(crate) const FAIR: Self = Self {
        seed: 1,
        loss: 0,
        copies: 1,
        delay: (1, 0),
    };
}

/// Numbers by chance that are the same each time.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit.max(1)
    }
}

/// A datagram under way.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) object: Bytes,
}

/// A client and where it is.
pub(crate) struct Person {
    pub(crate) client: Client,
    pub(crate) address: SocketAddr,
    pub(crate) events: Vec<Event>,
    /// Not connected: neither sends nor receives.
    pub(crate) is_away: bool,
}

pub(crate) struct World {
    pub(crate) directory: Directory,
    pub(crate) people: Vec<Person>,
    pub(crate) now: Instant,
    pub(crate) start: Instant,
    pub(crate) weather: Weather,
    /// Everything that was sent, if it is kept.
    pub(crate) record: Option<Vec<Packet>>,
    pub(crate) sent: u64,
    chance: Chance,
    under_way: BTreeMap<(Instant, u64), Packet>,
    tickets: Vec<(Ticket, SocketAddr, Instant)>,
}

pub(crate) fn name(text: &str) -> PeerName {
    text.parse().unwrap()
}

/// The token of a name in these tests.
pub(crate) fn token(of: &str) -> Token {
    let digits: String = of.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{digits:0<32.32}").parse().unwrap()
}

pub(crate) fn address(number: usize) -> SocketAddr {
    format!("127.0.0.1:{}", 9000 + number).parse().unwrap()
}

impl World {
    pub(crate) fn new(weather: Weather) -> Self {
        Self::with(weather, DirectoryOptions::default())
    }

    pub(crate) fn with(weather: Weather, options: DirectoryOptions) -> Self {
        let now = Instant::now();
        Self {
            directory: Directory::new(options, [1; 32], now),
            people: Vec::new(),
            now,
            start: now,
            weather,
            record: None,
            sent: 0,
            chance: Chance(weather.seed),
            under_way: BTreeMap::new(),
            tickets: Vec::new(),
        }
    }

    /// The directory goes down and comes up again with nothing in it.
    pub(crate) fn restart(&mut self) {
        self.directory = Directory::new(DirectoryOptions::default(), [2; 32], self.now);
        self.tickets.clear();
    }

    pub(crate) fn add(&mut self, name: &str) -> usize {
        let number = self.people.len();
        let client = Client::new(
            name.parse().unwrap(),
            token(name),
            number as u32 * 1000,
            self.now,
        );
        self.people.push(Person {
            client,
            address: address(number),
            events: Vec::new(),
            is_away: false,
        });
        number
    }

    pub(crate) fn say(&mut self, who: usize, to: &str, text: &str) {
        self.people[who].client.say(&name(to), text).unwrap();
    }

    /// Puts a datagram on its way, through the weather.
    pub(crate) fn send(&mut self, packet: Packet) {
        self.sent += 1;
        if let Some(record) = &mut self.record {
            record.push(packet.clone());
        }
        for _ in 0..self.weather.copies {
            if self.chance.below(100) < self.weather.loss {
                continue;
            }
            let (least, more) = self.weather.delay;
            let delay = Duration::from_millis(least + self.chance.below(more + 1));
            let number = self.under_way.len() as u64 + self.sent * 16 + self.chance.below(16);
            self.under_way
                .insert((self.now + delay, number), packet.clone());
        }
    }

    /// Gives the directory one datagram at once and returns its answer.
    pub(crate) fn ask(&mut self, from: SocketAddr, object: &[u8]) -> Option<String> {
        match self.directory.handle(from, object, self.now) {
            Reply::Now(answer) => Some(String::from_utf8(answer.to_vec()).unwrap()),
            Reply::Later(ticket) => {
                let mail = self.directory.mail(&ticket, Waker::noop(), true).unwrap();
                Some(String::from_utf8(mail.to_vec()).unwrap())
            }
            Reply::Never => None,
        }
    }

    /// Lets time pass until nothing more happens in it or `done` says so.
    pub(crate) fn run(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) {
        let end = self.now + limit;
        let mut stuck = 0;
        loop {
            let before = self.now;
            self.flush();
            if done(self) {
                return;
            }
            let packets = self.under_way.keys().next().map(|(at, _)| *at);
            let tickets = self.tickets.iter().map(|(_, _, until)| *until).min();
            let present = self.people.iter().filter(|person| !person.is_away);
            let clients = present
                .filter_map(|person| person.client.deadline(self.now))
                .min();
            let next = [packets, tickets, clients].into_iter().flatten().min();
            match next {
                Some(next) if next <= end => self.now = self.now.max(next),
                _ => {
                    self.now = end;
                    return;
                }
            }
            stuck = if self.now == before { stuck + 1 } else { 0 };
            assert!(stuck < 10_000, "time stands still");
            while let Some(entry) = self.under_way.first_entry()
                && entry.key().0 <= self.now
            {
                let packet = entry.remove();
                self.arrive(packet);
            }
        }
    }

    /// Lets so much time pass.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.run(time, |_| false);
    }

    fn arrive(&mut self, packet: Packet) {
        let Packet { from, to, object } = packet;
        if to == DIRECTORY {
            match self.directory.handle(from, &object, self.now) {
                Reply::Now(object) => self.answer(from, object),
                Reply::Later(ticket) => self.tickets.push((ticket, from, self.now + HOLD)),
                Reply::Never => {}
            }
        } else if let Some(person) = self.people.iter_mut().find(|person| person.address == to)
            && !person.is_away
        {
            person.client.receive(&object, self.now);
        }
    }

    fn answer(&mut self, to: SocketAddr, object: Bytes) {
        let from = DIRECTORY;
        self.send(Packet { from, to, object });
    }

    fn flush(&mut self) {
        for (ticket, to, until) in std::mem::take(&mut self.tickets) {
            match self
                .directory
                .mail(&ticket, Waker::noop(), until <= self.now)
            {
                Some(object) => self.answer(to, object),
                None => self.tickets.push((ticket, to, until)),
            }
        }
        for number in 0..self.people.len() {
            let person = &mut self.people[number];
            let from = person.address;
            let mut objects = Vec::new();
            if !person.is_away {
                while let Some(object) = person.client.transmit(self.now) {
                    objects.push(object);
                }
            }
            while let Some(event) = person.client.event() {
                person.events.push(event);
            }
            for object in objects {
                let to = DIRECTORY;
                self.send(Packet { from, to, object });
            }
        }
    }

    /// Everybody is in.
    pub(crate) fn all_joined(&self) -> bool {
        let joined = |person: &Person| person.events.contains(&Event::Joined);
        self.people.iter().all(joined)
    }

    /// The texts that have come to somebody from somebody.
    pub(crate) fn texts(&self, who: usize, from: &str) -> Vec<&str> {
        let events = self.people[who].events.iter();
        events
            .filter_map(|event| match event {
                Event::Message { from: sender, text } if sender.as_str() == from => {
                    Some(text.as_str())
                }
                _ => None,
            })
            .collect()
    }
}
