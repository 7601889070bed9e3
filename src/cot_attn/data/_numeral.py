"""Where numerals stand in a text: from their first character to their last.

A numeral is found as long as it could be, before anybody asks what it is worth: "1.2.3", "1:30" and
"2024-01-02" are one each, so that no part of them is taken for a number. What is not whole all the
same, because of what stands beside it ("x^2", "5π", "3 and a half"), `whole` says.
"""

import re

from cot_attn.data._marker import Span

SPACE = "[ \u00a0\u2007\u2009\u202f]"  # no line break: what is on two lines is two numerals
MINUS = "[-‐‑–−﹣－]"  # hyphens, the en dash and the signs proper; the em dash is punctuation
CURRENCY = (
    r"(?:(?:US|CA?|AU?|NZ|HK|S|R)?\\?\$|[€£¥₹₩₽₺₫₱₦₴₪฿]"
    r"|(?:USD|EUR|GBP|INR|JPY|CNY|CAD|AUD|CHF|Rs\.?))"
)
SLASH = "[/⁄∕]"
VULGAR = "¼-¾⅐-⅞↉"
DIGIT = rf"[\d{VULGAR}⅟]"
RAISED = "⁰¹²³⁴-⁹⁺⁻"
POWER = rf"(?:(?:\^|\*\*)(?:\{{[+\-−]?\d++\}}|\([+\-−]?\d++\)|[+\-−]?\d++)|[{RAISED}]++)"
TIMES = r"(?:[×xX*·⋅]|\\times|\\cdot)"
FRAC = r"\\[dt]?frac\{[\d.,]++\}\{[\d.,]++\}"
SCALES = {
    "hundred": 2,
    "thousand": 3,
    "lakh": 5,
    "million": 6,
    "crore": 7,
    "billion": 9,
    "trillion": 12,
}
"""Words behind a numeral that multiply it by a power of ten."""
SCALE = rf"(?:(?:{SPACE}|-)?(?:{'|'.join(SCALES)})s?\b)"

# A raised or trailing number of a unit, as in "18 cm^2" or "18 m2": no numeral.
UNIT = r"(?<![^\W\d_])(?:[kcdm]?m|ft|feet|in|inch(?:es)?|yd|yards?|mi|miles?|met(?:er|re)s?|units?)"
UNIT_POWER = rf"{UNIT}(?:\^\{{?)?[23]\b"

# Every repetition of characters is possessive, of fixed length, or ends at what the next one begins
# with, and behind the first digits nothing can fail: no text makes the search slow. Groups are not
# possessive: Python before 3.11.5 matches those wrongly (its issues 101955 and 106052).
NUMERAL = re.compile(
    rf"""
    {UNIT_POWER} |
    (?P<numeral>
    (?:(?<![\w)\]}}])(?:\+/?)?{MINUS}(?:{CURRENCY}{SPACE}?)?)?
    (?: \d++ | [{VULGAR}⅟∞] | (?<![\d.])(?<!\bRs)\.\d++ | {FRAC} )
    (?:
        [.,:;_'’"′″…·٫٬،，．{SLASH[1:-1]}]++{DIGIT}++                    # 1.5, 1:30, 1,2,3
      | {SPACE}?{SLASH}{SPACE}?\.?{DIGIT}++                           # 3 / 4
      | (?:\{{,\}}|,?\\[,;:!\ ])\d++                                  # LaTeX's thousands
      | {SPACE}?,{SPACE}?0\d\d(?!\d)                                  # a number torn by a space
      | (?:\.?[eE][+\-−]|[A-Za-z]++){DIGIT}++                              # 1e-05, 0x1F, 4x4
      | {SPACE}?{TIMES}{SPACE}?10(?={POWER})                          # 2 × 10^3
      | {POWER} | [₀-₉]++ | (?<=[)}}])\d++
      | {SPACE}?(?:[{VULGAR}⅟]|{FRAC})                                # 1½
      | {SPACE}(?=\d++{SPACE}?{SLASH}{SPACE}?\d)\d++                  # 1 1/2
      | (?<!\d{{4}}){SPACE}\d{{3}}(?!\d)(?:{SPACE}\d++)*              # 1 000
      | {SPACE}0\d++                                                  # 1 00
      | (?:{MINUS}\d++){{2}}(?:{MINUS}\d++)*                          # 2024-01-02
      | {MINUS}(?:(?=0\d|\d++{SLASH}\d)\d++|(?<=\d{{3}}.)(?<!\d{{4}}.)\d{{4}}(?!\d))  # 555-1234
    )*
    (?:{SCALE}+(?:{SPACE}(?:and{SPACE})?\d++)?)?                      # 2 million 500 thousand
    )
    """,
    re.VERBOSE | re.IGNORECASE,
)

