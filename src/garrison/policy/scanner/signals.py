# ruff: noqa: E501 (patterns read better on one line)
"""What a text is made of when it gives orders to a model: fragments that the rules are put together from.

All are written for normalised text (see `normal`): lower case, single blanks, no accents.
"""

from __future__ import annotations

import re
from typing import Final

AI: Final = (
    r"(?:(?:the |any |an? |every |this |your )?(?:ai(?: (?:assistant|agent|model|system))?|assistant|model|llm|agent|chatbot"
    r"|language model|claude|gpt(?:-\d\w*)?|chatgpt|copilot|cursor|gemini)s?)"
)
USER: Final = (
    r"(?:(?:the |your |any |this |to |with |other |end |my )*(?:end[- ]?)?(?:users?|humans?|customers?|operators?|anyone|anybody"
    r"|people|owner|developers?|person|victim|employees?|human operator|admin(?:istrator)?s?)(?! (?:names?|ids?|interface|profile|agent|input|emails?)\b))"
)
NOT: Final = r"(?:do not|don'?t|dont|never|must not|mustn'?t|should not|shouldn'?t|shall not|cannot|can'?t|avoid|not to|no need to|refrain from|under no circumstances|without|needn'?t|stop)"
FILES: Final = (
    r"(?:\.ssh\b|\bid[_ ](?:rsa|ed25519|ecdsa|dsa)\b|/etc/(?:passwd|shadow|sudoers)|\.aws/?\b|\.kube/?config|\.netrc|\.npmrc|\.pypirc"
    r"|\.git-credentials|\.gnupg|\.docker/config|mcp\.json|claude_desktop_config|\.cursor/|\.bash_history|\.zsh_history|\.bashrc|\.zshrc"
    r"|(?<![\w.])\.env(?:\.\w+)?\b|wallet\.dat|\bkeychain\b|login data\b|cookies\.sqlite|/proc/self/environ|\bcredentials\.json|authorized_keys"
    r"|\.config/gcloud|\bservice[-_]account[\w-]*\.json|\bsecrets?\.(?:ya?ml|json|env|toml)|\.pem\b|\b(?:user'?s?|private|your|their) ssh (?:private )?keys?\b|\bssh private keys?\b|\.pgpass|\.my\.cnf"
    r"|\bprivate ssh key|\.vault-token|\bkubeconfig\b|/\.config/|\.terraformrc|\.tfstate|/var/run/secrets|shadow file|\bsam database\b)"
)
SECRETS: Final = (
    r"(?:api[- _]?keys?|access[- _]?tokens?|(?:auth(?:entication)?|bearer|session|oauth|refresh|github|slack|aws) (?:tokens?|keys?|credentials)"
    r"|private keys?|secret keys?|credentials?|passwords?|passphrases?|environment variables|env(?:ironment)? vars?|\benv\b|cookies|secrets"
    r"|seed phrases?|mnemonic|2fa codes?|otp codes?|credit cards?(?: numbers?)?|tokens?|database (?:urls?|passwords?|dumps?)|connection strings?)"
)
CONTEXT: Final = (
    r"(?:(?:conversations?|chat|message|session|dialog(?:ue)?) (?:history|histories|logs?|transcripts?|context|contents?|so far)"
    r"|(?:previous|prior|earlier|past|preceding|last|recent|all|other) (?:\w+ )?(?:messages?|conversations?|prompts?|tool (?:calls?|outputs?|results?|responses?)|answers|chats?)"
    r"|(?:entire|full|whole|complete|current|ongoing|user'?s?) (?:\w+ )?(?:conversation|chat|context(?: window)?|transcript|dialog(?:ue)?|session|history|prompt)"
    r"|system (?:prompt|message|instructions?)|(?:the )?(?:original|initial|exact|last|full) user (?:message|prompt|query|request|input)|context window"
    r"|chain[- ]of[- ]thought|user'?s? (?:\w+ )?(?:files|documents|emails|contacts|messages|data|home directory|source code|personal (?:data|information)))"
)
HAND: Final = (
    r"(?:pass|include|send|append|attach|supply|put|place|insert|submit|upload|forward|post|transmit|embed|copy|paste|add|provide|encode"
    r"|concatenate|bcc|cc|email|e-mail|mail|exfiltrate|relay|leak|share|deliver|echo|return|write|save|store|feed|fill|dump|report|push|stream|sync|mirror|hand|prepend)(?:s|ing|ed)?"
)
TO_PARAMETER: Final = (
    r"(?:as (?:the |an? )?(?:value (?:of|for) )?(?:the )?['\"`]?[\w.-]+['\"`]?(?: (?:parameter|argument|field|arg|param|input|value|note|header))?"
    r"|(?:in|into|to|via|through|using|inside|with|within) (?:the |this |a |an )?(?:tool'?s? )?['\"`]?[\w.-]+['\"`]? (?:parameter|argument|field|arg|param|input|header|query)"
    r"|(?:in|into|to) (?:the )?['\"`][\w.-]+['\"`])"
)
ELSEWHERE: Final = (
    r"(?:(?:https?|ftps?|wss?)://|hxxps?://|\bwww\.\w|(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}\.[a-z]{2,}|\b\d{1,3}(?:\.\d{1,3}){3}\b|\bwebhook|\battacker|\b(?:our|my|external|remote|third[- ]party) "
    r"(?:\w+ ){0,2}(?:server|endpoint|webhook|address|host|url|inbox|api|service|site)|(?<![\w-])[\w-]{1,63}\.(?:ngrok|requestbin|pipedream|webhook|burpcollaborator|oast|interact)\.?\w*"
    r"|\+\d[\d -]{7,}\d|\bpastebin|telegram bot|discord webhook|\bdns (?:query|lookup|request)|(?<![\w-])[\w-]{1,63}\.(?:xyz|top|evil|ru|tk|onion|click)\b)"
)
READ: Final = (
    r"(?:read|open|cat|load|fetch|access|retrieve|get|find|collect|copy|grab|extract|locate|dump|print|gather|examine|obtain|harvest|list|scan|search"
    r"|look (?:up|at|in|for)|view|inspect|check|exfiltrate|steal|enumerate|use|run|include|attach|pass|send|upload|concatenate|query|call|invoke|save|display|output|show|provide|append|add)"
)

