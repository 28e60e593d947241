//! Properties of made-up conversations.

use proptest::prelude::*;

use super::*;

fn any_message() -> impl Strategy<Value = Vec<u8>> {
    let kinds = b"QPBDECSHFXdcfpZRKC123nTtDIsEGHWVNSA".to_vec();
    prop_oneof![
        4 => (proptest::sample::select(kinds), proptest::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(kind, body)| message(kind, &body)),
        1 => proptest::sample::select(vec![
            query("SELECT 1"), parse("s", "SELECT 2"), bind("", "s"), execute(""), sync(), ready(), tag("SELECT 1"),
            error("ERROR", "1"), error("FATAL", "2"), startup(), message(b'1', b""), message(b'2', b""),
        ]),
        1 => proptest::collection::vec(any::<u8>(), 0..60),
    ]
}

#[derive(Clone, Debug)]
enum Act {
    Feed(Side, Vec<u8>),
    Gap(Side, u64),
    Close,
}

fn any_act() -> impl Strategy<Value = Act> {
    let side = proptest::sample::select(vec![Side::Client, Side::Server]);
    prop_oneof![
        20 => (side.clone(), any_message()).prop_map(|(side, bytes)| Act::Feed(side, bytes)),
        2 => (side, 0..200_u64).prop_map(|(side, length)| Act::Gap(side, length)),
        1 => Just(Act::Close),
    ]
}

/// One round trip of a made-up session, and what it is known to yield.
#[derive(Clone, Debug)]
struct Trip {
    asked: Vec<u8>,
    answered: Vec<u8>,
    statement: String,
    rows: u64,
}

fn any_trip() -> impl Strategy<Value = Trip> {
    (0..1000_u64, 0..300_usize, any::<bool>(), 0..2000_usize).prop_map(|(id, count, simple, padding)| {
        let statement = format!("SELECT {id} /* {} */", "x".repeat(padding));
        let end = [rows(count), tag(&format!("SELECT {id}")), ready()].concat();
        let (asked, answered) = match simple {
            true => (query(&statement), end),
            false => (
                [parse("", &statement), bind("", ""), execute(""), sync()].concat(),
                [message(b'1', b""), message(b'2', b""), end].concat(),
            ),
        };
        Trip { asked, answered, statement, rows: id }
    })
}

proptest! {
    #[test]
    fn never_panics_and_ends_what_it_opens(acts in proptest::collection::vec(any_act(), 0..60), late in any::<bool>()) {
        let mut talk = Talk::new(if late { Join::Late } else { Join::Start });
        for act in acts {
            match act {
                Act::Feed(Side::Client, bytes) => talk.client(&bytes),
                Act::Feed(Side::Server, bytes) => talk.server(&bytes),
                Act::Gap(side, length) => talk.gap(side, length as usize),
                Act::Close => {
                    let at = talk.at();
                    talk.conversation.close(None, at, &mut talk.signals);
                }
            }
        }
        let at = talk.at();
        talk.conversation.finish(at, &mut talk.signals);
        let opened: Vec<u64> = talk.signals.iter().filter_map(|s| if let Signal::Opened { serial, .. } = s { Some(*serial) } else { None }).collect();
        let mut done: Vec<u64> = talk.done().iter().map(|e| e.serial).collect();
        done.sort_unstable();
        prop_assert_eq!(opened, done);
    }

    #[test]
    fn recognising_never_panics(client in any_message(), server in any_message()) {
        for join in [Join::Start, Join::Late] {
            Postgres.recognise(&client, &server, join);
        }
    }

    /// What is uncertain after a late join is the answer, not the question.
    #[test]
    fn joined_late_no_question_is_missed(trips in proptest::collection::vec(any_trip(), 1..6), seen in any::<bool>()) {
        let mut talk = Talk::new(Join::Late);
        // Joined within an answer, or before a question.
        if seen {
            talk.server(&[b"\0\0SELE".as_slice(), &tag("SELECT 5"), &ready()].concat());
        }
        for trip in &trips {
            talk.client(&trip.asked);
            talk.server(&trip.answered);
        }
        let found: Vec<_> = talk.done().into_iter().map(|exchange| sql(exchange).statement.as_deref()).collect();
        let asked: Vec<_> = trips.iter().map(|trip| Some(trip.statement.as_str())).collect();
        prop_assert_eq!(found, asked);
    }

    /// Each statement's rows are its own number: a wrong pair would show, whatever the kernel left out.
    #[test]
    fn losses_never_pair_an_answer_with_another_statement(
        trips in proptest::collection::vec((any_trip(), 0..1500_usize, 0..6000_usize, 0..8_u32), 1..12),
        late in any::<bool>(),
    ) {
        let mut talk = if late { Talk::new(Join::Late) } else { Talk::ready() };
        for (trip, ask_budget, answer_budget, lost) in &trips {
            match lost {
                0 => talk.gap(Side::Client, trip.asked.len()),
                _ => talk.captured(Side::Client, &trip.asked, *ask_budget),
            }
            match lost {
                1 => talk.gap(Side::Server, trip.answered.len()),
                _ => talk.captured(Side::Server, &trip.answered, *answer_budget),
            }
        }
        for exchange in talk.done() {
            if exchange.ending == Ending::Lost {
                prop_assert_eq!((sql(exchange).rows_affected, &sql(exchange).error), (None, &None));
            }
            let Some(found) = sql(exchange).statement.as_deref() else { continue };
            let cut = sql(exchange).statement_cut;
            let agrees = |trip: &Trip| {
                let same = found == trip.statement || (cut && trip.statement.starts_with(found));
                same && sql(exchange).rows_affected.is_none_or(|rows| rows == trip.rows)
            };
            prop_assert!(trips.iter().any(|(trip, ..)| agrees(trip)), "{:?}", exchange);
        }
    }
}
