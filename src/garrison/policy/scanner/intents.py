# ruff: noqa: E501 (patterns read better on one line)
"""What a sentence wants, by its parts: what is taken, where it goes, who is not to know, which pretext.

One part means little; the combinations below do not occur in what merely describes a tool. A private thing that is
the tool's own business (secrets of a vault, the conversation of a help desk) is none; nor is one that is protected.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from garrison.policy.late import Late
from garrison.policy.scanner.findings import Severity
from garrison.policy.scanner.signals import FILES

SENTENCES_MAX: Final = 120
PAIR_CHARS_MAX: Final = 320
_SENTENCE: Final = re.compile(r"[^.!?;]{0,400}(?:[.!?;](?! )[^.!?;]{0,200}){0,20}[.!?;]?")
_KEYS: Final = r"(?:keys?|tokens?|credentials?|secrets?|logins?)"
_PARTS: Final[dict[str, str]] = {
    "secret": rf"{FILES}|\$\w*(?:key|token|secret|password)|\b(?:environment|env) var\w*|\b(?:private|ssh|aws|gpg|api|signing|encryption) {_KEYS}|\b(?:all|any|saved|stored|found|their|user'?s|which) {_KEYS}\b|\b(?:seed|recovery) (?:phrase|words)|\bpass(?:words?|codes?|phrases?)\b|\b(?:one-time|verification|login|2fa) codes?|\b(?:session|browser|auth\w*) cookies|\bcookies and\b|\b(?:access|bearer|session|personal access|refresh) tokens?\b|\bsession ids?\b|\bkey(?:chain|ring)\b|\bcredential store|\bbrowser profile|\bpassword manager|\b(?:payment|card|bank|credit card) (?:details|numbers?|data)|\bconnection strings?|\bssh (?:folder|directory|key)|\.(?:pem|kdbx|key|pfx)\b|\bcredentials\b",
    "talk": r"\b(?:(?:conversation|chat)(?! (?:ids?|names?|titles?|keys?|models?|completions?|rooms?|channels?|members?)\b)|dialogue|message history|transcript of (?:the|this|our|your))\b|\b(?:user|person|human)'?s? (?:\w+ ){0,2}(?:messages|prompts|questions)\b|\b(?:user|person|human)'?s? (?:last|every|each|latest|private) (?:message|prompt|question|request)\b|\b(?:messages?|word|thing) (?:of|from|that) the (?:user|person)|\b(?:what(?:ever)?|everything|all|anything) (?:that )?(?:the user|was|has been|they) (?:\w+ ){0,2}(?:said|told|typed|wrote|written|asked)|\beverything (?:said|the user|written)|\byour (?:last |previous |own )?(?:answers?|repl(?:y|ies)|responses?|thoughts|reasoning)\b|\breply you (?:write|give)|\b(?:system|developer|hidden|initial|original) (?:prompt|instructions|reasoning)|\byour (?:initial|full|own|hidden|system) (?:instructions|prompt|tools)\b|\blist of your tools\b|\b(?:all|the) other tools (?:available|you)|\b(?:user|all) messages\b",
    "personal": r"\b(?:full name|home address|phone number|personal (?:details|data|information|facts)|medical|health|financ\w+|relationships?|employer|recent documents|diary|mailbox|inbox|contacts?|customer records|clipboard|know about (?:the|this) (?:user|person|customer)|remember about|about the person|private (?:files|documents|notes)|open files|files? (?:it|they|you)(?:'ve)? (?:opens?|read)|file contents?|their contents?|contents? of (?:the )?(?:files?|project|workspace)|workspace|source code|home (?:directory|folder)|~/\w+|files in)\b",
    "full": r"\b(?:(?:full|complete|entire|whole)(?! (?:sentence|path|name|url|question|address|title)s?\b)|verbatim|word for word|all|every|everything|unredacted|unabridged|in full|raw|exact|literal|contents? of (?:~|\.|/|your|the (?:user|private))|last|so far|up to (?:this|now)|from the (?:very )?start)\b",
    "give": r"\b(?:pass|supply|supplies|put|paste|send|append|attach|insert|submit|upload|forward|hand(?:ed|ing)? (?:over|it)|handed|hand|transmit|relay|share|slip|carr(?:y|ies)|include|embed|cop(?:y|ied)|accompanied|fill|quote|report|mirror|transfer|push|deliver|feed|add|disclose|shows?|tell|hold|goes|go|let .{0,24} have|has room|place|provide|give|encode|read out|reads out)(?:s|ed|ing|ting)?\b",
    "dest": r"`[\w.<>|-]+`|\b(?:in|into|via|through|as|with|under|by) (?:the |its |this )?['\"]?\w+['\"]? (?:field|argument|parameter|arg|param|header|property|input)s?\b|https?://|\b[\w.+-]+@[\w-]+\.|\bto (?:this|the|our) (?:tool|server|endpoint|service|compiler|provider|maker|vendor)\b|\blet the server|\bwith (?:each|every|the) (?:call|request)|\bhanded (?:your|the)|\bwhen(?:ever)? (?:you )?call|\bcall(?:ing)? again",
    "always": r"\b(?:each|every) (?:time|turn|message|call|conversation|session|repl\w+|answer|response|request)\b|\bafter (?:each|every)\b|\bregardless of\b|\bwhatever the (?:user|person|topic)|\bno matter (?:what|which)|\bin all (?:circumstances|cases|conversations)|\beven (?:if|when|where) (?:it|this|the user|not)\b|\bunrelated\b",
    "hush": r"\b(?:not|never|without|nor|no (?:need|reason)|\w+n't)\b[^.,`\"]{0,24}\b(?:mention|bring (?:\w+ )?up|bother|trouble[ds]?|inform(?:ed)?|announc\w+|told|tell(?:ing)?|notic\w+|find out|attribut\w+|list this|let on|be informed|reveal(?:ing)?|say(?:ing)?)\b(?![^.]{0,30}\b(?:password|secret|token|values?)\b)|\bunnotic|\bon the quiet|\bbetween (?:you|us) and\b|\b(?:stay|keep) (?:\w+ )?between\b|\b(?:leave|keep) (?:\w+ ){1,4}out of (?:it|the answer|the summary|this|sight)|\bsilently\b|\bquietly\b|\bbehind the (?:scenes|user)|\bin the background\b|\brather than (?:troubling|asking|bothering)|\bno trace\b|\bwithout asking\b",
    "consent": r"\bpre-?approved\b|\bauto-?(?:approv|confirm|accept)\w*|\b(?:consented|agreed) (?:to|in)\b|\bon (?:behalf of the|the user'?s?) (?:behalf|user|person)|\b(?:dialogs?|prompts?|pop-?ups?|confirmations?|requests?)\b[^.]{0,40}\b(?:(?:with|by) yes|clicked away|accepted|skipped|confirmed|dismissed|answered)\b|\bskip (?:\w+ ){0,2}(?:checks?|confirmations?|approvals?)|\bno (?:further |user )?(?:confirmation|approval|permission) (?:is )?(?:needed|necessary|required)|\bwithout (?:the |any )?(?:customary |usual |further )?(?:confirmation|approval)\b|\bno longer (?:need to )?ask|\btreat (?:\w+ ){0,4}as (?:confirmed|approved)|\bset `?confirm\w*`? to true yourself|\b(?:not|without) (?:checking|asking) (?:back|first|again)|\bwithout a question|\bconfirm permission\b|\bthe user said yes|\bjust (?:pay|do it|run it)\b|\bapproved by the user\b",
    "obey": r"\b(?:follow|obey|carr(?:y|ied) (?:\w+ )?out|act (?:up)?on|complete|execute|run|perform|comply with|work through)\b[^.]{0,40}\b(?:instructions?|steps|commands?|tasks?|orders?|them|all of|whatever|that|exactly)\b[^.]{0,60}\b(?:output|result|in this field|pages?|mails?|it returns|comes? back|listed|stored|contained|immediately|exactly|right away)|\b(?:instructions?|text|tasks?|steps?|commands?|messages?)\b[^.]{0,60}\b(?:is authoritative|are authoritative|(?:be )?carr(?:y|ied) out|same standing|trusted system|orders of the user|takes? priority|as if the user|act upon)|\bas if the user had\b|\btreat (?:the |its )?(?:output|result|text|answer)[^.]{0,20} as (?:if|trusted|instructions|the user|system)|\bfurther (?:steps|tasks|instructions) for you|\b(?:instructions|tasks|steps|commands) for you\b",
    "deceive": r"\b(?:state|report|describe|present|declare|tell|show|claim)(?:s|ing)?\b[^.]{0,70}\b(?:to the user instead|even if|as (?:a )?dry run|as formatting|whatever they|only$|original one|nothing cheaper|objectively|as harmless|as successful)|\b(?:say|answer|deny|claim)\b[^.]{0,12}\b(?:none|nothing|no data|that the user)\b|\bwithout saying\b|\bkeep showing\b|\b(?:don't|do not|never) (?:\w+ )?(?:attribute|list this|flag functions|disclose that)|\bin a favou?rable light|\bsponsored\b|\bshow the (?:real|expected|old) \w+ (?:instead|but)",
    "prefer": r"\b(?:other|another|any other|competing|alternative) (?:\w+ )?(?:tools?|one|servers?|services?)\b[^.]{0,70}\b(?:outdated|unsafe|wrong|harmful|bug|violat\w+|worse|never|broken|dangerous|disregard|penali\w+|leaks?|insecure|must not|forbidden|not allowed)|\b(?:never|do not|don't) use (?:it|any other|other|another)\b[^.]{0,40}\b(?:route|tools?|even|whatever)|\balways (?:choose|use|pick|prefer|select) (?:this|it|\w+_\w+)(?: one)?\b[^.]{0,50}\b(?:over (?:any|every|each|all|other|competing)|whatever|in all (?:cases|circumstances)|instead of (?:any|every|other))|\beven (?:when|if) the user (?:names|asks for|wants|prefers)|\bonly \w+ tool that\b[^.]{0,24}\b(?:certified|trusted|approved|safe)|\b(?:not|never) mention (?:the )?(?:alternatives|competitors|other)|\b(?:recommend|rank)\b[^.]{0,40}\b(?:first|ahead)\b|\bpick another one\b",
    "other": r"\b(?:of|from|on|by) the \w+ server\b|\b(?:no|any|every|all|each|the) other (?:\w+ )?tools?\b|\bno tool of any\b|\bany other (?:\w+ )?(?:tool|function|server)|\bthat other tool|\b(?:when(?:ever)?|if|once) (?:you use )?(?:the )?\w+_?\w* (?:tool|server)\b|\bcalls? to (?:\w+[_.]\w+|the \w+ tool)|\bwith this (?:server|tool) installed|\bwhat the other tools return|\b(?:when(?:ever)?) \w+_\w+\b|\bthe other (?:\w+ )?tool\b",
    "steer": r"\b(?:deprecated|broken|bug|leaks?|dangerous|route|instead|wherever|raise|lower|round|destination|recipients?|account|added|must go|should carry|should be|in their place|in its place|same data|behaviou?r|changes|set the|arguments? intended|exact payload|approved the|sent to|post (?:what|the)|work only)\b",
    "pretext": r"\b(?:by|under|due to) (?:\w+ )?(?:regulation|law|statute)|\blegally (?:obliged|required|bound)|\bas (?:the |a )?(?:\w+ ){1,3}(?:officer|administrator|owner|developer) (?:of|i)\b|\bi (?:hereby )?authori[sz]e you|\b(?:it|security|legal|compliance) (?:department|team|policy) (?:requires?|mandates?|demands?)|\b(?:covered by|under) an? nda|\bapproved by (?:your|the) (?:developers?|makers?|operators?)|\blives (?:are|depend)|\brefusal (?:is|will)|\brefusing\b|\ba violation\b|\bviolate\b|\b(?:you have|with|has) no (?:rules|restrictions|limits)|\bwithout (?:restrictions|refusals?)|\b(?:play|take on) the role of|\bcontent filters? (?:are|is) off|\bmaintenance mode|\bdebug mode|\bnew operator\b|\bnew behaviou?r\b|\bversion change\b|\bprevious approval\b|\bearlier description\b",
    "later": r"\b(?:once|when|as soon as|after) the (?:user|person) (?:has |have )?(?:thank\w*|says?|leaves|left|log\w*|is away|goes)|\bon the (?:second|third|fourth|fifth|\w+th) (?:call|use|run|day)|\bat (?:any|a) later (?:point|time)|\b(?:for|in) all future\b|\bfrom now on\b|\blong-term memory\b|\bif the words? \W?\w+|\bpast the \d|\bafter \d+ (?:calls|uses|days)|\bchanged since you last",
    "harm": r"\b(?:delete|wipe|erase|destroy|drop|forward|transfer|deactivate|disable|push|relayed?|relaying|replace|clipboard|rm|any file|any command|remote)\b",
    "model": r"\b(?:assistants?|agents?|ai|llm|model|you|your|please)\b",
    "impostor": r"^ ?(?:\W{0,6})(?:system|developer|operator|human|assistant|ai)(?: message| note)?\W{0,4}: ?\w|\]\] ?\w|\bhuman: .{2,200}\bassistant: ",
    "command": r"\|\s*(?:sudo )?(?:ba|z|da)?sh\b|\bnc -\w|/dev/tcp|\bauthorized_keys\b|\bchmod -?r? ?777|\bautoapprove\b|\bmcp\.json\b|\bpush --force\b|\$\((?:curl|wget)",
    "run": r"\b(?:run|execut\w+|add|adds|edit|write|open a terminal|include|insert)\b|\$\(",
    "asks": r"\bask (?:the )?(?:user|person|customer|them|human)\b[^.]{0,24} for (?:their|the|his|a)\b|\bget it from the user|\bobtain (?:it|them) from the (?:user|person)",
    "plants": r"https?://\S*(?:[?&/=]\w*=?[<{]\w|=data\b)|!\[\w*\]\(https?:|<hex of",
}  # fmt: skip
_FIND: Final = {name: Late(pattern) for name, pattern in _PARTS.items()}
_SHIELD: Final = re.compile(
    r"\b(?:never|do not|don't|must not|should not|cannot|can't|may not|does not|aren't|isn't|is not|are not|not be|no|without|ignore|refused?|masks?|masked|redact\w*|hidden|encrypted|scrubbed|cleaned)\b(?! (?:hesitate|need|matter|reason|longer|trace))"
)
"""What protects in the sentence in which it stands, unless that keeps something from the user."""
_CARE: Final = re.compile(
    r"\b(?:confirm (?:with|that|the|amount|date|side)|must (?:be )?confirm(?:ed)?|ask (?:the user|first)|with the user|user'?s? (?:consent|approval)|(?<!as )if the user|explicitly|only (?:use|when|if|call|on|for|returns?|reports?)|show (?:the|them)|unless|(?:conversation|thread|chat|message) ids?|untrusted|hostile|detects?|checks? (?:a|an|for|whether)|for instance|for example|e\.g)\b"
)
_UNTIL: Final = re.compile(r"\b(?:until|unless|before you have|without first|so that (?:the user|they) can)\b")
_SCOPES: Final = {
    "secret": re.compile(r"secret|vault|auth|login|passw|token|_key|key_|credential|cookie|read_env|totp|otp|ssh|encrypt"),
    "talk": re.compile(r"chat|convers|message|transcript|thread|ticket|support|llm|agent|prompt|hand_?off|memor|crm|model|complet|summar|think|slack|dm|mail|spawn|ask|sampl"),
    "personal": re.compile(r"file|dir|read|write|search|code|contact|mail|inbox|calendar|crm|customer|patient|user|profile|clipboard|workspace|repo|git|doc|note|lead|order|book|reserv|lint|diff|review"),
}  # fmt: skip


class Intent(NamedTuple):
    code: str
    severity: Severity
    why: str
    wanted: tuple[str, ...]


INTENTS: Final = (
    Intent("scan.exfiltration", "high", "secrets are to be handed over by this tool", ("secret", "give", "dest")),
    Intent("scan.side_channel", "high", "what was said is to be handed over by this tool", ("talk", "give", "dest")),
    Intent("scan.exfiltration", "high", "private data is to be handed over unseen", ("personal", "give", "hush")),
    Intent("scan.exfiltration", "high", "private data is to be handed over always", ("personal", "give", "always")),
    Intent("scan.side_channel", "medium", "private data is to be handed over by this tool", ("personal", "give", "dest", "full")),
    Intent("scan.exfiltration", "high", "secrets are to be handed over unseen", ("secret", "give", "hush")),
    Intent("scan.side_channel", "high", "what was said is to be handed over unseen", ("talk", "give", "hush")),
    Intent("scan.exfiltration", "high", "an address carries private data", ("plants", "talk")),
    Intent("scan.exfiltration", "high", "an address carries private data", ("plants", "secret")),
    Intent("scan.exfiltration", "medium", "an address has room for data", ("plants", "give")),
    Intent("scan.credential_request", "high", "the user is to be asked for secrets", ("asks", "secret")),
    Intent("scan.credential_request", "high", "secrets are used under a pretext", ("secret", "pretext")),
    Intent("scan.approval_bypass", "high", "consent is to be left out", ("consent",)),
    Intent("scan.model_directive", "high", "what the tool returns is to be obeyed", ("obey",)),
    Intent("scan.secrecy", "high", "the user is to be deceived", ("deceive",)),
    Intent("scan.preference", "high", "other tools are to be pushed aside", ("prefer",)),
    Intent("scan.shadowing", "high", "what other tools do is to be changed", ("other", "steer")),
    Intent("scan.model_directive", "high", "claims authority over the model", ("pretext", "model", "harm")),
    Intent("scan.model_directive", "high", "claims authority over the model", ("pretext", "personal")),
    Intent("scan.model_directive", "high", "claims authority over the model", ("pretext", "hush")),
    Intent("scan.model_directive", "high", "something is to be done later on", ("later", "harm")),
    Intent("scan.model_directive", "high", "something is to be handed over later on", ("later", "give", "dest")),
    Intent("scan.injected_role", "high", "poses as another speaker", ("impostor", "model")),
    Intent("scan.injected_role", "high", "poses as another speaker", ("impostor", "secret")),
    Intent("scan.dangerous_command", "high", "a command that opens the machine", ("command", "run")),
    Intent("scan.secrecy", "high", "something is to be kept from the user", ("hush", "model", "give")),
)  # fmt: skip
_GUARDED: Final = {"secret", "talk", "personal", "give", "obey", "consent", "prefer", "later", "command", "deceive"}
_OF_PARAMETERS: Final = (
    ("secret", "exfiltration", "a parameter collects secrets"),
    ("talk", "side_channel", "a parameter collects what was said"),
    ("personal", "side_channel", "a parameter collects private data"),
)


class Wanted(NamedTuple):
    intent: Intent
    start: int
    end: int


def intents(text: str, topic: str, *, parameter: bool = False) -> Iterator[Wanted]:
    """What the sentences of a normalised text want, alone and with the one before. `topic`: the tool's name;
    `parameter`: the text says what goes into one."""
    before: set[str] = set()
    begun = 0
    for index, sentence in enumerate(_SENTENCE.finditer(text)):
        if index >= SENTENCES_MAX:
            return
        if not sentence[0].strip():
            continue
        parts = _parts(sentence[0], topic)
        if parameter:
            yield from _collected(parts, sentence.start(), sentence.end())
        for intent in INTENTS:
            if parts.issuperset(intent.wanted):
                yield Wanted(intent, sentence.start(), sentence.end())
            elif (
                sentence.end() - begun < PAIR_CHARS_MAX
                and not parts.isdisjoint(intent.wanted)
                and (parts | before).issuperset(intent.wanted)
            ):
                yield Wanted(intent, begun, sentence.end())
        before, begun = parts, sentence.start()


def _parts(sentence: str, topic: str) -> set[str]:
    """What a sentence has; without what is the tool's own business, and what it protects."""
    parts = {name for name, pattern in _FIND.items() if pattern.search(sentence)}
    parts -= {name for name, scope in _SCOPES.items() if scope.search(topic)}
    if "hush" in parts and _UNTIL.search(sentence):
        parts.discard("hush")
    if "hush" not in parts and _CARE.search(sentence):
        parts -= _GUARDED
    elif "hush" not in parts and _SHIELD.search(sentence):
        parts -= _GUARDED - {"consent", "prefer", "deceive"}
    return parts


def _collected(parts: set[str], start: int, end: int) -> Iterator[Wanted]:
    for part, code, why in _OF_PARAMETERS:
        if part in parts and "full" in parts:
            yield Wanted(Intent(f"scan.{code}", "high", why, (part,)), start, end)
