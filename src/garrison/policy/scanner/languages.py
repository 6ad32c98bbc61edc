# ruff: noqa: E501 (patterns read better on one line)
"""The same orders in other languages: drop your instructions, do not tell the user, hand over what is private.

One row for each language, of word stems; the rules are put together from them. Stems are written as people write them
and evened out as texts are (see `normal`), so that accents play no part.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from garrison.policy.late import Late
from garrison.policy.scanner.findings import Severity
from garrison.policy.scanner.normal import normal
from garrison.policy.scanner.rules import Rule, rule
from garrison.policy.scanner.signals import ELSEWHERE, FILES


class Words(NamedTuple):
    """Stems, separated by bars. `drop`: ignore, forget; `orders`: instructions; `silent`: not … tell; `user`;
    `secretly`; `hand`: send, pass, read; `private`: key, password, conversation."""

    drop: str
    orders: str
    silent: str
    user: str
    secretly: str
    hand: str
    private: str


LANGUAGES: Final = {
    "es": Words("ignora|ignore|olvida|olvide|descarta|omite|no sigas", "instruccion|indicacion|directriz|directric|ordenes|reglas|prompt",
                "no (?:le |se lo |lo )?(?:dig|cuent|inform|mencion|revel|muestr|avis|notifi)|sin (?:decir|informar|avisar|mencionar|notificar|que .{0,12}sepa)", "usuari|nadie",
                "en secreto|secretamente|a escondidas|silenciosamente", "envi|lee|leer|manda|pasa|incluy|adjunt|copia|transmit|sub[ae]|reenvi",
                "clave|contrasena|credencial|secreto|token|conversacion|historial|variables de entorno|archivo"),
    "pt": Words("ignore|ignora|esqueca|desconsidere|nao siga", "instruco|instrucao|diretriz|ordens|regras|prompt",
                "nao (?:lhe |o )?(?:diga|conte|informe|mencione|revele|mostre|avise|notifique)|sem (?:dizer|informar|avisar|mencionar|notificar|que .{0,12}saiba)", "usuari|utilizador|ninguem",
                "em segredo|secretamente|as escondidas|silenciosamente", "envie|enviar|leia|ler|mande|passe|inclua|anexe|copie|transmita|encaminhe",
                "chave|senha|credencia|segredo|token|conversa|historico|variaveis de ambiente|arquivo|ficheiro"),
    "fr": Words("ignore[zr]?|oublie[zr]?|ne (?:suis|suivez|tenez) (?:pas|aucun)|fais abstraction|faites abstraction|ne tiens pas compte", "instruction|consigne|directive|ordres|regles|invite|prompt",
                "ne (?:le |la |lui |leur )?(?:dis|dites|informe|informez|mentionne|mentionnez|revele|revelez|montre|montrez|previens|prevenez|parle|parlez).{0,12}(?:pas|rien|jamais|aucun)?|sans (?:le dire|informer|prevenir|mentionner|en parler|que .{0,14}sache|avertir)", "utilisateur|utilisatrice|personne",
                "en secret|secretement|discretement|en cachette|silencieusement", "envoie|envoyer|envoyez|lis |lire|lisez|transmet|passe|inclu|joins|joignez|copie|transfere",
                "cle |cles |mot de passe|mots de passe|identifiant|secret|jeton|conversation|historique|variables d'environnement|fichier"),
    "de": Words("ignorier|vergiss|missacht|beachte .{0,30}nicht|uberspring|verwirf", "anweisung|instruktion|vorgaben|regeln|befehl|richtlini|prompt",
                "(?:sag|sage|erzahl|erwahn|informier|verrat|mitteil|teile|zeig|berichte|offenbar|erklar|benachrichtig|weise)\\w*.{0,40}(?:nicht|nichts|niemals|kein)|ohne .{0,30}(?:zu informieren|zu sagen|mitzuteilen|zu erwahnen|wissen|dass .{0,20}(?:merkt|weiss|erfahrt))|(?:nicht|nichts|niemals) .{0,20}(?:sagen|erzahlen|erwahnen|informieren|mitteilen|verraten|zeigen|offenlegen)", "nutzer|benutzer|anwender|user|niemand",
                "heimlich|im geheimen|unbemerkt|stillschweigend|insgeheim", "send|sende|schick|lies|lese|ubermittl|ubergib|fuge|fug |hang|kopier|weiterleit|leite|ubertrag|einfug",
                "schlussel|passwort|passworter|kennwort|zugangsdaten|geheim|token|gesprach|verlauf|umgebungsvariablen|datei"),
    "it": Words("ignora|ignori|dimentica|non seguire|trascura|scarta", "istruzion|direttiv|ordini|regole|indicazion|prompt",
                "non (?:lo |gli |glie)?(?:dire|dirlo|informare|menzionare|rivelare|mostrare|avvisare|comunicare|raccontare)|senza (?:dirlo|dire|informare|avvisare|menzionare|che .{0,14}sappia)", "utente|utenti|nessuno",
                "in segreto|segretamente|di nascosto|silenziosamente", "invia|inviare|leggi|leggere|manda|passa|includi|allega|copia|trasmetti|inoltra",
                "chiave|chiavi|password|credenzial|segret|token|conversazion|cronologia|variabili d'ambiente|file"),
    "nl": Words("negeer|vergeet|volg .{0,20}niet", "instructie|aanwijzing|opdracht|regels|richtlijn|prompt",
                "(?:vertel|zeg|meld|noem|informeer|onthul|toon)\\w*.{0,40}(?:niet|niets|nooit)|zonder .{0,30}(?:te vertellen|te informeren|te melden|medeweten)", "gebruiker|niemand",
                "in het geheim|stiekem|heimelijk|ongemerkt", "stuur|verzend|lees|geef|voeg|kopieer|verstuur", "sleutel|wachtwoord|inloggegevens|geheim|token|gesprek|geschiedenis|omgevingsvariabelen|bestand"),
    "pl": Words("zignoruj|ignoruj|zapomnij|pomin|nie przestrzegaj", "instrukcj|polecen|wytyczn|zasad|regul|prompt",
                "nie (?:mow|informuj|wspominaj|ujawniaj|pokazuj|powiadamiaj|zdradzaj)|bez (?:informowania|wiedzy|powiadamiania|mowienia)", "uzytkownik|nikomu|nikt",
                "potajemnie|w tajemnicy|po cichu|sekretnie", "wyslij|wysl|przeslij|przeczytaj|odczytaj|przekaz|dolacz|skopiuj", "klucz|hasl|poswiadcze|sekret|token|rozmow|histori|zmienne srodowiskowe|plik"),
    "tr": Words("yok say|gormezden gel|unut|dikkate alma|goz ardi et", "talimat|yonerge|komut|kural|istem",
                "soyleme|bahsetme|bilgi verme|aciklama yapma|gosterme|bildirme|haber verme|haberi olmadan|bilgilendirmeden|soylemeden", "kullanici|kimse",
                "gizlice|sessizce|gizli olarak", "gonder|oku|ilet|ekle|kopyala|aktar", "anahtar|sifre|parola|kimlik bilgi|gizli|token|konusma|gecmis|ortam degisken|dosya"),
    "ru": Words("игнорируй|проигнорируй|забудь|не обращай внимания|отмени|отбрось|не следуй", "инструкц|указани|правил|команд|директив|промпт",
                "не (?:говори|сообщай|упоминай|рассказывай|показывай|раскрывай|информируй|уведомляй)|без (?:ведома|уведомления|сообщения)|не сообщая|не говоря", "пользовател|никому|юзер",
                "тайно|втайне|скрытно|незаметно|секретно|тихо", "отправ|прочита|прочти|передай|перешли|включи|добавь|скопируй|пошли|вставь|считай", "ключ|парол|учетн|секрет|токен|переписк|разговор|истори|переменны|файл"),
    "uk": Words("ігноруй|проігноруй|забудь|не зважай", "інструкц|вказів|правил|команд",
                "не (?:кажи|повідомляй|згадуй|розповідай|показуй|розкривай)|без відома", "користувач|нікому", "таємно|непомітно|приховано", "надішли|відправ|прочитай|передай|скопіюй", "ключ|парол|секрет|токен|розмов|істор|файл"),
    "zh": Words("忽略|无视|忘记|忘掉|不要遵守|不要遵循|跳过|覆盖|忽視|無視", "指令|指示|提示|规则|命令|规定|规则|規則",
                "不要(?:告诉|告知|提及|透露|通知|向|让|显示|提到|說)|不得(?:告知|透露|提及|向)|别告诉|不能(?:告诉|让)|切勿(?:告知|向|告诉)|请勿(?:告知|向|告诉)|无需(?:告知|通知)|在?不(?:通知|告知)|不让|不要告訴|請勿告知", "用户|使用者|用戶|任何人|他人",
                "秘密地|偷偷|暗中|悄悄|静默|隐秘", "发送|发给|上传|读取|阅读|传递|包含|附加|复制|转发|传给|提供|作为|發送|讀取", "密钥|密码|凭证|凭据|私钥|令牌|对话|聊天记录|历史|环境变量|文件|密鑰|密碼|對話"),
    "ja": Words("無視し|忘れ|従わない|破棄|無効に", "指示|命令|プロンプト|ルール|規則|インストラクション",
                "(?:言わない|伝えない|知らせない|教えない|話さない|明かさない|見せない|言及しない|通知しない|通知せず|知らせず|伝えず|言わず|気づかれ|気付かれ|触れない)", "ユーザ|利用者|使用者|誰にも",
                "密かに|こっそり|秘密裏|黙って|内密に", "送信|送っ|読み|渡し|含め|添付|コピー|転送|送り|読ん", "鍵|キー|パスワード|認証情報|秘密|トークン|会話|履歴|環境変数|ファイル"),
    "ko": Words("무시하|무시해|잊어|따르지 마|무효", "지시|명령|프롬프트|규칙|지침",
                "(?:말하지|알리지|언급하지|밝히지|보여주지|공개하지|통지하지|알려주지).{0,4}(?:마|말|않)|모르게|알리지 않고", "사용자|유저|누구에게도|아무에게도",
                "몰래|비밀리에|은밀|조용히", "보내|전송|읽|전달|포함|첨부|복사|업로드", "키|비밀번호|암호|자격 ?증명|비밀|토큰|대화|기록|환경 ?변수|파일"),
    "ar": Words("تجاهل|انس|لا تتبع|تجاوز", "تعليمات|التعليمات|اوامر|الاوامر|القواعد|توجيهات|الارشادات",
                "لا (?:تخبر|تذكر|تكشف|تعلم|تظهر|تبلغ|تقل)|دون (?:اخبار|علم|اعلام|ابلاغ)|بدون (?:علم|اخبار)", "المستخدم|مستخدم|احد|لاحد",
                "سرا|بصمت|خفيه|خفية", "ارسل|اقرا|مرر|انسخ|ارفق|ضمن|انقل", "مفتاح|المفتاح|مفاتيح|كلمه المرور|كلمة المرور|كلمات|بيانات الاعتماد|سر|رمز|المحادثه|المحادثة|ملف|الملف"),
    "he": Words("התעלם|שכח", "הוראות|ההוראות|הנחיות", "אל (?:תספר|תגלה|תודיע|תזכיר)|בלי (?:ליידע|לספר)|ללא ידיעת", "משתמש|המשתמש|לאף אחד", "בחשאי|בסתר", "שלח|קרא|העבר|צרף", "מפתח|סיסמ|סוד|שיחה|קובץ"),
    "hi": Words("अनदेखा|नजरअंदाज|नज़रअंदाज़|भूल जा|उपेक्षा", "निर्देश|आदेश|नियम|प्रॉम्प्ट",
                "(?:मत|न|ना|नहीं) (?:बता|कह|दिखा)|(?:बताए|बताये) (?:बिना|बगैर)|सूचित (?:न|मत|नहीं)", "उपयोगकर्ता|यूजर|यूज़र|किसी को",
                "चुपके|गुप्त|चुपचाप", "भेज|पढ़|शामिल|कॉपी|जोड़", "कुंजी|पासवर्ड|गोपनीय|टोकन|बातचीत|इतिहास|फ़ाइल|फाइल"),
    "vi": Words("bo qua|phot lo|quen (?:di|tat ca|moi)|khong tuan theo", "huong dan|chi dan|lenh|quy tac|chi thi",
                "(?:khong|dung|cho) (?:duoc )?(?:noi|bao|thong bao|tiet lo|de cap|cho .{0,14}biet|hien thi)|ma khong (?:thong bao|cho)", "nguoi dung|bat ky ai",
                "bi mat|am tham|len lut", "gui|doc|chuyen|dinh kem|sao chep|dua", "khoa|mat khau|thong tin dang nhap|bi mat|token|cuoc tro chuyen|lich su|tep"),
    "id": Words("abaikan|lupakan|jangan ikuti", "instruksi|perintah|arahan|petunjuk|aturan",
                "jangan (?:beri ?tahu|katakan|sebutkan|ungkapkan|tampilkan|informasikan|memberi ?tahu)|tanpa (?:memberi ?tahu|sepengetahuan|menyebutkan)", "pengguna|siapa ?pun",
                "diam-diam|secara rahasia|sembunyi", "kirim|baca|teruskan|sertakan|lampirkan|salin", "kunci|kata sandi|kredensial|rahasia|token|percakapan|riwayat|berkas|file"),
    "sv": Words("ignorera|glom|bortse", "instruktion|anvisning|regler|prompt", "(?:beratta|namn|informera|avsloja|saga|sag)\\w*.{0,20}(?:inte|aldrig|inget)|utan att (?:beratta|informera|namna)", "anvandar|nagon",
                "i hemlighet|i smyg", "skicka|las |skriv|bifoga|kopiera|vidarebefordra", "nyckel|losenord|hemlig|token|konversation|historik|fil"),
    "fa": Words("نادیده|فراموش", "دستور|دستورالعمل|قوانین", "(?:نگو|اطلاع نده|اشاره نکن|فاش نکن)|بدون اطلاع", "کاربر", "مخفیانه|پنهانی", "ارسال|بخوان|بفرست|کپی", "کلید|رمز|گذرواژه|گفتگو|فایل"),
    "th": Words("เพิกเฉย|ละเว้น|ลืม|ไม่ต้องสนใจ", "คำสั่ง|คำแนะนำ|กฎ", "(?:อย่า|ห้าม|ไม่ต้อง)(?:บอก|แจ้ง|เปิดเผย|พูดถึง)|โดยไม่(?:บอก|แจ้ง)", "ผู้ใช้|ใคร", "อย่างลับ|แอบ|เงียบ", "ส่ง|อ่าน|แนบ|คัดลอก", "คีย์|รหัสผ่าน|ความลับ|โทเค็น|สนทนา|ไฟล์"),
}  # fmt: skip


def _even(stems: str) -> str:
    return "(?:" + normal(stems).text + ")"


def _rules(words: Words) -> tuple[Rule, ...]:
    drop, orders, silent, user, secretly, hand, private = map(_even, words)
    near = r"[^.!?。!?\n]{0,48}?"
    shapes: tuple[tuple[str, Severity, str, str], ...] = (
        ("instruction_override", "critical", "tells the model to drop its instructions",
         rf"{drop}{near}{orders}|{orders}{near}{drop}"),
        ("secrecy", "high", "something is to be kept from the user",
         rf"{silent}{near}{user}|{user}{near}{silent}"),
        ("secrecy", "high", "it is to happen in secret", rf"{secretly}{near}{hand}|{hand}{near}{secretly}"),
        ("exfiltration", "critical", "a private file is to be read or handed over",
         rf"{hand}.{{0,60}}?{FILES}|{FILES}.{{0,60}}?{hand}"),
        ("exfiltration", "high", "private data is to be sent elsewhere",
         rf"{hand}.{{0,60}}?{private}.{{0,60}}?{ELSEWHERE}|{private}.{{0,80}}?{ELSEWHERE}.{{0,20}}?{hand}"),
    )  # fmt: skip
    return tuple(rule(code, level, why, "", pattern) for code, level, why, pattern in shapes)


LATIN: Final = frozenset({"es", "pt", "fr", "de", "it", "nl", "pl", "tr", "vi", "id", "sv"})
BY_LANGUAGE: Final = {name: _rules(words) for name, words in LANGUAGES.items()}
_HINTS: Final = {name: Late("|".join(_even(part) for part in words[:6])) for name, words in LANGUAGES.items()}
SCRIPTS: Final = (
    (re.compile(r"[\u0400-\u04ff]"), ("ru", "uk")),
    (re.compile(r"[\u4e00-\u9fff]"), ("zh", "ja")),
    (re.compile(r"[\u3040-\u30ff]"), ("ja",)),
    (re.compile(r"[\uac00-\ud7af\u1100-\u11ff]"), ("ko",)),
    (re.compile(r"[\u0600-\u06ff]"), ("ar", "fa")),
    (re.compile(r"[\u0590-\u05ff]"), ("he",)),
    (re.compile(r"[\u0900-\u097f]"), ("hi",)),
    (re.compile(r"[\u0e00-\u0e7f]"), ("th",)),
)


def rules_for(text: str) -> tuple[Rule, ...]:
    """Those of the languages that this normalised text can be in."""
    wanted = {name for name in LATIN if _HINTS[name].search(text)}
    if not text.isascii():
        wanted.update(name for script, names in SCRIPTS if script.search(text) for name in names)
    return tuple(one for name in sorted(wanted) for one in BY_LANGUAGE[name])
