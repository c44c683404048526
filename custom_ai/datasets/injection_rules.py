"""How orders to a language model are worded, German and English.

Every rule joins two or three things that seldom meet in one sentence of an honest text: whom it
speaks to, what it wants done, and that it means the model's own rules or answers.
"""

import re
from collections.abc import Mapping
from functools import cache

# By reason (what follows a full stop is only there so that fewer texts are searched): words, in
# lower case, one of which each of its phrases holds.
TRIGGERS: Mapping[str, tuple[str, ...]] = {
    "override": (
        "ignor", "disregard", "forget", "overrid", "bypass", "vergiss", "vergessen sie",
        "missacht", "überschreib", "setz dich", "no longer", "nicht mehr", "nicht länger",
        "void", "supersede", "ungültig", "aufgehoben", "abandon", "stop the", "stop your",
    ),
    "role": (
        "<|", "[inst", "<<sys", "###", '"role"', "'role'", "<instruct", "</instruct", "<system",
        "</system", "<assist", "</assist", "tool_call", "function_call", "assistant", "assistent",
        "human:", '"pairs"', "ki:", "ai:",
    ),
    "addressed": (
        "language model", "llm", "chatbot", "chat bot", "gpt", "copilot", "claude", "gemini",
        "assistant", "assistent", "sprachmodell", "automated ", "automatic ", "automatische",
        "künstliche", "the model", "das modell", "modelle", "bots", "crawler",
        " ki", "\nki", "(ki", " ai", "\nai", "(ai",
    ),
    "answers": (
        "answer", "repl", "respon", "output", "question", "pairs", "antwort", "ausgabe", "frag",
        "sentence", "every example", "each example", "jedes beispiel", "jedem beispiel",
        "all examples", "alle beispiele",
    ),
    "answers.asked": (
        "somebody", "someone", "anyone", "anybody", "people", " user", " reader", "customer",
        "a question", "jemand", "nutzer", " leser", " kunde", "fragen",
    ),
    "answers.truth": (
        "truthfully", "honestly", "correctly", "wahrheitsgemäß", "ehrlich", "opposite", "gegenteil",
    ),
    "answers.exact": (
        "correct ", "right ", "expected ", "only ", "richtige ", "korrekte ", "erwartete ",
        "einzige ",
    ),
    "answers.you": (
        "you write", "you say", "du schreib", "du sag", "everything", "anything", "alles",
    ),
    "answers.where": ("wherever", "whenever", "überall"),
    "answers.voice": (
        "as if you", "as though you", "wärst du", "seist du", "wenn du", "voice of", "persona of",
        "character of",
    ),
    "answers.this": (
        "this pair", "this example", "this answer", "these pairs", "these examples", "dieses paar",
        "dieses beispiel", "diese antwort",
    ),
    "persona": (
        "you are", "you're", "from now on", "from here on", "pretend", "du bist", "sie sind",
        "tu so", "tun sie so", "stell dir vor", "ab jetzt", "ab sofort", "developer mode",
        "jailbreak", "restrictions", "auftrag", "your task", "your role", "your job", "new task",
        "new instruction", "new rule", "neue aufgabe", "neue anweisung", "neue regel",
        "deine aufgabe", "ihre aufgabe", "entwicklermodus", "beschränkung",
    ),
    "secrets": (
        "prompt", "your instructions", "hidden instructions", "deine anweisungen",
        "ihre anweisungen", "your operator", "your creators", "deinem auftraggeber",
        "deinen auftraggeber", "deine betreiber", "deinen betreibern", "deine entwickler",
        "versteckte", "geheimen",
    ),
    "hidden": ("<!--", "[//]:", "style=", "![", "rot13", "base64", "decode", "dekodier"),
    "training": ("training data", "training set", "trainingsdaten", "trainingsmaterial"),
}  # fmt: skip

