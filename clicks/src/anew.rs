//! What a click is by other lists than those that classified it, where it is kept: of what the rules need, the agent is all that
//! is still known.

use crate::{AgentClass, Click, Kind};

/// A click as it is where its agent is of this class; `None`: as it was.
///
/// The rules hold in their order. The method and whether it was fetched ahead stand above the agent, so such a click keeps its
/// kind. [`Kind::Repeat`] stands below it and needs the clicks before it in the same process of the edge, which nobody has any
/// more: one that was a repeat stays one unless its agent is a program's, and one of a program that is taken for a person's now
/// is [`Kind::Human`], whoever clicked before.
pub fn anew(click: &Click, class: &AgentClass) -> Option<Click> {
    let kind = match (click.kind, class.kind) {
        (Kind::Head | Kind::Prefetch | Kind::Ignored | Kind::Off, _) => click.kind,
        (_, Some(kind)) => kind,
        (Kind::Repeat, None) => Kind::Repeat,
        (Kind::Human | Kind::Bot | Kind::Preview, None) => Kind::Human,
    };
    let said = (&click.browser, &click.os, click.device);
    if kind == click.kind && said == (&class.browser, &class.os, class.device) {
        return None;
    }
    let AgentClass { browser, os, device, .. } = class.clone();
    Some(Click { kind, browser, os, device, ..click.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Country, Device, Language};
    use link::DomainId;

    fn click(kind: Kind) -> Click {
        Click {
            at: 5,
            domain: DomainId(2),
            uid: 9,
            version: 11,
            kind,
            country: Country(*b"DE"),
            browser: "Chrome".into(),
            os: "Linux".into(),
            device: Device::Desktop,
            referrer: "a.example".into(),
            language: Language(*b"de"),
            visitor: 7,
            agent: 8,
        }
    }

    fn class(kind: Option<Kind>) -> AgentClass {
        AgentClass { kind, browser: "New".into(), os: "".into(), device: Device::Unknown }
    }

    #[test]
    fn the_agent_decides_only_what_no_rule_above_it_does() {
        use Kind::{Bot, Head, Human, Prefetch, Preview, Repeat};
        for (was, class_kind, kind) in [
            (Human, Some(Bot), Bot),
            (Human, Some(Preview), Preview),
            (Repeat, Some(Bot), Bot),
            (Repeat, None, Repeat),
            (Bot, None, Human),
            (Preview, None, Human),
            (Bot, Some(Preview), Preview),
            (Head, Some(Bot), Head),
            (Head, None, Head),
            (Prefetch, Some(Bot), Prefetch),
        ] {
            let now = anew(&click(was), &class(class_kind)).unwrap();
            let expected =
                Click { kind, browser: "New".into(), os: "".into(), device: Device::Unknown, ..click(was) };
            assert_eq!(now, expected, "{was:?}");
            assert_eq!(anew(&now, &class(class_kind)), None, "the second time nothing changes");
        }
    }
}
