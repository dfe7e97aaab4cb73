//! What a client cannot do just now, in words for an operator: which state, why, what to do.
//!
//! None of these ends a worker: the client goes on trying, and so do we.

use crate::error::Error;
use crate::sys::process;
use rdkafka::error::RDKafkaErrorCode as Code;

/// A state that both clients can be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No broker answers.
    Away,
    /// A broker refuses us.
    Denied,
    /// A broker does not believe who we are, or we do not believe it. Others may.
    LockedOut,
    /// The topic is not there.
    NoTopic,
    /// This process did not run for longer than the group waits.
    Overslept,
    /// The brokers cannot do it just now.
    Unable,
    Other,
}

/// A state with what the client said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub state: State,
    pub why: String,
}

impl Trouble {
    pub fn new(code: Option<Code>, why: impl Into<String>) -> Trouble {
        Trouble { state: state_of(code), why: why.into() }
    }

    /// One broker of several is away: the client's own line says it, and the others go on.
    pub fn is_about_one_broker(code: Option<Code>) -> bool {
        matches!(code, Some(Code::BrokerTransportFailure | Code::Resolve | Code::OperationTimedOut))
    }

    /// Why, and what to do about it.
    pub fn advice(&self) -> String {
        // The client has but a line of its own for that, and of its kind one a minute passes.
        let out_of_files = if self.state == State::Away { process::out_of_files() } else { None };
        format!("{}; {}", self.why, out_of_files.unwrap_or(self.state.advice()))
    }
}

/// For commands, which end with it.
impl From<Trouble> for Error {
    fn from(trouble: Trouble) -> Error {
        Error::temporary(trouble.why)
    }
}

impl State {
    pub const ALL: [State; 7] = [
        State::Away,
        State::Denied,
        State::LockedOut,
        State::NoTopic,
        State::Overslept,
        State::Unable,
        State::Other,
    ];

    /// What stands in front: "Kafka is away".
    pub fn name(self) -> &'static str {
        match self {
            State::Away => "Kafka is away",
            State::Denied => "Kafka refuses us",
            State::LockedOut => "a broker of Kafka does not let us in",
            State::NoTopic => "a topic is missing",
            State::Overslept => "this process did not run for longer than max.poll.interval.ms",
            State::Unable => "Kafka cannot do it now",
            State::Other => "Kafka",
        }
    }

    fn advice(self) -> &'static str {
        match self {
            State::Away => {
                "check the brokers and their replicas, the network and bootstrap-servers; we go on \
                 trying"
            }
            State::Denied => "grant READ on input topic and group, WRITE on the others; we try on",
            State::LockedOut => {
                "check security.protocol, sasl.username, sasl.password and certificates; we try on"
            }
            State::NoTopic => "create it; it is seen within topic.metadata.refresh.interval.ms",
            State::Overslept => "its partitions went to others, and it joins the group again",
            State::Unable => "look at the replicas of its partitions; we go on trying",
            State::Other => "we go on trying",
        }
    }
}

fn state_of(code: Option<Code>) -> State {
    match code {
        Some(
            Code::AllBrokersDown
            | Code::BrokerTransportFailure
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::MessageTimedOut
            | Code::RequestTimedOut,
        ) => State::Away,
        Some(
            Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed,
        ) => State::Denied,
        Some(
            Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState
            | Code::SSL,
        ) => State::LockedOut,
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => {
            State::NoTopic
        }
        Some(Code::PollExceeded) => State::Overslept,
        Some(Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend) => State::Unable,
        _ => State::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_says_what_to_do() {
        for (code, name) in [
            (Some(Code::AllBrokersDown), "Kafka is away"),
            (Some(Code::TopicAuthorizationFailed), "Kafka refuses us"),
            (Some(Code::Authentication), "a broker of Kafka does not let us in"),
            (Some(Code::SSL), "a broker of Kafka does not let us in"),
            (Some(Code::UnknownTopicOrPartition), "a topic is missing"),
            (Some(Code::NotEnoughReplicas), "Kafka cannot do it now"),
            (None, "Kafka"),
        ] {
            let trouble = Trouble::new(code, "because");
            assert_eq!(trouble.state.name(), name);
            assert!(trouble.advice().starts_with("because; "));
        }
    }
}