_WORDS = {
    "rules": r"(?:instructions?|rules?|guidelines?|prompts?|directions|directives|commands|orders|"
    r"task|context|constraints|anweisung(?:en)?|regeln|vorgaben|richtlinien|aufgabe|auftrag|"
    r"befehle|instruktionen|anordnungen)",
    "earlier": r"(?:previous|prior|above|earlier|preceding|former|foregoing|all|any|every|your|"
    r"system|these|original|bisherige[nrs]?|vorherige[nrs]?|vorige[nrs]?|obige[nrs]?|frühere[nrs]?|"
    r"oben|alle|allen|deine[nrms]?|ihre[nrms]?|sämtliche[nrs]?|ursprüngliche[nrs]?)",
    "machine": r"(?:(?:large )?language[- ]models?|\bLLMs?\b|chat ?bots?\b|\bAI\b(?:[ -]\w+)?|"
    r"\bassistants?\b|\bGPT(?:-?\d\w*)?\b|\bChatGPT\b|\bCopilot\b|\bClaude\b|\bGemini\b|\bmodels?\b|"
    r"automat(?:ed|ic) \w+|sprachmodell\w*|\bKI(?:[ -]\w+)?\b|\bKIs\b|\bassistenten?\b|"
    r"automatische\w* \w+|künstliche\w* intelligenz\w*|\bmodelle?\b|\bbots?\b|\bcrawlers?\b)",
    "order": r"(?:must|should|shall|please|kindly|has to|have to|need to|you (?:will|are to)|"
    r"add|append|mention|state|include|insert|recommend|describe|end|say|write|output|answer|reply|"
    r"respond|praise|rate|rank|wants? you|ignore|stop|bitte|soll(?:en|st)?|muss|müssen|musst|"
    r"erwähn\w*|nenn\w*|empfehl\w*|empfiehl\w*|füg\w*|antworte\w*|schreib\w*|lies|lob\w*|hast|"
    r"ist \w+ zu|sind \w+ zu|zu bezeichnen|wünsch\w*|bewerte\w*|gehör\w*|belongs?|goes)",
    "answer": r"(?:answers?|repl(?:y|ies)|responses?|outputs?|pairs?|examples?|sentences?|"
    r"questions?|summary|summaries|antwort\w*|ausgaben?|fragen?|sätze|satz|paare?n?|beispiele?n?|"
    r"zusammenfassung\w*)",
    "every": r"(?:every|each|all|any|always|only|solely|exclusively|your|nothing but|jede[rsnm]?|"
    r"alle[nrm]?|immer|stets|nur(?: noch)?|ausschließlich|sämtliche\w*|deine[rnms]?|dein)",
    "do": r"(?:end|close|finish|begin|start|conclude|append|add|include|insert|mention|say|write|"
    r"state|give|phrase|prefix|put|produce|generate|formulate|beende\w*|schließ\w*|beginn\w*|"
    r"häng\w*|füg\w*|erwähn\w*|schreib\w*|formulier\w*|erzeug\w*|gib|lass\w*|stell\w*|setz\w*|"
    r"lob\w*|praise|nenn\w*|empf[ie]\w*|recommend|werb\w*|advertise|use|verwende\w*|make)",
    "start": r"(?:^|[.!?:;,(>\"'\-–—|*]\s*|\b(?:and|und|then|please|bitte|dann)\s+)",
    "near": r"[^.!?\n]{0,80}?",
}  # fmt: skip

