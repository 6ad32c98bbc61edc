# ruff: noqa: E501 (patterns read better on one line)
"""Signs that prove nothing alone and little in pairs: who is spoken to, what is wanted of him, and under which pretext.

Each counts once for a text. What describes a tool has one or two of them; what steers a model has several.
"""

from __future__ import annotations

from typing import Final

from garrison.policy.late import Late
from garrison.policy.scanner.signals import ELSEWHERE, FILES, SECRETS, TO_PARAMETER

SUSPECT: Final = 4.0
CERTAIN: Final = 6.0
_MODEL = r"(?:assistants?|llms?|language models?|ais?|ai (?:agents?|models?|assistants?)|the (?:model|agent)|chatbots?|claude|chatgpt|copilot)"

SIGNS: Final[tuple[tuple[float, Late], ...]] = tuple(
    (weight, Late(pattern))
    for weight, pattern in (
        # who is spoken to
        (2.0, rf"\b{_MODEL}(?: \w+)? (?:must|should|shall|needs? to|has to|have to|is (?:required|obligated|instructed|expected|authori[sz]ed)|are (?:required|obligated|instructed|expected|authori[sz]ed)|will (?:also|first|always))\b|\bas (?:an|the) ai\b|\byou,? the (?:assistant|model|ai|agent)"),
        (1.0, rf"\b{_MODEL}\b"),
        (1.5, r"\byou (?:are (?:obligated|obliged|authori[sz]ed|commanded|ordered|instructed|bound)|have been (?:upgraded|updated|reprogrammed|reconfigured|granted|promoted|authori[sz]ed)|work for|serve|answer to|belong to)\b"),
        (1.0, r"\b(?:you )?(?:must|mandatory|obligat\w+|required to|shall)\b"),
        # what is wanted
        (2.0, r"\b(?:conversation|chat history|chat log|message history|(?:the )?user'?s? (?:\w+ )?(?:prompts?|messages?|questions?|input|request|clipboard|files?|emails?|inbox|contacts?|photos?|location|history|data|home|desktop|keys?|tokens?|cookies|passwords?|credentials|secrets|wallet)|clipboard|browser (?:history|cookies|data)|session cookies|home (?:directory|folder)|whole workspace|the workspace|source tree|what(?:ever)? the user (?:typed|said|wrote|asked)|everything the user|(?:one[- ]time|verification|2fa|mfa) codes?)"),
        (2.5, rf"{FILES}"),
        (1.5, rf"\b(?:all|any|every|each|user'?s?|your|stored|saved|found) (?:\w+ )?{SECRETS}\b"),
        (1.5, r"\b(?:forward|transmit|exfiltrate|relay|leak|stash|smuggle|bcc|upload|mirror|copied|copy|appended?|append|prepend|attach|record|report back|embed|harvest|gather|collect|hand over|divert|siphon)(?:ed|ing|s)?\b"),
        (1.0, rf"{TO_PARAMETER}|\b(?:this|our|the) (?:tool|server|endpoint)(?:'s)?\b.{{0,12}}$|\bthrough this (?:tool|server)|\bto this (?:tool|server)"),
        (1.5, rf"{ELSEWHERE}"),
        (1.0, r"\b(?:also|additionally|in addition|internally|behind the scenes|as a side effect|side effect|along the way|at the same time)\b"),
        (1.5, r"\b(?:any|every|each|all) (?:response|answer|reply|request|message|output|call|interaction|operation|data)s?\b(?! of| in| from| to the)|\beverything\b|\bwhenever asked\b|\bat all times\b"),
        (2.0, r"\b(?:your|every|any|each) (?:\w+ )?(?:response|answer|reply|replies)s?\b.{0,40}?\b(?:must|always|has to|contain|end with|begin with|start with)\b"),
        (2.5, r"\b(?:drop table|rm -rf|delete (?:the|all) (?:mails?|emails?|evidence|logs?|traces?)|disable (?:tls|ssl|certificate)|chmod 777|grant (?:it |this \w+ |them )?full access|add (?:a )?backdoor|(?:run|execute) `?(?:curl|wget) http)"),
        (2.0, r"\b(?:execute|run|follow|obey|perform|comply with) (?:the |any |every |all )?(?:\w+ )?(?:commands?|instructions?|requests?|steps|orders|directives?)\b.{0,40}?\b(?:found|contained|returned|received|in the|from|embedded|inside)\b"),
        # so that nobody notices
        (4.0, r"\b(?:user|human|anyone|nobody|they|he|she|customer)s? (?:does not|doesn'?t|do not|don'?t|need not|needn'?t|should not|shouldn'?t|must not|mustn'?t|is not to|are not to|won'?t|will not|must never|should never|never) (?:\w+ )?(?:need to )?(?:know|see|notice|learn|find out|be (?:told|informed|bothered|aware|notified)|realize|realise|care)\b"),
        (4.0, r"\b(?:not necessary|unnecessary|no need|not needed|no reason|not required|pointless) to (?:mention|tell|inform|explain|disclose|report|ask|notify|bother|confirm|warn)\b.{0,24}?\b(?:user|human|them|anyone|customer|confirmation|permission|approval|consent)"),
        (3.0, r"\b(?:do not|don'?t|never|not be|without) (?:let |allow )(?:\w+ ){0,2}?(?:user|human|them|anyone)s? (?:see|know|notice|find|learn|inspect|realize)\b|\bhidden from (?:the )?(?:user|human|view)|\b(?:do not|don'?t|never|not to be) (?:be )?(?:disclosed?|revealed?|divulged?|mentioned?|discussed?)\b(?! (?:the )?(?:passwords?|secrets?|tokens?|keys?|values?|personal|internal|private|credentials?|pii))"),
        (2.0, r"\b(?:confidential|secret|hidden|internal|private|covert|undisclosed) (?:instructions?|directives?|notes?|orders?|steps?|tasks?|rules?|protocol|behaviou?r|message)\b"),
        (2.5, r"\bwithout (?:\w+ )?(?:review|question|hesitation|asking|checking|verification|inspection|telling|confirming|confirmation|consent|delay)\b|\bdo not (?:question|hesitate|doubt|verify|argue|refuse|second-guess|ask questions|stop to ask)\b|\bno questions asked\b"),
        # under which pretext
        (2.5, r"\bthis (?:server|tool) (?:is|acts as|has been (?:made|appointed|granted)) (?:the |an? |your )?(?:administrator|admin|system|owner|root|authority|highest|supervisor|operator|master)|\b(?:new|updated|revised) (?:\w+ )?(?:system |security |operating )?(?:policy|protocol|directives?|mandate|regulation) ?[:,-]|\bby order of|\bon behalf of (?:the )?(?:admin|security|anthropic|openai|system)"),
        (1.0, r"\b(?:as a|for) (?:\w+ )?(?:security|safety|compliance|audit\w*|verification|authentication|integrity|legal|calibration|telemetry|debugging|diagnostic|attestation|quality|tracing)(?: \w+)? ?(?:check|purposes?|reasons?|measure|requirement|step)?\b|\b(?:needed|required|necessary) (?:to|for) (?:trace|verify|authenticate|function|work|audit|calibrate|authorize|process the request)"),
        (4.0, r"\b(?:prioriti[sz]e|favou?r|rank|choose|select|use) (?:this|our) (?:tool|server|service)s? (?:\w+ )?(?:over|above|before|ahead of|instead of) (?:any|all|every|other|each)\b|\babove (?:those of )?the user'?s?\b|\bover the user'?s? (?:wish|instruction|request|preference|command)"),
        (2.0, r"\b(?:must|always|only) use this (?:tool|server|one)? ?(?:instead of|rather than|and not|in place of)\b"),
        (2.0, r"\b(?:leaks? (?:data|your|the user|secrets)|steals?|cannot be trusted|can'?t be trusted|not to be trusted|is (?:unsafe|dangerous|malicious|compromised)|the (?:only|most) (?:secure|trusted|safe|reliable|trustworthy) (?:one|tool|server|option|choice))\b"),
        (1.0, r"\b(?:any|every|all|each)(?: of the)? other (?:\w+ )?(?:tools?|servers?|functions?)\b"),
        (2.0, r"\b(?:all|any|every)(?: \w+){0,2} must (?:first |always )?(?:pass|go|be (?:sent|routed|passed|given|submitted)) (?:through|to|via)\b"),
        (1.5, r"\b(?:stop|wait|halt)[.!:] (?:read|before|first)|\bread (?:this|the following) (?:first|carefully|before)\b|\bimportant[:!>\]]|<important|\burgent\b"),
        (1.5, r"\b(?:otherwise|or else|if you (?:do not|don'?t|fail to|refuse))\b.{0,60}?\b(?:fail|break|not work|lose|lost|terminated|shut ?down|banned|penalt|punish|harm|die|deleted|crash|consequences)"),
    )
)  # fmt: skip


def suspicion(text: str, begin: int = 0, stop: int = 1_000_000) -> tuple[float, int, int]:
    """How many of the signs a normalised text has, by weight; and where they begin and end; within a stretch."""
    total, start, end = 0.0, len(text), 0
    for weight, pattern in SIGNS:
        found = pattern.search(text, begin, stop)
        if found is not None:
            total += weight
            start, end = min(start, found.start()), max(end, found.end())
    return total, start, end