# What makes a numeral the end of something longer ...
BEFORE = re.compile(
    rf"""(?:
        [±∓√∛∜∞π]
      | [\w)\]}}](?:\*\*|\^) | \^[{{(]?                               # x^2
      | [^\W\d]_\{{? | _\{{                                           # x_2
      | [\w)\]}}]/                                                    # x/2
      | \b(?:sqrt|[dt]?frac|log|ln|sin|cos|tan|exp|overline|pm)(?:\[\d\])?\s?[{{(]? | \}}\{{
      | \b(?:minus|negative)\s
      | (?:^|[^{MINUS[1:-1]}\d)\]}}%\s])[^\S\n]*{MINUS}{SPACE}+(?:{CURRENCY}{SPACE}?)?   # = - 5
      | (?:^|[^\w)\]}}%])—
      | \bv                                                           # v1.2
    )\Z""",
    re.VERBOSE | re.IGNORECASE,
)
# ... or its beginning.
AFTER = re.compile(
    rf"""
        {SPACE}?(?:[+*×÷x±~～]|{MINUS}|\\(?:times|cdot|div|pm))+{SPACE}?{CURRENCY}?\.?{DIGIT}
      | \^(?!\{{?(?:\\circ|∘|°)) | \*\*[\w(] | [)\]}}]+(?:\^|\*\*\d|[{RAISED}])
      | {SPACE}?(?:[π√∛∜∞]|(?:pi|sqrt)\b|\\(?:sqrt|pi|[dt]?frac|infty|over|choose|[pb]mod))
      | [ij]\b
      | (?-i:[kKMBT](?![A-Za-z])) | {SPACE}?(?:[mbt]n|mio|mrd)\b
      | {SPACE}(?:to|or){SPACE}{CURRENCY}?\.?{DIGIT}  # 3 to 4
      | \){SPACE}?\d{{3}}-\d{{4}}                                     # (555) 123-4567
      | _[{{\\]
      | e[+\-−] | (?<=\b0)x[0-9a-f]                            # 1e- cut short, 0xFF
      | {SLASH}{SPACE}?[+\-−(√π∞\\]
      | {SPACE}and(?:{SPACE}(?:an?|one|two|three|four))?[\ -](?:hal|third|quarter|fourth|fifth)
      | {SPACE}and{SPACE}(?:[{VULGAR}]|\d++{SPACE}?{SLASH}|{FRAC})    # 3 and 1/2
      | [\ -](?:halves|(?:third|four|fif|six|seven|eigh|nin|ten|hundred|thousand|million)(?:th)?s)\b
      | {SPACE}point{SPACE}
      | [\u0304\u0305\u0307] | \.?(?:\(\d|\\(?:overline|dot|bar))     # 0.(3)
    """,
    re.VERBOSE | re.IGNORECASE,
)
LONGEST_BEFORE = 20  # characters that `BEFORE` looks at


def numerals(text: str) -> list[Span]:
    """Return where all numerals of the text stand, from left to right.

    Examples
    --------
    >>> text = "On 2024-01-02 she paid $1,234.50 for 2 × 10^3"
    >>> [text[start:end] for start, end in numerals(text)]
    ['2024-01-02', '1,234.50', '2 × 10^3']
    """
    return [match.span() for match in NUMERAL.finditer(text) if match["numeral"]]


def whole(text: str, span: Span) -> bool:
    """Whether what stands beside a numeral leaves it a number of its own.

    Examples
    --------
    >>> whole("18 eggs", (0, 2)), whole("18π", (0, 2)), whole("x^18", (2, 4))
    (True, False, False)
    """
    start, end = span
    torn = text[start] == "." and text[:start][-1:].isalpha()  # eggs.18: one sentence, or two?
    cut = "." in text[start:end] and text.startswith(("..", "…"), end)  # 0.333...
    beside = text[:start][-1:] + text[end : end + 1]
    before = text[max(0, start - LONGEST_BEFORE) : start]
    joined = any(map(str.isnumeric, beside))  # ½0, 18五
    return not (torn or cut or joined or BEFORE.search(before) or AFTER.match(text, end))