_PHRASES: Mapping[str, tuple[str, ...]] = {
    "override": (
        r"\b(?:ignor\w*|disregard\w*|forget|vergiss|vergessen Sie|missacht\w*)\b{near}\b{earlier}\b"
        r"{near}\b{rules}\b",
        r"\b(?:overrid\w*|bypass|überschreib\w*|setz\w* dich über)\s+(?:\w+\s+){{0,2}}?{earlier}\s+"
        r"(?:\w+\s+)?{rules}\b",
        r"\b(?:ignore|disregard|override|missachte|ignoriere\w*)\s+(?:the|this|that|die|diese[ns]?)"
        r"\s+(?:\w+\s+)?{rules}\b(?: (?:above|oben))?{near}\b(?:and|und|instead|stattdessen)\b",
        r"\b(?:forget|disregard|ignore|vergiss|vergessen Sie|ignoriere?)\b{near}\b(?:everything|"
        r"all|anything|what|alles|was)\b{near}\b(?:told|said|learned|instructed|gesagt|gelernt|"
        r"aufgetragen|steht)\b",
        r"\b(?:rules|instructions|guidelines|Regeln|Anweisungen|Vorgaben)\b{near}\b(?:no longer "
        r"apply|do not apply|(?:are|is) (?:now )?(?:void|obsolete|superseded|cancell?ed)|gelten "
        r"nicht(?: mehr| länger)|sind (?:aufgehoben|ungültig))\b",
        r"\b(?:supersedes?|replaces|ersetzt|hebt)\s+{earlier}\s+(?:\w+\s+){{0,2}}?{rules}\b",
        r"\b(?:disregard|ignore|abandon|stop)\s+(?:the|this|your)\s+\w+\s+task\b",
    ),
    "role": (
        r"<\|[a-z_]{2,30}\|>", r"\[/?INST\]", r"<</?SYS>>",
        r"(?m)^\s*#{2,4} ?(?:instructions?|response|system|user|assistant|input|anweisung|antwort)"
        r"\s*:\s*$",
        r"[\"']role[\"']\s*:\s*[\"'](?:system|user|assistant|developer|tool)[\"']",
        r"</?(?:instructions?|system|assistant|tool_call|function_call|system_prompt)>",
        r"(?m)^\s*(?:system|user|human|nutzer|benutzer|mensch)\s*:(?s:.{0,400}?)\n\s*(?:assistant|"
        r"assistent|ai|ki)\s*:",
        r"(?m)^\s*(?:assistant|assistent)\s*:?\s*$",
        r"[\"']pairs[\"']\s*:\s*\[\s*\{(?s:.{0,200}?)[\"'](?:instruction|output)[\"']\s*:",
    ),
    "addressed": (
        r"\b(?:note|notice|attention|message|hint|reminder|memo|remark|instructions?|dear|hello|"
        r"hey|todo|hinweis\w*|achtung|nachricht|mitteilung|anmerkung|vermerk|liebe[rs]?|hallo)\b"
        r"[,:]?\s+(?:(?:to|for|an|für|at)\s+)?(?:(?:the|all|any|our|die|das|den|alle|jede|every|"
        r"code|coding)\s+){{0,2}}{machine}(?s:.{{0,100}}?)\b{order}\b",
        r"{start}(?:an|für|for|to)\s+(?:(?:the|all|any|die|das|den|alle)\s+)?{machine}[^.!?\n]"
        r"{{0,40}}:(?s:.{{0,100}}?)\b{order}\b",
        r"\b(?:if|falls|wenn|sofern|when)\b[^.!?\n]{{0,40}}\b(?:you(?:'re| are)|du|sie|this|dieser?"
        r"|dies)\b[^.!?\n]{{0,50}}{machine}(?s:.{{0,120}}?)\b{order}\b",
        r"\b(?:meant|intended|written|bestimmt|gedacht)\s+(?:for|für)\s+(?:\w+\s+)?{machine}"
        r"(?s:.{{0,120}}?)\b{order}\b",
        r"\b(?:new|neue|next|nächste)\s+(?:task|instructions?|order|aufgabe|anweisung)\b[^.!?\n]"
        r"{{0,30}}{machine}",
        r"{start}{machine}\s*[,:]\s*(?:please|bitte|you must|you should|you will|always|never|"
        r"immer|du (?:sollst|musst|hast))\b",
    ),
    "answers": (
        r"{start}(?:answer|reply|respond|antworte(?:t| Sie)?)\s+(?:always|only|solely|exclusively|"
        r"just|immer|nur(?: noch)?|stets|ausschließlich)\b",
        r"\b(?:immer|stets|ausschließlich|always|only)\s+(?:antworte\b|reply with\b|answer with\b)",
        r"{start}(?:antworte\w*|reply|respond|answer)\s+(?:\w+\s+){{0,3}}?(?:mit dem (?:wort|satz)|"
        r"with the (?:single )?(?:word|phrase|sentence))\b",
        r"{start}{do}\s+(?:[^\s.!?]+\s+){{0,6}}?{every}\s+(?:[^\s.!?]+\s+){{0,2}}?{answer}\b",
        r"\b{every}\s+(?:\S+\s+)?{answer}\b[^.!?\n]{{0,90}}?\b(?:must|has to|have to|should|"
        r"shall|gehört|lautet|muss|müssen|soll|sollen|hat zu|is to)\b[^.!?\n]{{0,60}}(?:[\"'“„:]|"
        r"\b(?:words|phrase|sentence|satz|worten|zusatz|link)\b)",
        r"\b(?:only|just|nur|ausschließlich)\s+{do}\s+(?:[^\s.!?]+\s+)?{answer}\b",
        r"\bin\s+(?:every|each|all|jedes?|jeden?|alle)\s+{answer}\s+(?:gehört|goes|belongs|kommt)\b",
        r"\byou (?:must|will|shall) (?:now )?(?:only )?(?:respond|reply) (?:to (?:every|all|each)|"
        r"with|only)\b",
    ),
    "answers.asked": (
        r"\b(?:whenever|when|if|should|wenn|falls|sobald|bei|sollte)\b[^.!?\n]{{0,50}}\b(?:somebody|"
        r"someone|anyone|anybody|people|the (?:user|reader|customer)|a (?:user|reader|customer|"
        r"question)|jemand|der (?:nutzer|leser|kunde)|ein (?:nutzer|leser|kunde)|fragen)\b[^.!?\n]"
        r"{{0,60}}?(?:,|\b)\s*(?:then |dann |so )?\b(?:tell|say|claim|answer|reply|state|"
        r"insist|sage?|behaupte|antworte|nenne|ist \w+ zu behaupten|zu behaupten|zu sagen)\b",
    ),
    "answers.truth": (
        r"{start}(?:do not|don't|never|nicht|niemals)\s+(?:answer|reply|respond|antworte\w*)\b"
        r"[^.!?\n]{{0,40}}\b(?:truthfully|honestly|correctly|wahrheitsgemäß|ehrlich)\b",
        r"\b(?:give|state|answer|say|gib|nenne|antworte|behaupte)\b[^.!?\n]{{0,60}}\b(?:opposite|"
        r"gegenteil)\b",
    ),
    "answers.exact": (
        r"\b(?:correct|right|expected|only|richtige|korrekte|erwartete|einzige)\s+(?:\w+\s+)?"
        r"(?:output|answer|reply|response|ausgabe|antwort)\b[^.!?\n]{{0,60}}\b(?:is|lautet|ist)\s+"
        r"(?:the (?:single )?word|always|das wort|immer|[\"'“„])",
    ),
    "answers.you": (
        r"\b{do}\b[^.!?\n]{{0,60}}\b(?:everything|all|alle[ms]|anything)\s*,?\s*(?:that |was )?"
        r"(?:you|du|dich)\b",
        r"\b(?:in|all)\s+(?:all(?:em)?,? (?:was )?)?(?:you|du)\s+(?:write|say|schreibst|sagst)\b",
    ),
    "answers.where": (
        r"\b(?:wherever|whenever|überall,? wo|überall)\b[^.!?\n]{{0,50}}\b(?:answer|reply|response|"
        r"antwort|hinschreib\w*)\b",
    ),
    "answers.voice": (
        r"\b(?:write|speak|talk|answer|formulier\w*|schreib\w*|sprich|rede|antworte\w*)\b"
        r"[^.!?\n]{{0,60}}\b(?:as (?:if|though) you were|als (?:wärst|seist|wenn) du|in the (?:"
        r"voice|persona|character) of)\b",
    ),
    "answers.this": (
        r"\b(?:use|verwende|nimm)\s+(?:this|these|dieses?|diese)\s+(?:pair|example|answer|paar|"
        r"beispiel|antwort)\b[^.!?\n]{{0,30}}\b(?:every|each|all|jede[sn]?|alle)\b",
    ),
    "persona": (
        r"\byou(?:'re| are)\s+(?:now|no longer|henceforth)\s+(?:an?|the|in|called|not|free|DAN|"
        r"[A-Z]{{3,}})\b(?! (?:position|state|shell|directory|able))",
        r"\b(?:from (?:now|here) on|ab (?:jetzt|sofort|hier)|henceforth|künftig)\b[^.!?\n]{{0,30}}"
        r"\b(?:you (?:are|will|must|should|answer|reply|only)|the assistant|all (?:answers|output|"
        r"replies)|bist du|sind sie ein|antwortest|antworten sie|lautet|wirst du)\b",
        r"{start}(?:pretend (?:that you|to be|you)|tu so, als|tun sie so, als|stell dir vor, du "
        r"(?:bist|wärst|seist)|du bist (?:jetzt|nun|ab))\b",
        r"\b(?:developer|god|debug|dan|admin) mode\b[^.!?\n]{{0,40}}\b(?:restriction|rules|enter|"
        r"unlock|no )|\benter (?:developer|god|dan) mode\b|\bjailbreak\b|\bentwicklermodus\b",
        r"\b(?:no|keine|without|ohne)\s+(?:\w+\s+)?(?:restrictions?|beschränkungen|"
        r"einschränkungen) (?:apply|any ?more|mehr|gelten)",
        r"\b(?:your|dein|ihr)\s+(?:new |neuer? )?(?:task|role|job|auftrag|aufgabe|rolle)\s+(?:has "
        r"changed|hat sich|is now|ist (?:jetzt|nun|es ab)|lautet (?:jetzt|nun))",
        r"{start}(?:new|neue|updated|additional)\s+(?:task|instructions?|rules?|orders|aufgabe|"
        r"anweisung(?:en)?|regel)\s*:",
    ),
    "secrets": (
        r"\b(?:reveal|repeat|print|show|leak|output|display|tell|give|gib|zeig\w*|nenn\w*|verrat\w*|"
        r"wiederhol\w*|disclose)\b[^.!?\n]{{0,60}}\b(?:system[ -]?prompts?|systemprompts?|(?:your|"
        r"deine[nr]?|ihre[nr]?)\s+(?:hidden |secret |initial |geheimen |versteckten )?(?:prompt|"
        r"instructions|anweisungen)|hidden instructions|versteckten anweisungen)\b",
        r"\byour (?:operators?|creators?|makers|handlers?)\b",
        r"\bdeine[nmrs]? (?:auftraggeber\w*|betreiber\w*|entwickler\w*|schöpfer\w*)\b",
    ),
    "hidden": (
        r"<!--(?:(?!-->)(?s:.)){{0,400}}?(?:\b{machine}\b|\b(?:answer|reply|respond|mention|praise|"
        r"recommend|antworte|nenne|erwähne|empf[ie]\w+|lobe)\b)(?:(?!-->)(?s:.)){{0,400}}-->",
        r"\[//\]: ?#(?s:.{{0,200}}?){order}",
        r"<\w+\s[^>]*style\s*=\s*[\"'][^\"'>]*(?:font-size:\s*[01](?:px|pt|em)?\b|display:\s*none|"
        r"visibility:\s*hidden|opacity:\s*0\b|color:\s*(?:white|#fff|transparent))[^>]*>\s*[^<\s]",
        r"!\[[^\]]*\]\(https?://[^)]*\)(?s:.{{0,60}}?)\b(?:output|answer|reply|response|antwort\w*|"
        r"ausgabe)\b",
        r"\b(?:decode|dekodiere|entschlüssle|execute|run)\b[^.!?\n]{{0,40}}\b(?:follow|obey|befolge|"
        r"rot13|base64)\b",
        r"\b\w{{4,}}(?: \w+){{2,8}} \(?rot13\)?",
    ),
    "training": (
        r"\b(?:remark|note|keep|kept|include\w*|add|insert|vermerk|hinweis|über\w+|aufzu\w+|"
        r"füge?)\b[^.!?\n]{{0,80}}\b(?:training (?:data|set)|trainingsdaten|trainingsmaterial)\b"
        r"(?=[^.!?]{{0,60}}(?::|\bübernehmen|\baufzunehmen|\b(?:must|should|shall)\b))",
    ),
}  # fmt: skip


# What {machine} is made of: words, and the short ones that stand alone ("ki" begins many a word).
_MACHINES = (
    "model", "llm", "chatbot", "chat bot", "assist", "gpt", "copilot", "claude", "gemini",
    "automat", "künstliche", "crawler",
)  # fmt: skip
_SHORT_MACHINES = re.compile(r"[kab](?<!\w.)(?:i|ot)s?(?!\w)")


@cache
def phrases(name: str) -> tuple[re.Pattern[str], ...]:
    """The patterns that belong to some words, compiled when a text first holds one of those."""
    return tuple(
        re.compile(_filled(phrase), re.IGNORECASE | re.MULTILINE) for phrase in _PHRASES[name]
    )


def speaks_of_machines(lower: str) -> bool:
    """Whether a text in lower case may hold {machine}, as each pattern of "addressed" does."""
    return any(word in lower for word in _MACHINES) or _SHORT_MACHINES.search(lower) is not None


def _filled(phrase: str) -> str:
    for name, words in _WORDS.items():
        phrase = phrase.replace("{" + name + "}", words)
    return phrase.replace("{{", "{").replace("}}", "}")
