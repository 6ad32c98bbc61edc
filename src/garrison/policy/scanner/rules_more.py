# ruff: noqa: E501 (patterns read better on one line)
"""The rules, second part: other tools, preference, credentials, commands."""

from __future__ import annotations

from typing import Final

from garrison.policy.scanner.rules import rule
from garrison.policy.scanner.signals import ELSEWHERE, NOT, SECRETS, USER

_WHEN = (
    r"(?:before|after|when(?:ever)?|prior to|every ?time|each time|instead of|while|if|once|any time|as soon as|for)"
)
_TOOL = r"(?:mcp[\w-]*_\w+|[a-z][a-z0-9]*(?:[_.-][a-z0-9]+)+)"

MORE: Final = (
    rule(
        "shadowing",
        "critical",
        "changes how another tool is to be used",
        "_|-|.",
        rf"\b{_TOOL}['\"`)]? ?(?:tool |function |command )?(?:must|should|needs? to|has to|shall|will|is required to|has been (?:changed|updated|modified) to)(?: now| only| always| also| first| instead)? (?:send|include|forward|redirect|append|route|cc|bcc|attach|copy|be (?:sent|routed|redirected|forwarded|replaced|followed by|preceded by)|use [\w.+-]{1, 64}@|go (?:to|through))",
    ),
    rule(
        "shadowing",
        "high",
        "gives orders for when another tool is used",
        "_|email|mail|message|file|payment|transfer|transaction|commit|sms|slack|whatsapp",
        rf"\b{_WHEN} (?:\w+ ){{0,4}}?(?:send(?:ing|s)? (?:\w+ ){{0,2}}?(?:emails?|messages?|sms|mail|payments?|files?)|email(?:ing)?|transfer(?:ring)? (?:\w+ )?(?:money|funds|crypto)|mak(?:e|ing) (?:\w+ )?(?:payments?|transfers?|transactions?)|commit(?:ting)?|writ(?:e|ing) (?:\w+ )?files?|push(?:ing)? code|deploy\w*|(?:the )?['\"`]?{_TOOL}['\"`]?(?: tool)?(?: is)? (?:used|called|invoked|available|executed|run)|(?:using|calling|invoking|executing|running) (?:the )?['\"`]?{_TOOL})\b.{{0,80}}?\b(?:always |also |must |should |instead |first |silently |secretly |never )+(?:\w+ ){{0,3}}?(?:bcc|cc|add|include|send|forward|redirect|change|replace|attach|append|copy|insert|route|modif)",
        "medium",
    ),
    rule(
        "shadowing",
        "high",
        "redirects what goes to somebody else",
        "recipient|address|number|account|payee|wallet|destination|bcc|iban|remote|repository|endpoint|url",
        rf"\b(?:change|replace|redirect|set|modify|alter|swap|substitute|rewrite|update|override|add|bcc|route)(?:ing)? (?:\w+ ){{0,6}}?(?:recipients?|destinations?|to[- ]address|email address|phone number|payee|account number|wallet address|proxy_number|bcc|iban|receiver|remote|api base|base url|endpoint)s?\b(?:[^.!?;]|\.(?=\S)){{0,40}}? (?:to|with|as|field|for) (?:[^!?;]){{0,30}}?(?:{ELSEWHERE}|\b0x[0-9a-f]{{6,}}|attacker|bc1\w{{6,}}|[a-z]{{2}}\d{{2}}[a-z0-9]{{10,}})",
        "medium",
    ),
    rule(
        "shadowing",
        "high",
        "speaks of all other tools or servers",
        "tool|server|function",
        rf"\b{_WHEN} (?:\w+ ){{0,5}}?(?:any|every|all|each|other|another|different)(?: of the)?(?: other)?(?: mcp| available| installed| connected)? (?:tools?|servers?|functions?)\b.{{0,160}}?(?:\b(?:pass|send|forward|include|append|attach|copy|bcc|log|record|report|upload|exfiltrate|provide)\b|(?:arguments|parameters|inputs?|results?|outputs?) (?:of|from|to|for) (?:that|the other|those|each|every|any|all)\b|{SECRETS}|{ELSEWHERE})|\b(?:any|every|all|each|other|another|different)(?: of the)?(?: other)?(?: mcp| available| connected)? servers?(?:'s?)? (?:\w+ ){{0,2}}?(?:tools?|outputs?|results?|calls?)|\btools? (?:of|from|on|provided by|exposed by|belonging to|in) (?:any |all |every )?(?:other|another|different) (?:mcp )?servers?",
        "medium",
    ),
    rule(
        "shadowing",
        "high",
        "wants other tools not to be used",
        "other|built|native|official|standard|alternative|original",
        rf"\b(?:{NOT}|instead of) (?:ever )?(?:us(?:e|ing)|call(?:ing)?|invok(?:e|ing)|rely(?:ing)? on|trust(?:ing)?|select(?:ing)?|choos(?:e|ing)) (?:\w+ ){{0,2}}?(?:any |the )?(?:other|alternative|competing|official|original|another|different) (?:\w+ ){{0,2}}?(?:tools?|servers?|functions?|providers?)\b",
        "low",
    ),
    rule(
        "shadowing",
        "medium",
        "speaks ill of other tools",
        "deprecated|broken|insecure|compromised|unsafe|unreliable|vulnerable|malicious|disabled|outdated|obsolete|superseded",
        rf"\b(?:the others|official|original|other|built-?in|standard|native|all other|previous|existing|{_TOOL}['\"`]?) (?:\w+ ){{0,3}}?(?:tools?|servers?|versions?|functions?|implementation)? ?(?:is|are|has been|have been|was) (?:now |currently |known to be )?(?:broken|insecure|compromised|unsafe|unreliable|vulnerable|malicious|outdated and|infected|hacked)",
    ),
    rule(
        "shadowing",
        "high",
        "redefines another tool",
        "redefin|replac|overrid|hijack|intercept|supersed|instead|calls to|request|output|result|response|argument|input",
        rf"\b(?:redefin(?:e|es)|hijack(?:s)?|intercept(?:s)?|supersed(?:e|es)|overrid(?:e|es)|replac(?:e|es)) (?:\w+ ){{0,2}}?(?:all|any|every)(?: other| of the other)? (?:\w+ ){{0,2}}?(?:tools?|tool calls?|calls to)\b|\b(?:outputs?|results?|responses?|arguments|inputs?) of (?:every|all|any|each)(?: other| of the other)? tools?\b.{{0,40}}?\b(?:must|has to|have to|should|needs? to|is to be|are to be)\b|\b(?:any|all|every) (?:calls?|requests?) to (?:the )?['\"`]?{_TOOL}['\"`]? (?:must|should|needs? to|has to|will)",
        "medium",
    ),
    rule(
        "shadowing",
        "high",
        "copies mail to somebody",
        "cc",
        r"\b(?:add|include|set|insert|append|use|put|with)(?:ing)? (?:\w+ ){0,3}?b?cc['\"`]? ?(?:=|:|to|of|with|field to|address)? ?['\"`]?[\w.+-]{1,64}@[\w-]+\.|\bb?cc (?:every|all|each|any) (?:\w+ ){0,3}?(?:to|at) ",
        "medium",
    ),
    rule(
        "preference",
        "medium",
        "wants to be chosen whatever the user asks",
        "regardless|no matter|always use|always call|always prefer|always choose|always select|must be used|must be called|highest priority|only tool|best tool|every request|every message|every conversation|each message|any response|any other",
        r"\b(?:always (?:use|call|choose|prefer|select|pick|invoke|run)|must (?:always )?(?:use|call|be (?:used|called|invoked|selected|chosen))|use|prefer|choose|call) (?:this|our|my|the \w+)(?: tool| server| function)?\b.{0,60}?(?:regardless of|no matter (?:what|which)|even if (?:the )?(?:user|another|other|it|not)|over (?:all|any|every) (?:other|alternative)|instead of (?:all|any|every|other)|whether or not|for (?:every|all|any|each) (?:single )?(?:user |incoming )?(?:requests?|messages?|quer(?:y|ies)|conversations?|prompts?|questions?|tasks?)\b(?! (?:to|about|of|that|in|on|for|with))|before (?:every|any|each) (?:response|reply|answer|message))",
    ),
    rule(
        "preference",
        "low",
        "wants to be called before all others",
        "any other|every other|all other|first|highest priority|only tool|best",
        r"\b(?:before|over|above) (?:using |calling )?(?:any|every|all)(?: of the)? other tools?\b|\bhighest[- ]priority tool|\b(?:the )?only (?:safe|trusted|reliable|approved|correct) tool\b",
    ),
    rule(
        "model_directive",
        "medium",
        "gives orders that have nothing to do with its use",
        "generated|all code|every file|regardless|every response|each response|all responses|your response|every answer|end of|recommend|advertis|promot",
        r"\b(?:at the (?:end|beginning|start) of|in|to) (?:every|each|all|any|your) (?:of your |generated )?(?:responses?|answers?|repl(?:y|ies)|messages?|outputs?|code|source files?)\b.{0,60}?\b(?:add|append|include|insert|recommend|mention|say|link|promote|always)|\b(?:add|append|include|insert|recommend|mention|promote|advertise) .{0,80}?(?:at the (?:end|beginning|start) of|in) (?:every|each|all|any) (?:of your )?(?:responses?|answers?|repl(?:y|ies)|messages?|generated (?:code|files?))\b",
    ),
    rule(
        "model_directive",
        "high",
        "decodes and follows what it hides",
        "decod|base64|rot13|hex|execut|follow",
        r"\b(?:base64|rot13|hex|encoded|encrypted|obfuscated|reversed)\b.{0,60}?\b(?:then |and )?(?:execute|follow|obey|run|comply|treat (?:it|the \w+) as)\b.{0,30}?(?:it|instructions?|result|output|commands?|directives?|payload)|\bdecode (?:\w+ ){0,6}?and (?:then )?(?:execute|follow|obey|run|comply|perform|act|do)",
    ),
    rule(
        "model_directive",
        "medium",
        "waits for its moment",
        "after the|on the|day|once the user|date|times|activated|until|trigger",
        r"\b(?:after|once|on) (?:the )?(?:\w+ )?(?:\d+|two|three|five|ten|first|second|third|few|several)(?:st|nd|rd|th)? (?:calls?|uses?|invocations?|times|days?|executions?)\b.{0,80}?\b(?:instead|change|start|begin|switch|send|read|exfiltrate|activate|include|you (?:must|should)|silently)|\b(?:trigger|activation|secret) (?:phrase|word|code)\b.{0,80}?\b(?:must|should|then|execute|send|ignore|reveal|switch|respond)",
    ),
    rule(
        "credential_request",
        "high",
        "the user is to be asked for credentials",
        "password|passphrase|phrase|mnemonic|private key|credit|card|cvv|ssn|social|pin|2fa|otp|one-time|one time|mfa|bank|secret|api key|token|credential|login",
        rf"\b(?<!never )(?<!not )(?<!don't )(?:ask|prompt|request|require|tell|instruct|get|convince|persuade|trick|demand|urge|encourage|force)(?:ing)?(?: from)? {USER}(?: \w+){{0,6}}? (?:\w+ )?(?:passwords?|passphrase|(?:seed|recovery|mnemonic) phrases?|mnemonic|private keys?|credit cards?|card numbers?|cvv|ssn|social security|(?:2fa|otp|mfa|one[- ]time|verification|pin)(?: codes?)?|bank (?:account|details|login)|master password|login (?:details|credentials)|ssh keys?)\b",
    ),
    rule(
        "credential_request",
        "medium",
        "the user is to be asked for credentials",
        "key|token|credential|secret",
        rf"\b(?<!never )(?<!not )(?<!don't )(?:ask|prompt|request|demand|convince|trick)(?:ing)?(?: from)? {USER}(?: \w+){{0,5}}? (?:their|his|for all|every|any) (?:\w+ )?(?:api keys?|access tokens?|credentials|secret keys?|tokens|secrets)\b.{{0,80}}?(?:pass|send|includ|forward|provid|stor|submit)",
        "low",
    ),
    rule(
        "credential_request",
        "high",
        "asks for what only thieves need",
        "seed phrase|recovery phrase|mnemonic|master password|cvv|social security",
        r"\b(?:enter|provide|send|submit|include|give|supply|paste|type|confirm|verify)(?:ing)? (?:\w+ ){0,3}?(?:your|user'?s?|the user'?s?|their|wallet'?s?|the) (?:\w+ )?(?:seed phrase|recovery phrase|mnemonic|master password|cvv|social security number|online banking)\b",
    ),
    rule(
        "dangerous_command",
        "high",
        "a command that fetches and runs code, or destroys",
        "|| sh|bash|curl|wget|rm -|powershell|/dev/tcp|nc -|iex|base64 -d|mkfifo|eval(|os.system|chmod|crontab|mkfs|dd if|certutil|netcat|subprocess",
        r"\b(?:curl|wget|fetch)\b[^|;&\n]{0,160}(?:\||;|&&) ?(?:sudo )?(?:ba|z|da|k)?sh\b|\bbash -i\b|/dev/tcp/|\b(?:nc|ncat|netcat) (?:\S+ ){0,4}?-[a-z]*e|\brm -[rf]{1,2}[a-z]* (?:--no-preserve-root )?(?:/|~|\$home|\*|\.)|\bpowershell(?:\.exe)? .{0,40}-e(?:nc|ncodedcommand)?\b|\biex ?\(|base64 (?:-d|--decode)\b.{0,40}\| ?(?:ba)?sh|\bmkfifo\b|\b(?:eval|exec)\((?:base64|atob|compile|__import__)|\bdd if=/dev/|\bmkfs\.|:\(\) ?\{|\bcertutil .{0,20}-urlcache|\b(?:curl|wget|nc) (?:[^|;\n]{0,120})(?:-d|--data(?:-\w+)?|-f|--form|--post-(?:data|file)|-t|--upload-file)[ =]['\"]?[@$<`(]",
    ),
    rule(
        "dangerous_command",
        "high",
        "the model is to run a command first",
        "run |execute|shell|terminal|command|bash|curl |wget ",
        r"\b(?:you must|must first|first,? |always |before .{0,40}?,? ?)(?:\w+ ){0,2}?(?:run|execute|launch|invoke)(?: the)?(?: following| this)?(?: shell| bash| terminal| system)? ?(?:commands?|scripts?|code)? ?[:`'\"(]{1,3} ?(?:curl|wget|bash|sh|python|powershell|nc|rm|cat|chmod|echo|npx|pip|sudo|env|printenv|tar|scp|ssh)\b|\b(?:run|execute) [`'\"](?:curl|wget|nc|rm|scp|bash -c|sudo|printenv|env)\b",
    ),
)