DIRECTS: Final = re.compile(
    r"\b(?:before|prior to|after|when(?:ever)?|every ?time|each time|once|upon|while|as soon as|for (?:each|every))(?: ever)? (?:\w+ ){0,3}?"
    r"(?:(?:us(?:e|ing)|call(?:ing|ed|s)?|invok(?:e|ing|ed)|run(?:ning)?|execut(?:e|ing|ed)|perform(?:ing|ed)?|access(?:ing|ed)?|answer(?:ing)?|respond(?:ing)?|reply(?:ing)?|proceed(?:ing)?|do(?:ing)?|process(?:ing)?|return(?:ing)?|start(?:ing)?|add(?:ing)?|search(?:ing)?)"
    r"|tool|operation|action|request|call|message|query|function)\b"
    rf"|\b(?:you|{AI}) (?:\w+ )?(?:must|should|need to|needs to|have to|has to|are required|is required|shall|ought to|are (?:instructed|expected|obligated)|will first|can then|first)\b"
    r"|\b(?:make sure|be sure|remember|ensure|it is (?:mandatory|required|essential|crucial|imperative|necessary|important|critical)|you are to|please|mandatory|important(?: ?:| -|!)|(?:for|attention,?) (?:all )?(?:ai|llm)s?(?: agents?)?(?: eyes)?\b|available to you|you (?:can (?:find|see|access|reach)|have (?:access|seen)|know|encounter|are aware)|first,? (?:you )?(?:read|open|gather|collect|call|run|get|load|find|fetch|send|search|execute|retrieve|list|cat|copy|check)|critical(?: ?:)|first,|always|note ?:|required:|step 1|immediately)\b"
)
"""Orders, or the moment at which one is to be followed."""

PRESSURE: Final = re.compile(
    r"\botherwise\b|\bor else\b|\bwill (?:not work|fail|crash|break|be lost|be deleted|malfunction|be banned)|\bwon'?t work|\brequired (?:for|by) (?:\w+ ){0,3}"
    r"(?:compliance|security|authentication|audit\w*|verification|validation|logging|telemetry|debug\w*|policy|law|authorization|proper \w+|functionality|context|quality|attribution|tracing)"
    r"|\bfor (?:\w+ ){0,2}(?:compliance|security|audit\w*|verification|validation|logging|telemetry|debugging|quality assurance|analytics|attribution|attestation|calibration|personali[sz]ation|optimi[sz]ation|improved results) ?(?:purposes?|reasons?)?\b"
)
SECRECY_HINT: Final = re.compile(
    r"\b(?:silently|secretly|quietly|covertly|discreetly|stealthily|surreptitiously|invisibly|unnoticed|undetected|hidden from|behind the scenes|in secret|unobtrusively)\b"
)
DETECTS: Final = re.compile(
    r"\b(?:detect|scan|flag|block|classif|analy[sz]|prevent|filter|identif|guard|refus|reject|sanitiz|sanitis|moderat|check|find|look|search|protect|strip|redact|screen|test|defend|warn|monitor|report|audit|inspect|catch|recogni[sz]|mitigat|evaluat|score|remov)\w*"
)
"""Verbs of tools that deal with attacks by others."""
QUOTING: Final = re.compile(
    r"(?:such as|like|e\.g\.|for example|including|phrases?|patterns?|attempts?|strings?|attacks?|prompts?|injections?|rules? for|jailbreaks?|samples?|keywords?|containing|examples?)[ :,(\[]{0,3}(?:[^.!?]{0,80})$"
)
