# ruff: noqa: E501 (patterns read better on one line)
"""The rules for English, and for marks that mean the same in every language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from garrison.policy.late import Late
from garrison.policy.scanner.findings import Severity
from garrison.policy.scanner.signals import AI, CONTEXT, ELSEWHERE, FILES, HAND, NOT, READ, SECRETS, TO_PARAMETER, USER


@dataclass(frozen=True, slots=True)
class Rule:
    """`stems`: one of them stands in every text that the pattern can match. `bare`: its severity where nothing in the
    text speaks to a model; None where it says nothing then."""

    code: str
    severity: Severity
    why: str
    stems: tuple[str, ...]
    pattern: Late
    bare: Severity | None


def rule(code: str, severity: Severity, why: str, stems: str, pattern: str, bare: str | None = "same") -> Rule:
    alone: Severity | None = severity if bare == "same" else bare  # type: ignore[assignment]
    return Rule(f"scan.{code}", severity, why, tuple(stems.split("|")), Late(pattern), alone)


_INSTRUCTIONS = r"(?:instructions?|directives?|prompts?|guidelines?|commands?|guardrails?|training|programming|safeguards?|messages?|context|orders|conversations?|limitations?|restrictions?|constraints?)"
_MINE = r"(?:previous(?:ly given)?|prior|above|earlier|preceding|existing|original|former|initial|system|safety|security|past|foregoing|current|your|developer'?s?|the user'?s?|user'?s?|operator'?s?|default|built[- ]in)"
_STEP = r"(?:this|that|it|these|those|any of (?:this|these)|about (?:this|it|these)|the (?:above|following|fact|step|process|file|reading|content|contents|existence|instructions?|side ?note|redirection|forwarding|copy|bcc|upload|transfer|change|notes?|tags?|request|call|additional|extra|hidden)|(?:this|these|the) \w+ (?:step|action|instruction|operation|call|file|parameter|note)s?|having|how|why|what you|that you)"
_MASTERS = r"(?:previous(?:ly given)?|prior|above|earlier|original|system|safety|security|your|developer'?s?|the user'?s?|user'?s?|operator'?s?|any other|all other|all (?:previous|prior|your|safety|other))"
_SENT = r"(?:all|every|each|user|conversation|contents?|results?|data|copy|copies|query|queries|inputs?|outputs?|it|them|files?|messages?|emails?|responses?|logs?|keys?|secrets?|tokens?|credentials?|arguments?|everything|information|parameters?|history|transcript|documents?|findings|values?|details)"

RULES: Final = (
    # ── dropping what the model was told ──
    rule(
        "instruction_override",
        "critical",
        "tells the model to drop its instructions",
        "ignor|disregard|forget|overlook|follow|obey|attention|comply",
        rf"\b(?:ignor(?:e|ing)|disregard(?:ing)?|forget(?:ting)?|pay no attention to|overlook|(?:{NOT}) (?:follow|obey|comply with|adhere to|listen to|respect)) (?:about )?(?:\w+,? ){{0,4}}?(?:{_MINE}|all|any|everything|other|these|those|what)(?: \w+){{0,3}}? (?:{_INSTRUCTIONS}|rules?|polic(?:y|ies)|you (?:were|have been) told)\b",
    ),
    rule(
        "instruction_override",
        "critical",
        "tells the model to forget what came before",
        "forget|ignore|disregard",
        r"\b(?:forget|ignore|disregard) (?:everything|all|anything|whatever|what)(?: that| of)? (?:\w+ ){0,3}?(?:before|above|previously|prior|so far|told|said|instructed|learned|know)\b",
    ),
    rule(
        "instruction_override",
        "high",
        "puts itself above the model's instructions",
        "overrid|bypass|supersed|replac|discard|cancel|overrul|circumvent|precedence|priority|suspend|nullif|void|invalidat|updat",
        rf"\b(?:overrid(?:e|es|ing)|bypass(?:es)?|supersed(?:e|es)|discard|cancel|overrul(?:e|es)|circumvent|suspend|replac(?:e|es)|nullif(?:y|ies)|take (?:precedence|priority) over|takes (?:precedence|priority) over|(?:has|have) (?:precedence|priority) over) (?:\w+ ){{0,3}}?{_MASTERS}(?: \w+){{0,2}}? (?:instructions?|directives?|prompts?|guidelines?|guardrails?|safeguards?|safety \w+|tools?'? (?:descriptions?|instructions?))\b",
    ),
    rule(
        "instruction_override",
        "high",
        "declares new instructions",
        "new |updated|revised|real |actual|true |these |following|latest|secret |hidden|additional",
        r"\b(?:your (?:new|updated|revised|real|actual|true) (?:instructions?|directives?|task|goal|objective|role|persona|purpose|mission)|new (?:system )?(?:instructions?|directives?) ?(?::|are|follow|from)|(?:these|the following|secret|hidden) (?:instructions?|directives?|rules) (?:take precedence|override|supersede|have (?:\w+ )?priority|are mandatory|must be (?:followed|obeyed)|replace))",
    ),
    rule(
        "instruction_override",
        "high",
        "gives the model another role",
        "you are now|from now on|act as|pretend|mode|jailbreak|no longer|roleplay|simulate",
        r"\byou are (?:now (?:an? |the |in |operating|acting|free|unrestricted|dan\b|jailbroken|authorized|required)|no longer (?:bound|restricted|an? |limited|required|subject))|\bfrom now on,? (?:you|always|never|ignore|all|act|every|respond|whenever|any)|\b(?:act|pretend|behave|respond) (?:as|to be|like)(?: if you (?:are|were|have))? (?:an? )?(?:unrestricted|jailbroken|dan\b|evil|root|administrator|admin\b|uncensored|no restrictions)|\b(?:enter|enable|activate|switch to|you are in|engage) (?:developer|god|admin|jailbreak|dan|unrestricted|root|sudo|maintenance) mode\b|\bjailbr(?:eak|oken) (?:mode|enabled)",
    ),
    rule(
        "instruction_override",
        "high",
        "wants the model's own instructions",
        "system|prompt|instruction|chain|reason",
        r"\b(?:reveal|print|output|repeat|show|include|send|return|provide|share|dump|leak|expose|pass|put|insert|copy|paste|append|attach|echo|disclose|extract|write|recite|supply|report|submit|fill in)(?:ing)? (?:\w+ ){0,4}?(?:your (?:\w+ ){0,3}?|the (?:full|entire|complete|exact|verbatim|hidden|original) |its |the (?:model|assistant|llm|ai|agent)'?s? (?:\w+ )?|verbatim )(?:system (?:prompt|message|instructions?)|initial (?:prompt|instructions)|instructions verbatim|chain[- ]of[- ]thought|internal (?:reasoning|instructions)|hidden (?:prompt|instructions)|developer (?:prompt|message|instructions))",
    ),
    # ── posing as somebody else ──
    rule(
        "injected_role",
        "high",
        "uses the marks that separate roles in a model's input",
        "im_|inst]|sys>>|<|header_id|endoftext|eot_id",
        r"<\|(?:im_start|im_end|im_sep|system|user|assistant|endoftext|start_header_id|end_header_id|eot_id|begin_of_text)\|?>|\[/?inst\]|<</?sys>>|</?(?:system|assistant|developer|human)(?:[_ -](?:prompt|instructions?|override|message|note|directive|reminder|command|alert))>|<(?:system|developer)>[^<]{12,}|</(?:system|developer)>|<(?:start|end)_of_turn>",
    ),
    rule(
        "injected_role",
        "high",
        "poses as a privileged block",
        "<",
        r"<(?P<tag>(?:important|critical|secret|hidden|admin|override|sudo|urgent|mandatory|internal|directive|privileged|root|god|security|confidential|ai|llm|agent|model|assistant|attention|must[_-]?(?:read|follow)|do[_-]?not[_-]?\w+|compliance)(?:[_-](?:instructions?|only|override|note|notice|directive|rules?|message|prompt|command|task|step|block|policy|update))?)>(?!['\"`)]).{8,600}?</(?P=tag)>",
        "low",
    ),
    rule(
        "injected_role",
        "high",
        "poses as a system message",
        "system|admin|developer|root|hidden|secret|override|confidential",
        r"[\[({<*#=-]{1,4} ?(?:system|admin(?:istrator)?|hidden|secret|developer|root|internal|confidential|priority|security)(?: \w+)? (?:prompt|message|override|instructions?|notes?|notice|directives?|commands?|alert|update|policy)\b ?(?:[\])}>*#=-]|:)|\b(?:begin|start) (?:of )?(?:\w+ )?(?:system|admin|hidden|secret|override|new) (?:\w+ )?(?:prompt|instructions?|override|message|block)\b|\b(?:system|admin|security) (?:override|directive|instructions?|notice|command)s? ?[:(-]",
    ),
    rule(
        "injected_role",
        "medium",
        "turns to the model and not to its user",
        "note|message|instruct|attention|notice|remind|directive|hint|ai|llm",
        rf"\b(?:note|message|instructions?|attention|notice|reminder|directive|hint|addendum|memo)s? (?:to|for|intended for|addressed to|directed at) (?:the |all |any |every )?(?:ai|llm|large language model|language model|assistant|model|chatbot|claude|gpt|copilot|ai agent|agent)s?\b(?! (?:to create|being|card|config|definition|id|settings))(?<!to the llm)(?<!to the model)(?<!to the agent)(?<!to the assistant)|\battention,? {AI}(?: \w+)?[:!,]|\bfor (?:ai|llm|model|assistant|agent) (?:eyes|use|consumption|internal use) only",
        "low",
    ),
    # ── kept from the user ──
    rule(
        "secrecy",
        "high",
        "something is to be kept from the user",
        "tell|inform|notif|warn|alert|let |aware|advis|confess|say ",
        rf"\b{NOT} (?:\w+ ){{0,3}}?(?:tell(?:ing)?|inform(?:ing)?|warn(?:ing)?|advis(?:e|ing)|letting|let|alert(?:ing)?|notif(?:y|ying)|confess(?:ing)?)(?: \w+)? {USER}\b(?: (?:know|about|of|that|what|anything|this|any|when|why|how|before|during|are|is))?(?! (?:by|via|through|to (?:call|contact|use)|if (?:the )?(?:field|param|value)))",
    ),
    rule(
        "secrecy",
        "high",
        "something is to be kept from the user",
        "mention|reveal|disclos|show|share|explain|report|display|expos|discuss|acknowledg|output|print|indicat|say|talk|admit|describ|summar|announc|surface|bring",
        rf"\b{NOT} (?:\w+ ){{0,3}}?(?:mention|reveal|disclos|show|shar|explain|report|display|expos|discuss|acknowledg|output|print|indicat|say|talk|admit|describ|announc|surfac|divulg)(?:e|ing|s|ting)? (?:anything )?{_STEP}(?! (?:links?|urls?|ids?|tokens?|keys?|secrets?|passwords?|codes?|values?|data|fields?|images?|files?|html|json)\b)(?: \w+){{0,8}}? (?:{USER}|(?:in|to) (?:your|the|any) (?:\w+ )?(?:response|answer|output|reply|summary|chat|conversation|message|final answer))",
    ),
    rule(
        "secrecy",
        "high",
        "something is to be left unmentioned",
        "mention|reveal|disclos|refer|acknowledg|discuss|talk|includ|list|writ|log|record",
        rf"\b{NOT} (?:includ|list|writ|log|record)(?:e|ing)? (?:this|it|these|any of this)(?: step| action| call| instruction| note)?s? (?:in|to) (?:your|the|any) (?:\w+ )?(?:response|answer|output|reply|summary|report|final answer)\b|\b{NOT} (?:\w+ ){{0,2}}?(?:mention|reveal|disclos|acknowledg|discuss|talk|referenc|admit)(?:e|ing)? (?:about |to )?(?:this|that you|these (?:instructions?|steps?)|any of (?:this|these)|having|the (?:above|hidden|side ?note|existence of|bcc|fact))(?! (?:parameter|field|option|argument|value|flag|property|column|version))\b",
    ),
    rule(
        "secrecy",
        "high",
        "the user is not to know",
        "secret|hidden|confidential|private|quiet|know|notice|aware|realiz|realis|suspect|find out|hide|conceal|obscure|mask|withhold|keep",
        rf"\bkeep (?:this|it|that|these|all of this)(?: \w+){{0,2}} (?:an? )?(?:secret|hidden|confidential|private|quiet|between us|to yourself|from {USER})|\b{USER} (?:must|should|can|may|will|does|do|need|needs|is|are)(?: not|n'?t| never)(?: to)? (?:\w+ )?(?:know|notice|be (?:made )?aware|be told|be informed|be notified of this|find out|realize|realise|suspect|see this|aware of)|\b(?:hide|conceal|obscure|mask|withhold|keep) (?:this|it|that|these|the (?:step|action|instruction|fact|call|process|result|upload|file))(?: \w+){{0,3}} from (?:{USER}|your (?:response|summary|reply|output|answer)|the (?:response|final answer|chat))",
    ),
    rule(
        "secrecy",
        "high",
        "it is to happen in secret",
        "silently|secretly|quietly|covertly|discreetly|stealthily|surreptitiously|invisibly",
        r"\b(?:secretly|covertly|surreptitiously|stealthily)\b(?! (?:shared|stored))|\b(?:silently|quietly|discreetly|invisibly) (?:\w+ ){0,2}?(?:send|read|forward|copy|upload|includ|append|attach|collect|exfiltrat|transmit|post|call|record|invok|fetch|bcc|extract|gather|harvest|leak|add (?:the|all|a )|execute|run)(?:e|ing|s)?\b(?! (?:when|if|without))",
    ),
    rule(
        "secrecy",
        "high",
        "without the user's knowledge",
        "without",
        rf"\bwithout (?:\w+ ){{0,2}}?(?:telling|informing|alerting|mentioning|letting) (?:\w+ )?(?:{USER}|anything|this|it)|\bwithout (?:{USER}(?:'s|s')?|their|his) (?:knowledge|awareness|knowing|noticing|being aware)",
    ),
    rule(
        "secrecy",
        "medium",
        "the model is to deceive its user",
        "upset|asks|pretend|lie |instead say|claim|act as if|only show|only say|normal|respond with|simply say|suspicious",
        rf"\b(?:upset|alarm|scare|worry|confuse|distract) {USER}|\bpretend (?:that )?(?:you|the|this|nothing|to have)|\bact (?:as if|like) (?:nothing|you)|\b(?:if|when) {USER} asks?(?: \w+){{0,6}},? (?:say|deny|claim|pretend|lie)\b|\b(?:to (?:avoid|prevent)|without) (?:\w+ )?(?:suspicion|raising suspicion|arousing suspicion|detection)",
        "low",
    ),
    # ── consent ──
    rule(
        "approval_bypass",
        "high",
        "the user is not to be asked",
        "confirm|approv|permission|consent|authoriz|ask|prompt",
        rf"\b(?!without){NOT} (?:\w+ ){{0,2}}?(?:ask(?:ing)?|prompt(?:ing)?|wait(?:ing)?|request(?:ing)?|seek(?:ing)?|requir(?:e|ing)) (?:for )?(?:{USER} )?(?:for |to )?(?:\w+ ){{0,2}}?(?:confirm|approv|permission|consent|authori[sz])\w*",
        "medium",
    ),
    rule(
        "approval_bypass",
        "high",
        "consent is claimed that nobody gave",
        "consent|approv|authori|agreed|permission",
        rf"\b{USER} (?:has|have) (?:already |previously |explicitly )?(?:pre-?)?(?:consented|approved|authori[sz]ed|agreed|(?:given|granted) (?:\w+ ){{0,2}}?(?:consent|permission|approval))|\b(?:pre-?approved|pre-?authori[sz]ed) by {USER}|\b(?:no|without)(?: any| explicit| further| additional)? (?:{USER}(?:'s)? )(?:confirmation|approval|consent|permission|interaction) (?:is )?(?:needed|required|necessary)?",
        "medium",
    ),
    rule(
        "approval_bypass",
        "high",
        "safeguards are to be switched off",
        "safety|security|guardrail|filter|moderation|sandbox|antivirus|firewall|logging|audit|safeguard|protection|restriction|policy|policies",
        r"\b(?:disable|turn off|bypass|circumvent|evade|deactivate|ignore|skip|override|suspend|switch off|disregard) (?:\w+ ){0,3}?(?:safety|security|guardrails?|content filter\w*|moderation|sandbox\w*|antivirus|firewall|audit(?:ing)?|safeguards?|protections?|ethic\w+|confirmation|permission)(?: \w+)? ?(?:checks?|filters?|measures?|controls?|mechanisms?|guardrails?|protocols?|polic(?:y|ies)|rules|features|warnings?|restrictions?|prompts?|dialogs?|logs?|guidelines)?\b",
        None,
    ),
    # ── data that goes where it does not belong ──
    rule(
        "exfiltration",
        "critical",
        "a private file is to be read and handed over",
        ".|ssh|keychain|id_|id |kubeconfig|mcp|shadow|/etc",
        rf"\b{READ}(?:ing|s)? (?:[^.!?;]|\.(?=\S)){{0,80}}?{FILES}.{{0,200}}?(?:\b{HAND}\b.{{0,80}}?(?:{TO_PARAMETER}|{ELSEWHERE})|{TO_PARAMETER})",
    ),
    rule(
        "exfiltration",
        "critical",
        "a private file is to be handed over",
        ".|ssh|keychain|id_|id |kubeconfig|mcp|shadow|/etc",
        rf"\b{HAND} (?:[^.!?;]|\.(?=\S)){{0,80}}?{FILES}(?:[^!?;]){{0,80}}?(?:{TO_PARAMETER}|{ELSEWHERE}|here\b)|\b(?:contents?|data|text|value) (?:of|from|in) (?:[^.!?;]|\.(?=\S)){{0,30}}?{FILES}",
        "medium",
    ),
    rule(
        "exfiltration",
        "high",
        "a private file is to be read",
        ".|ssh|keychain|id_|id |kubeconfig|mcp|shadow|/etc",
        rf"\b{READ}(?:ing)? (?:[^.!?;]|\.(?=\S)){{0,60}}?{FILES}",
        None,
    ),
    rule(
        "exfiltration",
        "critical",
        "secrets are to be sent elsewhere",
        "key|token|credential|password|secret|environment|env|cookie|seed|mnemonic|otp|2fa|card|passphrase|database|connection",
        rf"\b(?:send|post|upload|forward|transmit|exfiltrate|relay|leak|deliver|email|e-mail|bcc|push|report|submit|copy|share|append|include|encode|embed|pass) (?:[^.!?;]|\.(?=\S)){{0,80}}?\b{SECRETS}(?:[^!?;]){{0,80}}?{ELSEWHERE}",
        "high",
    ),
    rule(
        "exfiltration",
        "high",
        "secrets are to be collected",
        "key|token|credential|password|secret|environment|env|cookie|seed|mnemonic|passphrase|database|connection",
        rf"\b(?:dump|harvest|steal) (?:\w+ ){{0,4}}?{SECRETS}\b(?:[^!?;]){{0,100}}?\b{HAND}\b|\b(?:record|note|store|remember|save|log|keep|read|collect|gather|harvest|extract|find|search for|locate|steal|retrieve|fetch|obtain|grab|dump|scan|list|print|get) (?:\w+ ){{0,3}}?(?:all |any |every |the user'?s? |their |your |its |available |stored |saved |local |system |process )(?:\w+ ){{0,3}}?{SECRETS}\b(?:[^!?;]){{0,100}}?(?:\b{HAND}\b|{TO_PARAMETER}|{ELSEWHERE})",
        None,
    ),
    rule(
        "exfiltration",
        "high",
        "secrets of elsewhere are to be handed over",
        "key|token|credential|password|secret|environment|env|cookie|seed|mnemonic|passphrase|database|connection",
        rf"\b{HAND} (?:\w+ ){{0,3}}?(?:all |any |every |the user'?s? |found |available |stored |other |from )(?:\w+ ){{0,3}}?{SECRETS}\b(?:[^!?;]){{0,60}}?(?:{TO_PARAMETER}|{ELSEWHERE})|\b{HAND} (?:\w+ ){{0,5}}?(?:environment variables?|env vars?|\.?env contents|[a-z]+_(?:api_key|token|secret|password)\b)(?:[^!?;]){{0,40}}?(?:{TO_PARAMETER}|{ELSEWHERE}|along with)",
        None,
    ),
    rule(
        "exfiltration",
        "high",
        "what the user said is to be handed over",
        "conversation|chat|message|history|prompt|context|session|transcript|user|chain|tool|dialog|answers",
        rf"\b{HAND} (?:(?:the|all|any|every|a|an|full|entire|complete|whole|copy|summary|of|content|contents|text|verbatim|also|user's|your|latest|our|list|log|dump) ){{0,7}}?{CONTEXT}(?:[^!?;]){{0,60}}?(?:{TO_PARAMETER}|{ELSEWHERE}|to this tool|with (?:each|every)|here\b|for \w+|as )",
        None,
    ),
    rule(
        "exfiltration",
        "high",
        "everything is to be sent elsewhere as well",
        "send|post|upload|forward|transmit|exfiltrate|relay|leak|deliver|email|bcc|cc |copy|mirror|report|submit|beacon",
        rf"\b(?:also |first |then |always |silently |must |and |to |please |should |immediately |additionally )?(?:send|post|upload|forward|transmit|exfiltrate|relay|leak|deliver|e-?mail|bcc|cc|mirror|report|submit|copy|beacon|stream|push)(?:ing)? (?:(?!if |when |unless )\w+[,']? ){{0,5}}?\b{_SENT}\b(?:[^.!?;]|\.(?=\S)){{0,60}}? (?:to|via|through|into|at|using|with|by) (?:[^!?;]){{0,40}}?{ELSEWHERE}",
        None,
    ),
    rule(
        "exfiltration",
        "high",
        "an image or a link carries data out",
        "](|<img|src=|href",
        r"!?\[[^\]]{0,80}\]\((?:https?:)?//[^)]{0,200}[?&/][^)]{0,80}(?:\{|<|\$|%s|\bdata\b|base64|secret|token|\[)[^)]{0,80}\)|<img [^>]{0,80}src ?= ?['\"]?https?://[^>]{0,200}(?:\{|\$|%s|base64|secret|token|data=)",
    ),
    rule(
        "exfiltration",
        "high",
        "secrets are to be sent elsewhere",
        "key|token|credential|password|secret|environment|env|cookie|seed|mnemonic|passphrase",
        rf"\byour (?:\w+ )?{SECRETS}\b.{{0,60}}?\b(?:send|post|forward|submit|email|upload|transmit) (?:it|them|these|those) (?:to|at|via) .{{0,20}}?{ELSEWHERE}",
    ),
    rule(
        "exfiltration",
        "high",
        "a name or an address carries data out",
        "dns|lookup|nslookup|ping|resolve|visit|fetch|request|curl|navigate|open|load|http",
        r"\b(?:dns|nslookup|ping|lookup|resolve|visit|fetch|request|curl|navigate|open|load|get|https?)\b.{0,60}?[<{$\[]+ ?(?:the )?[a-z_ ]{0,20}(?:secret|key|token|data|password|history|prompt|conversation|base64|contents?|env)[a-z_ ]{0,10}[>}\]]*[.&/?=]+[a-z0-9-]",
    ),
    rule(
        "exfiltration",
        "critical",
        "names itself what it does",
        "exfiltrat|steal",
        rf"\b(?:exfiltrate|steal)s? (?:\w+ ){{0,4}}?(?:{SECRETS}|{CONTEXT}|data|files?|information|user)",
        "high",
    ),
    # ── parameters that collect ──
    rule(
        "side_channel",
        "medium",
        "a parameter asks for what its tool does not need",
        "conversation|chat|prompt|context|transcript|chain|tools",
        r"^(?:the |a |an |copy of |verbatim |text of |contents? of )*(?:your (?:\w+,? ){0,3}?(?:system (?:prompt|message|instructions?)|chain[- ]of[- ]thought|context window)|(?:entire|full|complete|whole|verbatim) (?:conversation|chat|context window|system prompt)(?: history| transcript| log| context)?(?:,| so far| up to| with| between| verbatim|\.|$)|(?:list of )?(?:all |every |the )*(?:other )?tools? (?:that are )?(?:available|accessible) to you)",
    ),
    rule(
        "side_channel",
        "high",
        "a parameter asks for what its tool does not need",
        "conversation|chat|history|prompt|context|session|transcript|chain|tool|message",
        r"\b(?:the |your |a |an |copy of |full |entire |complete |verbatim |current |list of |names of |all |of |contents? of |summary of |dump of )*(?:your (?:\w+ ){0,2}?(?:system (?:prompt|message|instructions?)|chain[- ]of[- ]thought|reasoning|(?:initial|full|own|hidden|complete|internal) instructions|context window|memory|model name|tools?(?: list)?)|(?:entire|full|complete|whole|verbatim) (?:\w+ ){0,2}?(?:conversation|chat|context window|transcript|chat history|conversation history|message history|system prompt|session history)|(?:all|other|every|list of) (?:\w+ ){0,2}?(?:available |other )?tools (?:you|available to you|that you|in your context)|tools? (?:you have )?(?:available to|accessible to) you|previous(?:ly called)? tool (?:calls|results|outputs))",
        None,
    ),
)
